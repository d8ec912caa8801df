"""Embedding files: what was written comes back, and what is none is refused with its name."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from iaca.encoders import AnnotatedClip, ClipEmbedding, read_annotated, read_embedding, write_embedding
from iaca.encoders.embedding import ARRAYS, HEADER
from iaca.errors import InputError
from iaca.parameters import MODALITIES

Arrays = dict[str, torch.Tensor]


@pytest.fixture
def clip() -> ClipEmbedding:
    rows = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    seen, time_s = np.array([True, False, True, True, False]), np.arange(5) / 25
    return ClipEmbedding(rows, rows[:, :2], ~seen, seen, time_s, rows[:, :1], ("blur",), {"audio": "a"})


def test_an_embedding_comes_back_as_it_was_and_its_file_has_the_same_bytes(clip: ClipEmbedding, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_embedding(clip, tmp_path / name)
    back = read_embedding(tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (back.metadata, back.quality_names) == (clip.metadata, clip.quality_names)
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(back, name), getattr(clip, name))


def test_a_file_of_version_3_that_still_holds_labels_is_read_without_them(clip: ClipEmbedding, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write_embedding(clip, path)
    with safe_open(path, "pt") as file:
        header = file.metadata()
    assert set(load_file(path)) == set(ARRAYS)
    save_file(load_file(path) | {"labels": torch.zeros(5, 2)}, path, metadata=header)
    np.testing.assert_array_equal(read_embedding(path).audio, clip.audio)


def test_a_modality_is_reached_by_its_name(clip: ClipEmbedding) -> None:
    assert tuple(clip.features) == tuple(clip.present) == tuple(clip.dims) == MODALITIES
    assert clip.features["visual"] is clip.visual
    assert clip.present["visual"] is clip.face_found
    assert clip.dims == {"audio": 3, "visual": 2}
    np.testing.assert_array_equal(clip.observed, clip.audio_present | clip.face_found)
    hidden = clip.with_modalities(present={"visual": np.zeros(5, np.bool_)})
    assert not hidden.face_found.any()
    assert hidden.audio_present is clip.audio_present
    silenced = clip.with_modalities(features={"audio": np.zeros_like(clip.audio)})
    assert not silenced.audio.any()
    assert (silenced.visual is clip.visual, silenced.metadata) == (True, clip.metadata)


def test_the_annotation_of_the_timeline_joins_the_embeddings_step_by_step(clip: ClipEmbedding, tmp_path: Path) -> None:
    write_embedding(clip, tmp_path / "x.safetensors")
    gold = np.array([[0.1, -0.5], [np.nan, 0.2], [0.3, 0.4], [-1, 1], [0, np.nan]], np.float32)
    timeline = pd.DataFrame({"time_s": clip.time_s, "arousal": gold[:, 1], "valence": gold[:, 0]})
    timeline.to_parquet(tmp_path / "x.parquet")
    joined = read_annotated(tmp_path / "x.safetensors", tmp_path / "x.parquet")
    np.testing.assert_array_equal(joined.labels, gold)
    np.testing.assert_array_equal(joined.embedding.visual, clip.visual)
    assert len(joined) == 5
    timeline[:4].to_parquet(tmp_path / "x.parquet")
    with pytest.raises(InputError, match=r"x\.parquet: the timeline has 4 steps, but 5 are embedded"):
        read_annotated(tmp_path / "x.safetensors", tmp_path / "x.parquet")
    with pytest.raises(ValueError, match="5 steps are embedded"):
        AnnotatedClip(clip, gold[:, :1])


@pytest.mark.parametrize("content", [b"", b"not a tensor", b"\xff" * 64])
def test_a_torn_embedding_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(InputError, match=r"x\.safetensors.*embedding pipeline"):
        read_embedding(tmp_path / "x.safetensors")


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: arrays.pop("quality"),
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
