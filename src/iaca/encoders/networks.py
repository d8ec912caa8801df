"""Built encoders: networks on their device, alone or side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from iaca.audio.features import Stretches
from iaca.encoders.config import EmbeddingConfig, EncoderChoice
from iaca.encoders.device import pick_device, pick_dtype
from iaca.encoders.identity import describe, weights_of
from iaca.encoders.options import ClipOptions
from iaca.media import Samples
from iaca.modalities import MODALITIES, Modality

Rows = NDArray[np.float32]
CPU_BATCH = 16  # what a larger batch computes no longer fits a core's cache: mini_xception is then 1.7 times as slow


@dataclass(frozen=True)
class Network:
    """One encoder's network.

    Attributes:
        module: on the device, its convolutions laid out with the channels last: on a CPU more than twice as fast.
        dtype: what autocast computes in.
        dim: numbers in a row.
        batch: steps in one forward pass; 1 for a network over whole sounds.
        offsets: frames it sees, counted from the step; (0,) for one that sees single faces.
    """

    module: nn.Module
    device: torch.device
    dtype: torch.dtype
    dim: int
    batch: int
    offsets: tuple[int, ...] = (0,)

    @torch.inference_mode()
    def run(self, batch: Tensor) -> Tensor:
        """A batch on the CPU -> float32 rows on the device, where a GPU may still be at work on them."""
        if len(batch) == 1 < self.batch:  # other kernels serve a batch of one, and the last digits would differ
            return self.run(torch.cat([batch, batch]))[:1]
        if self.device.type == "cuda":
            batch = batch.pin_memory().to(self.device, non_blocking=True)
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            rows: Tensor = self.module(batch)
        return rows.float()


class VisualEncoder:
    """Aligned faces to rows: the networks of a configuration, side by side.

    Attributes:
        dim: numbers in a row.
        batch: the largest batch of its networks.
        reach: frames on either side of a step that one of them looks at.
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
            sources: for each network, which of the faces it sees at each of n steps: (n, k), k as its offsets.
        """
        pictures = torch.from_numpy(faces)
        parts = [
            torch.cat([network.run(_pick(pictures, some)) for some in _split(where, network.batch)])
            for network, where in zip(self.networks, sources, strict=True)
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)

    def encode(self, faces: NDArray[np.uint8]) -> Rows:
        """Rows (n, dim) of single faces (n, h, w, 3), each by itself: a clip repeats its face."""
        steps = np.arange(len(faces))[:, None]
        return to_rows(self.launch(faces, [np.repeat(steps, len(n.offsets), 1) for n in self.networks]))


class AudioEncoder:
    """Sound to rows: the networks of a configuration, side by side."""

    def __init__(self, networks: Sequence[Network]):
        self.networks = tuple(networks)
        self.dim = sum(network.dim for network in networks)

    @torch.inference_mode()
    def encode(self, samples: Samples, times: NDArray[np.float64]) -> Rows:
        """16 kHz samples (m,) and step times (t,) in s, increasing -> rows (t, dim); without a sound, rows of zeros."""
        if len(samples) == 0 or len(times) == 0:
            return np.zeros((len(times), self.dim), np.float32)
        sound, moments = Stretches(samples), torch.from_numpy(np.require(times, requirements="W"))
        parts = [n.module.encode(sound, moments, n.run, n.batch) for n in self.networks]  # type: ignore[operator]
        return np.concatenate([to_rows(part) for part in parts], 1)


def build_encoders(config: EmbeddingConfig) -> tuple[VisualEncoder, AudioEncoder]:
    """The encoders of a configuration; kept, since a worker embeds many clips with the same ones.

    Raises:
        InputError: a weight file is missing, torn, or of another network; the device or precision is not to be had.
    """
    return _build(config.model_dump_json(), repr(describe(config)))


def to_rows(rows: Tensor) -> Rows:
    """On the CPU, as numpy; waits for the device."""
    return np.asarray(rows.cpu().numpy(), dtype=np.float32)


@lru_cache(maxsize=2)
def _build(config_json: str, versions: str) -> tuple[VisualEncoder, AudioEncoder]:
    del versions  # an argument so that a checkpoint that changed is read again
    config = EmbeddingConfig.model_validate_json(config_json)
    audio, visual = (
        [_network(choice, modality, config) for choice in config.choices(modality)] for modality in MODALITIES
    )
    return VisualEncoder(visual), AudioEncoder(audio)


def _network(choice: EncoderChoice, modality: Modality, config: EmbeddingConfig) -> Network:
    entry, device = choice.entry(modality), pick_device(config.device)
    options, dtype = entry.configured(choice.changes), pick_dtype(config.precision, device)
    module = entry.build(choice.changes, weights_of(choice, modality)).to(device)
    if modality == "visual":
        clips = isinstance(options, ClipOptions)
        module = module.to(memory_format=torch.channels_last_3d if clips else torch.channels_last)
    offsets = options.offsets if isinstance(options, ClipOptions) else (0,)
    return Network(module, device, dtype, entry.dim, _batch(entry.batch, config.batch, device), offsets)


def _batch(own: int, asked: int | None, device: torch.device) -> int:
    if own == 1:
        return 1
    return max(asked or (own if device.type == "cuda" else min(own, CPU_BATCH)), 2)


def _pick(pictures: Tensor, where: NDArray[np.intp]) -> Tensor:
    """(m, h, w, 3) -> (n, k, h, w, 3), or (n, h, w, 3) for single faces; a view where all are taken as they come."""
    index = where[:, 0] if where.shape[1] == 1 else where
    if index.ndim == 1 and len(index) and index[-1] - index[0] == len(index) - 1 and (np.diff(index) == 1).all():
        return pictures[index[0] : index[-1] + 1]
    return pictures[torch.from_numpy(index)]


def _split(where: NDArray[np.intp], size: int) -> list[NDArray[np.intp]]:
    return [where[start : start + size] for start in range(0, len(where), size)]
