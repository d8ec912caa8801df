"""Windows, their corruption, and the statistics that normalise them."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from synthetic_clips import AUDIO_DIM, CUES, VISUAL_DIM, annotated, annotated_clips, blind

from iaca.encoders.embedding import AnnotatedClip, embeddings_of
from iaca.errors import InputError
from iaca.parameters import MODALITIES
from iaca.training.config import CorruptionConfig, TrainingConfig
from iaca.training.data import EpochSampler, WindowDataset, corrupt, validation_loaders, window_starts, windows_of
from iaca.training.sample import Normalisation, Sample, Stream, Window, WindowSpec, collate, cut_sample, generator

CLIPS = annotated_clips(4, steps=70)
EMBEDDINGS = embeddings_of(CLIPS)
NORMALISATION = Normalisation.fit(EMBEDDINGS)
SPANNED = {steps: annotated(steps, steps) for steps in range(1, 91)}


def cut(clip: AnnotatedClip, start: int, length: int, fresh: int = 0, **spec: object) -> Sample:
    return cut_sample(clip, Window("", start, fresh), WindowSpec(length, NORMALISATION, **spec))


def same(one: Sample, other: Sample) -> bool:
    return all(
        np.array_equal(getattr(one, f.name), getattr(other, f.name), equal_nan=f.name == "labels")
        for f in fields(Sample)
    )


@given(st.integers(0, 2000), st.integers(1, 400), st.data())
def test_windows_cover_every_step_and_the_last_is_right_aligned(steps: int, length: int, data: st.DataObject) -> None:
    hop = data.draw(st.integers(1, length))
    starts = window_starts(steps, length, hop)
    assert starts[0] == 0
    assert starts[-1] == max(0, steps - length)
    assert all(0 < b - a <= hop for a, b in pairwise(starts))


@pytest.mark.slow
@given(st.lists(st.integers(1, 90), min_size=1, max_size=4), st.integers(1, 40))
def test_counted_once_each_annotated_step_is_valid_in_exactly_one_window(lengths: list[int], length: int) -> None:
    some = {f"c{i}": replace_labels(annotated(i, steps)) for i, steps in enumerate(lengths)}
    windows = windows_of(some, length, length, once=True)
    counted = sum(int(cut(some[w.clip], w.start, length, w.fresh).valid.sum()) for w in windows)
    assert counted == sum(int(c.embedding.observed.sum()) for c in some.values())


@settings(max_examples=50)
@given(st.lists(st.integers(1, 90), min_size=1, max_size=4), st.integers(1, 40), st.data())
def test_fresh_spans_part_the_time_of_each_clip(lengths: list[int], length: int, data: st.DataObject) -> None:
    hop = data.draw(st.integers(1, length))
    some = {f"c{i}": SPANNED[steps] for i, steps in enumerate(lengths)}
    windows = windows_of(some, length, hop, once=True)
    assert [(w.clip, w.start) for w in windows] == [w[:2] for w in windows_of(some, length, hop)]
    for name, one in some.items():
        own = [w for w in windows if w.clip == name]
        assert own == windows_of({name: one}, length, hop, once=True)  # independent of the other clips
        spans = [(w.fresh, min(w.start + length, len(one))) for w in own]
        assert spans[0][0] == 0
        assert spans[-1][1] == len(one)  # nothing outside
        assert all(a < b for a, b in spans)
        assert all(end == start for (_, end), (start, _) in pairwise(spans))
        time_s = one.embedding.time_s
        edges = np.append(time_s, time_s[-1] + 0.04)
        assert sum(edges[b] - edges[a] for a, b in spans) == pytest.approx(edges[-1] - edges[0])


@settings(max_examples=50)
@given(st.integers(1, 90), st.integers(1, 40), st.data())
def test_windows_hold_the_steps_of_their_place_and_none_outside(steps: int, length: int, data: st.DataObject) -> None:
    one = SPANNED[steps]
    start = data.draw(st.sampled_from(window_starts(steps, length, data.draw(st.integers(1, length)))))
    sample = cut(one, start, length)
    real = min(length, steps - start)
    assert real > 0
    assert sample.padding.tolist() == [True] * real + [False] * (length - real)
    for column, modality in enumerate(MODALITIES):
        assert np.array_equal(sample.present[:real, column], one.embedding.present[modality][start : start + real])
    whole = cut(one, 0, steps)
    assert np.array_equal(sample.audio[:real], whole.audio[start : start + real])
    assert np.array_equal(sample.labels[:real], whole.labels[start : start + real], equal_nan=True)
    assert not sample.audio[real:].any()


def replace_labels(one):
    return replace(one, labels=np.zeros_like(one.labels))


def test_a_short_clip_is_padded_and_padding_is_nothing() -> None:
    sample = cut(CLIPS["clip0"], 60, 30)
    assert sample.padding.tolist() == [True] * 10 + [False] * 20
    for mask in (sample.present, sample.valid):
        assert not mask[10:].any()
    assert not sample.audio[10:].any()


def test_nothing_counts_that_is_not_annotated_or_not_observed() -> None:
    one = CLIPS["clip0"]
    labels = one.labels.copy()
    labels[40, 1] = np.nan  # half an annotation is none
    hidden = {modality: mask & (np.arange(70) != 50) for modality, mask in one.embedding.present.items()}
    valid = cut(AnnotatedClip(one.embedding.with_modalities(present=hidden), labels), 0, 70).valid
    assert np.flatnonzero(~valid).tolist() == [0, 1, 2, 40, 50]


def test_statistics_are_those_of_the_observed_steps_of_all_clips() -> None:
    rows = np.concatenate([c.visual[c.face_found] for c in EMBEDDINGS.values()]).astype(np.float64)
    np.testing.assert_allclose(NORMALISATION.visual_mean, rows.mean(0), rtol=1e-5)
    np.testing.assert_allclose(NORMALISATION.visual_std, rows.std(0), rtol=1e-5)
    hidden = {
        name: replace(c, visual=np.where(c.face_found[:, None], c.visual, np.nan)) for name, c in EMBEDDINGS.items()
    }
    np.testing.assert_array_equal(Normalisation.fit(hidden).visual_std, NORMALISATION.visual_std)


def test_constant_features_and_modalities_never_observed_normalise_to_finite_values() -> None:
    constant = replace(EMBEDDINGS["clip0"], visual=np.full((70, VISUAL_DIM), 3.0, np.float32))
    fitted = Normalisation.fit({"constant": blind(constant, audio=True)})
    assert (fitted.audio_mean == 0).all()
    assert fitted.audio_mean.shape == (AUDIO_DIM,)
    assert (fitted.visual_std == 1).all()


def test_nan_where_something_was_observed_is_refused_by_name() -> None:
    audio = EMBEDDINGS["clip0"].audio.copy()
    audio[0, 0] = np.nan
    with pytest.raises(InputError, match="clip bad: the audio embedding has NaN"):
        Normalisation.fit({"good": EMBEDDINGS["clip1"], "bad": replace(EMBEDDINGS["clip0"], audio=audio)})


def dataset(config: CorruptionConfig | None, seed: int = 0) -> WindowDataset:
    return WindowDataset(CLIPS, windows_of(CLIPS, 30, 20), WindowSpec(30, NORMALISATION), config, seed=seed)


def test_a_window_depends_on_seed_epoch_and_index_alone() -> None:
    config = CorruptionConfig(share=1.0)
    backwards = {i: dataset(config)[(2, i)] for i in reversed(range(8))}
    assert all(same(dataset(config)[(2, i)], backwards[i]) for i in range(8))
    assert not all(same(dataset(config)[(3, i)], backwards[i]) for i in range(8))
    assert not all(same(dataset(config, seed=1)[(2, i)], backwards[i]) for i in range(8))


def test_without_corruption_windows_are_clean() -> None:
    clean, never = dataset(None), dataset(CorruptionConfig(share=0.0))
    assert all(same(clean[(0, i)], never[(5, i)]) for i in range(len(clean)))


def test_the_corrupted_share_and_the_whole_windows_are_as_asked() -> None:
    whole = replace(cut(CLIPS["clip0"], 0, 60), present=np.ones((60, 2), bool))
    config = CorruptionConfig(kinds=("absent",))
    gone = np.stack(
        [~corrupt(whole, lambda: whole, config, generator(0, Stream.CORRUPTION, 0, i)).present for i in range(3000)]
    )
    lost = gone.sum(axis=1).max(axis=1)
    assert gone[lost > 0].any(axis=1).mean(axis=0) == pytest.approx([0.5, 0.5], abs=0.03)  # of either modality
    parts = gone.any(axis=2)[(lost > 0) & (lost < 60)]
    lengths, starts = parts.sum(axis=1), parts.argmax(axis=1)
    assert (lengths.min(), lengths.max()) == (round(config.shortest * 60), round(config.longest * 60))
    assert lengths.mean() == pytest.approx(30 * (config.shortest + config.longest), abs=1.5)
    assert (starts / (60 - lengths)).mean() == pytest.approx(0.5, abs=0.03)  # anywhere
    assert (lost > 0).mean() == pytest.approx(0.6, abs=0.03)
    assert (lost == 60).sum() / (lost > 0).sum() == pytest.approx(1 / 3, abs=0.03)


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(["absent", "zeros", "noise", "other"]), st.integers(0, 10**6))
def test_corruption_is_one_contiguous_segment_of_one_modality(kind: str, seed: int) -> None:
    clean, other = cut(CLIPS["clip0"], 20, 60), cut(CLIPS["clip1"], 0, 60)
    before = {f.name: getattr(clean, f.name).copy() for f in fields(Sample)}
    out = corrupt(clean, lambda: other, CorruptionConfig(share=1.0, kinds=(kind,)), np.random.default_rng(seed))
    assert same(clean, Sample(**before))  # the input is left alone
    inputs = ("audio", "visual", "present", "corrupted")
    assert same(replace(out, **{name: before[name] for name in inputs}), clean)  # the rest stays
    touched = [m for m in ("audio", "visual") if not np.array_equal(getattr(out, m), getattr(clean, m))]
    assert len(touched) <= 1
    for m in touched:
        column = MODALITIES.index(m)
        moved = np.flatnonzero((getattr(out, m) != getattr(clean, m)).any(axis=1))
        between = np.arange(moved[0], moved[-1] + 1)
        seen = clean.present[between, column] | (other.present[between, column] if kind == "other" else False)
        assert set(between[seen]) <= set(moved)
        assert moved.max() < clean.padding.sum()
        still = moved if kind == "absent" else moved[out.present[moved, column]]
        flagged = np.argwhere(out.corrupted)
        assert flagged[:, 0].tolist() == still.tolist()  # what was observed and corrupted is known, step by step
        assert (flagged[:, 1] == column).all()
    if not touched:
        assert not out.corrupted.any()
    if kind == "absent":
        assert not out.audio[~out.present[:, 0]].any()
        assert not out.visual[~out.present[:, 1]].any()
    if kind in {"zeros", "noise"}:
        assert np.array_equal(out.present, clean.present)


def test_the_corruption_is_the_same_whether_or_not_a_model_reads_cues() -> None:
    """Or models with cues and without would not be trained on the same data."""
    config, cues = CorruptionConfig(share=1.0), CUES
    windows = windows_of(CLIPS, 30, 20)
    reads = WindowDataset(CLIPS, windows, WindowSpec(30, Normalisation.fit(EMBEDDINGS, cues), cues), config)
    for epoch in range(3):
        for i in range(len(windows)):
            with_cues, without = reads[(epoch, i)], dataset(config)[(epoch, i)]
            assert with_cues.quality.shape == (30, 3)
            assert same(replace(with_cues, quality=without.quality), without)


def test_a_step_annotated_for_the_dimension_that_is_learned_counts() -> None:
    one = CLIPS["clip0"]
    labels = one.labels.copy()
    labels[:, 1] = np.nan
    half = replace(one, labels=labels)
    assert not cut(half, 0, 70).valid.any()
    assert cut(half, 0, 70, targets=("valence",)).valid.sum() == np.isfinite(labels[:, 0]).sum()
    assert not cut(half, 0, 70, targets=("arousal",)).valid.any()


def test_validation_is_scored_on_clean_windows_and_on_as_many_that_are_all_corrupted() -> None:
    """However few windows of the training are: what is compared over epochs is always the same."""
    everywhere = CorruptionConfig(share=0.0, whole=1.0, kinds=("zeros", "noise"))
    config = TrainingConfig(length=30, hop=20, batch_size=4, corruption=everywhere)
    clean, corrupted = validation_loaders(CLIPS, config, WindowSpec(30, NORMALISATION))
    windows = windows_of(CLIPS, 30, 30, once=True)
    assert [loader.dataset.corruption and loader.dataset.corruption.share for loader in (clean, corrupted)] == [None, 1]
    for loader, expected in ((clean, False), (corrupted, True)):
        batches = list(loader)
        assert sum(len(batch["audio"]) for batch in batches) == len(windows)
        assert all((batch["corrupted"].any(dim=(1, 2)) == expected).all() for batch in batches)
    counting = [np.isfinite(c.labels).all(axis=1) & c.embedding.observed for c in CLIPS.values()]
    for loader in (clean, corrupted):  # every step once
        assert sum(int(batch["valid"].sum()) for batch in loader) == sum(int(each.sum()) for each in counting)
    again = list(corrupted)
    assert all(torch.equal(one["audio"], other["audio"]) for one, other in zip(corrupted, again, strict=True))


def test_the_other_clip_is_another_one_whenever_there_is_another() -> None:
    windows, rng = dataset(None), np.random.default_rng(0)
    for index, window in enumerate(windows.windows):
        drawn = {windows.windows[windows.other_window(index, rng)].clip for _ in range(100)}
        assert drawn == set(CLIPS) - {window.clip}
    one = {"one": CLIPS["clip0"]}
    alone = WindowDataset(one, windows_of(one, 30, 20), WindowSpec(30, NORMALISATION))
    assert alone.windows[alone.other_window(0, rng)].clip == "one"


def test_every_epoch_visits_every_window_once_in_an_order_of_its_own() -> None:
    sampler, orders = EpochSampler(20, seed=3), []
    for epoch in range(2):
        sampler.set_epoch(epoch)
        assert {e for e, _ in sampler} == {epoch}
        orders.append([index for _, index in sampler])
        assert sorted(orders[-1]) == list(range(20))
    assert orders[0] != orders[1]


def test_batches_carry_every_field_by_name() -> None:
    batch = collate([dataset(None)[(0, i)] for i in range(3)])
    assert set(batch) == {f.name for f in fields(Sample)}
    assert batch["audio"].shape == (3, 30, AUDIO_DIM)
    assert batch["visual"].shape == (3, 30, VISUAL_DIM)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"hop": 301}, "hop=301"),
        ({"corruption": {"shortest": 0.9, "longest": 0.5}}, "shortest"),
        ({"corruption": {"noise": (2.0, 1.0)}}, "noise"),
        ({"precision": "16-mixed"}, "precision"),
        ({"epoch": 3}, "epoch"),
        ({"loss": {"form": "batch"}}, "form"),
        ({"loss": {"mse": -1.0}}, "mse"),
        ({"targets": ()}, "targets must be valence, arousal, or both"),
        ({"targets": ("valence", "valence")}, "each once"),
        ({"targets": ("valence",), "per_dimension": True}, "per_dimension=True"),
        ({"schedule": "plateau", "plateau_patience": 8}, "plateau_patience=8"),
    ],
)
def test_training_settings_that_do_not_fit_are_refused(given: dict, named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        TrainingConfig(**given)


def test_a_step_counts_only_if_every_dimension_that_is_learned_is_annotated() -> None:
    clip = annotated(3, 20)
    labels = np.nan_to_num(clip.labels)
    labels[:4, 0] = labels[3:9, 1] = np.nan
    halves = replace(clip, labels=labels)
    present = np.stack([clip.embedding.audio_present, clip.embedding.face_found]).any(axis=0)
    steps = np.arange(20)
    np.testing.assert_array_equal(cut(halves, 0, 20).valid, present & (steps >= 9))
    np.testing.assert_array_equal(cut(halves, 0, 20, targets=("valence",)).valid, present & (steps >= 4))
    arousal = present & ~((steps >= 3) & (steps < 9))
    np.testing.assert_array_equal(cut(halves, 0, 20, targets=("arousal",)).valid, arousal)
