"""Which windows a run sees, in which order, and how they are corrupted: shuffled ones to train on, and two fixed sets
to score. `corrupt` removes, disturbs or exchanges one modality of a window for a while.

Training corrupts embeddings, whereas quality cues are measured on pictures and sound. So what corruption does to cues
is simulated [ours]; otherwise a model would learn that cues carry no information. What is assumed, in normalised units
(standard deviations of a cue):

absent      cues of that modality, and of both, are unknown: 0
zeros       cues of that modality that fall when its signal is dead are at `FLOOR`; the others are at their mean: 0
noise       cues of that modality fall (clipping rises) by `DROP` per standard deviation of the noise, each times a
            factor in 0.5 to 1.5; those that do not depend on noise (size, pose) are unchanged
other       cues of that modality come with the other clip's segment

`iaca.encoders.cues.TABLE` has the direction of each cue; a cue that is not in it describes both modalities.

A cue of both modalities (synchrony) cannot be measured without the two signals. Wherever something observed was
corrupted it becomes that of unrelated streams: no agreement (0 before normalisation) on average, and fluctuations of
the cue of another clip's window around its own mean. The lag of the sound is unknown there: 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from iaca.encoders.cues import LAG, TABLE
from iaca.encoders.embedding import AnnotatedClip
from iaca.fusion.iaca_plus import Readings
from iaca.parameters import MODALITIES, Modality
from iaca.training.config import CorruptionConfig, CorruptionKind, TrainingConfig
from iaca.training.readings import rate_of, read_steps
from iaca.training.sample import (
    BOTH,
    FloatArray,
    Normalisation,
    Sample,
    Stream,
    Window,
    WindowSpec,
    collate,
    cut,
    cut_sample,
    generator,
    modalities_of,
    padded,
    where_known,
)

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


# How windows are corrupted: for a while, one modality of a window is missing, noisy, or of another clip

FLOOR = -2.0
DROP = 0.5


@dataclass(frozen=True)
class Corruption:
    """What was drawn for a window.

    Attributes:
        modality, kind, segment: what happens to which steps.
        scale, reach: of `noise`, in standard deviations of each feature, and in steps.
        other: of `other`, the window of another clip.
    """

    modality: Modality
    kind: CorruptionKind
    segment: slice
    scale: float = 0.0
    reach: float = 1.0
    other: Sample | None = None


def corrupt(
    sample: Sample,
    draw_other: Callable[[], Sample],
    config: CorruptionConfig,
    rng: np.random.Generator,
    cues: CueSimulation | None = None,
) -> Sample:
    """Corrupt one contiguous segment of one modality, or nothing; labels and valid steps are unchanged.

    Embeddings are corrupted in the same way whether or not a model reads cues: what cues need is drawn last.

    Args:
        sample: a window of t steps; it is not modified.
        draw_other: draws a window of another clip, for the kind `other` and for cues of both modalities.
        config: shares and kinds.
        rng: the generator of this window in this epoch.
        cues: what corruption does to the quality cues that the model reads.
    """
    if rng.random() >= config.share:
        return sample
    modality = MODALITIES[0 if rng.random() < 0.5 else 1]
    kind = config.kinds[int(rng.integers(len(config.kinds)))]
    corruption = Corruption(modality, kind, _draw_segment(int(sample.padding.sum()), config, rng))
    if kind == "noise":
        corruption = replace(corruption, scale=rng.uniform(*config.noise), reach=draw_reach(rng, config.noise_reach))
    elif kind == "other":
        corruption = replace(corruption, other=draw_other())
    corrupted = _corrupt_features(sample, corruption, rng)
    return corrupted if cues is None else cues.apply(corrupted, corruption, draw_other, rng)


def _draw_segment(steps: int, config: CorruptionConfig, rng: np.random.Generator) -> slice:
    """A segment of the steps of a window that exist."""
    if rng.random() < config.whole:
        return slice(0, steps)
    length = min(steps, max(1, round(rng.uniform(config.shortest, config.longest) * steps)))
    start = int(rng.integers(steps - length + 1))
    return slice(start, start + length)


def draw_reach(rng: np.random.Generator, bounds: tuple[float, float]) -> float:
    """A number of steps, uniform on a logarithmic scale between two bounds."""
    return math.exp(rng.uniform(math.log(bounds[0]), math.log(bounds[1])))


def _corrupt_features(sample: Sample, corruption: Corruption, rng: np.random.Generator) -> Sample:
    """The window with corrupted embeddings; `corrupted` is True where something that is observed has changed."""
    modality, segment, column = corruption.modality, corruption.segment, MODALITIES.index(corruption.modality)
    x, presence, corrupted = getattr(sample, modality).copy(), sample.present.copy(), sample.corrupted.copy()
    present = presence[:, column]  # a view
    observed = present.copy()
    if corruption.kind in {"absent", "zeros"}:
        x[segment] = 0.0  # the mean, since features are normalised
    if corruption.kind == "absent":
        present[segment] = False
    if corruption.kind == "noise":
        noise = np.float32(corruption.scale) * lasting_noise(rng, x[segment].shape, corruption.reach)
        x[segment] += np.where(present[segment, None], noise, np.float32(0.0))
    if corruption.other is not None:
        x[segment] = getattr(corruption.other, modality)[segment]
        observed[segment] = present[segment] = corruption.other.present[segment, column]
    corrupted[segment, column] = observed[segment]
    changes = {modality: x, "present": presence, "corrupted": corrupted}
    return replace(sample, **changes)


def lasting_noise(rng: np.random.Generator, shape: tuple[int, int], reach: float) -> FloatArray:
    """Gaussian noise (t, D) of unit variance whose autocorrelation falls to 1/e within `reach` steps.

    Encoders look at overlapping windows, and music or a second speaker last for seconds: noise in one step is also in
    its neighbours. White noise would be too easy, since anything that smooths over time averages it away.
    """
    from scipy.signal import lfilter  # not installed where a model is only run

    decay = math.exp(-1.0 / reach)  # AR(1)
    innovation = rng.standard_normal(shape, dtype=np.float32)
    innovation[1:] *= np.float32(math.sqrt(1.0 - decay**2))
    noise: FloatArray = lfilter(np.ones(1, np.float32), np.array([1.0, -decay], np.float32), innovation, axis=0)
    return noise


@dataclass(frozen=True)
class CueSimulation:
    """What corruption of a window's embeddings does to its cues; the assumptions are at the top of this file.

    Attributes:
        cues: names of the q cues that the model reads.
        no_agreement: (q,) float32, the value 0 of each cue after normalisation.
    """

    cues: tuple[str, ...]
    no_agreement: FloatArray

    @classmethod
    def of(cls, cues: Sequence[str], normalisation: Normalisation) -> CueSimulation:
        """For the cues that a normalisation was fitted on."""
        return cls(tuple(cues), -normalisation.quality_mean / normalisation.quality_std)

    def apply(
        self, sample: Sample, corruption: Corruption, draw_other: Callable[[], Sample], rng: np.random.Generator
    ) -> Sample:
        """The window, whose embeddings are corrupted, with cues to match; draws nothing if there are no cues."""
        own, both = self._columns(corruption.modality), self._columns(BOTH)
        quality = sample.quality.copy()
        segment = quality[corruption.segment]  # a view
        if corruption.other is not None:
            segment[:, own] = corruption.other.quality[corruption.segment][:, own]
        elif corruption.kind == "zeros":
            segment[:, own] = -FLOOR * self._directions(own, "dead")
        elif corruption.kind == "noise":
            size = DROP * corruption.scale * rng.uniform(0.5, 1.5, len(own)).astype(np.float32)
            segment[:, own] += self._directions(own, "noisy") * size
        if both and corruption.kind != "absent":
            segment[:, both] = self._unrelated(corruption.other or draw_other(), both)[corruption.segment]
        known = where_known(self.cues, dict(zip(MODALITIES, sample.present.T, strict=True)))
        return replace(sample, quality=np.where(known, quality, np.float32(0.0)))

    def _columns(self, modality: Modality | Literal["both"]) -> list[int]:
        return [i for i, described in enumerate(modalities_of(self.cues)) if described == modality]

    def _directions(self, columns: list[int], signal: Literal["dead", "noisy"]) -> FloatArray:
        """1, 0 or -1 of each cue: it rises, stays or falls when the signal is dead or noisy."""
        return np.array([getattr(TABLE[self.cues[i]], signal) for i in columns], dtype=np.float32)

    def _unrelated(self, other: Sample, both: list[int]) -> FloatArray:
        """(t, len(both)): no agreement, plus the fluctuation of another window where it has both modalities."""
        present = other.present.all(axis=1, keepdims=True)  # (t, 1)
        values = other.quality[:, both]
        mean = values.sum(axis=0, where=present) / max(int(present.sum()), 1)
        fluctuation = np.where(present, values - mean, np.float32(0.0)) + self.no_agreement[both]
        measured = np.array([self.cues[i] != LAG for i in both])
        return np.where(measured, fluctuation, np.float32(0.0)).astype(np.float32)
