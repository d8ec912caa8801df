"""Reads and writes video and sound on one clock: seconds from the start of the container."""

from iaca.media.audio import (
    AudioTrack,
    Samples,
    audio_blocks,
    extract_audio,
    present_at,
    read_audio,
    read_audio_file,
    write_audio,
)
from iaca.media.container import LimitError, MediaLimits
from iaca.media.probe import MediaInfo, kind_of, left_out, probe, stored_length_s
from iaca.media.video import VideoFrame, frame_times, prefetch, read_frames
from iaca.media.write import rewrite_movie, write_movie

__all__ = [
    "AudioTrack",
    "LimitError",
    "MediaInfo",
    "MediaLimits",
    "Samples",
    "VideoFrame",
    "audio_blocks",
    "extract_audio",
    "frame_times",
    "kind_of",
    "left_out",
    "prefetch",
    "present_at",
    "probe",
    "read_audio",
    "read_audio_file",
    "read_frames",
    "rewrite_movie",
    "stored_length_s",
    "write_audio",
    "write_movie",
]
