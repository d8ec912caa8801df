"""One row per decoded frame for the right person; what is not seen is marked, and never filled."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from face_movies import FPS, SIZE, Counting, background, face_at, save, with_face

from iaca.errors import InputError
from iaca.faces import FaceConfig, decode_face, extract_faces, extract_faces_file, iter_faces, make_detector
from iaca.faces import read_faces as read
from iaca.faces import write_faces as write
from iaca.faces.extract import COLUMNS, NUMBERS
from iaca.faces.track import TrackSummary, choose
from iaca.media import frame_times
from shared import SHARED, needs_shared


@pytest.fixture(scope="module")
def mtcnn():
    return make_detector(FaceConfig())


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A face that is away from frame 12 to 24."""
    images = [background() if 12 <= k < 25 else with_face(150 + k) for k in range(40)]
    return save(tmp_path_factory.mktemp("clip") / "clip.mp4", images)


@pytest.fixture(scope="module")
def faces(clip, mtcnn):
    return extract_faces(clip, FaceConfig(), detector=mtcnn)


@pytest.mark.slow
def test_there_is_one_row_per_frame_with_the_types_of_the_contract(faces, clip):
    assert tuple(faces.columns) == COLUMNS
    assert faces["frame"].tolist() == list(range(40))
    assert np.array_equal(faces["time_s"], frame_times(clip))
    types = {"frame": "int32", "time_s": "float64", "face_found": "bool", "track": "int32", "jpeg": "object"}
    assert {n: str(t) for n, t in faces.dtypes.items()} == {n: types.get(n, "float32") for n in COLUMNS}


def test_gap_frames_have_no_face_no_numbers_and_no_picture(faces):
    gap = faces[~faces["face_found"]]
    assert gap["frame"].tolist() == list(range(12, 25))
    assert gap[list(NUMBERS)].isna().all().all()
    assert (gap["track"] == -1).all()
    assert set(gap["jpeg"]) == {b""}
    assert not faces.loc[faces["face_found"], list(NUMBERS)].isna().any().any()


def test_stored_faces_show_the_same_face_in_the_same_place(faces):
    pictures = [decode_face(jpeg).astype(float) for jpeg in faces.loc[faces["face_found"], "jpeg"]]
    assert {p.shape for p in pictures} == {(112, 112, 3)}
    middle = np.mean(pictures, axis=0)[30:100, 25:87]
    assert max(np.abs(p[30:100, 25:87] - middle).mean() for p in pictures) < 10
    with pytest.raises(ValueError, match="no face"):
        decode_face(b"")


def test_equal_input_gives_an_equal_table(faces, clip, mtcnn):
    pd.testing.assert_frame_equal(extract_faces(clip, FaceConfig(), detector=mtcnn), faces)


def test_a_table_comes_back_from_disk_whole_by_columns_and_in_pieces(faces, tmp_path):
    write(tmp_path / "faces.parquet", faces)
    pd.testing.assert_frame_equal(read(tmp_path / "faces.parquet"), faces)
    pd.testing.assert_frame_equal(read(tmp_path / "faces.parquet", ["x0", "frame"]), faces[["x0", "frame"]])
    pieces = list(iter_faces(tmp_path / "faces.parquet", rows=16))
    assert [len(piece) for piece in pieces] == [16, 16, 8]
    pd.testing.assert_frame_equal(pd.concat(pieces, ignore_index=True), faces)
    write(tmp_path / "none.parquet", faces.iloc[:0])
    assert read(tmp_path / "none.parquet").shape == (0, len(COLUMNS))


def test_streamed_extraction_writes_the_same_table(faces, clip, mtcnn, tmp_path):
    extract_faces_file(clip, tmp_path / "faces.parquet", FaceConfig(), detector=mtcnn)
    pd.testing.assert_frame_equal(read(tmp_path / "faces.parquet"), faces)


def test_what_is_no_table_of_faces_is_named(tmp_path):
    (tmp_path / "bad.parquet").write_text("no table")
    for name in ("bad.parquet", "missing.parquet"):
        with pytest.raises(InputError, match=name):
            read(tmp_path / name)


@pytest.mark.parametrize(("side", "middle"), [("left", 80), ("right", 240), (None, 240)])
def test_of_two_faces_the_one_on_the_side_asked_for_is_taken_or_else_the_larger(tmp_path, side, middle):
    left, right = face_at(80, side=60), face_at(240, side=70)
    detector = Counting(lambda images: [[right, left] for _ in images])
    path = save(tmp_path / "two.mp4", [background()] * 20)
    table = extract_faces(path, FaceConfig(), side, detector)
    assert table["face_found"].all()
    assert ((table["x0"] + table["x1"]) / 2).to_numpy() == pytest.approx(middle, abs=1)
    assert table["track"].nunique() == 1


def summary(number, frames, area, centre):
    made = TrackSummary(number, frames[0] / FPS)
    for frame in frames:
        made.add(frame, frame / FPS, face_at(centre, side=area**0.5), SIZE)
    return made


def test_the_person_goes_on_in_another_track_unless_both_were_seen_at_once():
    main = summary(0, range(50), 4000, 100)
    later, beside = summary(1, range(60, 90), 3500, 200), summary(2, range(40, 80), 3000, 250)
    tiny = summary(3, range(95, 120), 100, 90)
    everyone = [main, later, beside, tiny]
    assert choose(everyone, FaceConfig()) == [0, 1]
    assert choose(everyone, FaceConfig(join=False)) == [0]
    assert choose(everyone, FaceConfig(), "right") == [2]
    assert choose([], FaceConfig()) == []


def test_with_a_side_a_later_track_goes_to_the_nearer_person():
    left, right = summary(0, range(50), 4000, 80), summary(1, range(50), 4000, 240)
    left_again, right_again = summary(2, range(60, 90), 4000, 90), summary(3, range(60, 90), 4000, 230)
    people = [left, right, left_again, right_again]
    assert choose(people, FaceConfig(), "left") == [0, 2]
    assert choose(people, FaceConfig(), "right") == [1, 3]


def test_flickers_are_false_alarms():
    flicker, face = summary(0, range(2), 90000, 50), summary(1, range(10, 40), 1000, 200)
    assert choose([flicker, face], FaceConfig(join=False)) == [1]


@pytest.mark.slow
@needs_shared("media")
def test_a_real_recording_without_a_face_has_rows_but_no_face(mtcnn):
    table = extract_faces(SHARED / "media/no_face.mp4", FaceConfig(), detector=mtcnn)
    assert (len(table), table["face_found"].sum()) == (95, 0)


@pytest.mark.slow
@needs_shared("media")
@pytest.mark.parametrize(("name", "first", "last"), [("face_noface.mov", 0, 71), ("noface_face.mov", 97, 168)])
def test_a_real_recording_has_its_face_while_it_is_in_view(mtcnn, name, first, last):
    table = extract_faces(SHARED / "media" / name, FaceConfig(), detector=mtcnn)
    assert len(table) == 169
    seen = table.index[table["face_found"]]
    assert (seen.min(), seen.max()) == pytest.approx((first, last), abs=3)
    assert len(seen) == seen.max() - seen.min() + 1
