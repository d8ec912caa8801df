"""How far does a face smile, frown, or open its mouth? MediaPipe's face landmarker, run by LiteRT instead of torch.

A task file is a zip archive of TFLite networks. Two of them are used: the first places 478 points on a picture of a
face, the second turns 146 of them into 52 coefficients. The first one, `_neutral`, is to be ignored, as its publisher
says; here its column is the probability that there is a face at all.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from iaca.encoders.config import NoOptions
from iaca.encoders.weights import WEIGHTS
from iaca.errors import InputError, brief

Array = NDArray[np.float32]

PRESENCE = "face_presence"
NAMES = (
    PRESENCE, "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "cheekPuff",
    "cheekSquintLeft", "cheekSquintRight", "eyeBlinkLeft", "eyeBlinkRight", "eyeLookDownLeft", "eyeLookDownRight",
    "eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft", "eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight",
    "eyeSquintLeft", "eyeSquintRight", "eyeWideLeft", "eyeWideRight", "jawForward", "jawLeft", "jawOpen", "jawRight",
    "mouthClose", "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft", "mouthFrownRight", "mouthFunnel",
    "mouthLeft", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthPressLeft", "mouthPressRight", "mouthPucker",
    "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthSmileLeft",
    "mouthSmileRight", "mouthStretchLeft", "mouthStretchRight", "mouthUpperUpLeft", "mouthUpperUpRight",
    "noseSneerLeft", "noseSneerRight",
)  # fmt: skip
"""Names of the columns. All but the first are coefficients in [0, 1] under the names of ARKit; left is the person's."""
POINTS = 478
_RANGES = (
    "0-1 4-8 10 13-14 17 21 33 37 39-40 46 52-55 58 61 63 65-67 70 78 80-82 84 87-88 91 93 95 103 105 107 109 127 "
    "132-133 136 144-146 148-150 152-155 157-163 168 172-173 176 178 181 185 191 195 197 234 246 249 251 263 267 "
    "269-270 276 282-285 288 291 293 295-297 300 308 310-312 314 317-318 321 323-324 332 334 336 338 356 361-362 365 "
    "373-375 377-382 384-390 397-398 400 402 405 409 415 454 466 468-477"
)
READ = [
    point
    for first, _, last in (part.partition("-") for part in _RANGES.split())
    for point in range(int(first), int(last or first) + 1)
]
"""The points that the second network reads."""
SIDE = 256
"""px, of the picture that the first network sees."""
SPAN, BELOW = 150 / 112, 9 / 112
"""Side of the square that it sees, and how far the centre of that square is below that of the aligned face, as
fractions of the face's side. The network expects the whole face with some space around it, but an aligned face is cut
at the chin; its edges are repeated. Of the sizes that were tried, these change the coefficients least on average
(docs/reference/encoders.md)."""


def columns_of(name: str) -> list[int]:
    """Columns of a coefficient, or of both sides of one; none if there is no such coefficient."""
    named = (name, f"{name}Left", f"{name}Right")
    return [column for column, other in enumerate(NAMES[1:], start=1) if other in named]


class Blendshapes(nn.Module):
    """51 blendshape coefficients and the probability of a face.

    Networks: I. Grishchenko et al., *Attention Mesh: High-fidelity Face Mesh Prediction in Real-time* (2020) and
    *Blendshapes GHUM: Real-time Monocular Facial Blendshape Prediction* (2023). They run on the CPU, whatever the
    device, one face at a time, and can't be trained.

    Raises:
        InputError: there are no weights, they are not the published file, or LiteRT is not installed.
    """

    def __init__(self, options: NoOptions, weights: Path | None):
        super().__init__()
        del options
        if weights is None or not WEIGHTS["blendshapes"].is_(weights):
            raise InputError(
                "blendshapes runs the published file only", weights, remedy="leave `weights` of blendshapes away"
            )
        networks = _unpacked(weights)
        self._mesh, self._coefficients = (_interpreter(networks[name]) for name in MEMBERS)
        self._lock = threading.Lock()  # an interpreter holds one picture at a time

    def forward(self, faces: Tensor) -> Tensor:
        """(n, h, w, 3) uint8 RGB -> (n, 52), the columns of `NAMES`; zeros where the network sees no face."""
        rows = np.zeros((len(faces), len(NAMES)), np.float32)
        for row, face in zip(rows, faces.cpu().numpy(), strict=True):
            points, row[0] = self.mesh(face)
            if row[0] > 0.5:
                row[1:] = self._run(self._coefficients, points[READ, :2])[0].reshape(-1)[1:]
        return torch.from_numpy(rows).to(faces.device)

    def mesh(self, face: NDArray[np.uint8]) -> tuple[Array, float]:
        """Points (478, 3) in px of an aligned face (h, w, 3), and the probability that it is one."""
        matrix = view(len(face))
        size = (SIDE, SIDE)
        picture = cv2.warpAffine(face, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        outputs = self._run(self._mesh, np.asarray(picture, np.float32) / 255)
        points, score = outputs[0].reshape(POINTS, 3), float(outputs[1].reshape(-1)[0])
        points = (points - [*matrix[:, 2], 0]) / matrix[0, 0]
        return points.astype(np.float32), float(1 / (1 + np.exp(-score)))

    def _run(self, network: Any, values: NDArray[np.floating]) -> list[Array]:
        with self._lock:
            network.set_tensor(network.get_input_details()[0]["index"], np.ascontiguousarray(values[None], np.float32))
            network.invoke()
            return [network.get_tensor(output["index"]) for output in network.get_output_details()]


def view(side: int) -> NDArray[np.float64]:
    """The transform (2, 3) from px of an aligned face of this side to px of the picture that the network sees."""
    scale = SIDE / (SPAN * side)
    x, y = (side - 1) / 2, (side - 1) / 2 + BELOW * side
    return np.array([[scale, 0, SIDE / 2 - scale * x], [0, scale, SIDE / 2 - scale * y]])


MEMBERS = ("face_landmarks_detector.tflite", "face_blendshapes.tflite")


def _unpacked(path: Path) -> dict[str, bytes]:
    try:
        with ZipFile(path) as archive:
            return {name: archive.read(name) for name in MEMBERS}
    except (BadZipFile, KeyError, OSError) as error:
        raise InputError(f"not a task file of MediaPipe ({brief(error)})", path, remedy="get it again") from error


def _interpreter(content: bytes) -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise InputError(
            "blendshapes needs the package ai-edge-litert", remedy="pip install 'iaca[blendshapes]'"
        ) from error
    network = Interpreter(model_content=content, num_threads=1)
    network.allocate_tensors()
    return network
