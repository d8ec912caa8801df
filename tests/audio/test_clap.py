"""A clap: a flash and a click at one moment are at one step, after decoding, in every feature of the sound."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from iaca.audio.features import NAMES, PAPER, LogMel, functionals
from iaca.encoders.cues import sound_cues
from iaca.media import extract_audio, read_audio, read_audio_file, read_frames
from media.make_media import grey, make

SECONDS, CLICK_S, FLASH_S = 3.0, 0.004, 1.7
RATES = {"24000/1001": 24000 / 1001, "30000/1001": 30000 / 1001, "12.5": 12.5, "25": 25.0, "60": 60.0}


def frames_of(fps: str) -> np.ndarray:
    """Times (s) of the frames; `variable` draws each interval."""
    if fps == "variable":
        times = np.cumsum(np.random.default_rng(0).choice([0.02, 0.033, 0.04, 0.08], 150))
        return times[times < SECONDS] - times[0]
    return np.arange(int(SECONDS * RATES[fps])) / RATES[fps]


def clap(
    path: Path, fps: str, rate: int, layout: str = "stereo", codec: str = "pcm_s16le",
    sound_from: float = 0.0, picture_from: float = 0.0,
) -> Path:  # fmt: skip
    """A dark movie with one white frame, and a sound from `sound_from` (s) on that clicks when that frame is shown."""
    times = frames_of(fps) + picture_from
    flash = int(np.searchsorted(times, FLASH_S))
    samples = 1e-4 * np.random.default_rng(1).standard_normal(round((SECONDS - sound_from) * rate))
    click = round((times[flash] - sound_from) * rate)
    samples[click : click + max(round(CLICK_S * rate), 2)] = 0.9
    pictures = [grey(230 if index == flash else 20) for index in range(len(times))]
    return make(
        path, times.tolist(), pictures, sounds=[(sound_from, samples.astype(np.float32))], rate=rate, layout=layout,
        audio_codec=codec,
    )  # fmt: skip


def steps(movie: Path) -> tuple[np.ndarray, int, float]:
    """Times (t,) of the decoded frames, the index of the bright one, and half the shorter of its intervals (s)."""
    decoded = [(frame.time_s, float(frame.image.mean())) for frame in read_frames(movie)]
    times, light = np.array(decoded).T
    flash = int(light.argmax())
    assert light[flash] > 150 > 60 > np.delete(light, flash).max()
    return times, flash, float(np.diff(times[flash - 1 : flash + 2]).min()) / 2


def check(movie: Path, rings: bool = False) -> None:
    """`rings`: the codec's own noise after a click outlasts it, and with it the spread of a second's level."""
    times, flash, half = steps(movie)
    track = read_audio(movie)
    samples = torch.from_numpy(track.samples.copy())
    # the grid of the log-mel spectrogram, every 10 ms
    logmel = LogMel()(samples).mean(dim=1)
    assert abs(int(logmel.argmax()) * PAPER.hop / PAPER.rate - times[flash]) <= half
    # what a step is given: descriptors over a second rise and fall around the flash alike, give or take half a hop
    moments = np.arange(0, times[-1], 0.005)
    spread = functionals(samples, torch.from_numpy(moments))[:, NAMES.index("level_db_std")].numpy()
    lifted = moments[spread > (spread.max() + np.median(spread)) / 2]
    assert rings or abs(middle(lifted) - times[flash]) <= half + PAPER.hop / PAPER.rate / 2
    # the steps themselves, in the cue that synchrony is made of; of 60 a second, several hear the click
    level = sound_cues(track.samples, track.rate, times)["sound_level"]
    assert abs(middle(times[level > level.max() - 1]) - times[flash]) <= half


def middle(times: np.ndarray) -> float:
    return float(times[0] + times[-1]) / 2


@pytest.mark.parametrize("fps", [*RATES, "variable"])
def test_a_clap_is_one_step_at_any_frame_rate(tmp_path: Path, fps: str) -> None:
    check(clap(tmp_path / "clap.mov", fps, 48_000))


@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000])
def test_a_clap_is_one_step_at_any_sampling_rate(tmp_path: Path, rate: int) -> None:
    check(clap(tmp_path / "clap.mov", "30000/1001", rate))


@pytest.mark.parametrize("layout", ["mono", "stereo", "5.1"])
def test_a_clap_is_one_step_in_any_number_of_channels(tmp_path: Path, layout: str) -> None:
    check(clap(tmp_path / "clap.mov", "25", 48_000, layout))


@pytest.mark.parametrize("suffix", [".mov", ".mkv"])
@pytest.mark.parametrize(("sound_from", "picture_from"), [(0.37, 0.0), (0.0, 0.25), (0.613, 0.2)])
def test_a_clap_is_one_step_when_a_stream_starts_late(
    tmp_path: Path, suffix: str, sound_from: float, picture_from: float
) -> None:
    check(clap(tmp_path / f"clap{suffix}", "30000/1001", 48_000, sound_from=sound_from, picture_from=picture_from))


@pytest.mark.parametrize(("suffix", "codec", "rate"), [
    (".mp4", "aac", 48_000), (".mp4", "aac", 22_050), (".mkv", "aac", 44_100), (".mkv", "flac", 48_000),
    (".mkv", "libopus", 48_000), (".mp4", "libmp3lame", 44_100),
])  # fmt: skip
def test_a_clap_is_one_step_with_codecs_that_need_a_run_in(tmp_path: Path, suffix: str, codec: str, rate: int) -> None:
    check(clap(tmp_path / f"clap{suffix}", "24000/1001", rate, codec=codec, sound_from=0.2), codec == "libopus")


def test_the_stored_sound_has_the_clap_where_the_decoded_one_has_it(tmp_path: Path) -> None:
    movie = clap(tmp_path / "clap.mov", "variable", 44_100, sound_from=0.37)
    extract_audio(movie, tmp_path / "clap.flac")
    stored, decoded = read_audio_file(tmp_path / "clap.flac"), read_audio(movie)
    sound = np.abs(stored.samples[:])
    assert int(sound.argmax()) == int(np.abs(decoded.samples).argmax())
    times, flash, half = steps(movie)
    assert abs(sound.argmax() / stored.rate - times[flash]) <= half
    assert stored.present[0][0] == pytest.approx(0.37, abs=0.001)
