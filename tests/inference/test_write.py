"""What lies in the folder afterwards: a table per person, and nothing that is no longer true."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skimage.data
from tiny_models import model_on

from iaca.corpora.index import NOT_ABOUT_PEOPLE
from iaca.encoders.config import EmbeddingConfig
from iaca.encoders.embedding import ClipEmbedding
from iaca.faces import FaceConfig
from iaca.inference import Predictor, overlay, plot, predictor
from iaca.inference.config import NAMED, Drawing, People
from iaca.inference.predictor import stamp
from iaca.inference.write import analyse_video
from iaca.media import probe, write_movie
from iaca.training.model_file import load_model, save_model

BARE = Drawing(overlay=False, plot=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of two people, and two models."""
    folder = tmp_path_factory.mktemp("made")
    face = skimage.data.astronaut()[:240, 110:330]
    picture = np.concatenate([face, np.clip(face * 0.6, 0, 255).astype(np.uint8)], axis=1)
    tone = 0.1 * np.sin(2 * np.pi * 200 * np.arange(12_000) / 16_000).astype(np.float32)
    write_movie(folder / "two people.mp4", ((i / 10, picture) for i in range(7)), 10, tone, 16_000)
    for seed in range(2):
        save_model(model_on(EmbeddingConfig(), "iaca", seed), folder / f"{seed}.safetensors")
    return folder


def run(made: Path, folder: Path, models: int = 1, drawing: Drawing = BARE, **whom: object) -> dict[str, object]:
    target = folder / "two people.json"
    analyse_video(
        made / "two people.mp4", *(made / f"{i}.safetensors" for i in range(models)), target=target, folder=folder,
        name="two people", drawing=drawing, faces=FaceConfig(), whom=People.model_validate(whom),
    )  # fmt: skip
    return json.loads(target.read_text())


@pytest.mark.slow
def test_everyone_has_a_table_with_a_row_per_frame_and_an_entry_in_the_summary(made: Path, tmp_path: Path) -> None:
    summary = run(made, tmp_path, drawing=Drawing(), people="all")
    files = ["two people.person1.csv", "two people.person2.csv", "two people.png", "two people.mp4"]
    assert summary["files"] == files
    assert {p.name for p in tmp_path.iterdir()} == {*files, "two people.json"}
    assert [(p["person"], p["file"], p["share_in_view"]) for p in summary["people"]] == [
        (1, files[0], 1),
        (2, files[1], 1),
    ]
    for file in files[:2]:
        table = pd.read_csv(tmp_path / file)
        assert table["frame"].tolist() == list(range(7))
        assert table[["valence_low", "arousal_high", "inconsistency"]].isna().all(axis=None)
    assert summary["model"]["intervals"] == "none: the model file is older than this; train again"
    assert summary["media"]["loudness_dbfs"] == pytest.approx(20 * np.log10(0.1 / np.sqrt(2)), abs=0.3)


def test_box_and_voice_of_a_table_are_those_of_its_person(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One is in the light, the other in the dark; the voice is counted for one alone."""
    brightness: list[float] = []

    def given(people: Sequence[ClipEmbedding]) -> list[np.ndarray]:
        for one in people:
            brightness.append(float(one.quality[:, one.quality_names.index("face_brightness")].mean()))
        return [one.audio_present & (value == max(brightness)) for one, value in zip(people, brightness, strict=True)]

    monkeypatch.setattr(predictor, "attribute_voice", given)
    model = Predictor.load(made / "0.safetensors")
    tables = model.analyse(made / "two people.mp4", People(people="all")).tables
    assert max(brightness) > 1.3 * min(brightness)
    for table, value in zip(tables, brightness, strict=True):
        bright = value == max(brightness)
        assert (table["x1"] < 220).all() == bright  # on the left
        assert (table["x0"] >= 220).all() != bright
        assert table["audio_present"].tolist() == [bright] * 7


def test_a_frame_with_neither_face_nor_sound_keeps_its_row(made: Path, tmp_path: Path) -> None:
    grey, target = np.full((120, 160, 3), 128, np.uint8), tmp_path / "x.json"
    tone = 0.1 * np.sin(np.arange(8_000)).astype(np.float32)  # half a second
    write_movie(tmp_path / "x.mp4", ((i / 10, grey) for i in range(10)), 10, tone, 16_000)
    model = made / "0.safetensors"
    analyse_video(tmp_path / "x.mp4", model, target=target, folder=tmp_path, name="x", drawing=BARE, faces=FaceConfig())
    table = pd.read_csv(tmp_path / "x.csv")
    assert table["frame"].tolist() == list(range(10))
    assert table["valence"].notna().tolist() == table["audio_present"].tolist()
    assert (table["audio_present"][:5].all(), table["audio_present"][7:].any()) == (True, False)


@pytest.mark.slow
def test_the_main_person_is_the_first_of_all_and_old_tables_go(made: Path, tmp_path: Path) -> None:
    for _ in range(2):  # what is drawn again is not outdated
        run(made, tmp_path, drawing=Drawing(overlay=False), people="all")
        assert (tmp_path / "two people.png").exists()
    first = pd.read_csv(tmp_path / "two people.person1.csv")
    (tmp_path / "two people.person9.csv").touch()  # somebody else's
    summary = run(made, tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"two people.csv", "two people.json", "two people.person9.csv"}
    assert summary["files"] == ["two people.csv"]
    main = pd.read_csv(tmp_path / "two people.csv")
    pd.testing.assert_frame_equal(main[["valence", "arousal"]], first[["valence", "arousal"]], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "files", [["../two people.csv", "/two people.csv", "letter.txt", "two people.folder", 3, [], None],
              {"two people.csv": 1}, "two people.csv", 3],
)  # fmt: skip
def test_an_old_summary_of_anybody_names_nothing_but_files_of_that_video(
    made: Path, tmp_path: Path, files: object
) -> None:
    out = tmp_path / "out"
    (out / "two people.folder").mkdir(parents=True)
    own = [tmp_path / "two people.csv", out / "letter.txt"]
    for path in own:
        path.write_text("mine")
    (out / "two people.json").write_text(json.dumps({"files": files}))
    assert run(made, out)["files"] == ["two people.csv"]
    assert [path.read_text() for path in own] == ["mine", "mine"]
    assert (out / "two people.folder").is_dir()


@pytest.mark.slow
def test_two_models_give_their_mean(made: Path, tmp_path: Path) -> None:
    both = run(made, tmp_path, models=2)
    mean = pd.read_csv(tmp_path / "two people.csv")
    run(made, tmp_path)
    one = pd.read_csv(tmp_path / "two people.csv")
    assert both["model"]["members"] == "2"
    assert not np.allclose(mean["valence"], one["valence"], atol=1e-3)


def test_times_have_microseconds_however_late_a_video_starts(made: Path, tmp_path: Path) -> None:
    """Six significant digits would give all frames of a tenth of a second at three hours the same time."""
    model, time_s = Predictor.load(made / "0.safetensors"), 3 * 3600 + np.arange(7) / 60
    with pytest.MonkeyPatch.context() as patch:
        analysis = model.analyse(made / "two people.mp4")
        late = replace(analysis, table=analysis.table.assign(time_s=time_s))
        patch.setattr(Predictor, "analyse", lambda *_: late)
        run(made, tmp_path)
    text = pd.read_csv(tmp_path / "two people.csv", dtype=str)["time_s"]
    assert text.tolist() == [f"{value:.6f}" for value in time_s]
    assert text.nunique() == 7


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_muted_track_is_warned_of(made: Path, tmp_path: Path, suffix: str) -> None:
    video, target = tmp_path / f"muted.{suffix}", tmp_path / "muted.json"
    picture = skimage.data.astronaut()[:240, 110:330]
    write_movie(video, ((i / 10, picture) for i in range(7)), 10, np.zeros(12_000, np.float32), 16_000)
    analyse_video(
        video, made / "0.safetensors", target=target, folder=tmp_path, name="muted", drawing=BARE, faces=FaceConfig()
    )
    assert "the sound is silent: is the track muted?" in json.loads(target.read_text())["warnings"]


DEMO = {
    "corpus": "demo corpus",
    "caveat": f"Trained on rendered clips: it shows that the workflow runs; {NOT_ABOUT_PEOPLE}.",
}


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        ({"kind": "trained"}, ""),
        ({"kind": "trained", "corpus": "Aff-Wild2"}, ""),
        (DEMO, "trained on demo corpus, not on real people"),
        ({"kind": "adapted heuristic", **DEMO}, "adapted heuristic, fitted to demo corpus, not to real people"),
        ({"kind": "zero-shot heuristic", "corpus": "none", "caveat": "HEURISTIC"}, "zero-shot heuristic"),
        ({"corpus": "acted", "caveat": "actors"}, "trained on acted: the summary has its caveat"),
    ],
)
def test_a_model_is_stamped_as_what_it_is(origin: dict[str, str], words: str) -> None:
    assert stamp(origin) == words
    assert len(stamp({**DEMO, "corpus": "x" * 10**6})) < 200


@pytest.mark.slow
def test_a_model_of_the_demo_corpus_is_stamped_on_plot_and_overlay(made: Path, tmp_path: Path) -> None:
    plain = load_model(made / "0.safetensors")
    save_model(replace(plain, metadata={**plain.metadata, **DEMO}), tmp_path / "demo.safetensors")
    titles: list[str] = []
    heights = {}
    with pytest.MonkeyPatch.context() as patch:
        drawn = plot.prediction_plot
        patch.setattr(plot, "prediction_plot", lambda *a, **k: titles.append(a[1]) or drawn(*a, **k))
        for name, model in (("plain", made / "0.safetensors"), ("demo", tmp_path / "demo.safetensors")):
            target = tmp_path / f"{name}.json"
            analyse_video(
                made / "two people.mp4", model, target=target, folder=tmp_path, name=name, drawing=Drawing(),
                faces=FaceConfig(),
            )  # fmt: skip
            heights[name] = probe(tmp_path / f"{name}.mp4").height
    assert titles == ["plain", "demo (trained on demo corpus, not on real people)"]
    assert heights["demo"] > heights["plain"]
    assert DEMO["caveat"] in json.loads((tmp_path / "demo.json").read_text())["warnings"]


@pytest.mark.slow
def test_a_video_without_a_face_has_no_mean_valence_from_the_heuristic(tmp_path: Path) -> None:
    """Grey pictures over a steady chord: no face, and no voice."""
    time_s = np.arange(48_000) / 16_000
    chord = sum(0.1 * np.sin(2 * np.pi * pitch * time_s) for pitch in (220, 277, 330)).astype(np.float32)
    grey = np.full((120, 160, 3), 128, np.uint8)
    write_movie(tmp_path / "music.mp4", ((i / 10, grey) for i in range(30)), 10, chord, 16_000)
    target = tmp_path / "music.json"
    drawn: list[pd.DataFrame] = []
    with pytest.MonkeyPatch.context() as patch:
        for place, name in ((plot, "prediction_plot"), (overlay, "OverlayPainter")):
            usual = getattr(place, name)
            patch.setattr(place, name, lambda tables, *a, f=usual, **k: drawn.extend(tables) or f(tables, *a, **k))
        analyse_video(
            tmp_path / "music.mp4", NAMED["zero_shot"], target=target, folder=tmp_path, name="music",
            drawing=Drawing(), faces=FaceConfig(),
        )  # fmt: skip
    assert [table["valence"].isna().all() for table in drawn] == [True, True]  # neither in the plot nor in the overlay
    assert not any(table["arousal"].isna().any() for table in drawn)
    summary = json.loads(target.read_text())
    assert summary["sources"] == {"valence": ["visual"], "arousal": ["audio", "visual"]}
    assert summary["valence"]["mean"] is None
    assert summary["mean_gates"] == {"modalities_audio": 1.0, "modalities_visual": 0.0}
    assert "valence was not read: this model reads it from the face, and there was none" in summary["warnings"]
    assert any(words.startswith("the values come from the sound alone") for words in summary["warnings"])


@pytest.mark.slow
def test_words_are_in_the_tables_only_if_asked_for(made: Path, tmp_path: Path) -> None:
    run(made, tmp_path / "plain")
    run(made, tmp_path / "named", drawing=BARE.model_copy(update={"words": True}))
    plain, named = (pd.read_csv(tmp_path / folder / "two people.csv") for folder in ("plain", "named"))
    assert set(named) - set(plain) == {"quadrant", "word", "word_distance"}
    pd.testing.assert_frame_equal(named[list(plain)], plain)
    assert named["quadrant"].notna().all()
    assert "words" not in BARE.model_dump()
