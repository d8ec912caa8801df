"""The synthetic voice, what happens to the sound, and the mouth that follows it."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.signal import correlate

from iaca.corpora.demo.plan import DemoConfig, Event, Trajectory, Voice, plan_corpus
from iaca.corpora.demo.voice import make_sound, mouth_opening, synthesise

RATE = 16000
CALM = Trajectory(())
PLAN = plan_corpus(DemoConfig(identities=3, clips_per_identity=1, seconds=6, events=False))[0]


def constant(value):
    """A trajectory that stays at `value`."""
    return Trajectory(((0.0, float(np.arctanh(value / 0.95)), np.pi / 2),))


def speak(valence=0.0, arousal=0.0, seed=0, voice=Voice()):  # noqa: B008 - frozen
    return synthesise(voice, constant(valence), constant(arousal), 4.0, RATE, seed)


def level_db(samples):
    return 10 * np.log10(np.mean(np.square(samples, dtype=np.float64)))


def pitch_hz(samples):
    """Median pitch over the louder 40 ms pieces, by autocorrelation."""
    pieces = samples[: len(samples) // 640 * 640].reshape(-1, 640).astype(np.float64)
    loud = pieces[np.argsort((pieces**2).sum(1))[-20:]]
    lags = [32 + np.argmax(correlate(p, p)[len(p) - 1 :][32:230]) for p in loud]
    return RATE / float(np.median(lags))


def brightness(samples):
    power = np.abs(np.fft.rfft(samples)) ** 2
    hz = np.fft.rfftfreq(len(samples), 1 / RATE)
    return power[(hz > 1000) & (hz < 4000)].sum() / power[hz < 1000].sum()


def test_the_same_seed_says_the_same_samples():
    np.testing.assert_array_equal(speak(seed=4), speak(seed=4))
    assert not np.array_equal(speak(seed=4), speak(seed=5))


@pytest.mark.parametrize("measure", [level_db, pitch_hz, brightness])
def test_loudness_pitch_and_brightness_rise_with_arousal(measure):
    low, middle, high = (np.mean([measure(speak(arousal=a, seed=s)) for s in range(3)]) for a in (-0.8, 0.0, 0.8))
    assert low < middle < high


def test_valence_shows_in_the_voice_but_weakly():
    def gain(**feeling):
        return level_db(speak(**feeling)) - level_db(speak())

    assert 0 < gain(valence=0.8) < 0.4 * gain(arousal=0.8)


def test_speakers_differ_in_pitch():
    low, high = (pitch_hz(speak(voice=Voice(hz))) for hz in (110.0, 210.0))
    assert low == pytest.approx(110, rel=0.2)
    assert high == pytest.approx(210, rel=0.2)


def test_speech_has_pauses_and_no_clipping():
    loud = speak(arousal=0.9)
    pieces = np.abs(loud[: len(loud) // 400 * 400].reshape(-1, 400)).max(axis=1)
    assert (pieces < 0.01).mean() > 0.05
    assert pieces.max() < 1


def test_the_mouth_opens_with_the_sound_and_closes_in_silence():
    samples = speak(arousal=0.5)
    times = np.arange(0, 4, 0.04)
    envelope = np.array(
        [np.abs(samples[max(0, int((t - 0.03) * RATE)) : int((t + 0.03) * RATE)]).mean() for t in times]
    )
    opening = mouth_opening(samples, RATE, times)
    assert np.corrcoef(opening, envelope**0.5)[0, 1] > 0.95
    assert opening.min() == 0
    assert 0.3 < opening.max() <= 1
    assert mouth_opening(np.zeros(RATE, np.float32), RATE, times[:20]).max() == 0


def with_event(kind):
    return replace(PLAN, events=(Event("audio", kind, 1.0, 3.5, 9),))


def split(samples):
    inside = np.zeros(len(samples), bool)
    inside[RATE : int(3.5 * RATE)] = True
    return samples[inside], samples[~inside]


@pytest.mark.parametrize("kind", ["silent", "noisy", "contradictory"])
def test_an_event_changes_the_sound_inside_and_nothing_outside(kind):
    clean, corrupted = (make_sound(plan, RATE).heard for plan in (PLAN, with_event(kind)))
    (clean_in, clean_out), (in_, out) = split(clean), split(corrupted)
    np.testing.assert_array_equal(clean_out, out)
    assert np.abs(clean_in - in_).max() > 0.01


def test_silence_is_exactly_zero_and_nothing_else_is():
    silent, rest = split(make_sound(with_event("silent"), RATE).heard)
    assert not silent.any()
    assert (rest == 0).mean() < 0.001


@pytest.mark.parametrize("seed", range(4))
def test_noise_is_at_0_to_minus_5_db(seed):
    event = Event("audio", "noisy", 1.0, 3.5, seed)
    clean, _ = split(make_sound(PLAN, RATE).heard)
    noisy, _ = split(make_sound(replace(PLAN, events=(event,)), RATE).heard)
    assert -5.3 < level_db(clean) - level_db(noisy - clean) < 0.3


def test_a_contradictory_voice_speaks_with_the_opposite_arousal():
    speaker = replace(PLAN.people[0], arousal=constant(0.7), valence=CALM)
    plan = replace(with_event("contradictory"), people=(speaker,))
    contrary, own = split(make_sound(plan, RATE).heard)
    assert level_db(contrary) < level_db(own) - 5
