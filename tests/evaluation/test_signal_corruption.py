"""Sound and faces are corrupted at the requested strength and steps; the clean level gives the same embedding."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from iaca.encoders import ClipEmbedding, read_embedding, write_embedding
from iaca.encoders.config import EmbeddingConfig, describe
from iaca.encoders.cues import NAMES
from iaca.encoders.embed import embed
from iaca.errors import InputError
from iaca.evaluation.config import Condition, RobustnessConfig, curve_levels
from iaca.evaluation.corruption import LEFT_ALONE, Partition, corrupted, corrupted_steps
from iaca.evaluation.signal_corruption import (
    CorruptedFaces,
    add_noise,
    babble,
    block,
    blurred,
    corrupt_faces_file,
    corrupt_sound_file,
    covered,
    left_alone,
    present_samples,
    rms,
    samples_of_steps,
    white_noise,
)
from iaca.faces import decode_face, encode_face
from iaca.faces.detect import TEMPLATE
from iaca.faces.extract import NUMBERS, FaceRow, write_batches
from iaca.media import AudioTrack, read_audio_file, write_audio

RATE = 16_000
CONFIG = EmbeddingConfig(device="cpu")
CORRUPTION = RobustnessConfig(levels={}, block_s=1.0)


def voice(seconds: float, loud: float = 0.3, seed: int = 0) -> np.ndarray:
    """A tone with a varying amplitude."""
    t = np.arange(int(seconds * RATE)) / RATE
    swell = np.clip(np.sin(2 * np.pi * 1.5 * t + seed), 0, 1)
    return (loud * swell * np.sin(2 * np.pi * (180 + 20 * seed) * t)).astype(np.float32)


@pytest.mark.parametrize("snr_db", [20.0, 5.0, 0.0, -5.0])
@pytest.mark.parametrize(("seconds", "loud"), [(0.5, 0.9), (3.0, 0.3), (11.0, 0.01)])
@pytest.mark.parametrize("kind", ["white", "babble", "made_up"])
def test_the_measured_ratio_is_the_requested_one_and_nothing_is_clipped(snr_db, seconds, loud, kind):
    rng, sound = np.random.default_rng(3), voice(seconds, loud)
    track = AudioTrack(sound, RATE, ((0.1, seconds),))
    others = [AudioTrack(voice(2.0, 0.1 * i, i), RATE, ((0.0, 2.0),)) for i in (1, 2)] if kind == "babble" else []
    noise = white_noise(rng, len(sound)) if kind == "white" else babble(rng, len(sound), RATE, others)
    present, where = present_samples(track), np.arange(len(sound)) % 4000 < 2000
    mixed = add_noise(sound, noise, present, where, snr_db)
    added = mixed.astype(np.float64) - sound
    measured = 20 * np.log10(rms(sound[present]) / rms(added[present & where]))
    assert abs(measured - snr_db) < 0.1
    np.testing.assert_array_equal(mixed[~(present & where)], sound[~(present & where)])
    assert np.corrcoef(added[present & where], noise[present & where])[0, 1] > 0.999  # a clipped sum would differ


def test_an_infinite_ratio_and_silence_return_the_sound_itself():
    noise, every = white_noise(np.random.default_rng(0), RATE), np.ones(RATE, bool)
    sound = voice(1.0)
    assert add_noise(sound, noise, every, every, float("inf")) is sound
    silence = np.zeros(RATE, np.float32)
    assert add_noise(silence, noise, every, every, 0.0) is silence


def test_every_sample_belongs_to_the_nearest_step():
    times = np.array([0.0, 0.1, 0.3])
    mask = samples_of_steps(np.array([False, True, False]), times, 100, 100)
    np.testing.assert_array_equal(np.flatnonzero(mask), np.arange(5, 20))


def test_a_blur_keeps_size_and_brightness_and_loses_detail():
    face = np.random.default_rng(1).integers(0, 256, (112, 112, 3), dtype=np.uint8)
    assert blurred(face, 1.0) is face
    spread = [blurred(face, factor).std() for factor in (1.0, 2.0, 4.0)]
    assert spread[0] > spread[1] > spread[2]
    assert blurred(face, 4.0).shape == face.shape
    assert abs(blurred(face, 4.0).mean() - face.mean()) < 2


@pytest.mark.parametrize(("part", "inside", "outside"), [("mouth", (3, 4), (0, 1, 2)), ("eyes", (0, 1), (2, 3, 4))])
@pytest.mark.parametrize("side", [64, 112, 224])
def test_a_block_covers_the_landmarks_of_its_part_and_no_others(part, inside, outside, side):
    rows, columns = block(part, side)
    hidden = np.zeros((side, side), bool)
    hidden[rows, columns] = True
    points = np.rint((TEMPLATE + 0.5) * side / 112 - 0.5).astype(int)
    assert all(hidden[points[i, 1], points[i, 0]] for i in inside)
    assert not any(hidden[points[i, 1], points[i, 0]] for i in outside)
    face = np.full((side, side, 3), 7, np.uint8)
    assert ((covered(face, part) != 7).all(axis=2) == hidden).all()


def test_only_chosen_faces_are_corrupted_and_others_are_the_stored_bytes():
    face = np.random.default_rng(1).integers(0, 256, (112, 112, 3), dtype=np.uint8)
    jpegs = [encode_face(face, 95)] * 2
    faces = CorruptedFaces(jpegs, np.array([False, True]), lambda image: covered(image, "mouth"))
    assert faces[0] is jpegs[0]
    np.testing.assert_array_equal(decode_face(faces[1]), covered(decode_face(jpegs[1]), "mouth"))


@pytest.mark.parametrize("protocol", ["audio_noise", "video_blur", "occlusion_mouth"])
def test_the_corrupted_share_of_the_timeline_is_the_requested_one(protocol):
    times = np.arange(1000) / 25
    level = 0.7 if protocol.startswith("occlusion") else 4.0
    share = 0.7 if protocol.startswith("occlusion") else CORRUPTION.signal_share
    steps = corrupted_steps(Condition(protocol, level), "a", times, CORRUPTION)
    assert abs(steps.mean() - share) < 0.03


class Clip:
    """Three seconds of noise images and a tone, on disk in the form of preprocessing."""

    def __init__(self, folder: Path, loud: float = 0.3):
        rng, steps = np.random.default_rng(5), 60
        self.times = np.arange(steps) / 20
        numbers = np.array([0.9, *rng.uniform(20, 90, len(NUMBERS) - 1)], np.float32)
        jpegs = [encode_face(rng.integers(0, 256, (112, 112, 3), dtype=np.uint8), 90) for _ in range(steps)]
        rows = [FaceRow(i, t, numbers, 0, jpeg) for i, (t, jpeg) in enumerate(zip(self.times, jpegs, strict=True))]
        self.faces, self.audio, self.embedding = folder / "a.parquet", folder / "a.flac", folder / "a.safetensors"
        write_batches(self.faces, rows)
        write_audio(self.audio, AudioTrack(voice(3.0, loud), RATE, ((0.0, 3.0),)))
        table = pd.DataFrame([{"time_s": r.time_s, "face_found": True, **dict(zip(NUMBERS, r.numbers, strict=True))}
                              for r in rows])  # fmt: skip
        self.clean = embed(table, jpegs, read_audio_file(self.audio), CONFIG)
        write_embedding(self.clean, self.embedding)

    def corrupted(self, condition: Condition, target: Path, **changes: object) -> ClipEmbedding:
        common = {"clip": "a", "condition": condition, "corruption": CORRUPTION, "config": CONFIG,
                  "encoders": describe(CONFIG)} | changes  # fmt: skip
        if condition.corruption.startswith("audio"):
            corrupt_sound_file(self.embedding, self.audio, target=target, **common)
        else:
            corrupt_faces_file(self.embedding, self.faces, target=target, **common)
        return read_embedding(target)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return Clip(tmp_path_factory.mktemp("clip"))


CLEAN = [("audio_noise", float("inf")), ("audio_babble", float("inf")), ("video_blur", 1.0), ("occlusion_eyes", 0.0)]


@pytest.mark.parametrize(("protocol", "level"), CLEAN)
def test_a_signal_embedded_at_its_clean_level_gives_the_same_file(clip, tmp_path, protocol, level):
    clip.corrupted(Condition(protocol, level), tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == clip.embedding.read_bytes()


@pytest.mark.parametrize(
    ("protocol", "level"), [("audio_noise", 0.0), ("audio_babble", 0.0), ("video_blur", 4.0), ("occlusion_mouth", 0.5)]
)
def test_only_the_corrupted_modality_and_its_cues_change(clip, tmp_path, protocol, level):
    now = clip.corrupted(Condition(protocol, level), tmp_path / "out")
    kept, new = ("visual", "audio") if protocol.startswith("audio") else ("audio", "visual")
    np.testing.assert_array_equal(getattr(now, kept), getattr(clip.clean, kept))
    steps = corrupted_steps(Condition(protocol, level), "a", clip.times, CORRUPTION)
    changed = (getattr(now, new) != getattr(clip.clean, new)).any(axis=1)
    assert changed[steps].mean() > 0.9
    cue = NAMES.index("snr_estimate" if new == "audio" else "face_contrast")
    assert not np.array_equal(now.quality[:, cue], clip.clean.quality[:, cue])
    config = CORRUPTION.model_copy(update={"levels": {protocol: (level,)}})
    partition = Partition({"a": len(now)}, lambda _: clip.clean, {}, {(protocol, level, "a"): tmp_path / "out"})
    made = corrupted(Condition(protocol, level), "a", clip.clean, partition, config)
    np.testing.assert_array_equal(made.truth[:, 0 if new == "audio" else 1], steps)


def test_a_silent_clip_is_not_corrupted_and_its_metadata_says_why(tmp_path):
    silent = Clip(tmp_path, loud=0.0)
    now = silent.corrupted(Condition("audio_noise", 0.0), tmp_path / "out")
    assert "no sound" in now.metadata[LEFT_ALONE]
    np.testing.assert_array_equal(now.audio, silent.clean.audio)
    partition = Partition({"a": 60}, lambda _: silent.clean, {}, {("audio_noise", 0.0, "a"): tmp_path / "out"})
    assert not corrupted(Condition("audio_noise", 0.0), "a", silent.clean, partition, CORRUPTION).truth.any()


def test_clips_that_were_not_corrupted_are_listed_with_their_reason(clip, tmp_path):
    silent, loud = Condition("audio_noise", 0.0), Condition("audio_noise", 10.0)
    (tmp_path / "silent").mkdir()
    Clip(tmp_path / "silent", loud=0.0).corrupted(silent, tmp_path / "b")
    clip.corrupted(silent, tmp_path / "a")
    files = {c.item(name): tmp_path / name for c in (silent, loud) for name in "ab"}
    assert left_alone(files, [silent, loud], ["a"]) == {}
    assert left_alone(files, [silent, loud], ["a", "b"]) == {
        "audio_noise": {"b": "no sound to which a noise could have a ratio"}
    }


def test_an_embedding_of_other_encoders_is_refused(clip, tmp_path):
    with pytest.raises(InputError, match="run the embedding pipeline"):
        clip.corrupted(Condition("audio_noise", 0.0), tmp_path / "out", encoders={"audio_encoder": "vggish"})


def test_levels_include_the_clean_one_where_curves_start():
    config = RobustnessConfig(levels={"audio_noise": [0, 20], "video_blur": [4], "occlusion_eyes": []})
    assert config.levels["audio_noise"] == (0, 20, float("inf"))
    assert curve_levels("audio_noise", config.levels["audio_noise"]) == [float("inf"), 20, 0]
    assert config.levels["video_blur"] == (1, 4)
    assert config.signal_conditions() == [("audio_noise", 0), ("audio_noise", 20), ("video_blur", 4)]
    with pytest.raises(ValueError, match="factors"):
        RobustnessConfig(levels={"video_blur": [0.5]})
