"""Synthetic features: what face and voice see, what goes wrong and when, and the same clip however it is had."""

import subprocess
import sys
import tracemalloc
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score

from iaca.corpora.features import FOLDERS, feature_widths, index_features, read_clip
from iaca.corpora.index import read_card
from iaca.corpora.synthetic import (
    NAMES,
    SyntheticConfig,
    draw_annotated,
    draw_clip,
    draw_corpus,
    draw_views,
    main,
    read_config,
    smooth,
    write_corpus,
)
from iaca.encoders.embedding import ARRAYS, AnnotatedClip
from iaca.errors import InputError
from iaca.formats.labels import read_event_table

SMALL = SyntheticConfig(clips=6, seconds=8.0, audio_dim=5, visual_dim=7)
EVENTFUL = SMALL.model_copy(update={"seconds": 40.0, "event_share": 0.4, "event_s": (2.0, 6.0)})


def same(a: AnnotatedClip, b: AnnotatedClip) -> bool:
    """Bit for bit, types, names and metadata included."""
    one, other = ([*(getattr(c.embedding, n) for n in ARRAYS), c.labels] for c in (a, b))
    arrays = all(x.tobytes() == y.tobytes() and x.dtype == y.dtype for x, y in zip(one, other, strict=True))
    names = a.embedding.quality_names == b.embedding.quality_names
    return arrays and names and a.embedding.metadata == b.embedding.metadata


def seen(clips: Mapping[str, AnnotatedClip], modality: str) -> list[float]:
    """How well a linear map of a modality follows valence and arousal on unseen people (correlation)."""
    parts = list(clips.values())
    half = len(parts) // 2
    x = [np.concatenate([c.embedding.features[modality] for c in some]) for some in (parts[:half], parts[half:])]
    y = [np.concatenate([c.labels for c in some]) for some in (parts[:half], parts[half:])]
    said = Ridge(10.0).fit(x[0], y[0]).predict(x[1])
    return [float(np.corrcoef(said[:, i], y[1][:, i])[0, 1]) for i in (0, 1)]


@pytest.fixture(scope="module")
def correlations() -> dict[str, dict[str, list[float]]]:
    sizes = {"clips": 32, "seconds": 60.0, "noise": 0.5}
    drawn = {kind: draw_annotated(SyntheticConfig(kind=kind, **sizes)) for kind in ("s", "s2")}
    return {kind: {m: seen(clips, m) for m in ("audio", "visual")} for kind, clips in drawn.items()}


def test_a_clip_is_the_same_in_a_corpus_of_any_size_and_another_with_another_seed() -> None:
    clip = draw_clip(EVENTFUL, 3)
    among_many = draw_clip(EVENTFUL.model_copy(update={"clips": 10_000}), 3)
    assert same(clip.annotated, among_many.annotated)
    assert (clip.name, clip.subject, clip.partition) == (among_many.name, among_many.subject, among_many.partition)
    assert clip.events == among_many.events
    other = draw_clip(EVENTFUL.model_copy(update={"seed": 1}), 3)
    assert not same(clip.annotated, other.annotated)
    assert not same(clip.annotated, draw_clip(EVENTFUL, 2).annotated)


@pytest.mark.slow
def test_the_face_sees_valence_well_and_the_voice_arousal(correlations: dict[str, dict[str, list[float]]]) -> None:
    for kind in ("s", "s2"):
        valence, arousal = correlations[kind]["visual"]
        assert valence > 0.75 > 0.65 > arousal, kind
        valence, arousal = correlations[kind]["audio"]
        assert arousal > 0.75 > 0.65 > valence, kind


def test_s2_is_s_with_more_redundancy(correlations: dict[str, dict[str, list[float]]]) -> None:
    assert correlations["s2"]["visual"][1] > correlations["s"]["visual"][1] + 0.1
    assert correlations["s2"]["audio"][0] > correlations["s"]["audio"][0] + 0.1


def test_what_is_felt_has_the_autocorrelation_that_is_asked_for() -> None:
    walks = smooth(np.random.default_rng(0), 4000, 75.0, 40)
    assert walks.std() == pytest.approx(1, abs=0.03)
    for lag, expected in ((75, np.exp(-1)), (37, np.exp(-0.25)), (225, 0.0)):
        assert (walks[lag:] * walks[:-lag]).mean() == pytest.approx(expected, abs=0.05)


def test_labels_are_bounded_and_fill_their_range() -> None:
    labels = np.concatenate([clip.annotated.labels for clip in draw_corpus(EVENTFUL)])
    assert np.abs(labels).max() <= 1
    assert labels.std(axis=0).min() > 0.35


def test_a_subject_stays_in_one_partition_and_all_partitions_are_filled() -> None:
    clips = list(draw_corpus(SMALL.model_copy(update={"clips": 20, "seconds": 1.0})))
    table = pd.DataFrame([(c.name, c.subject, c.partition) for c in clips], columns=["clip", "subject", "partition"])
    assert table.groupby("subject")["partition"].nunique().max() == 1
    assert table["partition"].value_counts().to_dict() == {"train": 12, "validation": 4, "test": 4}
    assert table["clip"].is_unique


def spread(identity: float) -> float:
    """Variance between the means of clips, over the variance within them."""
    config = SyntheticConfig(clips=24, clips_per_subject=1, seconds=60.0, correlation_s=0.5, identity=identity)
    clips = [clip.embedding.visual for clip in draw_annotated(config).values()]
    means = np.stack([x.mean(axis=0) for x in clips])
    return float(means.var(axis=0).mean() / np.mean([x.var(axis=0).mean() for x in clips]))


@pytest.mark.slow
def test_identity_tells_clips_apart_as_far_as_it_is_asked_to() -> None:
    assert spread(0.0) < 0.02 < 0.1 < spread(1.0) < spread(2.0)


def test_the_clips_of_a_person_look_alike() -> None:
    config = SyntheticConfig(clips=20, seconds=60.0, correlation_s=0.5, identity=2.0)
    means = np.stack([clip.embedding.audio.mean(axis=0) for clip in draw_annotated(config).values()])
    within = np.linalg.norm(means[::2] - means[1::2], axis=1).mean()  # two clips each
    between = np.linalg.norm(means[::2] - np.roll(means[::2], 1, axis=0), axis=1).mean()
    assert within < 0.7 * between


def test_cues_have_the_names_and_the_ranges_of_measured_ones() -> None:
    clip = draw_clip(SMALL, 0).annotated.embedding
    assert clip.quality_names == NAMES
    cues = dict(zip(NAMES, clip.quality.T, strict=True))
    for name, low, high in (
        ("face_score", 0.9, 1), ("face_sharpness", 3, 9), ("sound_level", -70, 0), ("snr_estimate", 5, 40),
        ("voice_activity", 0, 1), ("synchrony", -1, 1), ("mouth_motion", 0, 30), ("mouth_opening", -1, 1),
    ):  # fmt: skip
        assert low <= cues[name].min() <= cues[name].max() <= high, name
    assert draw_clip(SMALL.model_copy(update={"quality": False}), 0).annotated.embedding.quality.shape == (200, 0)


def swap_auroc(lip_sync: float) -> float:
    """How well low synchrony tells the steps at which a modality is another clip's."""
    config = SyntheticConfig(clips=8, event_share=0.4, event_kinds=("other",), lip_sync=lip_sync)
    truth, synchrony = [], []
    for clip in draw_corpus(config):
        mask = np.zeros(config.steps, bool)
        for event in clip.events:
            mask[event.start : event.end] = True
        truth.append(mask)
        synchrony.append(clip.annotated.embedding.quality[:, NAMES.index("synchrony")])
    return float(roc_auc_score(np.concatenate(truth), -np.concatenate(synchrony)))


@pytest.mark.slow
def test_synchrony_is_lost_when_one_modality_is_swapped_as_far_as_the_mouth_follows_the_sound() -> None:
    assert abs(swap_auroc(0.0) - 0.5) < 0.08
    assert swap_auroc(0.7) > 0.9 > swap_auroc(0.3) > 0.7


def test_an_event_changes_what_it_says_and_nothing_else() -> None:
    kinds = set()
    for index in range(6):
        clean, clip = draw_clip(SMALL.model_copy(update={"seconds": 40.0}), index), draw_clip(EVENTFUL, index)
        np.testing.assert_array_equal(clip.annotated.labels, clean.annotated.labels)
        for modality, present in clip.annotated.embedding.present.items():
            hit = np.zeros(EVENTFUL.steps, bool)
            before, after = (c.annotated.embedding.features[modality] for c in (clean, clip))
            for event in (event for event in clip.events if event.modality == modality):
                kinds.add(event.kind)
                stretch = slice(event.start, event.end)
                hit[stretch] = True
                assert present[stretch].all() == (event.kind != "absent")
                if event.kind in ("absent", "zeros"):
                    assert (after[stretch] == 0).all()
                else:
                    assert (after[stretch] != before[stretch]).any(axis=1).all()
            np.testing.assert_array_equal(after[~hit], before[~hit])
            assert present[~hit].all()
    assert kinds == {"absent", "zeros", "noise", "other"}


@pytest.mark.slow
def test_a_stretch_of_another_clip_has_the_level_of_features_but_noise_is_larger() -> None:
    def level(kind: str) -> float:
        config = EVENTFUL.model_copy(update={"event_kinds": (kind,), "clips": 12})
        parts = [
            c.annotated.embedding.features[e.modality][e.start : e.end] for c in draw_corpus(config) for e in c.events
        ]
        return float(np.concatenate([part.ravel() for part in parts]).std())

    clean = float(np.concatenate([c.annotated.embedding.audio.ravel() for c in draw_corpus(SMALL)]).std())
    assert level("other") == pytest.approx(clean, rel=0.25)
    assert level("noise") > 1.6 * clean


@pytest.mark.slow
def test_events_fill_about_the_share_of_time_that_is_asked_for() -> None:
    config = SyntheticConfig(clips=60, seconds=60.0, rate=5.0, event_share=0.3, audio_dim=1, visual_dim=1)
    steps = sum(event.end - event.start for clip in draw_corpus(config) for event in clip.events)
    assert steps / (config.clips * config.steps) == pytest.approx(0.3, abs=0.05)
    assert not any(clip.events for clip in draw_corpus(SMALL))


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_written_corpus_read_again_is_the_one_drawn_in_memory(tmp_path: Path, form: str) -> None:
    write_corpus(EVENTFUL, tmp_path, form)  # type: ignore[arg-type]
    drawn = {clip.name: clip for clip in draw_corpus(EVENTFUL)}
    index = index_features(tmp_path)
    assert index.problems == []
    widths = feature_widths(tmp_path, index.clips)
    for row in index.clips.to_dict("records"):
        files = {kind: tmp_path / row[kind] for kind in FOLDERS}
        assert files["audio"].suffix == f".{form}"
        assert same(read_clip(files, widths), drawn[row["clip"]].annotated)
        assert (row["subject"], row["partition"]) == (drawn[row["clip"]].subject, drawn[row["clip"]].partition)
    assert sorted(drawn) == index.clips["clip"].tolist()


def test_the_table_of_events_tells_exactly_the_corrupted_steps(tmp_path: Path) -> None:
    write_corpus(EVENTFUL, tmp_path)
    table = read_event_table(tmp_path / "events.csv")
    for clip in draw_corpus(EVENTFUL):
        told, true = np.zeros(EVENTFUL.steps, bool), np.zeros(EVENTFUL.steps, bool)
        for event in clip.events:
            true[event.start : event.end] = True
        for event in table[table["clip"] == clip.name].itertuples():
            told |= (clip.annotated.embedding.time_s >= event.start_s) & (clip.annotated.embedding.time_s < event.end_s)
        np.testing.assert_array_equal(told, true)
    assert set(table["kind"]) == {"absent", "zeros", "noise", "other"}


def files_of(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.slow
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_s3_is_s2_but_for_one_modality_of_the_test_clips(tmp_path: Path, form: str) -> None:
    for kind in ("s2", "s3"):
        config = SyntheticConfig(kind=kind, clips=10, seconds=20.0, event_share=0.4)  # type: ignore[arg-type]
        write_corpus(config, tmp_path / kind, form)  # type: ignore[arg-type]
    before, after = files_of(tmp_path / "s2"), files_of(tmp_path / "s3")
    test = [f"clip{i:05d}" for i in (4, 5)]
    shifted = {f"features/audio/{clip}.{form}" for clip in test}
    changed = {name for name in before if before[name] != after[name]}
    assert changed - {"corpus.json", "synthetic.json"} == shifted
    assert after.keys() - before.keys() == {"shift.csv"}


@pytest.mark.slow
@pytest.mark.parametrize("shift", ["gone", "reversed"])
@pytest.mark.parametrize(("modality", "dimension"), [("audio", "valence"), ("visual", "arousal")])
def test_what_training_teaches_of_the_shifted_modality_fails_in_the_test_partition(
    modality: str, dimension: str, shift: str
) -> None:
    given = {"shift_modality": modality, "shift_dimension": dimension, "shift": shift}
    config = SyntheticConfig(kind="s3", clips=80, noise=0.5, shift_learnt=0.85, **given)
    parts = {name: draw_annotated(config, name) for name in ("train", "validation", "test")}
    features, labels = (
        {name: np.concatenate([take(clip) for clip in clips.values()]) for name, clips in parts.items()}
        for take in (lambda clip: clip.embedding.features[modality], lambda clip: clip.labels)
    )
    ridge = Ridge(10.0).fit(features["train"], labels["train"])
    column, other = (0, 1) if dimension == "valence" else (1, 0)

    def agreement(partition: str, i: int) -> float:
        return float(np.corrcoef(ridge.predict(features[partition])[:, i], labels[partition][:, i])[0, 1])

    assert agreement("validation", column) > 0.7
    assert agreement("test", column) == pytest.approx(-0.8 if shift == "reversed" else 0.0, abs=0.15)
    assert agreement("test", other) == pytest.approx(agreement("validation", other), abs=0.15)


@pytest.mark.slow
def test_a_stretch_of_another_clip_is_shifted_as_its_own_clip_is() -> None:
    sizes = {"clips": 40, "noise": 0.2, "nuisance": 0.0, "identity": 0.0, "event_share": 0.8, "event_kinds": ("other",)}
    config = SyntheticConfig(kind="s3", shift="reversed", shift_learnt=1.0, shift_modality="visual", **sizes)
    plain = SyntheticConfig(kind="s2", **sizes)
    for index in (4, 5):
        one, other = (draw_clip(c, index) for c in (config, plain))
        assert one.events == other.events
        inside = [slice(event.start, event.end) for event in one.events if event.modality == "visual"]
        # A reversed face of full correlation shows -x, where x is what the donor felt; its arousal is that of s2.
        mixing = draw_views(config)["visual"].straight
        shown = [
            np.concatenate([clip.annotated.embedding.visual[s] for s in inside]) @ np.linalg.pinv(mixing)
            for clip in (one, other)
        ]
        assert np.corrcoef(shown[0][:, 0], shown[1][:, 0])[0, 1] < -0.7  # s2 shows 0.85 x
        assert np.corrcoef(shown[0][:, 1], shown[1][:, 1])[0, 1] > 0.9


def test_the_truth_of_the_shift_is_written_beside_the_corpus(tmp_path: Path) -> None:
    config = SyntheticConfig(kind="s3", shift="reversed", shift_dimension="arousal", clips=24, seconds=2.0)
    write_corpus(config, tmp_path)
    table, members = (pd.read_csv(tmp_path / name) for name in ("shift.csv", "partition.csv"))
    assert table["clip"].tolist() == members.loc[members["partition"] == "test", "clip"].tolist()
    truth = ["audio", "arousal", "reversed", -0.85, 0.85]
    assert table.drop(columns="clip").drop_duplicates().to_numpy().tolist() == [truth]
    assert read_config(tmp_path) == config
    assert "the voice shows the opposite of arousal" in read_card(tmp_path).caveat


def test_a_small_s3_has_14_training_recordings_of_subjects_of_their_own(tmp_path: Path) -> None:
    write_corpus(SyntheticConfig(kind="s3", clips=24, seconds=1.0), tmp_path)
    index = index_features(tmp_path)
    assert index.problems == []
    assert index.clips["partition"].value_counts().to_dict() == {"train": 14, "validation": 6, "test": 4}
    assert index.clips.groupby("subject")["partition"].nunique().max() == 1


def test_parameters_that_are_not_those_of_a_synthetic_corpus_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"synthetic\.json"):
        read_config(tmp_path)
    (tmp_path / "synthetic.json").write_text('{"kind": "s9"}')
    with pytest.raises(InputError, match="kind"):
        read_config(tmp_path)


def test_a_clean_corpus_has_a_card_with_a_caveat_and_no_table_of_events(tmp_path: Path) -> None:
    write_corpus(SMALL, tmp_path)
    assert not (tmp_path / "events.csv").exists()
    assert "nothing about emotions of real people" in read_card(tmp_path).caveat
    with pytest.raises(InputError, match="not empty"):
        write_corpus(SMALL, tmp_path)


def peak(config: SyntheticConfig, folder: Path) -> int:
    tracemalloc.start()
    try:
        write_corpus(config, folder, "parquet")
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_clips(tmp_path: Path) -> None:
    peak(SMALL.model_copy(update={"clips": 2}), tmp_path / "warm")
    few, many = (peak(SMALL.model_copy(update={"clips": n}), tmp_path / str(n)) for n in (5, 65))
    whole = sum(getattr(draw_clip(SMALL, 0).annotated.embedding, name).nbytes for name in ARRAYS)
    assert (many - few) / 60 < 0.1 * whole  # a row of partition.csv, but no clip


@pytest.mark.slow
def test_the_command_takes_every_parameter_and_refuses_a_wrong_one(tmp_path: Path) -> None:
    words = ["--kind", "s", "--clips", "3", "--seconds", "2", "--audio-dim", "4", "--partitions", "train", "test"]
    done = subprocess.run(
        [sys.executable, "-m", "iaca.corpora.synthetic", str(tmp_path / "made"), *words, "--format", "parquet"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    index = index_features(tmp_path / "made").clips
    assert index["partition"].tolist() == ["train", "train", "test"]
    config = SyntheticConfig(kind="s", clips=3, seconds=2.0, audio_dim=4, partitions=("train", "test"))
    files = {kind: tmp_path / "made" / index.loc[2, kind] for kind in FOLDERS}
    assert same(read_clip(files, {"audio": 4, "visual": 32}), draw_clip(config, 2).annotated)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--kind", "s4"], "--kind"),
        (["--clips", "0"], "--clips"),
        (["--event-s", "3", "2"], "two lengths in order"),
        (["--shift", "reversed"], "shift: only a corpus of kind s3 has a shift, this one is s2"),
        (["--kind", "s3", "--clips", "4"], "4 clips leave test empty"),
        (["--kind", "s3", "--partitions", "train", "test"], "leave validation empty"),
        (["--kind", "s3", "--shift-learnt", "0"], "--shift-learnt"),
    ],
)
def test_a_wrong_parameter_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    with pytest.raises(SystemExit):
        main([str(tmp_path / "new"), *words])
    assert told in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(SystemExit):
        main([str(tmp_path)])
    assert "not empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
