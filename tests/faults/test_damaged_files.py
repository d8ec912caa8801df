"""What readers say of damaged files: the file and what mends it, never a library's own words alone."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from kedro.io.core import DatasetError
from matplotlib.figure import Figure

from iaca.datasets.files import CSVDataset, FigureDataset, JSONDataset, ParquetDataset, TextDataset
from iaca.encoders.embedding import read_embedding
from iaca.encoders.networks import read_ahead
from iaca.encoders.visual import load_mini_xception
from iaca.errors import InputError
from iaca.faces import FaceImages, read_faces, write_faces
from iaca.faces.extract import NUMBERS, FaceRow, faces_frame
from iaca.media import AudioTrack, read_audio_file, write_audio
from iaca.training.checkpoints import BEST, LAST, AtomicCheckpointIO, resumable_checkpoint

TABLE = pd.DataFrame({"clip": ["a", "b"], "value": [0.5, 1.0]})


def datasets(folder: Path) -> dict[str, tuple[Any, Any]]:
    """Dataset and what it holds, by name."""
    figure = Figure()
    figure.subplots().plot([1, 2])
    given = {
        "table.csv": (CSVDataset, TABLE),
        "table.parquet": (ParquetDataset, TABLE),
        "numbers.json": (JSONDataset, {"ccc": 0.5}),
        "picture.png": (FigureDataset, figure),
    }
    return {name: (kind(filepath=str(folder / name)), data) for name, (kind, data) in given.items()}


@pytest.mark.parametrize("name", ["table.csv", "table.parquet", "numbers.json", "picture.png"])
@pytest.mark.parametrize("keep", [0, 0.6], ids=["empty", "cut short"])
def test_a_dataset_names_its_file_and_the_remedy(tmp_path: Path, name: str, keep: float) -> None:
    dataset, data = datasets(tmp_path)[name]
    with pytest.raises(DatasetError, match=f"{name}: has not been made yet, or is gone Remedy: run the pipeline"):
        dataset.load()
    dataset.save(data)
    whole = (tmp_path / name).read_bytes()
    if name.endswith("csv") and keep:
        whole = b'clip,value\n"a'  # a table of text that ends between two lines can't be told from a whole one
    (tmp_path / name).write_bytes(whole[: int(keep * len(whole))] if not name.endswith("csv") else whole * bool(keep))
    with pytest.raises(DatasetError, match=rf"{name}: is not what was written there \(.*\) Remedy: run the pipeline"):
        dataset.load()
    dataset.save(data)
    dataset.load()


def test_a_text_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_bytes(b"\xff\xfe\x80")
    with pytest.raises(DatasetError, match=r"report\.html: is not what was written there"):
        TextDataset(filepath=str(tmp_path / "report.html")).load()


def sound(path: Path) -> None:
    write_audio(path, AudioTrack(np.zeros(16_000, np.float32), 16_000, ((0.0, 1.0),)))


def faces(path: Path, jpeg: bytes = b"") -> None:
    numbers = np.ones(len(NUMBERS), np.float32)
    good = cv2.imencode(".jpg", np.zeros((112, 112, 3), np.uint8))[1].tobytes()
    write_faces(path, faces_frame([FaceRow(0, 0.0, numbers, 0, good), FaceRow(1, 0.04, numbers, 0, jpeg or good)]))


@pytest.mark.parametrize(
    ("name", "write", "read"),
    [
        ("a.flac", sound, lambda path: read_audio_file(path).samples[:]),
        ("a.parquet", faces, read_faces),
        ("b.parquet", faces, lambda path: FaceImages(path)[0]),
        ("a.safetensors", lambda path: path.write_bytes(b"{" * 400), read_embedding),
        ("a.h5", lambda path: h5py.File(path, "w").close(), load_mini_xception),
    ],
)
@pytest.mark.parametrize("damage", ["cut short", "empty", "a folder"])
def test_a_torn_file_is_named_with_what_mends_it(
    tmp_path: Path, name: str, write: Callable[[Path], None], read: Callable[[Path], Any], damage: str
) -> None:
    path = tmp_path / name
    write(path)
    data = path.read_bytes()
    path.unlink()
    path.mkdir() if damage == "a folder" else path.write_bytes(data[: len(data) // 2 if damage == "cut short" else 0])
    with pytest.raises(InputError, match=rf"(?s){name}: .* Remedy: (run the \w+ pipeline again|fetch them)"):
        read(path)


def test_a_face_that_is_no_image_is_named_by_file_and_frame(tmp_path: Path) -> None:
    faces(tmp_path / "clip.parquet", jpeg=b"no JPEG at all")
    message = r"clip\.parquet: frame 1: the stored face is not an image Remedy: run the preprocessing"
    with (
        FaceImages(tmp_path / "clip.parquet") as jpegs,
        ThreadPoolExecutor(1) as pool,
        pytest.raises(InputError, match=message),
    ):
        list(read_ahead(jpegs, np.ones(2, bool), 2, 0, pool))


def test_a_torn_best_checkpoint_is_found_before_training_goes_on_not_after_it(tmp_path: Path) -> None:
    state = {"fingerprint": "f", "callbacks": {"keeper": {"dirpath": str(tmp_path.resolve())}}, "w": torch.zeros(99)}
    for name in (LAST, BEST):
        AtomicCheckpointIO().save_checkpoint(state, tmp_path / name)
    assert resumable_checkpoint(tmp_path, "f") == tmp_path / LAST
    (tmp_path / BEST).write_bytes((tmp_path / BEST).read_bytes()[:300])
    (tmp_path / ".tmp-12-last.ckpt").write_text("of a killed run")
    assert resumable_checkpoint(tmp_path, "f") is None
    assert not tmp_path.exists()
