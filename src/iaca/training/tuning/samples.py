"""Annotated faces of many clips, held as JPEGs and decoded a batch at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from iaca.encoders.batches import nearest_faces
from iaca.errors import InputError
from iaca.faces import decode_face, read_faces


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

    def __len__(self) -> int:
        return len(self.labels)

    def faces(self, which: NDArray[np.intp]) -> NDArray[np.uint8]:
        """Samples by number (m,) -> (m, k, h, w, 3) uint8 RGB."""
        return np.stack([np.stack([decode_face(self.jpegs[i]) for i in row]) for row in self.sources[which]])


def gather(files: Iterable[tuple[Path, Path]], offsets: Sequence[int], every: int) -> FaceSamples:
    """Samples of clips, each given by its table of faces and its timeline.

    Args:
        files: (faces, timeline), Parquet.
        offsets: frames that a sample shows, counted from its step.
        every: one of this many annotated steps with a face is taken.

    Raises:
        InputError: a file is torn, the two of a clip differ in length, or there is not one sample.
    """
    jpegs: list[bytes] = []
    sources, labels = [np.empty((0, len(offsets)), np.intp)], [np.empty((0, 2), np.float32)]
    for faces, timeline in files:
        table = read_faces(faces, columns=["face_found", "jpeg"])
        gold = pd.read_parquet(timeline, columns=["valence", "arousal"]).to_numpy(np.float32)
        if len(gold) != len(table):
            raise InputError(
                f"{len(table)} frames of faces, but {len(gold)} in the timeline", faces,
                remedy="the video changed in between: run ingestion and preprocessing again",
            )  # fmt: skip
        found = table["face_found"].to_numpy(bool)
        steps = np.flatnonzero(found & np.isfinite(gold).all(1))[::every]
        if not len(steps):
            continue
        shown, places = np.unique(nearest_faces(np.flatnonzero(found), steps, offsets), return_inverse=True)
        sources.append(places.reshape(len(steps), -1) + len(jpegs))
        labels.append(gold[steps])
        jpegs += [table["jpeg"].iloc[frame] for frame in shown]
    if not jpegs:
        raise InputError("no annotated step has a face", remedy="check partitions, annotations and faces")
    return FaceSamples(jpegs, np.concatenate(sources), np.concatenate(labels))
