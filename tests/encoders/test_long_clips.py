"""Embedding in a memory that does not grow with a clip's length: neither its images nor its sound are held whole."""

import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor

from iaca.audio.features import Padded, Stretches, functionals
from iaca.encoders import read_embedding
from iaca.encoders.audio import RowBuffer, pieces
from iaca.encoders.config import EmbeddingConfig, EncoderChoice, describe
from iaca.encoders.cues import sound_cues
from iaca.encoders.embed import embed_file
from iaca.encoders.networks import build_network
from iaca.faces import encode_face
from iaca.faces.extract import BATCH, NUMBERS, FaceRow, write_batches
from iaca.media import AudioTrack, write_audio

RATE = 16_000
ROWS, SIZE = 10 * BATCH, 10_000


class Bright:
    """In place of a visual encoder: the mean of each face."""

    dim, batch, reach = 1, 64, 14
    networks = (SimpleNamespace(offsets=(0,)),)

    def __init__(self) -> None:
        self.arrow = 0

    def launch(self, faces: np.ndarray, sources: list[np.ndarray]) -> Tensor:
        self.arrow = max(self.arrow, pa.total_allocated_bytes())
        return torch.from_numpy(faces[sources[0][:, 0]].mean((1, 2, 3), dtype=np.float32)[:, None])


class Watched:
    """A sound of noise on nobody's disk, and the longest stretch of it that was asked for."""

    def __init__(self, seconds: int) -> None:
        self.count, self.longest = seconds * RATE, 0

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, part: slice) -> np.ndarray:
        start, stop, _ = part.indices(self.count)
        self.longest = max(self.longest, stop - start)
        return np.sin(np.arange(start, stop, dtype=np.float32) ** 1.5)


def long_clip(folder: Path) -> tuple[Path, Path]:
    """Faces of 16 px that grow brighter and come back, each of 10 kB as in a larger picture; a second of silence."""
    faces, audio = folder / "faces.parquet", folder / "audio.flac"
    some = [encode_face(np.full((16, 16, 3), grey, np.uint8), 95).ljust(SIZE, b"\0") for grey in range(0, 250, 10)]
    numbers = np.ones(len(NUMBERS), np.float32)
    write_batches(faces, (FaceRow(i, i / 25, numbers, 0, some[i % len(some)]) for i in range(ROWS)))
    write_audio(audio, AudioTrack(np.zeros(RATE, np.float32), RATE, ((0.0, 1.0),)))
    return faces, audio


def test_the_images_of_a_long_clip_are_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bright, silent = Bright(), SimpleNamespace(encode=lambda samples, times: np.zeros((len(times), 1), np.float32))
    monkeypatch.setattr("iaca.encoders.networks.build_encoders", lambda config: (bright, silent))
    files, config = long_clip(tmp_path), EmbeddingConfig(device="cpu")
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    embed_file(*files, target=tmp_path / "clip", config=config, encoders=describe(config))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak + bright.arrow - before < ROWS * SIZE / 2
    levels = read_embedding(tmp_path / "clip").visual[:, 0]
    np.testing.assert_allclose(levels, 10 * (np.arange(ROWS) % 25), atol=2)


@pytest.mark.parametrize("name", ["cues", "prosody", "ge2e"])
def test_a_long_sound_is_read_in_stretches_of_a_minute(name: str) -> None:
    sound, times = Watched(150), torch.tensor([0.5, 149.0], dtype=torch.float64)
    if name == "cues":
        sound_cues(sound, RATE, times.numpy())
    elif name == "prosody":
        functionals(Stretches(sound), times)
    else:
        rows = build_network(EncoderChoice(name=name), "audio", None).encode(
            Stretches(sound), times, lambda windows: windows[:, 0], 1
        )
        assert len(rows) == 2
        assert rows.isfinite().all()
    assert RATE < sound.longest <= 61 * RATE


def test_hidden_states_hear_fourteen_seconds_at_a_time() -> None:
    sound = Watched(60)
    assert sum(last - first for _, first, last in pieces(Stretches(sound))) == 60 * 50 - 1
    assert sound.longest <= 14.1 * RATE


def test_a_padded_sound_is_the_sound_with_silence_around_it() -> None:
    sound = torch.arange(1.0, 11.0)
    padded, whole = Padded(sound, 3, 4), torch.nn.functional.pad(sound, (3, 4))
    assert len(padded) == len(whole)
    for start in range(18):
        for stop in range(start, 19):
            assert torch.equal(padded[start:stop], whole[start:stop]), (start, stop)


def test_rows_pass_by_and_those_that_are_over_are_forgotten() -> None:
    rows = torch.arange(40.0).reshape(20, 2)
    passing = RowBuffer(iter(torch.split(rows, 3)))
    for first, last in ((0, 1), (0, 7), (4, 5), (15, 19), (16, 30), (25, 30)):
        assert torch.equal(passing.take(first, last), rows[first:last]), (first, last)
    with pytest.raises(ValueError, match="increasing order"):
        passing.take(3, 4)
