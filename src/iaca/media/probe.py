"""What a file is: a video, a sound or neither; and the facts of a media file (streams, sizes, codecs, rates)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from iaca.errors import unreadable
from iaca.media.container import MediaLimits, Source, decode, open_source, packets, undecodable
from iaca.media.video import DisplayConverter, Orientation, nominal_fps

Kind = Literal["video", "sound", "other"]


def _endings(names: str) -> frozenset[str]:
    return frozenset(f".{name}" for name in names.split())


VIDEO_ENDINGS = _endings(
    "mp4 m4v mov qt mkv webm avi divx mpg mpeg m2v vob vro mod tod wmv asf dvr-ms flv f4v 3gp 3g2 ts mts m2ts m2t ogv "
    "ogm dv mxf gxf nut rm rmvb wtv insv lrv h264 h265 hevc ivf obu y4m mjpeg mjpg"
)
"""Files with these endings are videos, whether they can be opened or not."""
SOUND_ENDINGS = _endings("wav flac mp3 m4a m4b opus oga aac wma aif aiff au caf amr ac3 mka")
OTHER_ENDINGS = _endings(
    "csv tsv txt md rst json jsonl xml yml yaml toml ini cfg log html htm css js py ipynb r m sh "
    "srt vtt ass sub idx eaf textgrid pdf doc docx odt rtf ppt pptx xls xlsx ods "
    "png jpg jpeg gif bmp tif tiff webp heic svg psd raw dng cr2 arw thm aae xmp ifo bup cpi mpl bdm moi "
    "zip gz bz2 xz zst 7z rar tar tgz iso parquet feather arrow npy npz mat h5 hdf5 pkl pt pth ckpt onnx bin db sqlite "
    "safetensors exe dll so dmg lnk tmp part crdownload lock bak"
)
"""Files with these endings are found next to videos and are not videos: text, tables, pictures, side files of cameras,
archives, results, downloads that have not finished."""
SOURCE_CODE = _endings("ts mts")
"""Endings of transport streams that are those of TypeScript, too."""
_START = 4096  # bytes that are looked at
_SIGNS = (
    b"%PDF", b"PK\x03\x04", b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"\x1f\x8b", b"7z\xbc\xaf",
    b"Rar!", b"SQLite", b"\x7fELF", b"MZ", b"\x93NUMPY", b"PAR1", b"\x89HDF",
)  # fmt: skip
"""First bytes of documents, archives, pictures, programs and arrays."""
_CONTROL = frozenset(range(32)) - frozenset(b"\t\n\v\f\r\x1b")  # no encoding of text but UTF-16 and UTF-32 has these


def kind_of(path: Path, limits: MediaLimits | None = None) -> Kind:
    """What a file found in a folder is, in a few milliseconds: the one rule for what is taken as media.

    The ending decides if it is a known one. Any other file, or one without an ending, is looked into: an empty file,
    text, a document, a picture, an archive, a pipe or a link that leads nowhere is `other`; the rest is opened.

    Raises:
        InputError: it has no known ending, is not recognised as anything else, and can't be opened as media.
    """
    ending = path.suffix.lower()
    if ending in SOUND_ENDINGS:
        return "sound"
    if ending in OTHER_ENDINGS:
        return "other"
    if ending in VIDEO_ENDINGS - SOURCE_CODE:
        return "video"
    start = _first_bytes(path)
    if ending in SOURCE_CODE:
        return "other" if start and _is_text(start) else "video"
    if not start or start.startswith(_SIGNS) or _is_text(start):
        return "other"
    return "video" if probe(path, decoding=False, limits=limits).has_video else "sound"


def left_out(paths: Iterable[Path]) -> str:
    """Files by ending, the most frequent first, for a message: `12 .csv, 3 without ending`."""
    endings = Counter(path.suffix.lower() or "without ending" for path in paths)
    return ", ".join(
        f"{count} {ending}" for ending, count in sorted(endings.items(), key=lambda item: (-item[1], item[0]))
    )


def _first_bytes(path: Path) -> bytes:
    """Empty for anything but a file."""
    if not path.is_file():
        return b""
    try:
        with path.open("rb") as file:
            return file.read(_START)
    except OSError as error:
        raise unreadable(error, path) from error


def _is_text(start: bytes) -> bool:
    return start.startswith((b"\xff\xfe", b"\xfe\xff")) or _CONTROL.isdisjoint(start)


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
        claimed = float(source.container.duration) / 1e6  # the container counts microseconds
        # Matroska writes the last timestamp: of a recording that was cut, it counts from the start of the whole
        before = float(source.origin) if "matroska" in source.container.format.name else 0.0
        return claimed - before if before < claimed else claimed
    ends = [s.duration * s.time_base for s in source.streams if s.duration is not None]
    return float(max(ends)) if ends else math.nan
