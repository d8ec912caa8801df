"""Left and right are both in the mono sound, also where they would cancel each other."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from make_media import make, tone
from numpy.typing import NDArray

from iaca.media import read_audio

RATE = 48000
LEFT, RIGHT = tone(4.0, RATE, 300.0, 0.4), tone(4.0, RATE, 700.0, 0.4)
CODECS = {"aac": "a.m4a", "pcm_s16le": "a.wav", "pcm_u8": "a.wav", "flac": "a.flac", "pcm_f32le": "a.wav"}


def stereo(path: Path, left: NDArray, right: NDArray, codec: str = "pcm_s16le", layout: str = "stereo") -> Path:
    rest = [np.zeros_like(left)] * (len(av.AudioLayout(layout).channels) - 2)
    return make(path, sounds=[(0.0, np.stack([left, right, *rest]))], rate=RATE, layout=layout, audio_codec=codec)


def level(samples: NDArray, hertz: float) -> float:
    """Amplitude of a tone."""
    turns = np.exp(-2j * np.pi * hertz * np.arange(len(samples)) / 16000)
    return float(2 * np.abs((samples * turns).mean()))


def test_different_tones_left_and_right_are_both_in_the_mono_sound(tmp_path: Path) -> None:
    samples = read_audio(stereo(tmp_path / "a.wav", LEFT, RIGHT)).samples[8000:56000]
    assert [level(samples, hertz) for hertz in (300, 700)] == pytest.approx([0.2, 0.2], abs=0.002)


@pytest.mark.parametrize("codec", CODECS)
def test_opposite_phase_keeps_its_voice(tmp_path: Path, codec: str) -> None:
    track = read_audio(stereo(tmp_path / CODECS[codec], LEFT, -LEFT, codec))
    plain = read_audio(stereo(tmp_path / CODECS[codec], LEFT, LEFT, codec))
    assert level(track.samples[:], 300) == pytest.approx(0.4, abs=0.01)
    assert np.abs(np.abs(track.samples[:]) - np.abs(plain.samples[:])).max() < 0.01
    assert track.present == plain.present


def test_a_quieter_opposite_channel_takes_nothing_away(tmp_path: Path) -> None:
    samples = read_audio(stereo(tmp_path / "a.wav", LEFT, -0.5 * LEFT)).samples[:]
    assert level(samples, 300) == pytest.approx(0.3, abs=0.01)


def test_opposite_front_channels_of_5_1_keep_their_voice(tmp_path: Path) -> None:
    opposite = read_audio(stereo(tmp_path / "a.wav", LEFT, -LEFT, layout="5.1")).samples[:]
    equal = read_audio(stereo(tmp_path / "b.wav", LEFT, LEFT, layout="5.1")).samples[:]
    assert level(opposite, 300) == pytest.approx(level(equal, 300), rel=0.01)
    assert level(equal, 300) > 0.05


def mixed_by_ffmpeg(path: Path) -> NDArray:
    """The standard mix, without any choice."""
    resampler, blocks = av.AudioResampler("fltp", "mono", 16000, options={"rematrix_maxval": "1.0"}), []
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            frame.pts = None
            blocks += [out.to_ndarray()[0] for out in resampler.resample(frame)]
    blocks += [out.to_ndarray()[0] for out in resampler.resample(None) if out is not None]
    return np.clip(np.concatenate(blocks), -1, 1)


@pytest.mark.parametrize("share", [1.0, 0.3, 0.0, -0.3])
def test_where_nothing_cancels_the_mix_is_the_standard_one_bit_by_bit(tmp_path: Path, share: float) -> None:
    noise = np.random.default_rng(0).normal(0, 0.2, (2, 4 * RATE)).astype(np.float32)
    right = share * noise[0] + np.sqrt(1 - share**2) * noise[1]  # correlated by this share
    path = stereo(tmp_path / "a.wav", noise[0], right.astype(np.float32), "pcm_f32le")
    np.testing.assert_array_equal(read_audio(path).samples[:], mixed_by_ffmpeg(path))


@pytest.mark.parametrize("first", [1, -1])
def test_where_the_phase_changes_nothing_is_lost_and_nothing_clicks(tmp_path: Path, first: int) -> None:
    sign = np.where(np.arange(len(LEFT)) < 2 * RATE, first, -first)
    samples = read_audio(stereo(tmp_path / "a.wav", LEFT, (sign * LEFT).astype(np.float32))).samples[:]
    assert np.abs(np.diff(samples)).max() < 1.1 * 0.4 * 2 * np.pi * 300 / 16000  # of the tone itself
    loud = np.array([level(samples[at : at + 1600], 300) for at in range(0, len(samples), 1600)])
    assert (loud > 0.35).sum() >= len(loud) - 1
    assert loud.min() > 0.1
