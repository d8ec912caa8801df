"""Movies, labels and tables of the demo corpus together."""

from dataclasses import replace

import numpy as np
import pytest

from iaca.corpora.demo.plan import DemoConfig, Event, annotation_texts, event_table, plan_corpus
from iaca.corpora.demo.render import KINDS, _mouths, occlude, render_frames, render_movie
from iaca.corpora.demo.voice import make_sound, mouth_opening, other_take
from iaca.media import frame_times, probe

TINY = DemoConfig(identities=4, clips_per_identity=1, seconds=3, width=160, height=120)
PLANS = plan_corpus(TINY)
DEFAULT = DemoConfig()
CORPUS = plan_corpus(DEFAULT)
TEXTS = annotation_texts(CORPUS)
ALONE = replace(next(p for p in PLANS if len(p.people) == 1), events=())


def with_event(kind):
    person = replace(ALONE.people[0], events=(Event("visual", kind, 0.8, 2.4, 5),))
    return replace(ALONE, people=(person,))


def frames(plan):
    return np.stack([image for _, image in render_frames(plan, TINY)]).astype(float)


CLEAN = frames(replace(ALONE, people=(replace(ALONE.people[0], events=()),)))


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.name)
def test_a_movie_has_the_planned_size_times_and_sound(plan, tmp_path):
    render_movie(plan, TINY, tmp_path / "movie.mp4")
    info = probe(tmp_path / "movie.mp4")
    assert (info.width, info.height, info.audio_rate) == (TINY.width, TINY.height, TINY.audio_rate)
    np.testing.assert_allclose(frame_times(tmp_path / "movie.mp4"), plan.frame_times(), atol=1e-4)


def test_rows_of_annotation_beyond_the_last_frame_repeat_the_row_of_the_last_frame():
    beyond = 0
    for plan in CORPUS:
        for clip in plan.people:
            (text,) = (text for name, text in TEXTS.items() if name.endswith(f"/{clip.clip}"))
            rows, frames = text.splitlines()[1:], len(plan.frame_times())
            assert rows[frames:] == [rows[frames - 1]] * clip.extra_rows
            beyond += clip.extra_rows
    assert beyond


@pytest.mark.slow
def test_rendering_twice_gives_the_same_bytes(tmp_path):
    for name in ("a.mp4", "b.mp4"):
        render_movie(PLANS[0], TINY, tmp_path / name)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


@pytest.mark.parametrize("kind", ["occluded", "absent", "contradictory"])
def test_an_event_changes_the_face_inside_and_nothing_outside(kind):
    times, changed = ALONE.frame_times(), np.abs(frames(with_event(kind)) - CLEAN).mean(axis=(1, 2, 3))
    inside = (times >= 0.8) & (times < 2.4)
    assert not changed[~inside].any()
    assert changed[(times > 1.3) & (times < 1.9)].min() > 0.2


def test_an_absent_person_leaves_a_still_room():
    times, gone = ALONE.frame_times(), frames(with_event("absent"))
    middle = gone[(times > 1.2) & (times < 2.0)]
    assert np.ptp(middle, axis=0).max() == 0


@pytest.mark.parametrize("seed", range(12))
def test_occlusions_cover_nose_and_mouth(seed):
    picture = np.random.default_rng(seed).integers(0, 255, (240, 320, 3), dtype=np.uint8)
    covered = occlude(picture, Event("visual", "occluded", 0.0, 2.0, seed), 1.0, (160.0, 90.0), 40.0, (1.0, 1.0, 1.0))
    assert covered[110:140, 145:175].astype(float).std(axis=(0, 1)).max() < picture[110:140, 145:175].std() / 2
    np.testing.assert_array_equal(covered[:40], picture[:40])


def test_every_way_to_hide_a_face_occurs():
    kinds = {KINDS[int(np.random.default_rng([seed, 6]).integers(3))] for seed in range(12)}
    assert kinds == set(KINDS)


@pytest.mark.slow
def test_in_a_two_person_video_only_the_speaker_moves_the_lips():
    pair = next(plan for plan in PLANS if len(plan.people) == 2)
    still = tuple(replace(person, events=()) for person in pair.people)
    swapped = tuple(replace(person, speaks=not person.speaks) for person in still)
    a, b = (frames(replace(pair, people=people, events=()))[:, 40:80] for people in (still, swapped))
    width = TINY.width // 2
    assert np.abs(a - b)[:, :, :width].mean() > 0.1
    assert np.abs(a - b)[:, :, width:].mean() > 0.1


def test_there_is_one_annotation_file_per_clip_in_the_folder_of_its_partition():
    folders = {"train": "Train_Set", "validation": "Validation_Set", "test": "Test_Set"}
    assert set(TEXTS) == {f"{folders[p.partition]}/{c.clip}" for p in CORPUS for c in p.people}


def table(text):
    header, *rows = text.splitlines()
    assert header == "valence,arousal"
    return np.array([[float(x) for x in row.split(",")] for row in rows])


def test_files_have_a_row_per_frame_and_some_one_or_two_more():
    surplus = [len(table(TEXTS[key])) - len(plan.frame_times()) for key, plan, _ in labelled()]
    assert set(surplus) == {0, 1, 2}
    assert np.mean(np.array(surplus) == 0) > 0.6


def labelled():
    clips = {clip.clip: (plan, clip) for plan in CORPUS for clip in plan.people}
    return [(key, *clips[key.split("/")[1]]) for key in TEXTS]


def test_rows_are_what_the_person_feels_at_the_frame_times_or_minus_5():
    for key, plan, clip in labelled():
        times = plan.frame_times()
        rows = table(TEXTS[key])[: len(times)]
        truth = np.stack([clip.valence.at(times), clip.arousal.at(times)], axis=1)
        assert np.abs(rows - truth)[rows != -5].max() <= 0.00051
        assert (np.abs(rows[rows != -5]) <= 1).all()


def test_some_stretches_are_unannotated_some_in_one_column_only():
    missing = [table(text) == -5 for text in TEXTS.values()]
    assert any(m.all(axis=1).any() for m in missing)
    assert any((m.sum(axis=1) == 1).any() for m in missing)
    assert np.mean([m.any() for m in missing]) < 0.7
    assert np.mean([m.mean() for m in missing]) < 0.1


def test_the_event_table_lists_noise_for_both_people_and_a_false_voice_for_the_speaker_alone():
    pair = next(plan for plan in PLANS if len(plan.people) == 2)
    listener = next(person for person in pair.people if not person.speaks).clip
    for kind, heard_by in (("noisy", {p.clip for p in pair.people}), ("contradictory", {pair.speaker.clip})):
        events = event_table([replace(pair, events=(Event("audio", kind, 0.5, 2.0, 0),))])
        assert set(events[events.modality == "audio"]["clip"]) == heard_by
    assert listener != pair.speaker.clip


def test_the_mouth_of_a_contradictory_face_is_that_of_the_next_seed_and_a_listener_has_none() -> None:
    """The other take has the seed of the clip plus one, so the same parameters give the same pixels."""
    config = DemoConfig(seconds=3.0)
    times = np.arange(75) / 25
    person = replace(ALONE.people[0], speaks=True, events=(Event("visual", "contradictory", 0.8, 2.4, 5),))
    plan = replace(ALONE, seconds=3.0, people=(person,))
    sound = make_sound(plan, config.audio_rate)
    own, other = _mouths(person, plan, config, sound, times)
    take = other_take(person, person.identity.voice, 3.0, config.audio_rate, person.seed + 1)
    np.testing.assert_array_equal(other, mouth_opening(take, config.audio_rate, times))
    np.testing.assert_array_equal(own, mouth_opening(sound.spoken, config.audio_rate, times))
    assert np.abs(own - other).max() > 0.1
    quiet = _mouths(replace(person, speaks=False), plan, config, sound, times)
    assert not np.any(quiet)
