"""MTCNN (Zhang et al., IEEE SPL 2016) by facenet-pytorch, whose wheel holds the weights: nothing is downloaded."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
import torch
from facenet_pytorch import MTCNN
from numpy.typing import NDArray

from iaca.faces.detector import Detection

WORKING_FACE_PX = 20
"""Images are reduced until the smallest face looked for has this side (px): cost grows with the pixels."""

PYRAMID_FACTOR = 0.6
"""Step between the sizes that are searched; 0.6 instead of the usual 0.709 takes two thirds of the time."""
THRESHOLDS = (0.8, 0.7, 0.7)
"""Scores (0..1) to pass the proposal, refinement and output networks."""
LANDMARK_BIAS_PX = 0.9
"""The implementation counts px from 1 and cuts at whole px, which moves landmarks right and down by this much on the
working image (measured against known landmarks at working scales from 1/4 to 1)."""


class MtcnnDetector:
    """Finds faces of at least `min_face` of the image's shorter side, and of at least `min_face_px`.

    Args:
        min_face: share (0..1) of the shorter side.
        min_face_px: floor of it (px).
        min_score: detections below it (0..1) are dropped.
        device: torch device.
    """

    def __init__(self, min_face: float = 0.1, min_face_px: int = 20, min_score: float = 0.9, device: str = "cpu"):
        self._min_face, self._min_face_px, self._min_score = min_face, min_face_px, min_score
        self._network = _network(device, threading.get_ident())

    @torch.inference_mode()
    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[list[Detection]]:
        """Faces of each RGB image (h, w, 3), largest first; images of one size go through the network together."""
        found: list[list[Detection]] = [[] for _ in images]
        for shape in sorted({image.shape for image in images}):
            rows = [i for i, image in enumerate(images) if image.shape == shape]
            for row, faces in zip(rows, self._detect_equal([images[i] for i in rows]), strict=True):
                found[row] = faces
        return found

    def _detect_equal(self, images: list[NDArray[np.uint8]]) -> list[list[Detection]]:
        height, width = images[0].shape[:2]
        short = min(height, width)
        face = min(max(self._min_face * short, float(self._min_face_px)), float(short))
        scale = min(WORKING_FACE_PX / face, 1.0)
        across, down = max(round(width * scale), 1), max(round(height * scale), 1)
        if min(across, down) < 12:  # smaller than the network's window
            return [[] for _ in images]
        self._network.min_face_size = min(max(face * scale, 12.0), float(min(across, down)))
        if scale < 1:
            size = (across, down)
            images = [np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8) for image in images]
        boxes, scores, points = self._network.detect(np.stack(images), landmarks=True)
        factor = np.array([width / across, height / down])
        return [self._detections(*found, factor) for found in zip(boxes, scores, points, strict=True)]

    def _detections(
        self, boxes: object, scores: object, points: object, factor: NDArray[np.float64]
    ) -> list[Detection]:
        if boxes is None:
            return []
        corners = _to_image(np.asarray(boxes, dtype=np.float64).reshape(-1, 2, 2), factor).reshape(-1, 4)
        landmarks = _to_image(np.asarray(points, dtype=np.float64).reshape(-1, 5, 2) - LANDMARK_BIAS_PX, factor)
        confidences = np.asarray(scores, dtype=np.float64)
        faces = zip(corners, landmarks, confidences, strict=True)
        return [Detection(box, marks, float(score)) for box, marks, score in faces if score >= self._min_score]


@lru_cache(maxsize=4)
def _network(device: str, thread: int) -> MTCNN:
    """Read once for all clips of a thread: reading takes longer than a short clip's faces.

    Not for all threads: a detector sets `min_face_size` for what it does next.
    """
    del thread
    return MTCNN(keep_all=True, factor=PYRAMID_FACTOR, thresholds=list(THRESHOLDS), device=torch.device(device)).eval()


def _to_image(points: NDArray[np.float64], factor: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points of the reduced image in the original one; a pixel's centre lies at a whole number."""
    return (points + 0.5) * factor - 0.5
