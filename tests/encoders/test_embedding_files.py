"""Embedding files: what was written comes back, and what is none is refused with its name."""

import json
import pickle
import re
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
from iaca.encoders.config import EmbeddingConfig
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


ROLLUP = Path("/proc/self/smaps_rollup")


def anonymous_mib() -> float:
    """Memory of this process that is not pages of a file."""
    (kib,) = re.findall(r"^Anonymous:\s+(\d+) kB", ROLLUP.read_text(), re.MULTILINE)
    return int(kib) / 1024


def large(steps: int = 20_000, width: int = 256) -> ClipEmbedding:
    """A clip with 40 MB of rows."""
    rows, there = np.ones((steps, width), np.float32), np.ones(steps, np.bool_)
    return ClipEmbedding(rows, rows, there, there, np.arange(steps) / 25, np.zeros((steps, 0), np.float32))


@pytest.mark.skipif(not ROLLUP.exists(), reason="needs Linux's /proc/self/smaps_rollup")
def test_a_file_is_mapped_and_not_loaded(tmp_path: Path) -> None:
    write_embedding(large(), tmp_path / "x")
    read_embedding(tmp_path / "x")  # what the first reading imports
    before = anonymous_mib()
    clip = read_embedding(tmp_path / "x")
    assert clip.audio.sum() == clip.visual.sum() == clip.audio.size
    assert anonymous_mib() - before < 4


def test_mapped_files_are_not_open(tmp_path: Path) -> None:
    """A process may open about a thousand; a corpus has more clips."""
    write_embedding(large(5), tmp_path / "x")
    clips = [read_embedding(tmp_path / "x")]
    before = len(list(Path("/proc/self/fd").iterdir()))
    clips += [read_embedding(tmp_path / "x") for _ in range(20)]
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_mapped_clip_cannot_be_written_to(clip: ClipEmbedding, tmp_path: Path) -> None:
    write_embedding(clip, tmp_path / "x")
    for name in ARRAYS:
        with pytest.raises(ValueError, match="read-only"):
            getattr(read_embedding(tmp_path / "x"), name)[0] = 1


def test_another_process_gets_the_path_of_a_mapped_clip(tmp_path: Path) -> None:
    write_embedding(large(), tmp_path / "x")
    clip = read_embedding(tmp_path / "x")
    sent = pickle.dumps(clip)
    assert len(sent) < 1000
    there = pickle.loads(sent)
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(there, name), getattr(clip, name))
    hidden = clip.with_modalities(present={"audio": ~clip.audio_present})
    assert len(pickle.dumps(hidden)) > clip.audio.nbytes, "a changed clip is no longer what the file holds"
    assert not pickle.loads(pickle.dumps(hidden)).audio_present.any()
    write_embedding(large(10), tmp_path / "y")
    (tmp_path / "y").rename(tmp_path / "x")
    assert len(clip) == 20_000
    with pytest.raises(InputError, match="changed while processes were started"):
        pickle.loads(sent)


def test_rows_may_be_float16(clip: ClipEmbedding, tmp_path: Path) -> None:
    write_embedding(clip, tmp_path / "x", "float16")
    back = read_embedding(tmp_path / "x")
    assert (back.audio.dtype, back.visual.dtype, back.quality.dtype, back.time_s.dtype) == ("f2", "f2", "f4", "f8")
    np.testing.assert_allclose(back.audio, clip.audio, rtol=1e-3)
    np.testing.assert_array_equal(back.quality, clip.quality)
    write_embedding(back, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "x").read_bytes()


def test_a_value_beyond_float16_is_refused_where_it_counts(clip: ClipEmbedding, tmp_path: Path) -> None:
    far = np.where(clip.face_found[:, None], clip.visual, np.float32(1e6))
    write_embedding(replace(clip, visual=far), tmp_path / "x", "float16")
    with pytest.raises(InputError, match=r"visual embedding reaches 1e\+06.*embedding.dtype=float32"):
        write_embedding(replace(clip, visual=np.full_like(far, 1e6)), tmp_path / "x", "float16")


def test_the_default_type_is_not_in_fingerprints() -> None:
    """Embeddings from before there was a choice stay up to date."""
    assert "dtype" not in EmbeddingConfig().model_dump(mode="json")
    assert EmbeddingConfig(dtype="float16").model_dump(mode="json")["dtype"] == "float16"
