"""Images of faces on disk: read as they are needed, by several threads, and never a torn file taken for whole."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image

from iaca.errors import InputError
from iaca.faces import FaceImages, align, decode_face, encode_face, read_faces
from iaca.faces.detect import TEMPLATE
from iaca.faces.extract import BATCH, HELD, NUMBERS, FaceRow, KeptFaces, contact_sheet, faces_frame, write_batches

ROWS = 10 * BATCH + 7
SIZE = 4000


def jpeg(row: int) -> bytes:
    return b"" if row % 7 == 0 else row.to_bytes(4, "little") * (SIZE // 4)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target, numbers = tmp_path_factory.mktemp("faces") / "faces.parquet", np.zeros(len(NUMBERS), np.float32)
    write_batches(target, (FaceRow(i, i / 25, numbers, 0 if jpeg(i) else -1, jpeg(i)) for i in range(ROWS)))
    return target


def test_every_row_gives_its_own_image_in_any_order_and_from_any_thread(path: Path) -> None:
    rows = np.random.default_rng(0).permutation(np.r_[:40, BATCH - 20 : BATCH + 20, ROWS - 20 : ROWS])
    with FaceImages(path) as images, ThreadPoolExecutor(4) as pool:
        assert len(images) == ROWS
        assert list(pool.map(images.__getitem__, rows.tolist())) == [jpeg(int(row)) for row in rows]
        for outside in (-1, ROWS):
            with pytest.raises(IndexError, match=str(ROWS)):
                images[outside]
    assert read_faces(path, ["jpeg"])["jpeg"].to_list() == [jpeg(row) for row in range(ROWS)]


def test_faces_that_are_kept_for_an_analysis_are_those_of_the_file(path: Path, tmp_path: Path) -> None:
    def rows() -> Iterator[FaceRow]:
        numbers = np.arange(len(NUMBERS), dtype=np.float32)
        return (FaceRow(i, i / 25, numbers + i, 0 if jpeg(i) else -1, jpeg(i)) for i in range(ROWS))

    write_batches(tmp_path / "same.parquet", rows())
    kept = KeptFaces(tmp_path / "faces.jpegs", rows())
    pd.testing.assert_frame_equal(kept.table, read_faces(tmp_path / "same.parquet").drop(columns="jpeg"))
    order = np.random.default_rng(1).permutation(np.r_[:40, BATCH - 20 : BATCH + 20, ROWS - 20 : ROWS])
    with kept as images, ThreadPoolExecutor(4) as pool:
        assert len(images) == ROWS
        assert list(pool.map(images.__getitem__, order.tolist())) == [jpeg(int(row)) for row in order]
        for outside in (-1, ROWS):
            with pytest.raises(IndexError, match=str(ROWS)):
                images[outside]
    with KeptFaces(tmp_path / "none.jpegs", []) as nothing:
        pd.testing.assert_frame_equal(nothing.table, faces_frame([]).drop(columns="jpeg"))


def test_a_few_row_groups_are_in_memory_however_long_the_clip(path: Path) -> None:
    before, most = pa.total_allocated_bytes(), 0
    with FaceImages(path) as images:
        for row in range(0, ROWS, 50):
            assert len(images[row]) in (0, SIZE)
            most = max(most, pa.total_allocated_bytes() - before)
    assert BATCH * SIZE / 2 < most < (HELD + 1) * BATCH * SIZE


def test_what_is_no_table_of_faces_is_named(path: Path, tmp_path: Path) -> None:
    whole = path.read_bytes()
    half = len(whole) // 2
    (tmp_path / "cut.parquet").write_bytes(whole[:half])
    (tmp_path / "holed.parquet").write_bytes(whole[: half - 4000] + bytes(8000) + whole[half + 4000 :])
    for name in ("cut.parquet", "none.parquet"):
        with pytest.raises(InputError, match=name):
            FaceImages(tmp_path / name)
    with FaceImages(tmp_path / "holed.parquet") as images, pytest.raises(InputError, match=r"holed\.parquet"):
        [images[row] for row in range(1, ROWS, BATCH)]


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255)])
def test_a_colour_is_the_same_after_alignment_storing_and_reading(colour: tuple[int, ...], tmp_path: Path) -> None:
    face = align(np.full((120, 120, 3), colour, np.uint8), TEMPLATE)
    rows = [FaceRow(0, 0.0, np.zeros(len(NUMBERS), np.float32), 0, encode_face(face, 92))]
    write_batches(tmp_path / "faces.parquet", rows)
    with FaceImages(tmp_path / "faces.parquet") as images:
        read, foreign = decode_face(images[0]), np.asarray(Image.open(BytesIO(images[0])))
    for image in (face, read, foreign, np.asarray(Image.open(BytesIO(contact_sheet([tmp_path / "faces.parquet"]))))):
        assert np.abs(image[20:50, 20:50].astype(int) - colour).max() <= 3
