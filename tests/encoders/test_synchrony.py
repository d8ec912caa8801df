"""Mouth and sound: a shift is found to the frame, strangers do not agree, and what is not there is not counted."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from iaca.encoders.cues import AGREEMENT_S, Pair, synchrony


def envelope(seed: int, times: np.ndarray) -> np.ndarray:
    """(t,) amplitude in about [0, 1] of a voice of that seed at any times (s): syllables, a few a second."""
    grid = np.arange(-5, 65, 0.005)
    wave = gaussian_filter1d(np.random.default_rng(seed).standard_normal(len(grid)), 0.06 / 0.005)
    wave = np.maximum(wave / wave.std(), 0) / 3
    return np.interp(times, grid, wave)


def decibel(amplitude: np.ndarray) -> np.ndarray:
    return (20 * np.log10(np.maximum(amplitude, 1e-5))).astype(np.float32)


def measured(mouth: np.ndarray, sound: np.ndarray, times: np.ndarray, known: np.ndarray | None = None):
    known = np.ones(len(times), bool) if known is None else known
    cues = synchrony(mouth.astype(np.float32), decibel(sound), times, known)
    assert all(cue.shape == times.shape and cue.dtype == np.float32 for cue in cues.values())
    return cues["synchrony"], cues["synchrony_lag"]


@pytest.mark.parametrize("fps", [12.5, 24000 / 1001, 25, 60])
@pytest.mark.parametrize("frames", [-5, -1, 0, 1, 4])
def test_a_sound_that_is_k_frames_late_is_found_to_be(fps: float, frames: int) -> None:
    times = np.arange(round(12 * fps)) / fps
    lag = frames / fps
    agreement, found = measured(0.3 + 0.5 * envelope(1, times), envelope(1, times - lag), times)
    np.testing.assert_allclose(found, lag, atol=0.25 / fps)
    assert np.median(agreement) > 0.9


def test_uneven_frames_are_put_on_the_clock() -> None:
    rng = np.random.default_rng(3)
    times = np.cumsum(rng.choice([0.02, 0.04, 0.07], 300))
    _, found = measured(envelope(1, times), envelope(1, times - 0.2), times)
    np.testing.assert_allclose(found, 0.2, atol=0.02)


def test_strangers_do_not_agree() -> None:
    times = np.arange(1000) / 25
    pairs = [measured(envelope(seed, times), envelope(seed + 100, times), times) for seed in range(12)]
    agreement, lag = (np.concatenate(part) for part in zip(*pairs, strict=True))
    assert abs(agreement.mean()) < 0.1
    assert np.isnan(lag).mean() > 0.6


def test_two_seconds_are_too_little_to_believe_a_lag() -> None:
    times = np.arange(60) / 25
    lags = [measured(envelope(seed, times), envelope(seed + 100, times), times)[1] for seed in range(30)]
    assert np.isnan(np.concatenate(lags)).mean() > 0.9


def test_a_contradiction_of_three_seconds_lowers_the_agreement_there_alone() -> None:
    times = np.arange(500) / 25
    inside = (times > 8) & (times < 11)
    sound = np.where(inside, envelope(2, times), envelope(1, times))
    agreement, lag = measured(envelope(1, times), sound, times)
    assert agreement[np.abs(times - 9.5) < 0.5].mean() < 0.4
    assert agreement[(times < 6.9) | (times > 12.1)].min() > 0.9
    np.testing.assert_allclose(lag, 0, atol=0.02)  # the rest of the window still tells it


def test_a_mouth_that_closes_with_the_sound_disagrees() -> None:
    times = np.arange(300) / 25
    agreement, lag = measured(-envelope(1, times), envelope(1, times), times)
    assert agreement[np.isnan(lag)].mean() < -0.9
    assert np.nanmax(np.abs(lag), initial=0) == 0 or np.abs(lag[np.isfinite(lag)]).min() > 0.05  # half a syllable away


@pytest.mark.parametrize("still", ["mouth", "sound", "both"])
def test_where_nothing_moves_there_is_no_agreement_and_no_lag(still: str) -> None:
    times = np.arange(300) / 25
    flat, moving = np.full(300, 0.2), envelope(1, times)
    mouth, sound = flat if still != "sound" else moving, flat if still != "mouth" else moving
    agreement, lag = measured(mouth, sound, times)
    assert not agreement.any()
    assert np.isnan(lag).all()


@pytest.mark.parametrize("faint", ["mouth", "sound"])
@pytest.mark.parametrize(("amplitude", "moves"), [(0.0095, False), (0.0108, True)])
def test_a_movement_below_a_hundredth_of_the_deviation_is_none(faint: str, amplitude: float, moves: bool) -> None:
    """At every step and at the end of a stream."""
    wave = np.tile([1.0, 1.0, -1.0, -1.0], 60)
    streams = {name: wave * (amplitude if name == faint else 1.0) for name in ("mouth", "sound")}
    pair = Pair(**streams, known=np.ones(len(wave)), start=0.0, rate=30.0)
    middle, end = pair.agreement(0, AGREEMENT_S)[120], pair.at_the_end(AGREEMENT_S)
    assert middle == pytest.approx(float(moves), abs=0.01)
    assert end[len(end) // 2] == pytest.approx(float(moves), abs=0.01)
    assert end[len(end) // 2 - 2] == pytest.approx(-float(moves), abs=0.01)


def test_a_gap_without_a_face_says_nothing_whatever_stands_in_it() -> None:
    times = np.arange(400) / 25
    known = (times < 5) | (times > 9)
    mouth = np.where(known, envelope(1, times), np.nan)
    one = measured(mouth, envelope(1, times), times, known)
    other = measured(np.where(known, mouth, 99.0), envelope(1, times), times, known)
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.abs(one[0][(times > 6.2) & (times < 7.8)]).max() < 0.01
    assert one[0][(times < 3.5) | (times > 10.5)].min() > 0.9


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 5])
def test_a_few_steps_are_no_evidence(steps: int) -> None:
    times = np.arange(steps) / 25
    agreement, lag = measured(envelope(1, times), envelope(1, times), times)
    assert np.isfinite(agreement).all()
    assert not np.isinf(lag).any()


def test_timestamps_that_jump_by_a_month_cost_no_memory() -> None:
    times = np.concatenate([np.arange(100) / 25, 3e6 + np.arange(100) / 25])
    agreement, _ = measured(envelope(1, times), envelope(1, times), times)
    assert np.isfinite(agreement).all()
