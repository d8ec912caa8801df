"""Converts decoded frames to RGB images as a player displays them: square pixels, upright."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.sidedata.sidedata import Type
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from iaca.errors import InputError
from iaca.media.container import REENCODE, Source, reason

Image = NDArray[np.uint8]

DEFAULT_MATRIX = 2  # unspecified: FFmpeg decodes by BT.601
MATRICES = frozenset({0, 1, DEFAULT_MATRIX, 4, 5, 6, 7, 9})
"""Colour matrices (ITU-T H.273, MatrixCoefficients) that FFmpeg converts: RGB, BT.709, FCC, BT.601, 240M, BT.2020."""
NEARLY_SQUARE, WIDEST_PIXEL = 0.01, 8
"""Pixels whose sides differ by less than this share are not resampled. A ratio of sides beyond `WIDEST_PIXEL` is an
error of the header, and the pixels count as square."""


class DisplayConverter:
    """Converts decoded frames of one video to the RGB images (h, w, 3) uint8 that a player displays.

    The colour conversion is prepared once for all frames of one size: preparing it for each takes twice the time.

    Attributes:
        warning: what the conversion could not do as the file asks; empty if nothing.
    """

    def __init__(self, source: Source) -> None:
        self.warning = ""
        self._source, self._reformatter = source, VideoReformatter()
        self._stream: Any = source.video
        self._declared, self._coded = self._pixel_aspects()

    def __call__(self, frame: Any) -> Image:
        """The image of the frame decoded last, with square pixels, turned and mirrored by its display matrix.

        Raises:
            InputError: FFmpeg can't convert its colours.
            LimitError: with square pixels the image exceeds `max_pixels`.
        """
        return Orientation.of(frame).apply(self._rgb(frame))

    def _rgb(self, frame: Any) -> Image:
        width, height = self._size(frame)
        resampling = Interpolation.BILINEAR if (width, height) == (frame.width, frame.height) else Interpolation.BICUBIC
        if frame.colorspace not in MATRICES:  # FFmpeg would refuse the frame
            self.warning = f"colour matrix {frame.colorspace} is not supported; colours are decoded by the usual one"
            frame.colorspace = DEFAULT_MATRIX
        try:
            rgb = self._reformatter.reformat(frame, width, height, "rgb24", interpolation=resampling, threads=1)
        except (av.FFmpegError, ValueError) as error:
            what = f"its colours can't be converted ({reason(error)})"
            raise InputError(what, file=self._source.path, remedy=REENCODE) from error
        return np.asarray(rgb.to_ndarray(), np.uint8)

    def _size(self, frame: Any) -> tuple[int, int]:
        """Width and height of the stored picture with square pixels: one side is enlarged, no detail is lost."""
        _, coded = self._pixel_aspects()
        # the container's aspect ratio overrides the stream's, unless that changes within the video (broadcasts)
        aspect = self._declared if coded == self._coded else coded
        if not aspect or abs(aspect - 1) < NEARLY_SQUARE or not 1 / WIDEST_PIXEL <= aspect <= WIDEST_PIXEL:
            return frame.width, frame.height
        width, height = round(frame.width * max(aspect, 1)), round(frame.height / min(aspect, 1))
        self._source.limits.check_picture(self._source.path, width, height)
        return width, height

    def _pixel_aspects(self) -> tuple[Fraction | None, Fraction | None]:
        """Width of a pixel relative to its height: by the container, and by the stream for the frame decoded last."""
        return self._stream.sample_aspect_ratio, self._stream.codec_context.sample_aspect_ratio


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
