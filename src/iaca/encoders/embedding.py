"""The embeddings of one clip, the safetensors file that holds them, and the annotation that joins them in memory.

A clip that is read from a file is mapped, not loaded: its rows are pages of the file, which the kernel reads when they
are used, drops when memory is short, and shares between all processes that read them. Memory does not grow with the
corpus. Imports no torch: safetensors does when a file is mapped.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from iaca.errors import InputError, brief, counted
from iaca.formats.labels import TASK_COLUMNS, WIDTH
from iaca.parameters import MODALITIES, Modality, text_table
from iaca.text import parse_json

Dtype = Literal["float32", "float16"]
"""Of the rows in a file. Half the bytes cost less than 1e-3 of a prediction."""
ROWS: tuple[Dtype, ...] = ("float32", "float16")
ARRAYS = {
    "audio": (ROWS, 2), "visual": (ROWS, 2), "audio_present": (("bool",), 1), "face_found": (("bool",), 1),
    "time_s": (("float64",), 1), "quality": (("float32",), 2),
}  # fmt: skip
"""Types and number of axes of each array. Files of version 3 and earlier also hold `labels`, which nobody reads."""
HEADER = "iaca_embedding"  # one entry: safetensors keeps several in no fixed order, and the bytes would differ


@dataclass(frozen=True)
class ClipEmbedding:
    """What the fusion model sees of a clip; step i of every array is decoded video frame i.

    Attributes:
        audio: (t, D_a) float32, or float16 from a file of such rows. Rows where `audio_present` is False carry no
            meaning.
        visual: (t, D_v), likewise with `face_found`.
        audio_present: (t,) bool, the sound stream covers this moment.
        face_found: (t,) bool.
        time_s: (t,) float64, s from the start of the container.
        quality: (t, q) float32, cues named by `quality_names`.
        metadata: encoder names and versions, as strings.
        source: the file that the arrays are mapped from, with its signature; None for arrays in memory. A mapped clip
            is sent to another process as its path, and opened there.
    """

    audio: NDArray[np.float32]
    visual: NDArray[np.float32]
    audio_present: NDArray[np.bool_]
    face_found: NDArray[np.bool_]
    time_s: NDArray[np.float64]
    quality: NDArray[np.float32]
    quality_names: tuple[str, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)
    source: tuple[Path, str] | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        steps = {name: len(getattr(self, name)) for name in ARRAYS}
        if len(set(steps.values())) != 1:
            raise ValueError(f"every array of a clip has one row per step, got {steps}")

    def __len__(self) -> int:
        return len(self.time_s)

    def __reduce_ex__(self, protocol: Any) -> str | tuple[Any, ...]:
        return super().__reduce_ex__(protocol) if self.source is None else (_reopened, self.source)

    @property
    def features(self) -> Mapping[Modality, NDArray[np.float32]]:
        """(t, D) by modality."""
        return {"audio": self.audio, "visual": self.visual}

    @property
    def present(self) -> Mapping[Modality, NDArray[np.bool_]]:
        """(t,) by modality: where it was observed."""
        return {"audio": self.audio_present, "visual": self.face_found}

    @property
    def observed(self) -> NDArray[np.bool_]:
        """(t,) where at least one modality was observed."""
        return self.audio_present | self.face_found

    @property
    def dims(self) -> dict[Modality, int]:
        """Width of the features by modality."""
        return {modality: features.shape[1] for modality, features in self.features.items()}

    def part(self, steps: slice) -> Self:
        """Some steps in a row."""
        arrays: dict[str, Any] = {name: getattr(self, name)[steps] for name in ARRAYS}
        return replace(self, **arrays)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Consecutive parts of a clip, at least one, as one."""
        if len(parts) == 1:
            return parts[0]
        arrays: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in ARRAYS}
        return replace(parts[0], **arrays)

    def with_modalities(
        self,
        features: Mapping[Modality, NDArray[np.float32]] | None = None,
        present: Mapping[Modality, NDArray[np.bool_]] | None = None,
    ) -> Self:
        """A copy with other features, or another presence, of the modalities that are given."""
        features, present = {**self.features, **(features or {})}, {**self.present, **(present or {})}
        return replace(
            self,
            audio=features["audio"],
            visual=features["visual"],
            audio_present=present["audio"],
            face_found=present["visual"],
        )


@dataclass(frozen=True)
class AnnotatedClip:
    """A clip's embeddings and its annotation, which lie in files of their own: correcting a label embeds nothing again.

    Attributes:
        embedding: of t steps.
        labels: (t, 2) float32, valence and arousal in [-1, 1]; NaN where not annotated.
        tasks: (t, 13) float32, the expression's class and the action units (`TASK_COLUMNS`); NaN where not annotated.
            None for who learns valence and arousal alone.
    """

    embedding: ClipEmbedding
    labels: NDArray[np.float32]
    tasks: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        if self.labels.shape != (len(self.embedding), 2):
            raise ValueError(f"{len(self.embedding)} steps are embedded, but the annotation is {self.labels.shape}")
        if self.tasks is not None and self.tasks.shape != (len(self.embedding), WIDTH):
            raise ValueError(f"{len(self.embedding)} steps are embedded, but the tasks are {self.tasks.shape}")

    def __len__(self) -> int:
        return len(self.embedding)


def embeddings_of(clips: Mapping[str, AnnotatedClip]) -> dict[str, ClipEmbedding]:
    """The clips without their annotation."""
    return {name: clip.embedding for name, clip in clips.items()}


def annotate(clip: ClipEmbedding, timeline: Path, tasks: bool = False) -> AnnotatedClip:
    """The clip with the valence and arousal of its timeline (Parquet); with `tasks`, expression and action units, too.

    Raises:
        InputError: the timeline has another number of steps.
    """
    from pyarrow import parquet  # inference reads no timelines and does not install it

    columns = ["valence", "arousal"]
    present = set(parquet.read_schema(timeline).names) if tasks else set()
    table = pd.read_parquet(timeline, columns=columns + [name for name in TASK_COLUMNS if name in present])
    labels = table[columns].to_numpy(np.float32)
    if len(labels) != len(clip):
        raise InputError(
            f"the timeline has {counted(len(labels), 'step')}, but {len(clip)} are embedded",
            timeline,
            remedy="the video changed in between: run ingestion, preprocessing and embedding again",
        )
    return AnnotatedClip(clip, labels, table.reindex(columns=TASK_COLUMNS).to_numpy(np.float32) if tasks else None)


def write_embedding(embedding: ClipEmbedding, path: Path, dtype: Dtype | None = None) -> None:
    """Write a clip's embeddings as safetensors. The caller renames: this writes to `path` itself.

    Args:
        embedding: of a clip.
        path: the file.
        dtype: of the rows; None leaves them as they are.

    Raises:
        InputError: an observed row has a value that float16 can't hold.
    """
    arrays = {name: np.ascontiguousarray(getattr(embedding, name)) for name in ARRAYS}
    if dtype is not None:
        arrays |= {str(modality): _as(dtype, embedding, modality) for modality in MODALITIES}
    header = {"quality_names": embedding.quality_names, "metadata": embedding.metadata}
    save_file(arrays, path, metadata={HEADER: json.dumps(header, sort_keys=True)})


def _as(dtype: Dtype, embedding: ClipEmbedding, modality: Modality) -> NDArray[Any]:
    rows, present = embedding.features[modality], embedding.present[modality]
    with np.errstate(over="ignore"):
        cast = np.ascontiguousarray(rows, dtype)
    if not np.isfinite(cast[present]).all() and np.isfinite(rows[present]).all():
        largest = float(np.abs(rows[present]).max())
        raise InputError(
            f"the {modality} embedding reaches {largest:.3g}, but float16 ends at {np.finfo(np.float16).max:g}",
            remedy="store float32: embedding.dtype=float32",
        )
    return cast


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of an embedding file alone; no array is read.

    Raises:
        InputError: the file is torn, or is not an embedding file.
    """
    return dict(_read(path, ())[0]["metadata"])


def read_embedding(path: Path) -> ClipEmbedding:
    """Map what `write_embedding` wrote; the arrays can't be written to.

    Raises:
        InputError: the file is torn, or is not an embedding file.
    """
    written = _signature(path)
    header, arrays = _read(path, ARRAYS)
    if any(
        str(arrays[name].dtype) not in dtypes or arrays[name].ndim != axes for name, (dtypes, axes) in ARRAYS.items()
    ):
        raise _torn(path, "arrays of another type or shape")
    if len(header["quality_names"]) != arrays["quality"].shape[1]:
        raise _torn(path, "another number of cues than names of them")
    try:
        clip = ClipEmbedding(**arrays, quality_names=tuple(header["quality_names"]), metadata=header["metadata"])
    except ValueError as error:
        raise _torn(path, error) from None
    object.__setattr__(clip, "source", (path.absolute(), written))
    return clip


def _reopened(path: Path, written: str) -> ClipEmbedding:
    """A mapped clip in another process.

    Raises:
        InputError: the file is another one than the sender's.
    """
    if _signature(path) != written:
        remedy = "run again when nothing writes to it any more"
        raise InputError("changed while processes were started that read it", path, remedy=remedy)
    return read_embedding(path)


def _signature(path: Path) -> str:
    try:
        status = path.stat()
    except OSError as error:
        raise _torn(path, error) from error
    return f"{status.st_size} {status.st_ino} {status.st_mtime_ns}"


def read_annotated(embedding: Path, timeline: Path, tasks: bool = False) -> AnnotatedClip:
    """The embeddings of a clip, with the annotation of its timeline; raises as `read_embedding` and `annotate` do."""
    return annotate(read_embedding(embedding), timeline, tasks)


def _read(path: Path, names: Collection[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        # safetensors maps files for torch, without an open file for each, but copies them for numpy
        with safe_open(path, framework="pt" if names else "numpy") as file:
            header = parse_json((file.metadata() or {})[HEADER])
            arrays = {name: file.get_tensor(name).numpy() for name in names}
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:  # TypeError: numpy lacks some types
        raise _torn(path, error) from error
    described = isinstance(header, dict) and text_table(header.get("metadata")) is not None
    cues = header.get("quality_names") if described else None
    if not isinstance(cues, list) or not all(isinstance(cue, str) for cue in cues):
        raise _torn(path, "another header")
    for array in arrays.values():
        array.flags.writeable = False
    return header, arrays


def _torn(path: Path, why: object) -> InputError:
    what = f"not a whole embedding file ({brief(str(why))})"
    return InputError(what, path, remedy="run the embedding pipeline again to rebuild it")
