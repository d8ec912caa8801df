"""Packets of sound that carry the time of their arrival: all are heard, once, and in their place."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from matroska import jpeg, matroska, pictures, sound
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from iaca.media import AudioTrack, read_audio

RATE, PACKET = 16000, 320
PACKETS = 600
HALF_A_FRAME_S = 0.0167  # at 30 Hz
TRUE = np.arange(PACKETS) * PACKET / RATE + 0.1  # s, when each packet began
Floats = NDArray[np.float64]


@cache
def voice() -> NDArray[np.float32]:
    """Noise below 400 Hz: each piece of it is found by correlation, also where it is stretched."""
    noise = np.random.default_rng(1).normal(size=PACKETS * PACKET + 64)
    return (0.8 * np.convolve(noise, np.hanning(65) / 16, "valid")).astype(np.float32)


def record(path: Path, stamps: Floats) -> AudioTrack:
    """The sound of a file whose packets carry these stamps (s)."""
    samples = (voice().reshape(PACKETS, PACKET) * 8192).astype("<i2")
    blocks = [(1, round(1000 * stamp), packet.tobytes()) for stamp, packet in zip(stamps, samples, strict=True)]
    return read_audio(matroska(path, [pictures(), sound(RATE)], [(0, 0, jpeg()), *blocks]))


def errors_s(track: AudioTrack, true: Floats) -> Floats:
    """How much later (s) than in truth each tenth of a second is heard; NaN where it is not heard."""
    whole, found = track.samples[:], []
    for first in range(0, PACKETS - 5, 5):
        piece = voice()[first * PACKET : (first + 5) * PACKET] / 4
        low = max(round(true[first] * RATE) - RATE // 10, 0)
        near = whole[low : round(true[first] * RATE) + len(piece) + RATE // 10]
        if len(near) < len(piece):
            found.append(np.nan)
            continue
        match = fftconvolve(near, piece[::-1], "valid")
        at = int(match.argmax())
        heard = near[at : at + len(piece)]
        likeness = match[at] / np.sqrt((piece**2).sum() * (heard**2).sum())
        found.append(low / RATE + at / RATE - true[first] if likeness > 0.7 else np.nan)
    return np.array(found)


def burst(stamps: Floats, start: float, seconds: float) -> Floats:
    """Nothing arrives for a while, and then all at once."""
    delayed = (stamps >= start) & (stamps < start + seconds)
    return np.where(delayed, start + seconds, stamps)


RNG = np.random.default_rng(0)
DELAYED = {
    "within 8 ms": TRUE + RNG.uniform(-0.008, 0.008, PACKETS),
    "within 15 ms": TRUE + RNG.uniform(-0.015, 0.015, PACKETS),
    "within 30 ms, not in order": TRUE + RNG.uniform(-0.03, 0.03, PACKETS),
    "often a little, never early": np.maximum.accumulate(TRUE + RNG.exponential(0.02, PACKETS) - 0.014),
    "a burst of 0.3 s": burst(TRUE, 5.0, 0.3),
    "a burst of 1.5 s": burst(TRUE, 5.0, 1.5),
    "a burst at the start": burst(TRUE, 0.0, 0.5),
    "bursts again and again": burst(burst(burst(TRUE, 2.0, 0.4), 4.0, 0.4), 6.0, 0.4),
    "two with one stamp": np.repeat(TRUE[::2], 2) + 0.01,
    "five with one stamp": np.repeat(TRUE[4::5], 5),
    "a single one far away": np.where(np.arange(PACKETS) == 300, TRUE + 0.5, TRUE),
}


@pytest.mark.parametrize("name", DELAYED)
def test_all_of_the_sound_is_heard_once_and_in_step(tmp_path: Path, name: str) -> None:
    track = record(tmp_path / "a.mkv", DELAYED[name])
    assert len(track.present) == 1
    start, end = track.present[0]
    assert end - start == pytest.approx(PACKETS * PACKET / RATE, abs=0.02)
    assert np.abs(errors_s(track, TRUE)).max() < HALF_A_FRAME_S  # NaN fails, too


@pytest.mark.parametrize("drift", [0.005, -0.005, 0.0005])
@pytest.mark.parametrize("jitter_s", [0.0, 0.02])
def test_a_sound_card_with_another_clock_is_followed(tmp_path: Path, drift: float, jitter_s: float) -> None:
    true = TRUE * (1 + drift)
    track = record(tmp_path / "a.mkv", true + np.random.default_rng(2).uniform(-jitter_s, jitter_s, PACKETS))
    assert len(track.present) == 1
    assert np.abs(errors_s(track, true)).max() < HALF_A_FRAME_S


@pytest.mark.parametrize("jitter_s", [0.0, 0.02])
@pytest.mark.parametrize("gap", [0.15, 0.5, 2.0])
def test_a_real_gap_stays_a_gap(tmp_path: Path, gap: float, jitter_s: float) -> None:
    true = np.where(TRUE >= 5.1, TRUE + gap, TRUE)
    track = record(tmp_path / "a.mkv", true + np.random.default_rng(3).uniform(-jitter_s, jitter_s, PACKETS))
    assert np.array(track.present) == pytest.approx(np.array([[0.1, 5.1], [5.1 + gap, 12.1 + gap]]), abs=0.01)
    error = errors_s(track, true)
    assert np.abs(error[np.arange(len(error)) != 49]).max() < HALF_A_FRAME_S  # that piece has the gap in it


def test_a_gap_that_ends_with_a_burst_is_as_long_as_it_was(tmp_path: Path) -> None:
    true = np.where(TRUE >= 5.1, TRUE + 1, TRUE)
    track = record(tmp_path / "a.mkv", burst(true, 6.05, 0.4))
    assert np.array(track.present) == pytest.approx(np.array([[0.1, 5.1], [6.1, 13.1]]), abs=0.002)


def test_sound_that_is_sent_only_when_somebody_speaks_keeps_its_pauses(tmp_path: Path) -> None:
    true = TRUE + np.floor(np.arange(PACKETS) / 15) * 0.7
    track = record(tmp_path / "a.mkv", true)
    assert np.array(track.present) == pytest.approx(np.array([[k + 0.1, k + 0.4] for k in range(40)]), abs=0.001)


def test_stretching_leaves_no_trace_in_a_tone(tmp_path: Path) -> None:
    hum = (0.5 * np.sin(2 * np.pi * 440 * np.arange(PACKETS * PACKET) / RATE) * 32767).astype("<i2")
    blocks = [
        (1, round(1000 * stamp), packet.tobytes())
        for stamp, packet in zip(TRUE * 1.005, hum.reshape(PACKETS, PACKET), strict=True)
    ]
    samples = read_audio(matroska(tmp_path / "a.mkv", [pictures(), sound(RATE)], [(0, 0, jpeg()), *blocks])).samples
    middle = samples[4 * RATE : 11 * RATE]
    bend = np.diff(middle, 2) + (2 * np.pi * 440 / RATE) ** 2 * middle[1:-1]  # 0 for a sine: a click would stand out
    assert np.abs(bend).max() < 0.05 * np.abs(np.diff(middle)).max()
    assert np.abs(np.fft.rfft(middle * np.hanning(len(middle)))).argmax() / 7 == pytest.approx(440 / 1.005, abs=0.3)
