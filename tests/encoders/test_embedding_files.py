"""Embedding files: what was written comes back, and what is none is refused with its name."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from iaca.encoders import ClipEmbedding, read_embedding, write_embedding
from iaca.encoders.embedding import HEADER
from iaca.errors import InputError

Arrays = dict[str, torch.Tensor]


@pytest.fixture
def clip() -> ClipEmbedding:
    rows = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    seen, time_s = np.array([True, False, True, True, False]), np.arange(5) / 25
    return ClipEmbedding(rows, rows[:, :2], ~seen, seen, time_s, rows[:, 1:], rows[:, :1], ("blur",), {"audio": "a"})


def test_an_embedding_comes_back_as_it_was_and_its_file_has_the_same_bytes(clip: ClipEmbedding, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_embedding(clip, tmp_path / name)
    back = read_embedding(tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (back.metadata, back.quality_names) == (clip.metadata, clip.quality_names)
    for name in ("audio", "visual", "audio_present", "face_found", "time_s", "labels", "quality"):
        np.testing.assert_array_equal(getattr(back, name), getattr(clip, name))


@pytest.mark.parametrize("content", [b"", b"not a tensor", b"\xff" * 64])
def test_a_torn_embedding_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(InputError, match=r"x\.safetensors.*embedding pipeline"):
        read_embedding(tmp_path / "x.safetensors")


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: arrays.pop("labels"),
        lambda arrays: arrays.update(audio=arrays["audio"].to(torch.bfloat16)),  # numpy has no such numbers
        lambda arrays: arrays.update(audio=arrays["audio"].double()),
        lambda arrays: arrays.update(time_s=arrays["time_s"][:, None]),
        lambda arrays: arrays.update(face_found=arrays["face_found"][1:].clone()),
    ],
    ids=["lacking", "bfloat16", "float64", "two axes", "a step less"],
)
def test_arrays_of_another_form_are_refused(
    clip: ClipEmbedding, tmp_path: Path, change: Callable[[Arrays], object]
) -> None:
    path = tmp_path / "x.safetensors"
    write_embedding(clip, path)
    arrays = load_file(path)
    change(arrays)
    save_file(arrays, path, metadata={HEADER: json.dumps({"quality_names": ["blur"], "metadata": {}})})
    with pytest.raises(InputError, match=r"x\.safetensors: not a whole embedding file"):
        read_embedding(path)


@pytest.mark.parametrize(
    "header", ["{", "[]", "3", '{"quality_names": []}', '{"metadata": {"a": 1}, "quality_names": []}',
               '{"metadata": {}, "quality_names": 3}', '{"metadata": {}}'],
)  # fmt: skip
def test_headers_of_another_form_are_refused(clip: ClipEmbedding, tmp_path: Path, header: str) -> None:
    path = tmp_path / "x.safetensors"
    write_embedding(replace(clip, metadata={}), path)
    save_file(load_file(path), path, metadata={HEADER: header})
    with pytest.raises(InputError, match=r"x\.safetensors: not a whole embedding file"):
        read_embedding(path)
