"""Build the encoders of a configuration on their device, run them, and read faces ahead of them in batches."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from iaca.audio.features import Stretches
from iaca.encoders.audio import AUDIO
from iaca.encoders.config import ClipOptions, EmbeddingConfig, EncoderChoice, Precision, describe, weights_of
from iaca.encoders.foundation import FOUNDATION
from iaca.encoders.visual import VISUAL
from iaca.errors import InputError
from iaca.faces import decode_face
from iaca.faces.extract import Jpegs
from iaca.media import Samples
from iaca.parameters import MODALITIES, Modality

log = logging.getLogger(__name__)
T = TypeVar("T")
R = TypeVar("R")
Rows = NDArray[np.float32]
CLASSES: dict[Modality, dict[str, type[nn.Module]]] = {
    "visual": VISUAL | FOUNDATION["visual"],
    "audio": AUDIO | FOUNDATION["audio"],
}
CPU_BATCH = 16  # larger batches do not fit the cache of a core: mini_xception is then 1.7 times slower
DTYPES = {"float32": torch.float32, "tf32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
BFLOAT16_CPU = ("avx512_bf16", "amx_bf16")  # processors that compute in it; others emulate it, slowly
AHEAD = 3  # batches decoded or being decoded: 64 faces of 112 px are 2.4 MB


# Building


def build_encoders(config: EmbeddingConfig) -> tuple[VisualEncoder, AudioEncoder]:
    """Build the encoders of a configuration. They are cached, because a worker embeds many clips with the same ones.

    Raises:
        InputError: a weights file is missing, damaged, or of another network; the device or precision is unavailable.
    """
    return _build(config.model_dump_json(), repr(describe(config)))


@lru_cache(maxsize=2)
def _build(config_json: str, versions: str) -> tuple[VisualEncoder, AudioEncoder]:
    del versions  # part of the cache key, so that a changed checkpoint is read again
    config = EmbeddingConfig.model_validate_json(config_json)
    audio, visual = (
        [_network(choice, modality, config) for choice in config.choices(modality)] for modality in MODALITIES
    )
    return VisualEncoder(visual), AudioEncoder(audio)


def _network(choice: EncoderChoice, modality: Modality, config: EmbeddingConfig) -> Network:
    entry, device = choice.entry(modality), pick_device(config.device)
    options, dtype = entry.configured(choice.changes), pick_dtype(config.precision, device)
    module = build_network(choice, modality, weights_of(choice, modality)).to(device)
    if modality == "visual":
        clips = isinstance(options, ClipOptions)
        module = module.to(memory_format=torch.channels_last_3d if clips else torch.channels_last)
    offsets = options.offsets if isinstance(options, ClipOptions) else (0,)
    batch, tf32 = _batch(entry.batch, config.batch, device), config.precision == "tf32"
    return Network(module, device, dtype, entry.dim, batch, offsets, tf32)


def build_network(choice: EncoderChoice, modality: Modality, weights: Path | None) -> nn.Module:
    """Build the network of an encoder with the weights of a file, or with random weights without one.

    Raises:
        InputError: the file is damaged or of another network.
    """
    options = choice.entry(modality).configured(choice.changes)
    return CLASSES[modality][choice.name](options, weights)


def _batch(own: int, asked: int | None, device: torch.device) -> int:
    if own == 1:
        return 1
    return max(asked or (own if device.type == "cuda" else min(own, CPU_BATCH)), 2)


@cache
def pick_device(name: str) -> torch.device:
    """The torch device of a name; `auto` is the first GPU if there is one, else the CPU. Logged once per process.

    Raises:
        InputError: torch has no such device, or it is not on this machine.
    """
    try:
        device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
    except RuntimeError as error:
        raise InputError(f"torch has no device named {name!r}", remedy="use auto, cpu, cuda or cuda:N") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"device {name!r} is not on this machine", remedy="use auto, or a GPU that torch finds")
    log.info("networks run on %s", torch.cuda.get_device_name(device) if device.type == "cuda" else device)
    return device


def set_tf32(allowed: bool) -> None:
    """Whether a GPU may round float32 to ten bits of mantissa. By default torch does so in convolutions and LSTMs, but
    not in products: then float32 would not mean the same on a GPU as on a CPU."""
    torch.set_float32_matmul_precision("high" if allowed else "highest")
    torch.backends.cudnn.allow_tf32 = allowed


def pick_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """The dtype of autocast; with float32 there is no autocast.

    Raises:
        InputError: float16 is requested on a CPU.
    """
    if precision == "auto":
        return torch.bfloat16 if _computes_in_bfloat16(device) else torch.float32
    if precision == "float16" and device.type == "cpu":
        raise InputError("float16 needs a GPU", remedy="use precision: auto, bfloat16 or float32")
    return DTYPES[precision]


def _computes_in_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    able = torch.cpu.get_capabilities()
    return any(bool(able.get(name)) for name in BFLOAT16_CPU)


# Running


@dataclass(frozen=True)
class Network:
    """The network of one encoder.

    Attributes:
        module: on the device, its convolutions in channels-last layout: more than twice as fast on a CPU.
        dtype: of autocast.
        dim: width of a row.
        batch: steps in one forward pass; 1 for a network over whole sounds.
        offsets: frames it sees, relative to the step; (0,) for a network over single faces.
        tf32: products of float32 may be rounded, see `set_tf32`.
    """

    module: nn.Module
    device: torch.device
    dtype: torch.dtype
    dim: int
    batch: int
    offsets: tuple[int, ...] = (0,)
    tf32: bool = False

    @torch.inference_mode()
    def run(self, batch: Tensor) -> Tensor:
        """A batch on the CPU -> float32 rows on the device; a GPU may still be computing them."""
        if len(batch) == 1 < self.batch:  # a batch of one uses other kernels, which differ in the last digits
            return self.run(torch.cat([batch, batch]))[:1]
        if self.device.type == "cuda":
            set_tf32(self.tf32)
            batch = batch.pin_memory().to(self.device, non_blocking=True)
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            rows: Tensor = self.module(batch)
        return rows.float()


class VisualEncoder:
    """From aligned faces to rows: the networks of a configuration, their rows concatenated.

    Attributes:
        dim: width of a row.
        batch: the largest batch of its networks.
        reach: frames on either side of a step that one of them sees.
    """

    def __init__(self, networks: Sequence[Network]):
        self.networks = tuple(networks)
        self.dim = sum(network.dim for network in networks)
        self.batch = max(network.batch for network in networks)
        self.reach = max(abs(offset) for network in networks for offset in network.offsets)

    def launch(self, faces: NDArray[np.uint8], sources: Sequence[NDArray[np.intp]]) -> Tensor:
        """Rows (n, dim) on the device.

        Args:
            faces: (m, h, w, 3) RGB.
            sources: for each network, which of the faces it sees at each of n steps: (n, k), one for each offset.
        """
        pictures = torch.from_numpy(faces)
        parts = [
            torch.cat([network.run(_pick(pictures, some)) for some in _split(where, network.batch)])
            for network, where in zip(self.networks, sources, strict=True)
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)

    def encode(self, faces: NDArray[np.uint8]) -> Rows:
        """Rows (n, dim) of independent faces (n, h, w, 3); a network over clips sees each face repeated."""
        steps = np.arange(len(faces))[:, None]
        return to_rows(self.launch(faces, [np.repeat(steps, len(n.offsets), 1) for n in self.networks]))


class AudioEncoder:
    """From sound to rows: the networks of a configuration, their rows concatenated."""

    def __init__(self, networks: Sequence[Network]):
        self.networks = tuple(networks)
        self.dim = sum(network.dim for network in networks)

    @torch.inference_mode()
    def encode(self, samples: Samples, times: NDArray[np.float64]) -> Rows:
        """16 kHz samples (m,) and step times (t,) in s, increasing -> rows (t, dim); zeros if there is no sound."""
        if len(samples) == 0 or len(times) == 0:
            return np.zeros((len(times), self.dim), np.float32)
        sound, moments = Stretches(samples), torch.from_numpy(np.require(times, requirements="W"))
        parts = [n.module.encode(sound, moments, n.run, n.batch) for n in self.networks]  # type: ignore[operator]
        return np.concatenate([to_rows(part) for part in parts], 1)


def to_rows(rows: Tensor) -> Rows:
    """Rows on the CPU as numpy; waits for the device."""
    return np.asarray(rows.cpu().numpy(), dtype=np.float32)


def _pick(pictures: Tensor, where: NDArray[np.intp]) -> Tensor:
    """(m, h, w, 3) -> (n, k, h, w, 3), or (n, h, w, 3) for single faces; a view if the faces are consecutive."""
    index = where[:, 0] if where.shape[1] == 1 else where
    if index.ndim == 1 and len(index) and index[-1] - index[0] == len(index) - 1 and (np.diff(index) == 1).all():
        return pictures[index[0] : index[-1] + 1]
    return pictures[torch.from_numpy(index)]


def _split(where: NDArray[np.intp], size: int) -> list[NDArray[np.intp]]:
    return [where[start : start + size] for start in range(0, len(where), size)]


# Reading ahead


@dataclass(frozen=True)
class FaceBatch:
    """Some steps with a face, and the faces needed to encode them.

    Attributes:
        steps: (n,) steps of the clip.
        frames: (m,) frames whose faces are decoded, ascending: the steps and all frames within reach of them.
        faces: (m, h, w, 3) uint8 RGB.
    """

    steps: NDArray[np.intp]
    frames: NDArray[np.intp]
    faces: NDArray[np.uint8]


def read_ahead(
    jpegs: Jpegs, found: NDArray[np.bool_], size: int, reach: int, pool: ThreadPoolExecutor
) -> Iterator[FaceBatch]:
    """Decode the steps with a face in threads, in order, `size` at a time; only the last batch may be smaller.

    Args:
        jpegs: by frame; frames without a face are not read.
        found: (t,) where there is a face.
        size: steps in a batch.
        reach: frames on either side of a step that an encoder sees.
        pool: decodes up to `AHEAD` batches at a time.
    """
    with_face = np.flatnonzero(found)
    steps = (with_face[start : start + size] for start in range(0, len(with_face), size))
    return ahead(pool, lambda some: _load(jpegs, with_face, some, reach), steps)


def ahead(pool: ThreadPoolExecutor, work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Results of `work` on each item, in order; `AHEAD` of them are computed before they are requested."""
    waiting: deque[Future[R]] = deque()
    for item in items:
        waiting.append(pool.submit(work, item))
        if len(waiting) > AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def nearest_faces(with_face: NDArray[np.intp], steps: NDArray[np.intp], offsets: Sequence[int]) -> NDArray[np.intp]:
    """The frames (n, k) of the clip around each of n steps with a face, for k offsets.

    A frame without a face is replaced by the nearest one that has a face, the earlier of two, but never by one outside
    the span of the clip.
    """
    reach = max(abs(offset) for offset in offsets)
    wanted = steps[:, None] + np.asarray(offsets)
    after = np.searchsorted(with_face, wanted)
    later = with_face[np.minimum(after, len(with_face) - 1)]
    earlier = with_face[np.maximum(np.where(later == wanted, after, after - 1), 0)]
    too_late = (later < wanted) | (later > steps[:, None] + reach)
    too_early = (earlier > wanted) | (earlier < steps[:, None] - reach)
    take_later = ~too_late & (too_early | (later - wanted < wanted - earlier))
    chosen: NDArray[np.intp] = np.where(take_later, later, earlier)
    return chosen


def _load(jpegs: Jpegs, with_face: NDArray[np.intp], steps: NDArray[np.intp], reach: int) -> FaceBatch:
    first, last = np.searchsorted(with_face, [steps[0] - reach, steps[-1] + reach + 1])
    frames = with_face[first:last]
    return FaceBatch(steps, frames, np.stack([_face(jpegs, int(frame)) for frame in frames]))


def _face(jpegs: Jpegs, frame: int) -> NDArray[np.uint8]:
    """The face of a frame; an error names the file if `jpegs` is a `FaceImages`."""
    try:
        return decode_face(jpegs[frame])
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        remedy = "run the preprocessing pipeline again to rebuild it"
        raise InputError(f"frame {frame}: {error}", getattr(jpegs, "path", None), remedy=remedy) from error
