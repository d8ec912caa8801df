"""Find a face and bring it upright: parameters, MTCNN and YuNet, the registry of both, and the alignment.

torch and facenet-pytorch are imported when an MTCNN detector is built: planning a run imports this module and has to
start fast.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from iaca.errors import InputError
from iaca.files import in_project
from iaca.parameters import DEVICE, LONGEST_S, Parameters

WORKING_FACE_PX = 20
"""Images are reduced until the smallest face to look for has this side (px): the cost grows with the pixels."""
PYRAMID_FACTOR = 0.6
"""Step between the sizes that MTCNN searches; 0.6 instead of the usual 0.709 takes two thirds of the time."""
THRESHOLDS = (0.8, 0.7, 0.7)
"""Scores (0..1) to pass MTCNN's proposal, refinement and output networks."""
LANDMARK_BIAS_PX = 0.9
"""facenet-pytorch counts px from 1 and cuts at whole px, which shifts landmarks right and down by this much on the
reduced image (measured against known landmarks at scales from 1/4 to 1)."""


DetectorName = Literal["mtcnn", "yunet"]
"""The keys of `iaca.faces.detect.DETECTORS`."""
Side = Literal["left", "right"]
"""Which of two people in the picture a clip is about, as seen in the image."""


class FaceConfig(Parameters):
    """How faces are detected, tracked, aligned and stored.

    Attributes:
        source: "detect" finds faces in the videos; "crops" takes those that the corpus provides, for every clip; "auto"
            takes them for the clips that have some and detects the others.
        detector: "mtcnn" (its weights come with facenet-pytorch) or "yunet" (needs `weights`).
        weights: weights file of a detector that comes without weights (`iaca.files.in_project`).
        device: torch device of the detector: "cpu", "cuda", or "auto", a GPU if there is one.
        every: detect at least on every k-th frame until faces are steady; optical flow covers the frames between.
        max_every: while flow and detector agree, the interval grows frame by frame up to this.
        size: side of the aligned face (px).
        min_face: smallest face to look for, as a fraction of the shorter side of the image ...
        min_face_px: ... but never smaller than this (px).
        min_score: detections with a lower score (0..1) are dropped.
        jpeg_quality: quality (0..100) of the stored faces.
        relink_s: a face that returns to its place after at most this long (s) keeps its track.
        min_track_s: tracks shorter than this (s) are treated as false alarms.
        join: when the track of the person ends (a cut, a long absence), a clip without `side` continues with the next
            face that is alone in view; set it to false where several people take turns.
        causal: track and choose the person without later frames, as in a live stream (`iaca.faces.track`); for models
            that run live.
    """

    LATER = frozenset({"causal"})

    source: Literal["auto", "crops", "detect"] = "auto"
    detector: DetectorName = "mtcnn"
    weights: str | None = Field(None, min_length=1)
    device: str = Field("cpu", pattern=DEVICE)
    every: int = Field(5, ge=1, le=10_000)
    max_every: int = Field(15, ge=1, le=10_000)
    size: int = Field(112, ge=16, le=1024)
    min_face: float = Field(0.1, gt=0.0, le=1.0)
    min_face_px: int = Field(20, ge=12, le=16_384)
    min_score: float = Field(0.9, ge=0.0, le=1.0)
    jpeg_quality: int = Field(92, ge=1, le=100)
    relink_s: float = Field(3.0, ge=0.0, le=LONGEST_S)
    min_track_s: float = Field(0.3, ge=0.0, le=LONGEST_S)
    join: bool = True
    causal: bool = False

    @model_validator(mode="after")
    def _intervals_in_order(self) -> FaceConfig:
        if self.max_every < self.every:
            raise ValueError(f"max_every ({self.max_every}) is below every ({self.every})")
        return self

    def weights_file(self) -> Path | None:
        """The weights file of the detector; None for one that comes with its weights.

        Raises:
            InputError: no file is set, or it is missing.
        """
        if self.detector != "yunet":
            return None
        if self.weights is None:
            raise InputError("YuNet needs a weights file, and none is set", remedy=YUNET_REMEDY)
        path = in_project(self.weights)
        if not path.is_file():
            raise InputError("YuNet weights file not found", file=path, remedy=YUNET_REMEDY)
        return path


YUNET_REMEDY = "set the face parameter `weights` to the file face_detection_yunet_2023mar.onnx, or detector to mtcnn"


class PeopleRule(Parameters):
    """How the tracks of a video become people, when all of its people are extracted (see `iaca.faces.track.people`).

    Attributes:
        min_person_s: the face of a person is seen for at least this long (s) in total, or in half of the frames of a
            shorter video.
        rejoin_s: a track that starts where another one ended, within this time (s), can be the same person.
    """

    min_person_s: float = Field(default=1.0, ge=0.0, le=LONGEST_S)
    rejoin_s: float = Field(default=10.0, ge=0.0, le=LONGEST_S)


@dataclass(frozen=True)
class Detection:
    """A face in an image, in px (pixel centres are at integers).

    Attributes:
        box: (4,) float64 x0, y0, x1, y1; it may extend beyond the image.
        landmarks: (5, 2) float64 left eye, right eye, nose, left and right mouth corner, as seen in the image.
        score: 0..1, the confidence of the detector.
    """

    box: NDArray[np.float64]
    landmarks: NDArray[np.float64]
    score: float


def iou(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Intersection over union (0..1) of two boxes x0, y0, x1, y1."""
    width, height = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [float((box[2] - box[0]) * (box[3] - box[1])) for box in (a, b)]
    return float(width * height) / (sum(areas) - float(width * height))


class FaceDetector(Protocol):
    """Anything that finds faces in images."""

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[list[Detection]]:
        """Faces of each RGB image (h, w, 3) uint8, best or largest first; the images may differ in size."""
        ...


class MtcnnDetector:
    """MTCNN (Zhang et al., IEEE SPL 2016) by facenet-pytorch, whose wheel contains the weights.

    It finds faces of at least `config.min_face` of the shorter side of the image, and of at least `config.min_face_px`.
    """

    def __init__(self, config: FaceConfig):
        self._config = config
        self._network = _mtcnn(config.device, threading.get_ident())

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[list[Detection]]:
        """Faces of each RGB image (h, w, 3), largest first; images of one size go through the network together."""
        import torch

        found: list[list[Detection]] = [[] for _ in images]
        for shape in sorted({image.shape for image in images}):
            rows = [i for i, image in enumerate(images) if image.shape == shape]
            with torch.inference_mode():
                faces_of_rows = self._detect_equal([images[i] for i in rows])
            for row, faces in zip(rows, faces_of_rows, strict=True):
                found[row] = faces
        return found

    def _detect_equal(self, images: list[NDArray[np.uint8]]) -> list[list[Detection]]:
        height, width = images[0].shape[:2]
        short = min(height, width)
        face = min(max(self._config.min_face * short, float(self._config.min_face_px)), float(short))
        scale = min(WORKING_FACE_PX / face, 1.0)
        across, down = max(round(width * scale), 1), max(round(height * scale), 1)
        if min(across, down) < 12:  # smaller than the window of the network
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
        return [Detection(box, marks, float(score)) for box, marks, score in faces if score >= self._config.min_score]


@lru_cache(maxsize=4)
def _mtcnn(device: str, thread: int) -> Any:
    """The network, loaded once per thread: loading takes longer than the faces of a short clip.

    Threads do not share it, because a detector sets `min_face_size` before each use.
    """
    import torch
    from facenet_pytorch import MTCNN

    del thread
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cudnn.allow_tf32 = False  # by default a GPU would round: other boxes than on a CPU
    return MTCNN(keep_all=True, factor=PYRAMID_FACTOR, thresholds=list(THRESHOLDS), device=torch.device(device)).eval()


def _to_image(points: NDArray[np.float64], factor: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map points of the reduced image to the original image; pixel centres are at integers."""
    return (points + 0.5) * factor - 0.5


class YunetDetector:
    """YuNet (Wu et al., Machine Intelligence Research 2023) by OpenCV. Finds faces of about 10 to 300 px.

    The project has no weights for it: set `faces.weights` to `face_detection_yunet_2023mar.onnx` (OpenCV Zoo, MIT
    licence). That file was not available where the project was made: only the errors and the parsing of its output are
    tested.

    Raises:
        InputError: no weights file is set, it is missing, or OpenCV can't read it.
    """

    def __init__(self, config: FaceConfig):
        weights = config.weights_file()
        try:
            self._network = cv2.FaceDetectorYN.create(str(weights), "", (320, 320), config.min_score)
        except cv2.error as error:
            raise InputError("OpenCV can't read this as YuNet weights", weights, remedy=YUNET_REMEDY) from error

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[list[Detection]]:
        """Faces of each RGB image (h, w, 3), highest score first."""
        return [self._detect(image) for image in images]

    def _detect(self, image: NDArray[np.uint8]) -> list[Detection]:
        self._network.setInputSize((image.shape[1], image.shape[0]))
        _, rows = self._network.detect(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        return [] if rows is None else [read_row(row) for row in np.asarray(rows, dtype=np.float64)]


def read_row(row: NDArray[np.float64]) -> Detection:
    """Parse a row of YuNet: x, y, width, height, five points, score.

    The first point is the right eye of the subject, which is the left one in the image.
    """
    x, y, width, height = row[:4]
    return Detection(np.array([x, y, x + width, y + height]), row[4:14].reshape(5, 2), float(row[14]))


DETECTORS: dict[DetectorName, type[MtcnnDetector] | type[YunetDetector]] = {
    "mtcnn": MtcnnDetector,
    "yunet": YunetDetector,
}


def make_detector(config: FaceConfig) -> FaceDetector:
    """Build the detector that the configuration names.

    Raises:
        InputError: its weights are missing.
    """
    return DETECTORS[config.detector](config)


# --- alignment: a similarity transform onto the five-point template ---

TEMPLATE_SIDE = 112.0
TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""Left eye, right eye, nose, left and right mouth corner (px, image order) of an upright 112 x 112 face: the reference
points of ArcFace (Deng et al., CVPR 2019), which most pretrained face models expect."""


def align(image: NDArray[np.uint8], landmarks: NDArray[np.floating], size: int = 112) -> NDArray[np.uint8]:
    """Cut out a face, upright and at the scale of the template.

    Args:
        image: (h, w, 3) uint8.
        landmarks: (5, 2) px, in the order of `TEMPLATE`.
        size: side of the result (px).

    Returns:
        (size, size, 3) uint8; black outside the image. Faces much larger than `size` are averaged, not sampled.
    """
    matrix = similarity(landmarks, _template(size))
    shrink = int(1.0 / max(float(np.hypot(*matrix[:, 0])), 1e-6))
    if shrink >= 2:
        image, matrix = _shrunk(image, matrix, size, shrink)
    return np.asarray(cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR), dtype=np.uint8)


def within(shape: tuple[int, ...], landmarks: NDArray[np.floating], cells: int) -> NDArray[np.bool_]:
    """Which parts of an aligned face, cut into (cells, cells), are inside the image of this (height, width, ...)."""
    size = int(TEMPLATE_SIDE)
    edges = np.linspace(-0.5, size - 0.5, cells + 1)
    corners = np.stack(np.meshgrid(edges, edges), -1).reshape(-1, 2)
    back = similarity(_template(size), np.asarray(landmarks, np.float64))
    x, y = apply(back, corners).T.reshape(2, cells + 1, cells + 1)
    inside = (x >= -0.5) & (y >= -0.5) & (x <= shape[1] - 0.5) & (y <= shape[0] - 0.5)
    return np.asarray(inside[1:, 1:] & inside[1:, :-1] & inside[:-1, 1:] & inside[:-1, :-1])


def _template(size: int) -> NDArray[np.float64]:
    """The template for a side of `size` px. Pixel centres are at integers, so sizes scale around -0.5."""
    return np.asarray((TEMPLATE + 0.5) * (size / TEMPLATE_SIDE) - 0.5)


def _shrunk(
    image: NDArray[np.uint8], matrix: NDArray[np.float64], size: int, shrink: int
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Average the part of the image that the face needs over blocks; return it with its transform to the template."""
    corners = np.array([[0, 0], [size, 0], [0, size], [size, size]], dtype=np.float64)
    needed = apply(np.asarray(cv2.invertAffineTransform(matrix), dtype=np.float64), corners)
    height, width = image.shape[:2]
    x0, y0 = (int(v) for v in np.clip(needed.min(0) - shrink, 0, [width - 1, height - 1]))
    x1, y1 = (int(v) for v in np.clip(needed.max(0) + shrink, [x0 + 1, y0 + 1], [width, height]))
    across, down = max((x1 - x0) // shrink, 1), max((y1 - y0) // shrink, 1)
    part = np.asarray(cv2.resize(image[y0:y1, x0:x1], (across, down), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    step = np.array([(x1 - x0) / across, (y1 - y0) / down])
    back = np.array([[step[0], 0.0, x0 + step[0] / 2 - 0.5], [0.0, step[1], y0 + step[1] / 2 - 0.5], [0.0, 0.0, 1.0]])
    return part, matrix @ back


def similarity(source: NDArray[np.floating], target: NDArray[np.floating]) -> NDArray[np.float64]:
    """Least-squares similarity transform (2, 3) from points (n, 2) to points (n, 2): rotation, scale and shift.

    In complex numbers it is t = a s + b, with a = sum(conj(s) t) / sum(|s|^2) on centred points. Points that all
    coincide give a transform of scale 0.
    """
    s, t = (np.asarray(p, dtype=np.float64) @ np.array([1.0, 1.0j]) for p in (source, target))
    s_mean, t_mean = s.mean(), t.mean()
    spread = float(np.sum(np.abs(s - s_mean) ** 2))
    a = complex(np.vdot(s - s_mean, t - t_mean)) / spread if spread > 0 else 0j
    b = t_mean - a * s_mean
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def apply(matrix: NDArray[np.float64], points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Transform points (n, 2) by a matrix (2, 3)."""
    return np.asarray(points @ matrix[:, :2].T + matrix[:, 2], dtype=np.float64)
