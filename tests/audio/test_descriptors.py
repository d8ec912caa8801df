"""Descriptors of speech: pitch, voicing, level, and statistics that stay where they belong in time."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import butter, sosfiltfilt

from iaca.audio.features import EFFORT, NAMES, _nanmedian, functionals, pitch

RATE = 16_000


def voice(hertz: float, seconds: float = 1.0) -> torch.Tensor:
    """Ten harmonics, falling off as a voice's do."""
    time = torch.arange(int(seconds * RATE)) / RATE
    return 0.1 * sum(torch.sin(2 * torch.pi * k * hertz * time) / k for k in range(1, 11))


def column(name: str, samples: torch.Tensor, at: float = 0.5) -> float:
    return float(functionals(samples, torch.tensor([at], dtype=torch.float64))[0, NAMES.index(name)])


@settings(max_examples=20, deadline=None)
@given(st.floats(75, 400))
def test_the_pitch_of_a_voice_is_found_within_one_percent(hertz: float) -> None:
    frequency, voicing = pitch(voice(hertz), RATE, 160)
    assert float(frequency[10:-10].median()) == pytest.approx(hertz, rel=0.01)
    assert float(voicing[10:-10].min()) > 0.9


def test_noise_and_silence_are_unvoiced() -> None:
    noise = torch.randn(RATE, generator=torch.Generator().manual_seed(0))
    assert float(pitch(noise, RATE, 160)[1].median()) < 0.4
    assert float(pitch(torch.zeros(RATE), RATE, 160)[1].max()) == 0


def test_louder_higher_and_livelier_show_in_their_columns() -> None:
    assert column("level_db_mean", 2 * voice(120)) - column("level_db_mean", voice(120)) == pytest.approx(
        6.02, abs=0.01
    )
    assert column("pitch_mean", voice(240)) - column("pitch_mean", voice(120)) == pytest.approx(1.0, abs=0.02)
    half = torch.cat([voice(120, 0.5), torch.zeros(RATE // 2)])  # the frames without a voice have no pitch
    assert column("pitch_mean", half) == pytest.approx(np.log2(1.2), abs=0.03)
    assert column("pitch_std", half) < 0.1
    syllables = voice(120) * (torch.sin(2 * torch.pi * 4 * torch.arange(RATE) / RATE) > 0)
    assert column("level_motion", syllables) > 5 * column("level_motion", voice(120))
    assert column("voiced_share", syllables) < column("voiced_share", voice(120))


def test_a_step_hears_only_its_own_second() -> None:
    quiet = torch.zeros(5 * RATE)
    loud = quiet.clone()
    loud[3 * RATE :] = voice(120, 2.0)
    times = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)
    before, after = functionals(quiet, times), functionals(loud, times)
    torch.testing.assert_close(before[:2, NAMES.index("voiced_share")], after[:2, NAMES.index("voiced_share")])
    assert float(after[2, NAMES.index("voiced_share")]) > 0.9


@pytest.mark.parametrize("samples", [1, 100, 8_000])
def test_steps_beyond_the_sound_are_finite(samples: int) -> None:
    times = torch.tensor([-1.0, 0.0, 0.4, 99.0], dtype=torch.float64)
    assert functionals(torch.zeros(samples), times).isfinite().all()


@pytest.mark.slow
def test_a_long_sound_is_described_around_each_moment_as_a_cut_from_it_is() -> None:
    rate = 16_000
    clock = torch.arange(150 * rate) / rate  # two and a half blocks of frames
    noise = torch.randn(len(clock), generator=torch.Generator().manual_seed(0))
    long = 0.1 * noise * (1.5 + torch.sin(3 * clock))  # far above the floor, which is of the whole sound, everywhere
    times = torch.tensor([10.0, 59.9, 60.0, 60.3, 119.7, 120.2, 140.0], dtype=torch.float64)
    whole = functionals(long, times)
    for row, time in zip(whole, times, strict=True):
        start = round((float(time) - 2) * rate)
        cut = functionals(long[start : start + 4 * rate], torch.tensor([2.0], dtype=torch.float64))
        torch.testing.assert_close(row, cut[0], atol=2e-3, rtol=1e-3)


@pytest.mark.parametrize("gain", [0.1, 3.0])
def test_effort_shows_in_the_tilt_of_voiced_sound_and_not_in_its_level(gain: float) -> None:
    def harmonics(power: float) -> torch.Tensor:
        clock = torch.arange(RATE) / RATE
        return 0.05 * sum(torch.sin(2 * torch.pi * 150 * k * clock) / k**power for k in range(1, 40))

    soft, loud = (
        dict(zip(NAMES, functionals(harmonics(p), torch.tensor([0.5]))[0].tolist(), strict=True)) for p in (2, 1)
    )
    assert loud["alpha_ratio"] > soft["alpha_ratio"] + 5
    assert loud["hammarberg_index"] < soft["hammarberg_index"] - 5
    assert loud["pitch_median"] == pytest.approx(np.log2(1.5), abs=0.02)
    scaled = functionals(gain * harmonics(1), torch.tensor([0.5]))[0]
    for name in EFFORT:
        assert float(scaled[NAMES.index(name)]) == pytest.approx(loud[name], abs=1e-3)


def test_the_alpha_ratio_is_the_ratio_of_the_powers_of_two_tones() -> None:
    clock = torch.arange(RATE) / RATE
    tones = 0.4 * torch.sin(2 * torch.pi * 200 * clock) + 0.04 * torch.sin(2 * torch.pi * 3000 * clock)
    assert column("alpha_ratio", tones) == pytest.approx(-20, abs=0.2)
    assert column("hammarberg_index", tones) == pytest.approx(20, abs=1.5)  # the two tones fall differently on lines


def test_medians_are_over_voiced_frames_and_the_lower_of_two_in_the_middle() -> None:
    frames = torch.tensor([[[8.0, 1.0, torch.nan, 4.0, 2.0], [3.0, torch.nan, 1.0, 2.0, torch.nan], 5 * [torch.nan]]])
    assert _nanmedian(frames).tolist() == [[2.0, 2.0, 0.0]]


def test_a_narrow_channel_shows_in_the_treble_and_unvoiced_sound_has_no_effort() -> None:
    noise = 0.1 * torch.randn(RATE, generator=torch.Generator().manual_seed(0))
    narrow = torch.from_numpy(sosfiltfilt(butter(6, 3400, fs=RATE, output="sos"), noise.numpy()).astype(np.float32))
    assert column("treble", noise) == pytest.approx(0, abs=0.5)
    assert column("treble", narrow) < -35
    assert column("alpha_ratio", torch.zeros(RATE)) == column("pitch_median", torch.zeros(RATE)) == 0
