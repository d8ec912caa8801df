"""The plan of the demo corpus: who is in it, what they feel and what goes wrong."""

import json
import pickle
import re
from dataclasses import asdict

import numpy as np
import pytest
from pydantic import ValidationError

from iaca.corpora.demo.plan import (
    AUDIO_KINDS,
    LONGEST,
    PARTITIONS,
    SHORTEST,
    VISUAL_KINDS,
    DemoConfig,
    event_table,
    plan_corpus,
    subject_table,
)

DEFAULT = DemoConfig()
PLANS = plan_corpus(DEFAULT)
TINY = DemoConfig(identities=4, clips_per_identity=1, seconds=3)
CLIPS = [(plan, clip) for plan in PLANS for clip in plan.people]
NAME = re.compile(r"\d+|video\d+|\d+-\d+-320x240")


@pytest.mark.slow
def test_the_same_config_gives_the_same_plan_and_another_seed_another_one():
    assert plan_corpus(DEFAULT) == PLANS
    assert plan_corpus(DemoConfig(seed=1)) != PLANS


def test_a_plan_survives_pickling_and_json():
    assert pickle.loads(pickle.dumps(PLANS)) == PLANS
    assert json.loads(json.dumps([asdict(plan) for plan in PLANS]))[0]["name"] == PLANS[0].name


def test_every_person_has_the_asked_number_of_clips():
    counts = subject_table(PLANS).subject.value_counts()
    assert len(counts) == DEFAULT.identities
    assert set(counts) == {DEFAULT.clips_per_identity}


@pytest.mark.slow
@pytest.mark.parametrize("config", [DEFAULT, TINY, DemoConfig(identities=3), DemoConfig(identities=7, seed=5)])
def test_no_person_is_in_two_partitions_and_no_partition_is_empty(config):
    seen = {part: {c.identity.subject for p in plan_corpus(config) if p.partition == part for c in p.people}
            for part in PARTITIONS}  # fmt: skip
    assert all(seen.values())
    assert sum(len(people) for people in seen.values()) == config.identities == len(set.union(*seen.values()))


def test_about_half_of_the_people_are_in_the_train_partition():
    people = {c.identity.subject for p, c in CLIPS if p.partition == "train"}
    assert len(people) == DEFAULT.identities // 2


def test_names_follow_the_grammar_of_affwild2_and_are_unique():
    names = [plan.name for plan in PLANS]
    assert len(set(names)) == len(names)
    assert all(NAME.fullmatch(name) for name in names)
    assert {bool(re.fullmatch(r"\d+", n)) + 2 * n.startswith("video") for n in names} == {0, 1, 2}


def test_the_rate_in_a_name_is_the_rounded_nominal_rate():
    rated = [plan for plan in PLANS if "-" in plan.name]
    assert all(int(plan.name.split("-")[1]) == round(plan.fps) for plan in rated)


def test_two_person_videos_are_a_left_and_a_right_clip_of_which_one_speaks():
    pairs = [plan for plan in PLANS if len(plan.people) == 2]
    assert {plan.partition for plan in pairs} == set(PARTITIONS)
    for plan in pairs:
        assert [clip.clip for clip in plan.people] == [f"{plan.name}_left", f"{plan.name}_right"]
        assert sum(clip.speaks for clip in plan.people) == 1
    assert all(clip.clip == plan.name and clip.speaks for plan, clip in CLIPS if len(plan.people) == 1)


@pytest.mark.parametrize("identities", [4, 12])
def test_without_pairs_every_video_shows_one_person_and_nobody_has_fewer_clips(identities):
    plans = plan_corpus(DemoConfig(identities=identities, pairs=False))
    assert {len(plan.people) for plan in plans} == {1}
    assert len(plans) == identities * DEFAULT.clips_per_identity
    assert set(subject_table(plans).subject.value_counts()) == {DEFAULT.clips_per_identity}


def test_a_pair_needs_two_people():
    plans = plan_corpus(DemoConfig(identities=4, clips_per_identity=2))
    shown = {part: sorted(len(p.people) for p in plans if p.partition == part) for part in PARTITIONS}
    assert shown == {"train": [1, 1, 2], "validation": [1, 1], "test": [1, 1]}


def test_odd_and_variable_frame_rates_occur():
    assert {round(plan.fps, 2) for plan in PLANS} == {25.0, 30.0, 24.0, 15.0, 29.97}
    assert sum(plan.variable for plan in PLANS) == 2


@pytest.mark.parametrize("variable", [False, True])
def test_frame_times_start_at_zero_and_rise_at_the_nominal_rate_on_average(variable):
    plan = next(plan for plan in PLANS if plan.variable == variable)
    times = plan.frame_times()
    steps = np.diff(times)
    assert times[0] == 0
    assert steps.min() > 0
    assert np.mean(steps) == pytest.approx(1 / plan.fps, rel=1e-3)
    assert (steps.std() > 0.2 / plan.fps) == variable


def test_valence_and_arousal_fill_the_range_and_hardly_correlate():
    felt = np.concatenate([[c.valence.at(p.frame_times()), c.arousal.at(p.frame_times())] for p, c in CLIPS], axis=1)
    assert np.all(np.percentile(felt, 3, axis=1) < -0.75)
    assert np.all(np.percentile(felt, 97, axis=1) > 0.75)
    assert np.abs(felt).max() < 0.95
    assert abs(np.corrcoef(felt)[0, 1]) < 0.2


def test_trajectories_are_band_limited_and_differ_between_clips():
    assert len({clip.valence for _, clip in CLIPS} | {clip.arousal for _, clip in CLIPS}) == 2 * len(CLIPS)
    assert all(0.05 <= f <= 0.5 for _, clip in CLIPS for f, _, _ in clip.valence.waves + clip.arousal.waves)


def test_events_lie_inside_their_clip_last_1_5_to_4_s_and_do_not_overlap():
    seconds = {clip.clip: plan.seconds for plan, clip in CLIPS}
    events = event_table(PLANS)
    assert (events.start_s >= 0).all()
    assert (events.end_s <= events["clip"].map(seconds)).all()
    assert (events.end_s - events.start_s).between(SHORTEST - 1e-3, LONGEST + 1e-3).all()
    following = events.groupby("clip").start_s.shift(-1)
    assert (following.isna() | (following >= events.end_s)).all()


def test_every_kind_of_event_occurs_in_every_partition():
    part = {clip.clip: plan.partition for plan, clip in CLIPS}
    events = event_table(PLANS)
    found = set(zip(events["clip"].map(part), events.modality, events.kind, strict=True))
    kinds = [("audio", kind) for kind in AUDIO_KINDS] + [("visual", kind) for kind in VISUAL_KINDS]
    assert found == {(p, *kind) for p in PARTITIONS for kind in kinds}


def test_most_of_every_clip_is_free_of_events():
    events = event_table(PLANS)
    total = (events.end_s - events.start_s).groupby(events["clip"]).sum()
    share = total / total.index.map({clip.clip: plan.seconds for plan, clip in CLIPS})
    assert share.max() < 0.65
    assert share.mean() < 0.5


def test_contradictory_stretches_lie_where_there_is_something_to_contradict():
    strengths = [np.abs(c.valence.at(np.linspace(e.start_s, e.end_s))).mean()
                 for _, c in CLIPS for e in c.events if e.kind == "contradictory"]  # fmt: skip
    assert np.median(strengths) > 0.45


def test_events_can_be_switched_off():
    assert event_table(plan_corpus(DemoConfig(events=False))).empty


def test_a_tiny_corpus_has_a_two_person_video_and_an_event_per_video():
    plans = plan_corpus(TINY)
    assert [len(plan.people) for plan in plans] == [2, 1, 1]
    assert all(plan.events or plan.people[0].events for plan in plans)


@pytest.mark.parametrize("wrong", [{"identities": 2}, {"width": 321}, {"second": 3}])
def test_impossible_or_unknown_parameters_are_refused(wrong):
    with pytest.raises(ValidationError):
        DemoConfig(**wrong)
