"""Fine-tuning on faces: held as JPEGs, and decoded a batch at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from iaca.encoders.config import ClipOptions
from iaca.encoders.networks import nearest_faces
from iaca.errors import InputError
from iaca.faces import decode_face, read_faces
from iaca.training.tuning.augment import augment
from iaca.training.tuning.config import EncoderTrainingConfig
from iaca.training.tuning.samples import Pairs, annotated, no_sample


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
