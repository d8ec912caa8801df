"""Which windows a run sees, and in which order: shuffled ones to train on, and two fixed sets to score."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Sized
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from iaca.encoders.embedding import AnnotatedClip
from iaca.fusion.iaca_plus import Readings
from iaca.parameters import MODALITIES
from iaca.training.config import CorruptionConfig, TrainingConfig
from iaca.training.corruption import CueSimulation, corrupt
from iaca.training.readings import rate_of, read_steps
from iaca.training.sample import Sample, Stream, Window, WindowSpec, collate, cut, cut_sample, generator, padded

Clips = Mapping[str, AnnotatedClip]
Loader = DataLoader[Any]


def training_loader(
    clips: Clips,
    config: TrainingConfig,
    spec: WindowSpec,
    readers: Mapping[str, Readings] | None = None,
    first_epoch: int = 0,
) -> Loader:
    """Overlapping windows, in another order in each epoch; some of them are corrupted.

    `first_epoch` is that of a resumed run. Lightning says it only after it has made the first iterator, from which
    workers have drawn by then.
    """
    windows = windows_of(clips, spec.length, config.hop)
    dataset = WindowDataset(clips, windows, spec, config.corruption, readers, seed=config.seed)
    sampler = EpochSampler(len(windows), config.seed)
    sampler.set_epoch(first_epoch)
    return _loader(dataset, config, sampler, persistent=True)


def validation_loaders(
    clips: Clips, config: TrainingConfig, spec: WindowSpec, readers: Mapping[str, Readings] | None = None
) -> list[Loader]:
    """Clean windows, and the same ones all corrupted, alike in every epoch. Every step counts once."""
    windows = windows_of(clips, spec.length, spec.length, once=True)
    always = config.corruption.model_copy(update={"share": 1.0})
    datasets = [
        WindowDataset(clips, windows, spec, corruption, readers, seed=config.seed, stream=Stream.VALIDATION)
        for corruption in (None, always)
    ]
    return [_loader(dataset, config, EpochSampler(len(windows), config.seed, shuffle=False)) for dataset in datasets]


GPU_WORKERS, PREFETCH = 4, 4


def _loader(dataset: WindowDataset, config: TrainingConfig, sampler: EpochSampler, persistent: bool = False) -> Loader:
    """Batches in the order of the sampler, the same ones in every process that cuts them.

    A GPU gets them from workers that are `PREFETCH` batches ahead, in pinned memory, from which Lightning copies them
    without waiting. Workers are forked: they share the mapped files, and run no kernel of the GPU.
    """
    gpu = on_gpu(config)
    workers = (GPU_WORKERS if gpu else 0) if config.loaders is None else config.loaders
    ahead: dict[str, Any] = {
        "prefetch_factor": PREFETCH,
        "persistent_workers": persistent,
        "multiprocessing_context": "fork",
    }
    return DataLoader(
        dataset,
        config.batch_size,
        sampler=sampler,
        collate_fn=collate,
        generator=torch.Generator(),  # a separate one: what the loader draws must not change dropout
        num_workers=workers,
        pin_memory=gpu,
        **(ahead if workers else {}),
    )


def window_starts(steps: int, length: int, hop: int) -> list[int]:
    """First steps of the windows that cover `steps` steps. The last is right-aligned; a short clip has only one."""
    return [*range(0, steps - length, hop), max(steps - length, 0)]


def windows_of(clips: Mapping[str, Sized], length: int, hop: int, once: bool = False) -> list[Window]:
    """All windows of all clips, clip by clip; with `once`, each step counts in one window only."""
    windows = []
    for name, clip in clips.items():
        end = 0
        for start in window_starts(len(clip), length, hop):
            windows.append(Window(name, start, max(start, end) if once else start))
            end = start + length
    return windows


class WindowDataset(Dataset[Sample]):
    """Windows of clips by (epoch, index), corrupted where a corruption is given.

    A sample depends on the seed, the epoch and the index alone: this makes a resumed run equal an uninterrupted one.

    Args:
        clips: by name.
        windows: of these clips.
        spec: how they are cut.
        corruption: of the windows; None leaves them clean.
        readers: of each clip, for models that start from readings. They read the corrupted window, with what is around
            it. In training they must not have seen the clip: readings of clips that the readers were fitted to are
            better than any that the model will meet, and it would trust them too much.
        seed, stream: of the generators that draw the corruption.
    """

    def __init__(
        self,
        clips: Clips,
        windows: Sequence[Window],
        spec: WindowSpec,
        corruption: CorruptionConfig | None = None,
        readers: Mapping[str, Readings] | None = None,
        *,
        seed: int = 0,
        stream: Stream = Stream.CORRUPTION,
    ):
        self.clips, self.windows, self.spec = clips, windows, spec
        self.corruption, self.seed, self.stream = corruption, seed, stream
        self.simulation = CueSimulation.of(spec.cues, spec.normalisation) if spec.cues else None
        self.ranges = _ranges(windows)
        self.readers = readers or {}
        self.rates = {name: rate_of(clips[name].embedding) for name in self.readers}

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        epoch, index = key
        sample = self._cut(index)
        if self.corruption is not None:
            rng = generator(self.seed, self.stream, epoch, index)
            other = partial(self._other, index, rng)
            sample = corrupt(sample, other, self.corruption, rng, self.simulation)
        return self._read(sample, self.windows[index]) if self.readers else sample

    def _other(self, index: int, rng: np.random.Generator) -> Sample:
        return self._cut(self.other_window(index, rng))

    def _read(self, sample: Sample, window: Window) -> Sample:
        """The window with its readings, made of its own content and of the clip around it."""
        clip, rate, reader = self.clips[window.clip].embedding, self.rates[window.clip], self.readers[window.clip]
        reach = round(rate * max(reader.averages_s, default=0.0)) // 2
        steps = int(sample.padding.sum())
        first, end = max(window.start - reach, 0), min(window.start + steps + reach, len(clip))
        around = cut(clip, first, replace(self.spec, length=end - first))
        own = slice(window.start - first, window.start - first + steps)
        for name in (*MODALITIES, "present"):
            getattr(around, name)[own] = getattr(sample, name)[:steps]
        readings = read_steps(reader, [around], around.present, rate)
        return replace(sample, readings=padded(readings[own], self.spec.length))

    def _cut(self, index: int) -> Sample:
        window = self.windows[index]
        return cut_sample(self.clips[window.clip], window, self.spec)

    def other_window(self, index: int, rng: np.random.Generator) -> int:
        """Index of a window of another clip, each equally likely; of the same clip if there is only one."""
        first, end = self.ranges[self.windows[index].clip]
        others = len(self.windows) - (end - first)
        if others == 0:
            return int(rng.integers(len(self.windows)))
        drawn = int(rng.integers(others))
        return drawn if drawn < first else drawn + (end - first)


def _ranges(windows: Sequence[Window]) -> dict[str, tuple[int, int]]:
    """Index of the first window of each clip, and of the one after its last."""
    ranges: dict[str, tuple[int, int]] = {}
    for index, window in enumerate(windows):
        ranges[window.clip] = (ranges.get(window.clip, (index, index))[0], index + 1)
    return ranges


class EpochSampler(Sampler[tuple[int, int]]):
    """(epoch, index) keys in an order that depends on the epoch. Processes share an epoch evenly.

    Lightning calls `set_epoch`.
    """

    def __init__(self, windows: int, seed: int, shuffle: bool = True):
        self.windows, self.seed, self.shuffle, self.epoch = windows, seed, shuffle, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.windows // self._world()) if self.shuffle else self.windows

    def __iter__(self) -> Iterator[tuple[int, int]]:
        if not self.shuffle:  # validation: every process scores all windows
            return ((0, index) for index in range(self.windows))
        order = generator(self.seed, Stream.ORDER, self.epoch, 0).permutation(self.windows)
        rank = torch.distributed.get_rank() if self._world() > 1 else 0
        share = np.resize(order, len(self) * self._world())[rank :: self._world()]
        return ((self.epoch, int(index)) for index in share)

    @staticmethod
    def _world() -> int:
        return torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1


# --- devices; inference imports this file, so nothing here imports Lightning ---


def placement(config: TrainingConfig) -> dict[str, Any]:
    """`accelerator` and `devices` of the Trainer."""
    name, _, index = config.device.partition(":")
    accelerator = {"auto": config.accelerator, "cuda": "gpu"}.get(name, name)
    return {"accelerator": accelerator, "devices": [int(index)] if index else config.devices}


def on_gpu(config: TrainingConfig) -> bool:
    """Whether the run computes on a GPU of the kind that reads pinned memory."""
    accelerator = placement(config)["accelerator"]
    return accelerator in ("auto", "gpu") and torch.cuda.is_available()


def torch_device(config: TrainingConfig) -> torch.device:
    """Where what is not trained is computed in the caller's process: readings, validation of the final model."""
    index = placement(config)["devices"]
    return torch.device("cuda", index[0] if isinstance(index, list) else 0) if on_gpu(config) else torch.device("cpu")
