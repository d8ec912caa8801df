"""Quality cues of the sound: the standard's loudness, levels on their time, noise and clipping that show."""

import numpy as np
import pytest

from iaca.encoders.cues import k_weighting, sound_cues

RATE = 16_000


def heard(samples: np.ndarray, times: list[float], rate: int = RATE) -> dict[str, np.ndarray]:
    return sound_cues(samples.astype(np.float32), rate, np.array(times))


def tone(seconds: float, level: float, hertz: float = 997.0, rate: int = RATE) -> np.ndarray:
    return level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def test_the_weighting_is_that_of_the_standard() -> None:
    first, second = k_weighting(48_000)
    expected = [1.53512485958697, -2.69169618940638, 1.19839281085285, 1.0, -1.69065929318241, 0.73248077421585]
    np.testing.assert_allclose(first, expected, atol=1e-7)
    np.testing.assert_allclose(second, [1, -2, 1, 1, -1.99004745483398, 0.99007225036621], atol=1e-7)


@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_a_full_tone_has_the_loudness_of_the_standard_and_a_tenth_of_it_20_db_less(rate: int) -> None:
    for level, expected in ((1.0, -3.01), (0.1, -23.01)):
        assert heard(tone(2, level, rate=rate), [1.0], rate)["loudness"][0] == pytest.approx(expected, abs=0.1)
    level = heard(tone(2, 1.0), [1.0])["sound_level"][0]
    assert level == pytest.approx(-3.01, abs=0.05)


def test_a_deep_hum_is_less_loud_than_its_level_says() -> None:
    cues = heard(tone(2, 0.5, hertz=30), [1.0])
    assert cues["loudness"][0] < cues["sound_level"][0] - 5


def test_level_is_centred_on_its_time() -> None:
    click = np.zeros(RATE)
    click[8000:8016] = 1.0
    level = heard(click, [0.46, 0.49, 0.51, 0.54])["sound_level"]
    assert level[1] == pytest.approx(level[2], abs=0.2)
    assert level[[0, 3]].tolist() == [-100.0, -100.0]


def test_clipping_is_the_share_of_samples_at_full_scale() -> None:
    clean, hard = tone(1, 0.9), np.clip(tone(1, 2.0), -1, 1)
    assert heard(clean, [0.5])["clipping"][0] == 0.0
    assert heard(hard, [0.5])["clipping"][0] == pytest.approx(2 / 3, abs=0.02)


def test_speech_over_a_quiet_floor_is_active_and_noise_alone_is_not() -> None:
    noise = 0.001 * np.random.default_rng(0).standard_normal(RATE * 6)
    speech = noise.copy()
    speech[48_000:56_000] += tone(0.5, 0.1, 130)
    cues = heard(speech, [1.0, 3.2])
    assert cues["voice_activity"][0] < 0.2 < 0.9 < cues["voice_activity"][1]
    assert cues["snr_estimate"][1] > cues["snr_estimate"][0] + 20


@pytest.mark.parametrize(
    ("above", "activity"), [(2.0, 0.0), (3.0, 0.0), (6.0, 0.25), (9.0, 0.5), (15.0, 1.0), (20.0, 1.0)]
)
def test_voice_activity_rises_from_3_to_15_db_above_the_floor(above: float, activity: float) -> None:
    sound = tone(6, 0.01, 1000.0)  # whole periods in each block
    sound[48_000:56_000] *= 10 ** (above / 20)
    cues = heard(sound, [3.25])
    assert cues["voice_activity"][0] == pytest.approx(activity, abs=0.01)
    assert cues["snr_estimate"][0] == pytest.approx(above, abs=0.1)


def test_noise_of_a_few_seconds_lowers_the_estimate_of_the_signal_to_noise_ratio() -> None:
    clock = np.arange(8 * RATE) / RATE
    voice = tone(8, 0.1, 150) * (np.sin(2 * np.pi * 3 * clock) > 0)
    noise = np.random.default_rng(1).standard_normal(len(voice)) * ((clock > 4) & (clock < 7))
    before, after = heard(voice + 0.05 * noise, [2.0, 5.5])["snr_estimate"]
    assert before > after + 20


@pytest.mark.parametrize("samples", [0, 30, 79, 81, 900])
def test_sounds_of_any_length_have_cues_and_beyond_them_is_silence(samples: int) -> None:
    cues = heard(np.full(samples, 0.1), [0.0, 5.0])
    assert all(np.isfinite(cue).all() and cue.shape == (2,) for cue in cues.values())
    assert cues["sound_level"][1] == cues["loudness"][1] == -100.0


def test_a_long_sound_is_taken_in_pieces_without_a_seam() -> None:
    quiet = 0.1 * np.random.default_rng(2).standard_normal(RATE // 10 * 625)
    cues = sound_cues(np.concatenate([quiet, quiet]).astype(np.float32), RATE, np.array([59.9, 60.0, 60.1]))
    assert np.ptp(cues["loudness"]) < 1.0


@pytest.mark.parametrize("missing", [(0.0, 0.06), (0.0, 1.0), (1.2, 1.5)], ids=["a little", "late start", "gap"])
def test_where_the_file_has_no_sound_is_no_quiet_room(missing: tuple[float, float]) -> None:
    """Zeros in place of what is missing would make a clear voice of the steady noise around them."""
    noise, times = np.random.default_rng(0).normal(0, 0.001, 3 * RATE), np.arange(75) / 25
    there = ~((times > missing[0] - 0.05) & (times < missing[1] + 0.05))
    with_gap = noise.copy()
    with_gap[round(missing[0] * RATE) : round(missing[1] * RATE)] = 0
    present = tuple(span for span in ((0.0, missing[0]), (missing[1], 3.0)) if span[1] > span[0])
    whole, cues = heard(noise, times.tolist()), sound_cues(with_gap.astype(np.float32), RATE, times, present)
    for name, most in (("snr_estimate", 1.5), ("voice_activity", 0.05)):
        assert np.abs(cues[name][there] - whole[name][there]).max() < most, name
    assert sound_cues(with_gap.astype(np.float32), RATE, times)["snr_estimate"][there].max() > 20


def test_sound_that_is_nowhere_present_has_cues_all_the_same() -> None:
    cues = sound_cues(np.zeros(RATE, np.float32), RATE, np.array([0.2, 0.8]), ())
    assert cues["voice_activity"].tolist() == [0, 0]
    assert np.isfinite(cues["snr_estimate"]).all()
