"""A contact sheet: what the faces of several clips look like, at a glance."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from iaca.faces.extract import decode_face
from iaca.faces.store import read_faces

CELL, COLUMNS = 72, 10
PAPER = 236


def contact_sheet(paths: Sequence[Path]) -> bytes:
    """One row per clip with faces from its beginning to its end; a step without a face is an empty cell. PNG bytes."""
    sheet = np.full((max(len(paths), 1) * CELL, COLUMNS * CELL, 3), PAPER, np.uint8)
    for row, path in enumerate(paths):
        faces = read_faces(path, columns=["jpeg"])
        jpegs = faces["jpeg"].to_list()
        for column, i in enumerate(np.linspace(0, len(jpegs) - 1, COLUMNS).astype(int)):
            if jpegs[i]:
                cell = np.s_[row * CELL : (row + 1) * CELL - 2, column * CELL : (column + 1) * CELL - 2]
                sheet[cell] = _small(decode_face(jpegs[i]))
    done, encoded = cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    if not done:
        raise RuntimeError("the contact sheet could not be encoded as PNG")
    return encoded.tobytes()


def _small(face: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(face, (CELL - 2, CELL - 2), interpolation=cv2.INTER_AREA), dtype=np.uint8)
