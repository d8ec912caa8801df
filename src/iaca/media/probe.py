"""Reads the facts of a media file (streams, sizes, codecs, rates) from its header and its first decoded frame."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iaca.media.container import MediaLimits, Source, decode, open_source, packets, undecodable
from iaca.media.display import DisplayConverter, Orientation
from iaca.media.video import nominal_fps


@dataclass(frozen=True)
class MediaInfo:
    """Facts about a media file. Where a stream or a fact is missing, numbers are NaN or 0 and names are empty.

    Times are in seconds, `width` and `height` in px of the displayed image. `mirrored` (left to right) and then
    `rotation` (degrees counterclockwise) are applied to the stored picture. `nominal_fps`, `declared_frames` and
    `duration_s` are the container's claims and can be wrong. `picture_warning` is what the conversion to RGB could
    not do as the file asks.
    """

    path: Path
    duration_s: float
    has_video: bool
    has_audio: bool
    width: int
    height: int
    rotation: int
    nominal_fps: float
    declared_frames: int | None
    video_codec: str
    audio_codec: str
    audio_rate: int
    audio_channels: int
    video_start_s: float
    audio_start_s: float
    mirrored: bool = False
    picture_warning: str = ""


def probe(path: str | Path, decoding: bool = True, limits: MediaLimits | None = None) -> MediaInfo:
    """Read the facts of a media file without reading all of it.

    Args:
        path: the file.
        decoding: decode the first frame. Without, only the header is read: it takes a few milliseconds, leaves `width`,
            `height` and `rotation` 0, and relies on the container for the rest.
        limits: limits on the file; None for the defaults.

    Raises:
        InputError: the file can't be opened, has neither video nor audio, exceeds a limit, no video frame decodes, or
            its colours can't be converted.
    """
    with open_source(path, limits) as source:
        video, audio = source.video, source.audio
        picture = _picture(source) if decoding and video is not None else {"width": 0, "height": 0, "rotation": 0}
        return MediaInfo(
            path=source.path,
            duration_s=_duration_s(source),
            has_video=video is not None,
            has_audio=audio is not None,
            nominal_fps=math.nan if video is None else nominal_fps(video),
            declared_frames=(video.frames or None) if video is not None else None,
            video_codec="" if video is None else video.codec_context.codec.canonical_name,
            audio_codec="" if audio is None else audio.codec_context.codec.canonical_name,
            audio_rate=0 if audio is None else audio.codec_context.sample_rate,
            audio_channels=0 if audio is None else audio.codec_context.channels,
            video_start_s=source.start_s(video),
            audio_start_s=source.start_s(audio),
            **picture,
        )


def stored_length_s(path: str | Path, limits: MediaLimits | None = None) -> float:
    """Seconds from the container's start to the end of its last packet of picture or sound.

    This is the length the file has; `MediaInfo.duration_s` is the one it claims. All packets are read, none is decoded.
    Errors as `probe`.
    """
    end = 0.0
    with open_source(path, limits) as source:
        for stream, packet in packets(source, source.streams):
            tick = None if packet is None else packet.dts if packet.pts is None else packet.pts
            if tick is not None:
                end = max(end, float((tick + (packet.duration or 0)) * stream.time_base - source.origin))
    return end


def _picture(source: Source) -> dict[str, Any]:
    """Facts about the first frame as it is displayed: only a decoded frame has a display matrix."""
    first: Any = next((frame for _, _, frames in decode(source, [source.video]) for frame in frames), None)
    if first is None:
        raise undecodable(source, "video")
    orientation, convert = Orientation.of(first), DisplayConverter(source)
    height, width = convert(first).shape[:2]
    return {
        "width": width, "height": height, "rotation": 90 * orientation.turns, "mirrored": orientation.mirrored,
        "picture_warning": convert.warning,
    }  # fmt: skip


def _duration_s(source: Source) -> float:
    if source.container.duration is not None:
        return float(source.container.duration) / 1e6  # the container counts microseconds
    ends = [s.duration * s.time_base for s in source.streams if s.duration is not None]
    return float(max(ends)) if ends else math.nan
