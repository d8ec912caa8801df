"""Ridge regression of what the zero-shot model leaves over, from sums that add up over clips.

The penalty pulls towards the zero-shot model itself: an infinitely strong one changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from iaca.inference.adaptation.rows import FIRST, Rows

Array = NDArray[np.float64]
CALIBRATION, NOTHING = "calibration", "nothing"
Choice = float | str
"""The penalty on the embeddings' weights; `calibration`: level and scale alone; `nothing`: no correction."""


@dataclass(frozen=True)
class Sums:
    """All that a fit needs to know of n rows.

    Attributes:
        rows: n.
        products: (p, p) of the columns with each other.
        errors: (p, 2) of the columns with gold minus zero-shot.
    """

    rows: int
    products: Array
    errors: Array

    @classmethod
    def of(cls, rows: Rows) -> Sums:
        """Of one clip."""
        x = rows.columns
        return cls(len(x), x.T @ x, x.T @ (rows.gold - rows.zero_shot))

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.rows + other.rows, self.products + other.products, self.errors + other.errors)


def total(parts: Iterable[Sums]) -> Sums:
    """The sums of all clips together; there has to be one."""
    return reduce(lambda a, b: a + b, parts)


def fit(sums: Sums, modalities: tuple[slice, slice], choice: Choice, calibration: float) -> Array:
    """Weights (p, 2) of the columns: zero-shot + columns @ weights is the corrected answer.

    Minimises mean |error|^2 + calibration |w_c|^2 + choice |w_e|^2, where w_c are the weights of level and zero-shot
    answer, w_e those of the embeddings, each column standardised by the same sums. An embedding's mean is taken over
    the steps at which its modality is there, so that absence adds nothing.
    """
    size = len(sums.products)
    if choice == NOTHING:
        return np.zeros((size, 2))
    standard = _standardisation(sums, modalities)
    used = FIRST if choice == CALIBRATION else size
    penalty = np.full(used, calibration)
    if not isinstance(choice, str):
        penalty[FIRST:] = choice
    change = standard[:, :used]
    products = change.T @ sums.products @ change / sums.rows
    return np.asarray(change @ np.linalg.solve(products + np.diag(penalty), change.T @ sums.errors / sums.rows))


def _standardisation(sums: Sums, modalities: tuple[slice, slice]) -> Array:
    """(p, p) matrix that turns columns into standardised ones: column j becomes (x_j - mean_j x_presence) / std_j.

    A column that hardly varies is left out: its deviation would be rounding.
    """
    change = np.eye(len(sums.products))
    places = [(0, range(1, FIRST)), *((m.start, range(m.start + 1, m.stop)) for m in modalities)]
    for presence, columns in places:
        present = sums.products[presence, 0]
        for j in columns:
            mean = sums.products[j, 0] / present if present > 0 else 0.0
            square = sums.products[j, j] / present if present > 0 else 0.0
            spread = square - mean**2
            keep = spread > 1e-10 * max(square, 1e-6)
            change[j, j] = 1 / np.sqrt(spread) if keep else 0.0
            change[presence, j] = -mean * change[j, j]
    for m in modalities:
        change[m.start, m.start] = 0.0  # presence itself is no feature: the zero-shot answer knows of it
    return change
