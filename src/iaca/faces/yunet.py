"""YuNet (Wu et al., Machine Intelligence Research 2023) by OpenCV, for users who have its ONNX file.

The project brings no weights of it: give the path of `face_detection_yunet_2023mar.onnx` (OpenCV Zoo, MIT licence) as
`faces.weights`. It could not be run where the project was made, since the file could not be had there; only its errors
and the reading of its output are tested.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from iaca.errors import InputError
from iaca.faces.detector import Detection


class YunetDetector:
    """Finds faces of about 10 to 300 px.

    Args:
        weights: the ONNX file.
        min_score: detections below it (0..1) are dropped.

    Raises:
        InputError: no file is named, it is missing, or OpenCV can't read it.
    """

    def __init__(self, weights: str | Path | None, min_score: float = 0.9):
        remedy = "set the face parameter `weights` to the file face_detection_yunet_2023mar.onnx, or detector to mtcnn"
        if weights is None:
            raise InputError("YuNet needs a file of weights, and none is named.", remedy=remedy)
        if not Path(weights).is_file():
            raise InputError("there is no such file of YuNet weights.", file=weights, remedy=remedy)
        try:
            self._network = cv2.FaceDetectorYN.create(str(weights), "", (320, 320), min_score)
        except cv2.error as error:
            raise InputError("OpenCV can't read this as YuNet weights.", file=weights, remedy=remedy) from error

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[list[Detection]]:
        """Faces of each RGB image (h, w, 3), in the order of their score."""
        return [self._detect(image) for image in images]

    def _detect(self, image: NDArray[np.uint8]) -> list[Detection]:
        self._network.setInputSize((image.shape[1], image.shape[0]))
        _, rows = self._network.detect(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        return [] if rows is None else [read_row(row) for row in np.asarray(rows, dtype=np.float64)]


def read_row(row: NDArray[np.float64]) -> Detection:
    """A row of YuNet: x, y, width, height, five points (the subject's right eye, which is left in the image, first),
    score."""
    x, y, width, height = row[:4]
    return Detection(np.array([x, y, x + width, y + height]), row[4:14].reshape(5, 2), float(row[14]))
