"""Random changes of faces that change nothing about what they express.

Windows of sound of which a part is hidden.

As the masks of D. S. Park et al., *SpecAugment: A Simple Data Augmentation Method for Automatic Speech Recognition*
(2019), one in time and one in frequency; what they hide becomes the window's mean there.

What an encoder is trained on: annotated steps of many clips, by number.

Fine-tuning on faces: held as JPEGs, and decoded a batch at a time.

Fine-tuning on sound: the windows that an encoder hears around annotated steps.

Fine-tuning: an encoder and a regression head learn valence and arousal; the encoder is kept.

Fine-tuning as the engine's task: from faces or sound and timelines to a checkpoint.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from iaca.audio.features import Stretches
from iaca.encoders.audio import Windows
from iaca.encoders.config import ClipOptions, weights_of
from iaca.encoders.networks import ahead, build_network, nearest_faces, pick_device
from iaca.errors import InputError
from iaca.faces import decode_face, read_faces
from iaca.media import present_at, read_audio_file
from iaca.parameters import Modality
from iaca.training.config import EncoderTrainingConfig
from iaca.training.loss import ccc_loss, concordance
from iaca.training.sample import Stream, generator, torch_seed

LUMA = (0.299, 0.587, 0.114)


def augment(faces: Tensor, config: EncoderTrainingConfig, random: torch.Generator) -> Tensor:
    """Flip, crop and colour jitter, drawn for each sample; the faces of a clip are changed alike.

    Args:
        faces: (n, k, h, w, 3) uint8.
        config: how much.
        random: on the CPU, so that every device draws the same.

    Returns:
        As `faces`.
    """
    pictures = faces.flatten(0, 1).permute(0, 3, 1, 2).float()  # n*k 3 h w
    draw = torch.rand(len(faces), 7, generator=random).repeat_interleave(faces.shape[1], 0).to(faces.device)
    pictures = _jittered(_cropped(pictures, draw[:, :4], config), draw[:, 4:], config.jitter)
    return pictures.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).reshape(faces.shape)


def _cropped(pictures: Tensor, draw: Tensor, config: EncoderTrainingConfig) -> Tensor:
    """A square of a random size at a random place, mirrored or not, enlarged to the whole picture."""
    side = 1 - (1 - config.crop) * draw[:, 0]
    mirrored = torch.where(draw[:, 1] < config.flip, -1.0, 1.0)
    shift = (2 * draw[:, 2:4] - 1) * (1 - side)[:, None]
    theta = pictures.new_zeros(len(pictures), 2, 3)
    theta[:, 0, 0], theta[:, 1, 1], theta[:, :, 2] = side * mirrored, side, shift
    grid = F.affine_grid(theta, list(pictures.shape), align_corners=False)
    cut: Tensor = F.grid_sample(pictures, grid, padding_mode="reflection", align_corners=False)
    return cut


def _jittered(pictures: Tensor, draw: Tensor, most: float) -> Tensor:
    """Brightness, then contrast around the picture's mean, then saturation around its grey."""
    brightness, contrast, saturation = (1 + most * (2 * draw - 1)).T[:, :, None, None, None]
    pictures = pictures * brightness
    mean = pictures.mean((1, 2, 3), keepdim=True)
    pictures = mean + contrast * (pictures - mean)
    grey = (pictures * pictures.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)
    changed: Tensor = grey + saturation * (pictures - grey)
    return changed


def masked(windows: Tensor, time: float, bands: float, random: torch.Generator) -> Tensor:
    """Hide a stretch of each window and a group of its neighbouring bands, of a width and at a place that are drawn.

    Args:
        windows: (n, length, k bands) of a front end, or (n, length) samples, which have no bands.
        time: largest share of the length that is hidden.
        bands: largest share of the bands that are hidden.
        random: on the CPU, so that every device draws the same.

    Returns:
        As `windows`: hidden frames hold each band's mean over the window, hidden bands the mean of the whole window,
        hidden samples their mean.
    """
    draw = torch.rand(len(windows), 4, generator=random).to(windows.device)
    hidden = _span(windows.shape[1], time, draw[:, :2])
    if windows.ndim == 2:
        return torch.where(hidden, windows.mean(1, keepdim=True), windows)
    gone = _span(windows.shape[2], bands, draw[:, 2:])
    changed = torch.where(hidden[:, :, None], windows.mean(1, keepdim=True), windows)
    return torch.where(gone[:, None, :], windows.mean((1, 2), keepdim=True), changed)


def _span(length: int, most: float, draw: Tensor) -> Tensor:
    """(n, length) bool: a run of places, up to the share `most` of all, as drawn by (n, 2) numbers in [0, 1)."""
    width = (draw[:, 0] * most * length).round()
    first = (draw[:, 1] * (length - width + 1)).floor()
    place = torch.arange(length, device=draw.device)
    return (place >= first[:, None]) & (place < (first + width)[:, None])


Pairs = Sequence[tuple[Path, Path]]
"""Of each clip: its faces (Parquet) or its sound (FLAC), and its timeline (Parquet)."""


class Samples(Protocol):
    """n annotated steps.

    Attributes:
        labels: (n, 2) valence and arousal in [-1, 1].
    """

    @property
    def labels(self) -> NDArray[np.float32]: ...

    def inputs(self, which: NDArray[np.intp], /) -> Tensor:
        """What the encoder sees or hears at m of the steps: (m, ...)."""
        ...


class Modal(Protocol):
    """What is particular to fine-tuning an encoder of one modality."""

    def gather(self, files: Pairs, config: Any, /) -> Samples:
        """The samples of clips.

        Raises:
            InputError: a file is torn, the two of a clip do not fit, or there is not one sample.
        """
        ...

    def augment(self, inputs: Tensor, config: Any, random: Any, /) -> Tensor:
        """Inputs changed at random, in ways that leave what they express; `random` draws on the CPU."""
        ...

    def rows(self, encoder: Any, inputs: Tensor, /) -> Tensor:
        """(m, ...) -> (m, dim) through the encoder."""
        ...


def annotated(timeline: Path, columns: Sequence[str] = ()) -> tuple[pd.DataFrame, NDArray[np.float32]]:
    """The named columns of a timeline (t rows), and its valence and arousal (t, 2), NaN where not annotated."""
    table = pd.read_parquet(timeline, columns=[*columns, "valence", "arousal"])
    return table, table[["valence", "arousal"]].to_numpy(np.float32)


def no_sample(of: str) -> InputError:
    """There is nothing to train on, or to validate on."""
    return InputError(f"no annotated step has {of}", remedy=f"check partitions, annotations and {of.split()[-1]}")


@dataclass(frozen=True)
class FaceSamples:
    """n annotated steps with a face.

    Attributes:
        jpegs: of every face that a sample shows.
        sources: (n, k) which of them: k faces of a clip, or 1.
        labels: (n, 2) valence and arousal in [-1, 1].
    """

    jpegs: list[bytes]
    sources: NDArray[np.intp]
    labels: NDArray[np.float32]

    def inputs(self, which: NDArray[np.intp]) -> Tensor:
        """Samples by number (m,) -> (m, k, h, w, 3) uint8 RGB."""
        return torch.from_numpy(np.stack([[decode_face(self.jpegs[i]) for i in row] for row in self.sources[which]]))


class Faces:
    """The visual encoders."""

    def gather(self, files: Pairs, config: EncoderTrainingConfig) -> FaceSamples:
        """One of every `config.every` annotated steps with a face, clip by clip."""
        options = config.encoder.entry("visual").configured(config.encoder.changes)
        offsets = options.offsets if isinstance(options, ClipOptions) else (0,)
        jpegs: list[bytes] = []
        sources, labels = [np.empty((0, len(offsets)), np.intp)], [np.empty((0, 2), np.float32)]
        for faces, timeline in files:
            table, (_, gold) = read_faces(faces, columns=["face_found", "jpeg"]), annotated(timeline)
            if len(gold) != len(table):
                raise InputError(
                    f"{len(table)} frames of faces, but {len(gold)} in the timeline", faces,
                    remedy="the video changed in between: run ingestion and preprocessing again",
                )  # fmt: skip
            found = table["face_found"].to_numpy(bool)
            steps = np.flatnonzero(found & np.isfinite(gold).all(1))[:: config.every]
            if not len(steps):
                continue
            shown, places = np.unique(nearest_faces(np.flatnonzero(found), steps, offsets), return_inverse=True)
            sources.append(places.reshape(len(steps), -1) + len(jpegs))
            labels.append(gold[steps])
            jpegs += [table["jpeg"].iloc[frame] for frame in shown]
        if not jpegs:
            raise no_sample("a face")
        return FaceSamples(jpegs, np.concatenate(sources), np.concatenate(labels))

    def augment(self, inputs: Tensor, config: EncoderTrainingConfig, random: torch.Generator) -> Tensor:
        """Mirrored, cropped and recoloured faces."""
        return augment(inputs, config, random)

    def rows(self, encoder: nn.Module, inputs: Tensor) -> Tensor:
        """(m, k, h, w, 3) -> (m, dim)."""
        rows: Tensor = encoder(inputs[:, 0] if inputs.shape[1] == 1 else inputs)
        return rows


@dataclass(frozen=True)
class SoundSamples:
    """n annotated steps with sound.

    Attributes:
        clips: the windows of each clip's steps.
        places: (n, 2) the clip of each sample, and which of its windows.
        labels: (n, 2) valence and arousal in [-1, 1].
    """

    clips: list[Windows]
    places: NDArray[np.intp]
    labels: NDArray[np.float32]

    def inputs(self, which: NDArray[np.intp]) -> Tensor:
        """Samples by number (m,) -> (m, length, bands), or (m, length) of an encoder that hears samples."""
        return torch.stack([self.clips[clip][step] for clip, step in self.places[which]])


class Sounds:
    """The audio encoders."""

    def gather(self, files: Pairs, config: EncoderTrainingConfig) -> SoundSamples:
        """One of every `config.every` annotated steps with sound, clip by clip."""
        encoder: Any = build_network(config.encoder, "audio", None)  # for its front end
        clips: list[Windows] = []
        places, labels = [np.empty((0, 2), np.intp)], [np.empty((0, 2), np.float32)]
        for sound, timeline in files:
            track, (table, gold) = read_audio_file(sound), annotated(timeline, ["time_s"])
            times = table["time_s"].to_numpy(np.float64)
            steps = np.flatnonzero(present_at(track.present, times) & np.isfinite(gold).all(1))[:: config.every]
            if not len(steps):
                continue
            with torch.inference_mode():
                windows = encoder.windows(Stretches(track.samples), torch.from_numpy(times[steps]), config.context_s)
            places.append(np.stack([np.full(len(steps), len(clips)), np.arange(len(steps))], axis=1))
            labels.append(gold[steps])
            clips.append(windows)
        if not clips:
            raise no_sample("sound")
        return SoundSamples(clips, np.concatenate(places), np.concatenate(labels))

    def augment(self, inputs: Tensor, config: EncoderTrainingConfig, random: torch.Generator) -> Tensor:
        """Windows with a stretch of time and a group of bands hidden."""
        return masked(inputs, config.mask_time, config.mask_bands, random)

    def rows(self, encoder: Any, inputs: Tensor) -> Tensor:
        """(m, length, ...) -> (m, dim)."""
        rows: Tensor = encoder.rows(inputs)
        return rows


log = logging.getLogger(__name__)
MODALS: Mapping[Modality, Modal] = MappingProxyType({"visual": Faces(), "audio": Sounds()})


@dataclass(frozen=True)
class Tuned:
    """A fine-tuned encoder.

    Attributes:
        state: tensors of the encoder in its best epoch, on the CPU.
        history: for every epoch `epoch`, `loss`, and validation `ccc_valence`, `ccc_arousal`, `score` (their mean).
        best: the row of `history` that `state` is of.
    """

    state: dict[str, Tensor]
    history: list[dict[str, float]]
    best: dict[str, float]


def tune(config: EncoderTrainingConfig, train: Samples, validation: Samples) -> Tuned:
    """Minimise 1 - CCC over batches; stop when the validation CCC has not risen for `patience` epochs.

    Raises:
        InputError: the weights to start from are missing, or the loss is no longer finite.
    """
    device = pick_device(config.device)
    torch.manual_seed(torch_seed(config.seed, Stream.WEIGHTS))
    encoder, head = _networks(config, device)
    optimiser = torch.optim.AdamW(
        [*encoder.parameters(), *head.parameters()], lr=config.learning_rate, weight_decay=config.weight_decay
    )
    history: list[dict[str, float]] = []
    state: dict[str, Tensor] = {}
    with ThreadPoolExecutor(2, thread_name_prefix="samples") as pool:
        for epoch in range(config.epochs):
            loss = _epoch(config, epoch, encoder, head, optimiser, _shuffled(config, epoch, train, pool), device)
            score = _validate(config, encoder, head, _in_order(config, validation, pool), device)
            history.append({"epoch": epoch, "loss": loss, **score})
            log.info("epoch %d: loss %.3f, validation CCC %.3f", epoch, loss, score["score"])
            best = max(history, key=lambda row: row["score"])
            if best is history[-1]:
                state = {name: tensor.detach().cpu().clone() for name, tensor in encoder.state_dict().items()}
            if epoch - best["epoch"] >= config.patience:
                break
    return Tuned(state, history, best)


def _networks(config: EncoderTrainingConfig, device: torch.device) -> tuple[nn.Module, nn.Module]:
    entry = config.encoder.entry(config.modality)
    weights = weights_of(config.encoder, config.modality) if config.start == "weights" else None
    encoder = build_network(config.encoder, config.modality, weights)
    return encoder.to(device), nn.Sequential(nn.Linear(entry.dim, 2), nn.Tanh()).to(device)


Batches = Iterator[tuple[Tensor, Tensor]]
"""Inputs (m, ...) and labels (m, 2)."""


def _epoch(
    config: EncoderTrainingConfig,
    epoch: int,
    encoder: nn.Module,
    head: nn.Module,
    optimiser: torch.optim.Optimizer,
    batches: Batches,
    device: torch.device,
) -> float:
    """One pass over the training samples; the mean loss."""
    encoder.train()
    random = torch.Generator().manual_seed(torch_seed(config.seed, Stream.CORRUPTION, epoch))
    modal, losses = MODALS[config.modality], []
    for inputs, labels in batches:
        changed = modal.augment(inputs.to(device), config, random)
        prediction, gold = head(modal.rows(encoder, changed)), labels.to(device)
        loss = ccc_loss(prediction[None], gold[None], torch.ones(1, len(gold), dtype=torch.bool, device=device))
        if not torch.isfinite(loss):
            raise InputError("the loss is no longer finite", remedy="lower learning_rate, or start from other weights")
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(float(loss.detach()))
    return float(np.mean(losses))


@torch.inference_mode()
def _validate(
    config: EncoderTrainingConfig, encoder: nn.Module, head: nn.Module, batches: Batches, device: torch.device
) -> dict[str, float]:
    """CCC over all validation samples as one sequence."""
    encoder.eval()
    modal = MODALS[config.modality]
    said = [(head(modal.rows(encoder, inputs.to(device))).cpu(), labels) for inputs, labels in batches]
    prediction, gold = (torch.cat(parts) for parts in zip(*said, strict=True))
    valence, arousal = concordance(prediction, gold, torch.ones(len(gold), dtype=torch.bool)).tolist()
    return {"ccc_valence": valence, "ccc_arousal": arousal, "score": (valence + arousal) / 2}


def _shuffled(config: EncoderTrainingConfig, epoch: int, samples: Samples, pool: ThreadPoolExecutor) -> Batches:
    """All samples in a new order, in batches of nearly the same size: the CCC of a few would be noise."""
    order = generator(config.seed, Stream.ORDER, epoch).permutation(len(samples.labels))
    return _batches(order, config, samples, pool)


def _in_order(config: EncoderTrainingConfig, samples: Samples, pool: ThreadPoolExecutor) -> Batches:
    return _batches(np.arange(len(samples.labels)), config, samples, pool)


def _batches(
    order: NDArray[np.intp], config: EncoderTrainingConfig, samples: Samples, pool: ThreadPoolExecutor
) -> Batches:
    parts = np.array_split(order, max(round(len(order) / config.batch), 1))
    return ahead(pool, lambda part: (samples.inputs(part), torch.from_numpy(samples.labels[part])), parts)


VERSION = "2"
HEADER = "iaca_encoder"  # one entry: safetensors keeps several in no fixed order, and the bytes would differ


def tune_file(
    *files: Path,
    target: Path,
    config: EncoderTrainingConfig,
    train_clips: Sequence[str],
    validation_clips: Sequence[str],
    corpus: Mapping[str, str],
    started_from: str,
) -> None:
    """Fine-tune on the named clips and write the encoder's tensors, with what they are in the header.

    The file serves as `{name: ENCODER, weights: FILE}`.

    Args:
        files: faces of the training clips and of the validation clips, or their sound where the encoder is one of
            sound, then their timelines in the same order.
        target: the file to write.
        config: what to train, and how.
        train_clips, validation_clips: names.
        corpus: name and caveat.
        started_from: version and checksum of the weights before: part of the task's fingerprint.

    Raises:
        InputError: a partition has no clip, or no annotated step with a face (with sound).
    """
    if not train_clips or not validation_clips:
        raise InputError(
            f"{len(train_clips)} clips to train on, {len(validation_clips)} to validate on",
            remedy="the corpus needs both partitions",
        )
    pairs = list(zip(files[: len(files) // 2], files[len(files) // 2 :], strict=True))
    parts = pairs[: len(train_clips)], pairs[len(train_clips) :]
    modal = MODALS[config.modality]
    tuned = tune(config, *(modal.gather(part, config) for part in parts))
    header = {
        "encoder": config.encoder.name,
        "changes": config.encoder.changes,
        "dim": config.encoder.entry(config.modality).dim,
        "started_from": started_from,
        "corpus": dict(corpus),
        "config": config.model_dump(mode="json"),
        "best": tuned.best,
        "history": tuned.history,
    }
    state = {name: tensor.contiguous() for name, tensor in tuned.state.items()}
    save_file(state, target, metadata={HEADER: json.dumps(header, sort_keys=True)})
