"""Fine-tuning: an encoder and a regression head learn valence and arousal; the encoder is kept."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from iaca.encoders.config import weights_of
from iaca.encoders.networks import ahead, build_network, pick_device
from iaca.errors import InputError
from iaca.modalities import Modality
from iaca.training.loss import ccc_loss, concordance
from iaca.training.seeds import Stream, generator, torch_seed
from iaca.training.tuning.config import EncoderTrainingConfig
from iaca.training.tuning.faces import Faces
from iaca.training.tuning.samples import Modal, Samples
from iaca.training.tuning.sounds import Sounds

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
