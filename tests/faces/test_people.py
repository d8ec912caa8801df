"""Tracks become people: joined when one goes on where another ended and looks like it, dropped when tiny."""

from __future__ import annotations

import numpy as np
import pytest
from face_movies import FPS, SIZE, face_at, save, whole, with_face

from iaca.faces import FaceConfig, PeopleRule, extract_faces, keep_faces
from iaca.faces.track import TrackSummary, people

LOOKS = np.random.default_rng(0).integers(0, 255, (3, 8, 8, 3), dtype=np.uint8)
TIMES = np.arange(300) / FPS


def track(number: int, frames: range, x: float, side: float = 60, look: int = 0) -> TrackSummary:
    made = TrackSummary(number, frames.start / FPS)
    for frame in frames:
        made.add(frame, frame / FPS, face_at(x, side=side), SIZE)
        made.show(LOOKS[look], np.ones((8, 8), bool))
    return made


def found(*tracks: TrackSummary, **rule: float) -> list[list[int]]:
    return people(tracks, TIMES.tolist(), FaceConfig(), PeopleRule(**rule))


FIRST = track(0, range(100), 80)


def test_a_track_that_goes_on_where_another_ended_is_the_same_person():
    assert found(FIRST, track(1, range(150, 300), 120)) == [[0, 1]]


@pytest.mark.parametrize(
    "other",
    [
        track(1, range(150, 300), 240),
        track(1, range(150, 300), 80, side=120),
        track(1, range(150, 300), 80, look=1),
        track(1, range(90, 300), 80),
    ],
    ids=["elsewhere", "another size", "another look", "seen at once"],
)
def test_one_elsewhere_of_another_size_or_look_or_seen_at_once_is_not(other):
    assert sorted(found(FIRST, other)) == [[0], [1]]


def test_it_has_to_come_back_in_time():
    assert len(found(FIRST, track(1, range(150, 300), 80), rejoin_s=1.5)) == 2


def test_of_two_who_left_the_one_that_looks_alike_is_continued():
    twin = track(1, range(100), 110, look=2)
    assert found(FIRST, twin, track(2, range(120, 300), 95, look=2)) == [[1, 2], [0]]


def test_the_largest_over_time_is_first_and_the_tiny_are_left_out():
    large, brief = track(1, range(100), 200, side=90), track(2, range(50, 70), 300)
    assert found(FIRST, large, brief) == [[1], [0]]
    assert found(FIRST, large, brief, min_person_s=0.5) == [[1], [0], [2]]


def test_false_alarms_that_come_and_go_do_not_add_up_by_their_span():
    flicker = track(1, range(1), 200)
    for frame in (40, 80, 120):
        flicker.add(frame, frame / FPS, face_at(200), SIZE)
    assert found(FIRST, flicker) == [[0]]


def test_in_a_short_video_half_of_it_is_enough():
    brief = track(0, range(10), 80)
    assert people([brief], TIMES[:12].tolist(), FaceConfig(), PeopleRule()) == [[0]]


@pytest.mark.slow
def test_everyone_gets_a_table_with_a_row_per_frame_and_the_largest_is_the_main_person(tmp_path):
    both = [with_face(235, 120, 0.9, image=with_face(75, scale=0.65)) for _ in range(12)]
    movie = save(tmp_path / "two.mp4", both)
    one, two = (whole(person) for person in keep_faces(movie, tmp_path, FaceConfig(), PeopleRule()))
    assert len(one) == len(two) == 12
    assert one["face_found"].all()
    assert two["face_found"].all()
    assert one["x0"].min() > 160 > two["x1"].max()
    assert one.equals(extract_faces(movie, FaceConfig()))


def test_without_anyone_there_is_one_table_without_a_face(tmp_path):
    movie = save(tmp_path / "none.mp4", [np.full((240, 320, 3), 90, np.uint8)] * 6)
    (nobody,) = keep_faces(movie, tmp_path, FaceConfig(), PeopleRule())
    assert len(nobody) == 6
    assert not whole(nobody)["face_found"].any()


def test_a_face_in_the_middle_is_at_the_same_place_in_an_upright_picture_as_in_a_wide_one() -> None:
    wide, upright = TrackSummary(0, 0.0), TrackSummary(1, 0.0)
    wide.add(0, 0.0, face_at(160, 120, 60), (240, 320))
    upright.add(0, 0.0, face_at(120, 160, 60), (320, 240))
    np.testing.assert_allclose(wide.first_box, upright.first_box)
    np.testing.assert_allclose(wide.first_box, [-0.125, -0.125, 0.125, 0.125])
    assert wide.mean_centre == upright.mean_centre == 0.0
