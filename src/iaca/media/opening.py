"""The one place where a media file is opened for reading: what may be opened, and by which readers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av

from iaca.errors import InputError
from iaca.files import require_file
from iaca.media.limits import MediaLimits

REENCODE = (
    "play the file to see whether it is whole; if it plays, re-encode it: ffmpeg -i IN -c:v libx264 -c:a aac OUT.mp4"
)
FORMATS = (
    "mov", "matroska", "avi", "mpeg", "mpegts", "mpegvideo", "flv", "asf", "ogg", "mxf", "gxf", "nut", "rm", "wtv",
    "dv", "ivf", "obu", "h261", "h263", "h264", "hevc", "vvc", "m4v", "vc1", "mjpeg", "yuv4mpegpipe", "gif", "apng",
    "wav", "w64", "mp3", "flac", "aac", "ac3", "eac3", "aiff", "au", "caf", "amr",
)  # fmt: skip
"""Containers that hold pictures and sound themselves. FFmpeg's other readers (playlists, session descriptions, numbered
pictures, text) open what their content names: other files of the machine, or the network."""


def open_container(path: Path, limits: MediaLimits) -> Any:
    """An opened PyAV container.

    Raises:
        InputError: the path is no file, or nothing that one of `FORMATS` can read.
    """
    _require_file(path)
    options = {
        "format_whitelist": ",".join(FORMATS),
        "protocol_whitelist": "file",
        "max_pixels": str(limits.max_pixels),  # also of the frames that FFmpeg decodes to know a file
    }
    try:  # "file:", since a name may hold a colon
        return av.open(f"file:{path}", options=options, metadata_errors="replace")
    except av.ArgumentError as error:
        remedy = "give a video or a sound file; playlists, pictures and text are not opened"
        raise InputError("is of no video or sound format that is read here", file=path, remedy=remedy) from error
    except (av.FFmpegError, OSError) as error:
        raise InputError(f"can't be opened as a media file ({reason(error)})", file=path, remedy=REENCODE) from error


def _require_file(path: Path) -> None:
    try:
        path.stat()
    except OSError as error:
        remedy = "check the name and the rights; of a link, where it leads"
        raise InputError(f"can't be opened ({reason(error)})", file=path, remedy=remedy) from error
    require_file(path, "give a video or a sound file")


def reason(error: Exception) -> str:
    """What FFmpeg or the system says."""
    return getattr(error, "strerror", None) or type(error).__name__
