"""Converts decoded frames to RGB images as a player displays them."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from av.sidedata.sidedata import Type
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

Image = NDArray[np.uint8]


class DisplayConverter:
    """Converts decoded frames to upright RGB images (h, w, 3) uint8; one for each pass over a video.

    The colour conversion is prepared once for all frames of one size: preparing it for each takes twice the time.
    """

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def __call__(self, frame: Any) -> Image:
        """The image, turned and mirrored as the frame's display matrix says."""
        image = np.asarray(self._reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray(), np.uint8)
        return Orientation.of(frame).apply(image)


@dataclass(frozen=True)
class Orientation:
    """One of the eight ways in which a stored picture is displayed.

    Attributes:
        turns: quarter turns counterclockwise.
        mirrored: whether the picture is mirrored left to right before it is turned.
    """

    turns: int = 0
    mirrored: bool = False

    @classmethod
    def of(cls, frame: Any) -> Orientation:
        """The orientation nearest to the frame's display matrix.

        The matrix maps a stored point (x, y), y down, to x' = a x + c y + tx, y' = b x + d y + ty; it is stored as nine
        32-bit integers a, b, u, c, d, v, tx, ty, w (ISO/IEC 14496-12, 6.2.2). FFmpeg uses the first one of a frame.
        """
        matrix = next((bytes(data) for data in frame.side_data if data.type is Type.DISPLAYMATRIX), b"")
        if len(matrix) < 36:
            return cls()
        a, b, _, c, d = struct.unpack_from("=5i", matrix)
        mirrored = a * d - b * c < 0
        if mirrored:  # what remains after the mirroring x -> -x is a rotation
            a, b = -a, -b
        return cls(round(math.atan2(-b, a) / (math.pi / 2)) % 4, mirrored)

    def apply(self, image: Image) -> Image:
        """A stored image (h, w, 3) as it is displayed."""
        if not self.turns and not self.mirrored:
            return image
        return np.ascontiguousarray(np.rot90(image[:, ::-1] if self.mirrored else image, self.turns))
