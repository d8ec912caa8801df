"""Causal embeddings: no step reads later sound or a later frame, and pieces of any size give the same."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import ValidationError

from iaca.audio.features import EFFORT, NAMES, TrailingDescriptors, functionals
from iaca.corpora.demo.plan import Trajectory, Voice
from iaca.corpora.demo.voice import synthesise
from iaca.encoders.config import EmbeddingConfig, config_of, describe, identity, mismatches
from iaca.encoders.cues import LAG, TrailingSoundCues, TrailingSynchrony, sound_cues, synchrony
from iaca.encoders.embed import TrailingSound, embed, embed_sound, with_sound
from iaca.media import AudioTrack

RATE, CAUSAL = 16_000, EmbeddingConfig(causal=True)


@pytest.fixture(scope="module")
def voice() -> np.ndarray:
    """Six seconds of speech in a quiet room."""
    steady = Trajectory(((0.0, 0.4, np.pi / 2),))
    spoken = synthesise(Voice(pitch_hz=170.0), Trajectory(()), steady, 6.0, RATE, 0)
    return (0.5 * spoken + np.random.default_rng(0).normal(0, 3e-4, len(spoken))).astype(np.float32)


def in_pieces(sound: TrailingSound, samples: np.ndarray, times: np.ndarray, lengths: list[int]) -> np.ndarray:
    """Rows and cues (t, 49) at each time, with the sound up to it heard in pieces of these lengths, in turn."""
    rows, place, turn = [], 0, 0
    for time_s in times:
        while place < min(int(np.ceil(time_s * RATE)), len(samples)):
            sound.hear(samples[place : place + lengths[turn % len(lengths)]])
            place, turn = place + lengths[turn % len(lengths)], turn + 1
        row, cues = sound.step(time_s)
        rows.append(np.concatenate([row, list(cues.values())]))
    return np.stack(rows)


def test_sound_in_pieces_of_any_size_gives_the_same(voice: np.ndarray) -> None:
    times = np.cumsum(np.tile([0.04, 0.029, 0.063], 40))
    whole = in_pieces(TrailingSound(), voice, times, [len(voice)])
    for lengths in ([333], [1, 7000, 80], [160]):
        np.testing.assert_allclose(in_pieces(TrailingSound(), voice, times, lengths), whole, atol=2e-3, rtol=1e-5)


def test_later_sound_changes_nothing(voice: np.ndarray) -> None:
    times, other = np.arange(0.0, 5.5, 0.05), voice.copy()
    other[3 * RATE :] = np.random.default_rng(1).uniform(-0.9, 0.9, len(voice) - 3 * RATE)
    before = times <= 3.0
    for config, same in ((CAUSAL, True), (EmbeddingConfig(), False)):
        one, two = (embed_sound(AudioTrack(x, RATE, ((0.0, len(x) / RATE),)), times, config) for x in (voice, other))
        assert np.allclose(one.rows[before], two.rows[before], atol=1e-4) == same
        assert all(np.allclose(one.cues[n][before], two.cues[n][before], atol=1e-4) for n in one.cues) == same
        assert not np.allclose(one.rows[~before], two.rows[~before], atol=0.5)


def test_descriptors_of_a_steady_sound_are_those_of_the_centred_form() -> None:
    """Where nothing changes, it makes no difference whether a window ends at the step or is centred on it."""
    clock = np.arange(8 * RATE) / RATE
    tone = sum(np.sin(2 * np.pi * 150 * k * clock) / k for k in range(1, 20)).astype(np.float32)
    tone *= np.float32(0.8 / np.abs(tone).max())
    tone += np.random.default_rng(0).normal(0, 0.01, len(tone)).astype(np.float32)  # no band is at the floor
    descriptors = TrailingDescriptors()
    descriptors.hear(tone)
    trailing = descriptors.row(6.0)
    centred = functionals(torch.from_numpy(tone), torch.tensor([4.0], dtype=torch.float64))[0].numpy()
    for name, one, other in zip(NAMES, trailing, centred, strict=True):
        assert one == pytest.approx(other, abs=0.6 if name in EFFORT or "mfcc" in name else 0.15), name
    assert trailing[NAMES.index("pitch_mean")] == pytest.approx(np.log2(1.5), abs=0.02)
    assert trailing[NAMES.index("voiced_share")] == 1.0


def test_a_voice_is_found_louder_than_the_room_and_silence_is_no_voice(voice: np.ndarray) -> None:
    cues, room = TrailingSoundCues(RATE), np.random.default_rng(0).normal(0, 3e-4, 4 * RATE).astype(np.float32)
    cues.hear(np.concatenate([voice, room]))
    speaking = [cues.at(t) for t in np.arange(2.0, 5.5, 0.05)]
    silent = [cues.at(t) for t in np.arange(9.0, 9.9, 0.05)]
    assert np.mean([c["voice_activity"] for c in speaking]) > 0.3
    assert np.mean([c["voice_activity"] for c in silent]) < 0.05
    assert np.mean([c["snr_estimate"] for c in speaking]) > np.mean([c["snr_estimate"] for c in silent]) + 10


def test_level_loudness_and_clipping_are_those_of_the_sound_before() -> None:
    tone = (0.5 * np.sin(2 * np.pi * 997 * np.arange(3 * RATE) / RATE)).astype(np.float32)
    cues = TrailingSoundCues(RATE)
    cues.hear(tone[: 2 * RATE])
    cues.hear(np.clip(4 * tone[2 * RATE :], -1, 1))
    quiet, clipped = cues.at(2.0), cues.at(3.0)
    centred = sound_cues(tone, RATE, np.array([1.5]))
    assert quiet["sound_level"] == pytest.approx(float(centred["sound_level"][0]), abs=0.1)
    assert quiet["loudness"] == pytest.approx(float(centred["loudness"][0]), abs=0.1)
    assert (quiet["clipping"], clipped["clipping"] > 0.3) == (0.0, True)


def test_a_gap_is_no_quiet_room() -> None:
    noise = np.random.default_rng(0).normal(0, 0.05, 2 * RATE).astype(np.float32)
    snr = {}
    for present in (True, False):
        cues = TrailingSoundCues(RATE)
        cues.hear(np.zeros(RATE, np.float32), present)
        cues.hear(noise)
        snr[present] = cues.at(1.4)["snr_estimate"]
    assert snr[True] > 20 > 10 > snr[False]


@pytest.mark.parametrize("late_s", [0.0, 0.2, -0.2])
def test_mouth_and_sound_that_move_together_agree_and_the_lag_is_found(late_s: float) -> None:
    times = np.arange(0, 14, 1 / 25)

    def envelope(t: np.ndarray) -> np.ndarray:
        return np.sin(2 * np.pi * 3.1 * t) + np.sin(2 * np.pi * 4.3 * t + 1) + 0.6 * np.sin(2 * np.pi * 0.9 * t)

    opening, level = envelope(times), 20 * np.log10(0.3 + 0.1 * envelope(times - late_s) ** 2)
    level = 20 * np.log10(np.maximum(3 + envelope(times - late_s), 1e-3))
    trailing, strangers = TrailingSynchrony(), TrailingSynchrony()
    unrelated = np.random.default_rng(0).normal(size=len(times))
    for k, t in enumerate(times):
        found = trailing.step(opening[k], level[k], t, True)
        other = strangers.step(unrelated[k], level[k], t, True)
    assert found["synchrony"] > 0.9
    assert found[LAG] == pytest.approx(late_s, abs=0.05)
    assert other["synchrony"] < 0.5
    known = np.ones(len(times), bool)
    centred = synchrony(opening.astype(np.float32), level.astype(np.float32), times, known)
    assert found["synchrony"] == pytest.approx(float(centred["synchrony"][200]), abs=0.1)
    for _ in range(3):
        unknown = trailing.step(np.nan, level[0], times[-1] + 20, True)
    assert unknown["synchrony"] == 0.0
    assert np.isnan(unknown[LAG])


def test_the_switch_is_part_of_what_an_embedding_is() -> None:
    assert "causal" not in EmbeddingConfig().model_dump()
    assert describe(CAUSAL) == describe(EmbeddingConfig())
    assert mismatches(identity(CAUSAL), identity(EmbeddingConfig()))
    assert config_of(identity(CAUSAL)).causal
    assert not config_of(identity(EmbeddingConfig())).causal


@pytest.mark.parametrize(
    "given",
    [
        {"audio": "vggish"},
        {"audio": "prosody+ge2e"},
        {"visual": "r2plus1d_18"},
        {"visual": "mini_xception+r2plus1d_18"},
    ],
)
def test_encoders_that_read_later_are_refused_by_name(given: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="reads later"):
        EmbeddingConfig(causal=True, **given)
    EmbeddingConfig(causal=True, visual="resnet18+mini_xception")


def test_other_sound_is_embedded_as_the_clip_was(voice: np.ndarray) -> None:
    times = np.arange(0, 5.9, 0.04)
    faces = pd.DataFrame({"time_s": times, "face_found": False, "score": np.nan})
    track = AudioTrack(voice, RATE, ((0.0, 6.0),))
    clip = embed(faces, [b""] * len(times), track, CAUSAL)
    np.testing.assert_array_equal(with_sound(clip, track, CAUSAL).audio, clip.audio)
    silent = with_sound(clip, AudioTrack(np.zeros_like(voice), RATE, ((0.0, 6.0),)), CAUSAL)
    assert not np.allclose(silent.audio, clip.audio)


def test_a_recording_without_sound_or_without_steps_has_rows_all_the_same() -> None:
    empty = AudioTrack(np.zeros(0, np.float32), RATE, ())
    sound = embed_sound(empty, np.arange(0, 1, 0.1), CAUSAL)
    assert sound.rows.shape == (10, 44)
    assert np.isfinite(sound.rows).all()
    assert embed_sound(empty, np.zeros(0), CAUSAL).rows.shape == (0, 44)


def test_a_single_step_is_the_first_of_many(voice: np.ndarray) -> None:
    track = AudioTrack(voice, RATE, ((0.0, 6.0),))
    one, many = (embed_sound(track, times, CAUSAL) for times in (np.array([0.2]), np.array([0.2, 1.0, 2.5])))
    np.testing.assert_array_equal(one.rows, many.rows[:1])
    assert one.cues.keys() == many.cues.keys()
    for name, values in one.cues.items():
        np.testing.assert_array_equal(values, many.cues[name][:1])
