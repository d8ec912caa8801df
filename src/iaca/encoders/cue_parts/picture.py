"""Cues of the picture: of the aligned faces, one image after the other, and of the table that they come from."""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from iaca.encoders.cue_parts.pose import head_pose

BOX = ["x0", "y0", "x1", "y1"]
LANDMARKS = [f"lm{point}{axis}" for point in range(5) for axis in "xy"]
FACE = (0.2, 0.95, 0.2, 0.8)
MOUTH = (0.62, 0.95, 0.25, 0.75)
INNER_MOUTH = (0.77, 0.945, 0.395, 0.605)
"""Top, bottom, left and right of a region, shares of an aligned face's side. The template's lips meet at 0.82, between
corners at 0.37 and 0.63; the lower lip of an open mouth is further down."""
PER_IMAGE = ("face_sharpness", "face_brightness", "face_contrast", "mouth_motion", "mouth_opening")
FloatArray = NDArray[np.float32]


class FaceCues:
    """Collects the visual cues of a clip while its faces pass by once.

    Args:
        faces: rows of `iaca.faces.extract_faces`; box and landmarks are unknown where the table lacks their columns.
    """

    def __init__(self, faces: pd.DataFrame):
        self._faces = faces
        self._seen = {name: np.full(len(faces), np.nan, np.float32) for name in PER_IMAGE}
        self._last: tuple[int, NDArray[np.uint8]] | None = None

    def add(self, index: int, face: NDArray[np.uint8]) -> None:
        """The aligned face (side, side, 3) RGB of a row; rows come in order, those without a face are left out."""
        grey = np.asarray(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY), np.uint8)
        mean, deviation = (float(x[0, 0]) for x in cv2.meanStdDev(_part(grey, FACE)))
        edges = cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_32F))[1]
        mouth = _part(grey, MOUTH)
        seen = {
            "face_sharpness": np.log1p(float(edges[0, 0]) ** 2),
            "face_brightness": mean / 255,
            "face_contrast": deviation / 255,
            "mouth_opening": 1 - cv2.mean(_part(grey, INNER_MOUTH))[0] / max(mean, 1.0),
        }
        if self._last is not None and self._last[0] == index - 1 and self._last[1].shape == mouth.shape:
            seen["mouth_motion"] = cv2.mean(cv2.absdiff(mouth, self._last[1]))[0]
        for name, value in seen.items():
            self._seen[name][index] = value
        self._last = (index, mouth)

    def columns(self) -> dict[str, FloatArray]:
        """All visual cues (t,) by name: NaN where there was no face, but a score of 0."""
        table = self._faces.reindex(columns=["score", *BOX, *LANDMARKS]).to_numpy(np.float32)
        score, box, points = table[:, 0], table[:, 1:5], table[:, 5:].reshape(-1, 5, 2)
        pose = head_pose(points)
        return {
            "face_score": np.nan_to_num(score, nan=0.0),
            "face_size": np.sqrt(np.maximum((box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1]), 0)),
            "head_yaw": pose[:, 0],
            "head_pitch": pose[:, 1],
            "head_roll": pose[:, 2],
            **self._seen,
        }


def _part(grey: NDArray[np.uint8], region: tuple[float, float, float, float]) -> NDArray[np.uint8]:
    top, bottom, left, right = (round(share * len(grey)) for share in region)
    return grey[top:bottom, left:right]
