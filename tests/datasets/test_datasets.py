"""The Kedro datasets: whole or not at all, found by version, clear where something is missing."""

import errno
import os
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from kedro.io.core import DatasetError, Version
from matplotlib.figure import Figure

from iaca.datasets.files import (
    ClipFiles,
    CorpusFolder,
    CSVDataset,
    FaceFiles,
    FigureDataset,
    FileFolder,
    JSONDataset,
    WorkFolder,
)
from iaca.datasets.model import ModelDataset, ModelPath
from iaca.engine import Task
from iaca.faces import encode_face, write_faces
from iaca.faces.extract import NUMBERS, FaceRow, faces_frame
from iaca.fusion import FusionConfig, FusionModel
from iaca.hooks import message_of
from iaca.training.model_file import TrainedModel
from iaca.training.sample import Normalisation


class Torn:
    """A table whose writing fails half-way."""

    def to_csv(self, path_or_buf: object, **_: object) -> None:
        path_or_buf.write("clip,fra")  # type: ignore[attr-defined]
        raise OSError("the disk is full")


def test_a_folder_of_tables_may_be_empty_but_not_missing(tmp_path: Path) -> None:
    kind = {"type": "iaca.datasets.files.ParquetDataset"}
    dataset = FileFolder(path=str(tmp_path / "models"), dataset=kind, filename_suffix=".parquet", overwrite=True)
    with pytest.raises(DatasetError, match="No partitions found"):
        dataset.load()
    table = pd.DataFrame({"clip": ["a"]})
    table.attrs = {"model": "ab"}
    dataset.save({"concat": table})
    loaded = dataset.load()["concat"]()
    assert (loaded["clip"].tolist(), loaded.attrs) == (["a"], {"model": "ab"})
    dataset.save({})
    assert dataset.load() == {}


def test_a_save_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    dataset = CSVDataset(filepath=str(tmp_path / "t.csv"), save_args={"index": False})
    dataset.save(pd.DataFrame({"clip": ["a"]}))
    with pytest.raises(DatasetError, match="disk is full"):
        dataset.save(Torn())
    assert [p.name for p in tmp_path.iterdir()] == ["t.csv"]
    assert dataset.load()["clip"].tolist() == ["a"]


def test_a_save_does_not_write_through_a_link_into_a_cache(tmp_path: Path) -> None:
    cached = tmp_path / "cached"
    cached.write_text("old")
    (tmp_path / "t.json").symlink_to(cached)
    JSONDataset(filepath=str(tmp_path / "t.json")).save({"new": 1})
    assert cached.read_text() == "old"
    assert JSONDataset(filepath=str(tmp_path / "t.json")).load() == {"new": 1}


def test_versions_are_kept_side_by_side(tmp_path: Path) -> None:
    for version in ("2026-01-01T00.00.00.000Z", "2026-01-02T00.00.00.000Z"):
        JSONDataset(filepath=str(tmp_path / "m.json"), version=Version(None, version)).save({"version": version})
    assert JSONDataset(filepath=str(tmp_path / "m.json"), version=Version(None, None)).load()["version"] > "2026-01-02"
    older = Version("2026-01-01T00.00.00.000Z", None)
    assert JSONDataset(filepath=str(tmp_path / "m.json"), version=older).load()["version"] < "2026-01-02"


JANUARY, FUTURE = "2026-01-01T12.00.00.000Z", "2099-01-01T12.00.00.000Z"


def test_only_timestamps_with_a_file_are_versions(tmp_path: Path) -> None:
    file = tmp_path / "a[1].json"  # brackets are a pattern in Kedro's own search
    JSONDataset(filepath=str(file), version=Version(None, JANUARY)).save({"own": 1})
    for name in ("backup", "2099-01-01", "2099-13-01T12.00.00.000Z", "9999-12-31T23.59.59.999Z", "zzz"):
        (file / name).mkdir()
        (file / name / file.name).write_text(f'{{"foreign": "{name}"}}')
    (file / FUTURE).mkdir()
    dataset = JSONDataset(filepath=str(file), version=Version(None, None))
    assert dataset.load() == {"own": 1}
    assert dataset.list_versions(full_path=False) == [JANUARY]
    asked = JSONDataset(filepath=str(file), version=Version("backup", None))
    assert asked.load() == {"foreign": "backup"}


def test_a_run_loads_what_it_saved_though_a_newer_version_appears(tmp_path: Path) -> None:
    file = str(tmp_path / "m.json")
    run = JSONDataset(filepath=file, version=Version(None, JANUARY))
    run.save({"of": "this run"})
    JSONDataset(filepath=file, version=Version(None, FUTURE)).save({"of": "another"})
    run.release()
    assert run.load() == {"of": "this run"}
    assert JSONDataset(filepath=file, version=Version(JANUARY, FUTURE)).load() == {"of": "this run"}
    assert JSONDataset(filepath=file, version=Version(FUTURE, JANUARY)).load() == {"of": "another"}
    assert JSONDataset(filepath=file, version=Version(None, None)).load() == {"of": "another"}


@pytest.mark.parametrize("kind", [JSONDataset, ModelDataset])
def test_a_version_that_would_not_be_loaded_is_not_saved(tmp_path: Path, kind: type) -> None:
    file = tmp_path / "m.safetensors"
    data = model() if kind is ModelDataset else {"a": 1}
    kind(filepath=str(file), version=Version(None, FUTURE)).save(data)
    with pytest.raises(DatasetError, match=rf"{FUTURE} was saved meanwhile\. Remedy: run again"):
        kind(filepath=str(file), version=Version(None, JANUARY)).save(data)
    with pytest.raises(DatasetError, match="must not exist"):
        kind(filepath=str(file), version=Version(None, FUTURE)).save(data)
    with pytest.raises(DatasetError, match="its name is not a timestamp"):
        kind(filepath=str(file), version=Version(None, "zzz")).save(data)
    assert [path.name for path in file.iterdir()] == [FUTURE]


def test_a_figure_comes_back_as_its_png_with_the_same_bytes(tmp_path: Path) -> None:
    figure = Figure()
    figure.subplots().plot([1, 2])
    for name in ("a.png", "b.png"):
        FigureDataset(filepath=str(tmp_path / name)).save(figure)
    first, second = (FigureDataset(filepath=str(tmp_path / name)).load() for name in ("a.png", "b.png"))
    assert first == second
    assert first.startswith(b"\x89PNG")


def model() -> TrainedModel:
    config = FusionConfig(audio_dim=3, visual_dim=4, width=8)
    normalisation = Normalisation(*(np.ones(n, np.float32) for n in (3, 3, 4, 4)))
    return TrainedModel(config, FusionModel(config).state_dict(), normalisation, {"corpus": "c"})


def test_the_newest_model_is_found_by_path_and_by_dataset(tmp_path: Path) -> None:
    path = tmp_path / "iaca.safetensors"
    for version in ("2026-01-01T00.00.00.000Z", "2026-01-02T00.00.00.000Z"):
        ModelDataset(filepath=str(path), version=Version(None, version)).save(model())
    newest = path / "2026-01-02T00.00.00.000Z" / path.name
    assert ModelPath(filepath=str(path)).load() == [newest]
    loaded = ModelDataset(filepath=str(path), version=Version(None, None)).load()
    assert loaded.config == model().config
    assert ModelPath(filepath=str(newest)).load() == [newest]
    assert ModelPath(filepath=[str(path), str(path / "*/*")]).load() == [newest, *sorted(path.glob("*/*"))[:1]]


def test_what_is_missing_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"inference\.model=FILE"):
        ModelPath(filepath=str(tmp_path / "none")).load()
    with pytest.raises(DatasetError, match="demo_corpus"):
        CorpusFolder(path=str(tmp_path / "none")).load()
    with pytest.raises(DatasetError, match="has not been made yet"):
        ClipFiles(path=str(tmp_path / "none"), suffix=".x").load()
    with pytest.raises(DatasetError, match="not an output"):
        WorkFolder(path=str(tmp_path)).save("x")  # type: ignore[arg-type]


def test_a_corpus_that_cannot_be_listed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "video.mp4").touch()
    (tmp_path / "videos.tar.GZ").touch()
    for name, said in (
        ("video.mp4", "a file is no corpus Remedy: give the folder that contains it"),
        ("videos.tar.GZ", "an archive is no corpus Remedy: unpack it, and give the folder that it contains"),
    ):
        with pytest.raises(DatasetError) as refused:
            CorpusFolder(path=str(tmp_path / name)).load()
        assert message_of(refused.value) == f"{tmp_path}/{name}: {said}"

    def refuse(_: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)  # root may read everything
    with pytest.raises(DatasetError, match=r"can't be opened \(Permission denied\) .*fix its permissions"):
        CorpusFolder(path=str(tmp_path)).load()


def test_a_demo_is_never_written_into_another_corpus(tmp_path: Path) -> None:
    demo = {"corpus.json": "demo", "VA_Estimation_Challenge/Train_Set/1.txt": "valence,arousal"}
    theirs, own = tmp_path / "theirs", tmp_path / "own"
    (theirs / "VA_Set").mkdir(parents=True)
    (theirs / "corpus.json").write_text("theirs")
    with pytest.raises(DatasetError, match="something other than the corpus"):
        CorpusFolder(path=str(theirs)).save(demo)
    assert sorted(p.name for p in theirs.iterdir()) == ["VA_Set", "corpus.json"]
    ClipFiles(path=str(own / "videos"), suffix=".txt", executor={"kind": "serial"}).save(
        {"good": Task("copy_text", copy_text, (), {"text": "x"})}
    )
    for _ in range(2):
        CorpusFolder(path=str(own)).save(demo)
    assert (own / "VA_Estimation_Challenge/Train_Set/1.txt").exists()


def write_one_face(target: Path, shade: int) -> None:
    face = np.full((112, 112, 3), shade, np.uint8)
    numbers = np.ones(len(NUMBERS), np.float32)
    rows = [FaceRow(0, 0.0, numbers, 0, encode_face(face, 92)), FaceRow(1, 0.04)]
    write_faces(target, faces_frame(rows))


def test_a_demo_goes_on_where_it_was_killed_while_it_wrote_its_first_file(tmp_path: Path) -> None:
    (tmp_path / ".tmp-1-abcdef-01234567-corpus.json").write_text("{")
    CorpusFolder(path=str(tmp_path)).save({"corpus.json": "{}", "Train_Set/a.txt": "valence,arousal"})
    assert (tmp_path / "Train_Set/a.txt").exists()


def test_a_folder_of_faces_previews_as_a_contact_sheet(tmp_path: Path) -> None:
    dataset = FaceFiles(path=str(tmp_path), suffix=".parquet", executor={"kind": "serial"})
    dataset.save({f"clip{i}": Task("write_one_face", write_one_face, (), {"shade": 40 * i}) for i in range(3)})
    import base64

    sheet = cv2.imdecode(np.frombuffer(base64.b64decode(dataset.preview()), np.uint8), cv2.IMREAD_COLOR)
    assert sheet.shape[0] == 3 * 72
    assert int(sheet[2 * 72 + 30, 30].mean()) == pytest.approx(80, abs=3)


def test_a_folder_of_files_previews_failures_first(tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    dataset = ClipFiles(path=str(tmp_path), suffix=".txt", executor={"kind": "serial"})
    dataset.save(
        {
            "good": Task("copy_text", copy_text, (), {"text": "x" * 2**20}),
            "bad": Task("copy_text", copy_text, (), {"text": ""}),
        }
    )
    preview = dataset.preview()
    assert preview["data"][0][:2] == ["bad", "failed"]
    assert preview["data"][1][:2] == ["good", "1024 KiB"]
    assert preview["columns"][:2] == ["clip (1 whole, 1 failed)", "size (1.0 MiB in all)"]


def copy_text(target: Path, text: str) -> None:
    if not text:
        raise ValueError("nothing to write")
    target.write_text(text)


def test_a_version_that_a_killed_run_did_not_finish_is_never_the_newest_and_leaves_nothing(tmp_path: Path) -> None:
    file = tmp_path / "metrics.json"
    JSONDataset(filepath=str(file), version=Version(None, "2026-01-01T00.00.00.000Z")).save({"ccc": 0.5})
    later = JSONDataset(filepath=str(file), version=Version(None, "2026-02-01T00.00.00.000Z"))
    with pytest.raises(DatasetError):
        later.save({"ccc": object()})
    assert [path.name for path in file.iterdir()] == ["2026-01-01T00.00.00.000Z"]
    assert JSONDataset(filepath=str(file), version=Version(None, None)).load() == {"ccc": 0.5}


def test_a_folder_that_a_killed_run_did_not_fill_is_not_taken_for_whole(tmp_path: Path) -> None:
    faces = ClipFiles(path=str(tmp_path), suffix=".txt", executor={"kind": "serial"})
    faces.save({"a": Task("write_a_word", write_a_word)})
    (tmp_path / ".unfinished").touch()
    with pytest.raises(DatasetError, match=r"has not finished.* Remedy: wait for it, or run the pipeline"):
        faces.load()
    faces.save({"a": Task("write_a_word", write_a_word), "b": Task("write_a_word", write_a_word)})
    assert list(faces.load()) == ["a", "b"]


def write_a_word(target: Path) -> None:
    target.write_text("word")
