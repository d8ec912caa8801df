"""How large a media file may be: a few bytes of a header can ask for more memory or time than a machine has."""

from __future__ import annotations

from collections import deque
from pathlib import Path

from pydantic import Field

from iaca.config import Parameters
from iaca.errors import InputError

ROUNDING_S = 1e-6
"""Times (s) that differ by less are the same."""


class LimitError(InputError):
    """A file goes beyond a limit; its remedy names the parameter."""


class MediaLimits(Parameters):
    """What is beyond a limit is refused, and costs its own file only. What a header claims of length and number of
    frames is not believed: these limits hold for what decodes.

    Attributes:
        max_pixels: width times height of a frame. A worker that looks for faces holds about twenty of them, as RGB.
        max_duration_s: time (s) from the container's start to the end of a frame or of sound, gaps included.
        max_frames_per_s: frames within any one second.
        max_streams: streams of all kinds in a file.
        max_sample_rate: of the sound (Hz).
        max_channels: of the sound.
    """

    max_pixels: int = Field(4096 * 4096, ge=1)
    max_duration_s: float = Field(6 * 3600.0, gt=0)
    max_frames_per_s: int = Field(1000, ge=1)
    max_streams: int = Field(128, ge=1)
    max_sample_rate: int = Field(384_000, ge=1)
    max_channels: int = Field(64, ge=1)

    def check_streams(self, path: Path, count: int) -> None:
        """Refuse a file of too many streams."""
        if count > self.max_streams:
            raise _beyond(path, f"holds {count} streams", "max_streams", self.max_streams)

    def check_picture(self, path: Path, width: int, height: int) -> None:
        """Refuse frames of too many pixels; a size that is not known yet is 0."""
        if width * height > self.max_pixels:
            raise _beyond(path, f"has frames of {width} x {height} px", "max_pixels", self.max_pixels)

    def check_sound(self, path: Path, rate: int, channels: int) -> None:
        """Refuse sound of too many samples a second (Hz), or of too many channels."""
        if rate > self.max_sample_rate:
            raise _beyond(path, f"has sound of {rate} Hz", "max_sample_rate", self.max_sample_rate)
        if channels > self.max_channels:
            raise _beyond(path, f"has sound of {channels} channels", "max_channels", self.max_channels)

    def check_time(self, path: Path, time_s: float) -> None:
        """Refuse a frame or sound that lies too late (s)."""
        if time_s > self.max_duration_s:
            raise _beyond(path, f"reaches to {time_s:.6g} s", "max_duration_s", self.max_duration_s)


class FrameCount:
    """Counts the frames of one video within the last second."""

    def __init__(self, limits: MediaLimits, path: Path):
        self._limits, self._path, self._times = limits, path, deque[float]()

    def check(self, time_s: float) -> None:
        """Take the next frame's time (s), which increases.

        Raises:
            LimitError: it lies too late, or there are too many frames in the second that ends with it.
        """
        self._limits.check_time(self._path, time_s)
        self._times.append(time_s)
        while self._times[0] <= time_s - 1.0 + ROUNDING_S:
            self._times.popleft()
        if len(self._times) > self._limits.max_frames_per_s:
            what = f"has more than {self._limits.max_frames_per_s} frames in the second before {time_s:.6g} s"
            raise _beyond(self._path, what, "max_frames_per_s", self._limits.max_frames_per_s)


def _beyond(path: Path, what: str, name: str, most: float) -> LimitError:
    return LimitError(
        f"{what}, which is beyond {name} = {most:.10g}", file=path,
        remedy=f"re-encode or remove the file, or raise `media.{name}` of the run, `--limit {name}=N` of the web page",
    )  # fmt: skip
