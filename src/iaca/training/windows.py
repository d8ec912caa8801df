"""Windows over clips, and the batches made of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from iaca.encoders.embedding import ClipEmbedding
from iaca.training.config import TARGETS, CorruptionConfig, Target
from iaca.training.corruption import corrupt
from iaca.training.cue_simulation import CueSimulation
from iaca.training.normalisation import Normalisation
from iaca.training.sample import Sample, cut
from iaca.training.seeds import Stream, generator


class Window(NamedTuple):
    """A stretch of a clip, from step `start`; steps before `fresh` were counted by the window before it."""

    clip: str
    start: int
    fresh: int


def window_starts(steps: int, length: int, hop: int) -> list[int]:
    """First steps of the windows that cover `steps` steps; the last one is right-aligned, a short clip has just one."""
    return [*range(0, steps - length, hop), max(steps - length, 0)]


def windows_of(clips: Mapping[str, ClipEmbedding], length: int, hop: int, once: bool = False) -> list[Window]:
    """All windows of all clips, clip by clip. `once` lets each step count in a single window."""
    windows = []
    for name, clip in clips.items():
        end = 0
        for start in window_starts(len(clip), length, hop):
            windows.append(Window(name, start, max(start, end) if once else start))
            end = start + length
    return windows


class WindowDataset(Dataset[Sample]):
    """Windows of clips by (epoch, index), corrupted where a corruption is given; with the cues that a model reads.

    What comes out depends on the seed, the epoch and the index, and on nothing that happened before: that is what makes
    a resumed run equal to an undisturbed one.
    """

    def __init__(
        self,
        clips: Mapping[str, ClipEmbedding],
        windows: Sequence[Window],
        length: int,
        normalisation: Normalisation,
        corruption: CorruptionConfig | None = None,
        seed: int = 0,
        stream: Stream = Stream.CORRUPTION,
        cues: tuple[str, ...] = (),
        targets: tuple[Target, ...] = TARGETS,
    ):
        self.clips, self.windows, self.length, self.normalisation = clips, windows, length, normalisation
        self.corruption, self.seed, self.stream = corruption, seed, stream
        self.cues, self.targets = cues, targets
        self.simulation = CueSimulation.of(cues, normalisation) if cues else None
        self.blocks = _blocks(windows)

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        epoch, index = key
        sample = self._cut(index)
        if self.corruption is None:
            return sample
        rng = generator(self.seed, self.stream, epoch, index)
        return corrupt(sample, lambda: self._cut(self.elsewhere(index, rng)), self.corruption, rng, self.simulation)

    def _cut(self, index: int) -> Sample:
        name, start, fresh = self.windows[index]
        return cut(self.clips[name], start, self.length, self.normalisation, fresh, self.cues, self.targets)

    def elsewhere(self, index: int, rng: np.random.Generator) -> int:
        """A window of another clip, evenly drawn; of the same clip where there is no other."""
        first, end = self.blocks[self.windows[index].clip]
        others = len(self.windows) - (end - first)
        if others == 0:
            return int(rng.integers(len(self.windows)))
        drawn = int(rng.integers(others))
        return drawn if drawn < first else drawn + (end - first)


def _blocks(windows: Sequence[Window]) -> dict[str, tuple[int, int]]:
    """Where the windows of each clip begin and end in the list."""
    blocks: dict[str, tuple[int, int]] = {}
    for index, window in enumerate(windows):
        blocks[window.clip] = (blocks.get(window.clip, (index, index))[0], index + 1)
    return blocks


class EpochSampler(Sampler[tuple[int, int]]):
    """(epoch, index) keys in an order of the epoch's own; Lightning calls `set_epoch`. Ranks share an epoch evenly."""

    def __init__(self, windows: int, seed: int, shuffle: bool = True):
        self.windows, self.seed, self.shuffle, self.epoch = windows, seed, shuffle, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.windows // self._world()) if self.shuffle else self.windows

    def __iter__(self) -> Iterator[tuple[int, int]]:
        if not self.shuffle:  # validation: every rank scores the whole partition
            return ((0, index) for index in range(self.windows))
        order = generator(self.seed, Stream.ORDER, self.epoch, 0).permutation(self.windows)
        rank = torch.distributed.get_rank() if self._world() > 1 else 0
        share = np.resize(order, len(self) * self._world())[rank :: self._world()]
        return ((self.epoch, int(index)) for index in share)

    @staticmethod
    def _world() -> int:
        return torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1


def collate(samples: Sequence[Sample]) -> dict[str, Tensor]:
    """Samples of one length t -> tensors (b, t, ...) by the names of `Sample`."""
    stacked: dict[str, NDArray[np.generic]] = {
        field.name: np.stack([getattr(sample, field.name) for sample in samples]) for field in fields(Sample)
    }
    return {name: torch.from_numpy(array) for name, array in stacked.items()}
