"""Sound on disk: 16-bit mono FLAC whose comment tag says where sound was present."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from iaca.errors import InputError
from iaca.files import replacing
from iaca.media.audio import audio_blocks
from iaca.media.audio_track import AudioTrack, Presence
from iaca.media.limits import MediaLimits
from iaca.text import parse_json

_BLOCK = 65536


def write_audio(path: str | Path, track: AudioTrack) -> None:
    """Write a track as FLAC, 16 bit, mono; samples beyond -1..1 are clipped. The file appears whole or not at all."""
    with replacing(path) as partial, _flac(partial, track.rate, track.present, len(track.samples)) as file:
        file.write(track.samples[:])


def extract_audio(source: str | Path, target: str | Path, rate: int = 16000, limits: MediaLimits | None = None) -> None:
    """Write the sound of a media file as FLAC, as `write_audio(target, read_audio(source, rate))` does, but in a memory
    that does not grow with its length. It decodes twice: FLAC wants its tags before its samples."""
    presence, end = Presence(), 0
    for start, block in audio_blocks(source, rate, limits):
        end = start + len(block)
        presence.add(start, end)
    with replacing(target) as partial, _flac(partial, rate, presence.seconds(rate), end) as file:
        end = 0
        for start, block in audio_blocks(source, rate, limits):
            for silence in range(start - end, 0, -_BLOCK):
                file.write(np.zeros(min(silence, _BLOCK), dtype=np.float32))
            file.write(block)
            end = start + len(block)


def read_audio_file(path: str | Path) -> AudioTrack:
    """The track that `write_audio` wrote. Its samples stay on disk: what is sliced out of them is read then.

    Raises:
        InputError: no sound file, not mono, or without the tag; also when samples are read, from a file that is torn.
    """
    try:
        with soundfile.SoundFile(str(path)) as file:
            tag = parse_json(file.comment)
            present = tuple((float(a), float(b)) for a, b in tag["present"])
            rate, channels, count = file.samplerate, file.channels, int(tag["samples"])
    except (soundfile.LibsndfileError, ValueError, KeyError, TypeError) as error:
        raise _unreadable(path) from error
    if channels != 1:
        raise _unreadable(path)
    return AudioTrack(FlacSamples(path, count), rate, present)


@dataclass(frozen=True)
class FlacSamples:
    """The samples (n,) of a FLAC, read as they are asked for: `samples[start:stop]` is an array, and so is all of it by
    `samples[:]`. Threads may share it, since each stretch opens the file anew.

    Attributes:
        path: of the file.
        count: samples that its tag counts.
    """

    path: str | Path
    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, part: slice, /) -> NDArray[np.float32]:
        start, stop, stride = part.indices(self.count)
        if stride != 1:
            raise ValueError(f"samples on disk are read in their order, not by strides of {stride}")
        try:
            with soundfile.SoundFile(str(self.path)) as file:
                file.seek(min(start, self.count))
                samples = file.read(max(stop - start, 0), dtype="float32")
        except soundfile.LibsndfileError as error:
            raise _unreadable(self.path) from error
        if len(samples) < stop - start:
            raise _unreadable(self.path)
        return np.asarray(samples, dtype=np.float32)


@contextmanager
def _flac(path: Path, rate: int, present: tuple[tuple[float, float], ...], count: int) -> Iterator[soundfile.SoundFile]:
    with soundfile.SoundFile(str(path), "w", rate, 1, subtype="PCM_16", format="FLAC") as file:
        file.comment = json.dumps({"present": present, "samples": count})
        if not count:  # libsndfile can't read back a FLAC without samples: write one, which the tag does not count
            file.write(np.zeros(1, dtype=np.float32))
        yield file
    try:  # libsndfile says nothing of an end that found no room on a full disk
        FlacSamples(path, count)[max(count - 1, 0) : count]
    except InputError as error:
        raise OSError(errno.EIO, "the end of the sound was not written", str(path)) from error


def _unreadable(path: str | Path) -> InputError:
    problem = "is no mono sound file with the tag that says where sound is present."
    return InputError(problem, file=path, remedy="run the preprocessing pipeline again: it is made anew")
