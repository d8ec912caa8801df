"""Files and folders that may not be read: named in one sentence, and the other clips go on."""

import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from kedro.io import DatasetError

from affwild2_tree import annotate, crops, movie
from iaca.corpora.bah import read_truth
from iaca.corpora.index import read_card
from iaca.corpora.synthetic import SyntheticConfig, write_corpus
from iaca.datasets.model import ModelPath
from iaca.engine import ExecutorConfig, results, run_tasks
from iaca.errors import InputError
from iaca.faces.detect import FaceConfig
from iaca.files import current_files
from iaca.hooks import message_of
from iaca.inference.__main__ import main
from iaca.inference.config import find_videos
from iaca.media import MediaLimits
from iaca.pipelines.ingestion.nodes import IngestionConfig, describe_corpus, index_corpus, plan_timelines
from iaca.pipelines.preprocessing.pipeline import plan_faces

SERIAL, LIMITS = ExecutorConfig(kind="serial"), MediaLimits()
FOLDER = IngestionConfig.model_validate({"importer": "folder"})
AFFWILD2 = IngestionConfig.model_validate({"importer": "affwild2"})
FEATURES = IngestionConfig.model_validate({"importer": "features"})
REFUSED = r"can't be opened \(Permission denied\) Remedy: fix its permissions and those of its folders, or leave it out"

Forbid = Callable[..., None]


@pytest.fixture
def affwild2(tmp_path: Path) -> Path:
    for clip, part in (("one", "Train"), ("two", "Train"), ("three", "Validation"), ("four", "Train")):
        movie(tmp_path / f"batch_{clip}/{clip}.mp4", 30)
        annotate(tmp_path / f"VA_Estimation_Challenge/{part}_Set/{clip}.txt", 30)
        crops(tmp_path / f"cropped_aligned/{clip}", range(1, 31))
    return tmp_path


@pytest.fixture
def features(tmp_path: Path) -> Path:
    write_corpus(SyntheticConfig(clips=6, seconds=2.0), tmp_path / "features")
    return tmp_path / "features"


def told(problems: pd.DataFrame) -> dict[tuple[str, str], str]:
    """(Clip, file) -> problem and remedy."""
    return {(p.clip, p.file): f"{p.problem} Remedy: {p.remedy}" for p in problems.itertuples()}


@pytest.mark.parametrize("mode", [0, 0o444])
def test_a_folder_of_videos_is_reported_and_the_other_clips_are_used(
    tmp_path: Path, forbidden: Forbid, mode: int
) -> None:
    for clip in ("in/a", "b", "c"):
        movie(tmp_path / f"{clip}.mp4", 10)
        (tmp_path / f"{clip}.csv").write_text("frame,valence,arousal\n0,0.1,0.2\n9,0.3,0.4\n")
    forbidden(tmp_path / "in", mode=mode)
    forbidden(tmp_path / "b.mp4")
    index, problems = index_corpus(tmp_path, FOLDER, LIMITS)
    assert index["clip"].tolist() == ["c"]
    assert told(problems)["", "in"].startswith("can't be opened (Permission denied) Remedy: fix its perm")
    assert "(Permission denied) Remedy: fix its permissions" in told(problems)["b", "b.mp4"]


def test_a_folder_of_annotations_stops_the_run(affwild2: Path, features: Path, forbidden: Forbid) -> None:
    """Its clips would be taken as not annotated."""
    closed = affwild2 / "VA_Estimation_Challenge/Validation_Set"
    forbidden(closed, features / "labels")
    forbidden(features / "features/audio", mode=0o444)
    with pytest.raises(InputError, match=rf"{closed}: {REFUSED}"):
        index_corpus(affwild2, AFFWILD2, LIMITS)
    with pytest.raises(InputError, match=rf"features/audio: {REFUSED}"):
        index_corpus(features, FEATURES, LIMITS)
    (features / "features/audio").chmod(0o755)
    with pytest.raises(InputError, match=rf"labels: {REFUSED}"):
        index_corpus(features, FEATURES, LIMITS)


@pytest.fixture
def bah(tmp_path: Path) -> Path:
    """Two participants; the annotation of frames lies apart from the splits."""
    for split, person in (("train", "11"), ("val", "22"), ("test", "33")):
        movie(tmp_path / f"Videos/{person}/Visite_1/{person}_video.mp4", 4)
        (tmp_path / "split").mkdir(exist_ok=True)
        (tmp_path / f"split/{split}.txt").write_text(f"Videos/{person}/Visite_1/{person}_video.mp4,0,Well.\n")
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames/video_annotation.yaml").write_text("{}")
    return tmp_path


@pytest.mark.parametrize("mode", [0, 0o444])
def test_a_folder_of_participants_costs_its_clips_and_one_beside_them_stops_the_run(
    bah: Path, forbidden: Forbid, mode: int
) -> None:
    importer = IngestionConfig.model_validate({"importer": "bah"})
    forbidden(bah / "Videos/22", mode=mode)
    index, problems = index_corpus(bah, importer, LIMITS)
    assert index["clip"].tolist() == ["11_video", "33_video"]
    assert re.match(REFUSED, told(problems)["22_video", "Videos/22/Visite_1/22_video.mp4"])
    forbidden(bah / "frames", mode=mode)  # there could be other splits in it
    with pytest.raises(InputError, match=f"{bah}/frames: {REFUSED}"):
        index_corpus(bah, importer, LIMITS)
    with pytest.raises(InputError, match=f"{bah}/frames: {REFUSED}"):
        read_truth(bah)
    (bah / "frames").chmod(0o755)
    forbidden(bah / "split", mode=mode)
    with pytest.raises(InputError, match=f"{bah}/split: {REFUSED}"):
        index_corpus(bah, importer, LIMITS)
    forbidden(bah, mode=mode)
    with pytest.raises(InputError, match=rf"{bah}/Videos: {REFUSED}"):
        index_corpus(bah, importer, LIMITS)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_of_features_and_a_card_are_named_with_the_remedy(
    features: Path, forbidden: Forbid, suffix: str
) -> None:
    table = sorted((features / "features/visual").iterdir())[1]
    table = table.rename(table.with_suffix(suffix))
    forbidden(table, features / "corpus.json")
    index, problems = index_corpus(features, FEATURES, LIMITS)
    assert len(index) == 5
    said = told(problems)[table.stem, f"features/visual/{table.name}"]
    assert re.match(REFUSED, said)
    with pytest.raises(InputError, match=rf"corpus\.json: {REFUSED}"):
        read_card(features)


def test_crops_are_reported_and_cost_their_clip_alone(affwild2: Path, forbidden: Forbid) -> None:
    out = affwild2.parent / f"{affwild2.name}_out"
    index, problems = index_corpus(affwild2, AFFWILD2, LIMITS)
    run_tasks(plan_timelines(affwild2, index, problems, AFFWILD2, LIMITS), out / "timelines", ".parquet", SERIAL)
    timelines = results(out / "timelines", ".parquet")
    forbidden(affwild2 / "cropped_aligned/one", affwild2 / "cropped_aligned/two/00002.jpg")
    clips, found, _ = describe_corpus(affwild2, index, problems, timelines, AFFWILD2)
    assert told(found)["one", "cropped_aligned/one"] == (
        "can't be opened (Permission denied) Remedy: fix its permissions; or detect all faces: faces.source=detect"
    )
    tasks = plan_faces(affwild2, clips, timelines, FaceConfig(source="crops"), LIMITS, AFFWILD2)
    report = run_tasks(tasks, out / "faces", ".parquet", SERIAL)
    assert sorted(report.made) == ["four", "three"]
    for clip, file in (("one", "one"), ("two", "two/00002.jpg")):
        reason = report.failed[clip]
        assert f"cropped_aligned/{file}: can't be opened (Permission denied) Remedy: fix its permissions" in str(reason)
    forbidden(affwild2 / "cropped_aligned")
    with pytest.raises(InputError, match=rf"cropped_aligned: {REFUSED}"):
        index_corpus(affwild2, AFFWILD2, LIMITS)


def test_an_archive_beside_the_folder_of_crops_is_no_folder_of_crops(affwild2: Path) -> None:
    (affwild2 / "cropped_aligned.zip").write_bytes(b"PK")
    index, _ = index_corpus(affwild2, AFFWILD2, LIMITS)
    assert sorted(index["clip"]) == ["four", "one", "three", "two"]


@pytest.mark.parametrize("mode", [0, 0o444])
def test_inference_on_a_folder_keeps_the_videos_that_may_be_read(tmp_path: Path, forbidden: Forbid, mode: int) -> None:
    for name in ("in/a.mp4", "b.mp4"):
        movie(tmp_path / name, 10)
    forbidden(tmp_path / "in", mode=mode)
    assert set(find_videos(str(tmp_path), tmp_path / "out").values()) == {tmp_path / "in", tmp_path / "b.mp4"}
    with pytest.raises(InputError, match=rf"in: {REFUSED}"):
        current_files(tmp_path / "in", ".safetensors")


def test_a_folder_of_models_and_an_input_are_named_by_every_command(
    tmp_path: Path, forbidden: Forbid, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("models/one.safetensors", "videos/a.mp4"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    forbidden(tmp_path / "models", tmp_path / "videos")
    with pytest.raises(DatasetError) as refused:
        ModelPath(filepath=str(tmp_path / "models")).load()
    assert re.fullmatch(f"{tmp_path}/models: {REFUSED}, and run again", str(message_of(refused.value)))
    assert main([str(tmp_path / "videos/a.mp4"), str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert re.match(f"{tmp_path}/videos/a.mp4: {REFUSED}", said)
