"""How an encoder is fine-tuned: it learns valence and arousal through a regression head, and the encoder is kept.

fine_tune_file                  the engine's task: faces or sound and timelines in, a checkpoint of the encoder out
  FaceSamples, SoundSamples     what an encoder sees or hears at annotated steps, and how that is augmented
  fine_tune                     the epochs, early stopping, the best state
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
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
from iaca.errors import InputError, counted
from iaca.faces import decode_face, read_faces
from iaca.media import present_at, read_audio_file
from iaca.parameters import Modality
from iaca.training.config import TARGETS, EncoderTrainingConfig
from iaca.training.loss import ccc_loss, concordance
from iaca.training.sample import Stream, generator, torch_seed

VERSION = "2"
"""Increase it when fine-tuning computes something else: older checkpoints are then not reused."""
HEADER = "iaca_encoder"  # one header entry: safetensors keeps several in no fixed order, so the bytes would differ
LABELS: list[str] = list(TARGETS)  # columns of a timeline, NaN where not annotated
LUMA = (0.299, 0.587, 0.114)  # weights of red, green and blue in grey
Batches = Iterator[tuple[Tensor, Tensor]]
"""Inputs (m, ...) and labels (m, 2)."""
log = logging.getLogger(__name__)


def fine_tune_file(
    *files: Path,
    target: Path,
    config: EncoderTrainingConfig,
    train_clips: Sequence[str],
    validation_clips: Sequence[str],
    corpus: Mapping[str, str],
    started_from: str,
) -> None:
    """Fine-tune on the named clips and write the encoder's tensors, with their origin in the header.

    Use the file as `{name: ENCODER, weights: FILE}`.

    Args:
        files: faces (Parquet) of the training clips and of the validation clips, or their sound (FLAC) for an audio
            encoder, then their timelines (Parquet) in the same order.
        target: the file to write.
        config: what to train, and how.
        train_clips, validation_clips: names.
        corpus: name and caveat.
        started_from: version and checksum of the weights to start from: part of the task's fingerprint.

    Raises:
        InputError: a partition has no clip or no annotated step with a face (with sound); a file is torn; faces and
            timeline do not match.
    """
    if not train_clips or not validation_clips:
        raise InputError(
            f"{counted(len(train_clips), 'clip')} to train on, {len(validation_clips)} to validate on",
            remedy="assign clips to both partitions of the corpus",
        )
    pairs = list(zip(files[: len(files) // 2], files[len(files) // 2 :], strict=True))
    samples, count = SAMPLES[config.modality], len(train_clips)
    train, validation = (samples.gather(part, config) for part in (pairs[:count], pairs[count:]))
    tuned = fine_tune(config, train, validation)
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


@dataclass(frozen=True)
class FineTuned:
    """A fine-tuned encoder.

    Attributes:
        state: tensors of the encoder after its best epoch, on the CPU.
        history: for every epoch `epoch`, `loss`, and validation `ccc_valence`, `ccc_arousal`, `score` (their mean).
        best: the row of `history` that `state` belongs to.
    """

    state: dict[str, Tensor]
    history: list[dict[str, float]]
    best: dict[str, float]


def fine_tune(config: EncoderTrainingConfig, train: Samples, validation: Samples) -> FineTuned:
    """Minimise 1 - CCC over batches; stop when the validation CCC has not risen for `patience` epochs.

    Raises:
        InputError: the weights to start from are missing, or the loss is no longer finite.
    """
    torch.manual_seed(torch_seed(config.seed, Stream.WEIGHTS))
    encoder, head = _networks(config)
    learning = [p for p in (*encoder.parameters(), *head.parameters()) if p.requires_grad]
    optimiser = torch.optim.AdamW(learning, lr=config.learning_rate, weight_decay=config.weight_decay)
    history: list[dict[str, float]] = []
    state: dict[str, Tensor] = {}
    in_order = np.arange(len(validation.labels))
    with ThreadPoolExecutor(2, thread_name_prefix="samples") as pool:
        for epoch in range(config.epochs):
            order = generator(config.seed, Stream.ORDER, epoch).permutation(len(train.labels))
            loss = _train_epoch(config, epoch, encoder, head, optimiser, train, _batches(order, config, train, pool))
            score = _validate(encoder, head, validation, _batches(in_order, config, validation, pool))
            history.append({"epoch": epoch, "loss": loss, **score})
            log.info("epoch %d: loss %.3f, validation CCC %.3f", epoch, loss, score["score"])
            best = max(history, key=lambda row: row["score"])
            if best is history[-1]:
                state = {name: tensor.detach().cpu().clone() for name, tensor in encoder.state_dict().items()}
            if epoch - best["epoch"] >= config.patience:
                break
    return FineTuned(state, history, best)


def _networks(config: EncoderTrainingConfig) -> tuple[nn.Module, nn.Module]:
    """The encoder and a regression head, on the device; only the last `config.layers` learn, if that is a number."""
    device = pick_device(config.device)
    entry = config.encoder.entry(config.modality)
    weights = weights_of(config.encoder, config.modality) if config.start == "weights" else None
    encoder: Any = build_network(config.encoder, config.modality, weights)
    if config.layers is not None:
        encoder.requires_grad_(False)
        for part in encoder.last_layers(config.layers):
            part.requires_grad_(True)
    return encoder.to(device), nn.Sequential(nn.Linear(entry.dim, 2), nn.Tanh()).to(device)


def _train_epoch(
    config: EncoderTrainingConfig,
    epoch: int,
    encoder: nn.Module,
    head: nn.Module,
    optimiser: torch.optim.Optimizer,
    samples: Samples,
    batches: Batches,
) -> float:
    """One pass over the training samples; the mean loss."""
    encoder.train()
    random = torch.Generator().manual_seed(torch_seed(config.seed, Stream.CORRUPTION, epoch))
    device, losses = _device_of(head), []
    for inputs, labels in batches:
        augmented = samples.augment(inputs.to(device), config, random)
        prediction, gold = head(samples.embed(encoder, augmented)), labels.to(device)
        loss = ccc_loss(prediction[None], gold[None], torch.ones(1, len(gold), dtype=torch.bool, device=device))
        if not torch.isfinite(loss):
            raise InputError("the loss is no longer finite", remedy="lower learning_rate, or start from other weights")
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(float(loss.detach()))
    return float(np.mean(losses))


@torch.inference_mode()
def _validate(encoder: nn.Module, head: nn.Module, samples: Samples, batches: Batches) -> dict[str, float]:
    """CCC over all validation samples as one sequence."""
    encoder.eval()
    device = _device_of(head)
    predicted = [(head(samples.embed(encoder, inputs.to(device))).cpu(), labels) for inputs, labels in batches]
    prediction, gold = (torch.cat(parts) for parts in zip(*predicted, strict=True))
    valence, arousal = concordance(prediction, gold, torch.ones(len(gold), dtype=torch.bool)).tolist()
    return {"ccc_valence": valence, "ccc_arousal": arousal, "score": (valence + arousal) / 2}


def _device_of(network: nn.Module) -> torch.device:
    return next(network.parameters()).device


def _batches(
    order: NDArray[np.intp], config: EncoderTrainingConfig, samples: Samples, pool: ThreadPoolExecutor
) -> Batches:
    """Samples in an order, in batches of nearly the same size: the CCC of a small last batch would be noise."""
    parts = np.array_split(order, max(round(len(order) / config.batch), 1))
    return ahead(pool, lambda part: (samples.inputs(part), torch.from_numpy(samples.labels[part])), parts)


# --- samples ---


class Samples(Protocol):
    """n annotated steps: what an encoder of one modality sees or hears there.

    Attributes:
        labels: (n, 2) valence and arousal in [-1, 1].
    """

    @property
    def labels(self) -> NDArray[np.float32]: ...

    @classmethod
    def gather(cls, files: Iterable[tuple[Path, Path]], config: EncoderTrainingConfig) -> Samples:
        """The samples of clips, each given by its faces or sound and its timeline.

        Raises:
            InputError: a file is torn, the two of a clip do not match, or there is no sample at all.
        """
        ...

    def inputs(self, which: NDArray[np.intp]) -> Tensor:
        """Samples by number (m,) -> (m, ...), on the CPU."""
        ...

    def augment(self, inputs: Tensor, config: EncoderTrainingConfig, random: torch.Generator) -> Tensor:
        """Inputs changed at random, in ways that keep what they express; `random` draws on the CPU."""
        ...

    def embed(self, encoder: Any, inputs: Tensor) -> Tensor:
        """(m, ...) -> (m, dim) through the encoder."""
        ...


@dataclass(frozen=True)
class FaceSamples:
    """n annotated steps with a face.

    Attributes:
        jpegs: the faces.
        sources: (n, k) indices into `jpegs`: k faces of a clip, or 1.
        labels: (n, 2) valence and arousal in [-1, 1].
    """

    jpegs: list[bytes]
    sources: NDArray[np.intp]
    labels: NDArray[np.float32]

    @classmethod
    def gather(cls, files: Iterable[tuple[Path, Path]], config: EncoderTrainingConfig) -> FaceSamples:
        """One of every `config.every` annotated steps with a face, clip by clip; see `Samples.gather`."""
        options = config.encoder.entry("visual").configured(config.encoder.changes)
        offsets = options.offsets if isinstance(options, ClipOptions) else (0,)
        jpegs: list[bytes] = []
        sources, labels = [np.empty((0, len(offsets)), np.intp)], [np.empty((0, 2), np.float32)]
        for faces, timeline in files:
            table = read_faces(faces, columns=["face_found", "jpeg"])
            gold = pd.read_parquet(timeline, columns=LABELS).to_numpy(np.float32)
            if len(gold) != len(table):
                raise InputError(
                    f"{counted(len(table), 'frame')} of faces, but {len(gold)} in the timeline",
                    faces,
                    remedy="the video has changed: run ingestion and preprocessing again",
                )
            found = table["face_found"].to_numpy(bool)
            steps = np.flatnonzero(found & np.isfinite(gold).all(1))[:: config.every]
            if not len(steps):
                continue
            shown, places = np.unique(nearest_faces(np.flatnonzero(found), steps, offsets), return_inverse=True)
            sources.append(places.reshape(len(steps), -1) + len(jpegs))
            labels.append(gold[steps])
            jpegs += [table["jpeg"].iloc[frame] for frame in shown]
        if not jpegs:
            raise _no_sample("a face", "faces")
        return cls(jpegs, np.concatenate(sources), np.concatenate(labels))

    def inputs(self, which: NDArray[np.intp]) -> Tensor:
        """Samples by number (m,) -> (m, k, h, w, 3) uint8 RGB."""
        return torch.from_numpy(np.stack([[decode_face(self.jpegs[i]) for i in row] for row in self.sources[which]]))

    def augment(self, inputs: Tensor, config: EncoderTrainingConfig, random: torch.Generator) -> Tensor:
        """See `augmented_faces`."""
        return augmented_faces(inputs, config, random)

    def embed(self, encoder: Any, inputs: Tensor) -> Tensor:
        """(m, k, h, w, 3) -> (m, dim)."""
        embedded: Tensor = encoder(inputs[:, 0] if inputs.shape[1] == 1 else inputs)
        return embedded


@dataclass(frozen=True)
class SoundSamples:
    """n annotated steps with sound.

    Attributes:
        clips: windows of sound, one per step, of each clip.
        places: (n, 2) of each sample its clip, and which of the clip's windows.
        labels: (n, 2) valence and arousal in [-1, 1].
    """

    clips: list[Windows]
    places: NDArray[np.intp]
    labels: NDArray[np.float32]

    @classmethod
    def gather(cls, files: Iterable[tuple[Path, Path]], config: EncoderTrainingConfig) -> SoundSamples:
        """One of every `config.every` annotated steps with sound, clip by clip; see `Samples.gather`."""
        encoder: Any = build_network(config.encoder, "audio", None)  # for its front end
        clips: list[Windows] = []
        places, labels = [np.empty((0, 2), np.intp)], [np.empty((0, 2), np.float32)]
        for sound, timeline in files:
            track, table = read_audio_file(sound), pd.read_parquet(timeline, columns=["time_s", *LABELS])
            times, gold = table["time_s"].to_numpy(np.float64), table[LABELS].to_numpy(np.float32)
            steps = np.flatnonzero(present_at(track.present, times) & np.isfinite(gold).all(1))[:: config.every]
            if not len(steps):
                continue
            with torch.inference_mode():
                windows = encoder.windows(Stretches(track.samples), torch.from_numpy(times[steps]), config.context_s)
            places.append(np.stack([np.full(len(steps), len(clips)), np.arange(len(steps))], axis=1))
            labels.append(gold[steps])
            clips.append(windows)
        if not clips:
            raise _no_sample("sound", "sound")
        return cls(clips, np.concatenate(places), np.concatenate(labels))

    def inputs(self, which: NDArray[np.intp]) -> Tensor:
        """Samples by number (m,) -> (m, length, bands), or (m, length) for an encoder of raw samples."""
        return torch.stack([self.clips[clip][step] for clip, step in self.places[which]])

    def augment(self, inputs: Tensor, config: EncoderTrainingConfig, random: torch.Generator) -> Tensor:
        """See `masked_sound`."""
        return masked_sound(inputs, config.mask_time, config.mask_bands, random)

    def embed(self, encoder: Any, inputs: Tensor) -> Tensor:
        """(m, length, ...) -> (m, dim)."""
        embedded: Tensor = encoder.rows(inputs)
        return embedded


SAMPLES: Mapping[Modality, type[Samples]] = {"visual": FaceSamples, "audio": SoundSamples}


def _no_sample(what: str, data: str) -> InputError:
    return InputError(f"no annotated step has {what}", remedy=f"check partitions, annotations and {data}")


# --- augmentation ---


def augmented_faces(faces: Tensor, config: EncoderTrainingConfig, random: torch.Generator) -> Tensor:
    """Faces with random flip, crop and colour jitter, drawn for each sample; the faces of a clip are changed alike.

    Args:
        faces: (n, k, h, w, 3) uint8.
        config: probabilities and largest changes.
        random: on the CPU, so that all devices draw the same.

    Returns:
        Same shape and type as `faces`.
    """
    pictures = faces.flatten(0, 1).permute(0, 3, 1, 2).float()  # n*k 3 h w
    draw = torch.rand(len(faces), 7, generator=random).repeat_interleave(faces.shape[1], 0).to(faces.device)
    pictures = _jittered(_cropped(pictures, draw[:, :4], config), draw[:, 4:], config.jitter)
    return pictures.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).reshape(faces.shape)


def _cropped(pictures: Tensor, draw: Tensor, config: EncoderTrainingConfig) -> Tensor:
    """A square of random size and position, mirrored or not, enlarged to the full picture."""
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


def masked_sound(windows: Tensor, time: float, bands: float, random: torch.Generator) -> Tensor:
    """Windows with a random run of frames and a random group of adjacent bands hidden, as in SpecAugment.

    D. S. Park et al., *SpecAugment: A Simple Data Augmentation Method for Automatic Speech Recognition* (2019),
    with one mask in time and one in frequency; hidden values become means of the window.

    Args:
        windows: (n, length, k bands) of a front end, or (n, length) raw samples, which have no bands.
        time: largest share of the length that is hidden.
        bands: largest share of the bands that are hidden.
        random: on the CPU, so that all devices draw the same.

    Returns:
        Same shape as `windows`. Hidden frames have each band's mean over the window, hidden bands the mean over all
        of the window, hidden samples the window's mean.
    """
    draw = torch.rand(len(windows), 4, generator=random).to(windows.device)
    hidden = _span(windows.shape[1], time, draw[:, :2])
    if windows.ndim == 2:
        return torch.where(hidden, windows.mean(1, keepdim=True), windows)
    hidden_bands = _span(windows.shape[2], bands, draw[:, 2:])
    changed = torch.where(hidden[:, :, None], windows.mean(1, keepdim=True), windows)
    return torch.where(hidden_bands[:, None, :], windows.mean((1, 2), keepdim=True), changed)


def _span(length: int, most: float, draw: Tensor) -> Tensor:
    """(n, length) bool: a run of at most the share `most` of `length`, as drawn by (n, 2) numbers in [0, 1)."""
    width = (draw[:, 0] * most * length).round()
    first = (draw[:, 1] * (length - width + 1)).floor()
    place = torch.arange(length, device=draw.device)
    return (place >= first[:, None]) & (place < (first + width)[:, None])
