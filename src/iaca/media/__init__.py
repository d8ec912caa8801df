"""Reading and writing of video and sound, on one clock: seconds from the start of the container."""

from iaca.media.ahead import made_ahead
from iaca.media.audio import audio_blocks, read_audio
from iaca.media.audio_track import AudioTrack, Samples, present_at
from iaca.media.flac import extract_audio, read_audio_file, write_audio
from iaca.media.info import MediaInfo, probe, stored_length_s
from iaca.media.limits import LimitError, MediaLimits
from iaca.media.movie import write_movie
from iaca.media.overlay import rewrite_movie
from iaca.media.video import VideoFrame, frame_times, read_frames

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
    "made_ahead",
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
