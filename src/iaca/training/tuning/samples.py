"""What an encoder is trained on: annotated steps of many clips, by number."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from iaca.errors import InputError

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
