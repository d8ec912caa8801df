"""How is a clip's sound, or its faces, corrupted before the encoders?

Sound: noise or babble at a signal-to-noise ratio. SNR = 20 log10(rms(sound) / rms(noise)), in dB. The RMS of the sound
is taken over every sample that the file holds, pauses included; the RMS of the noise over the samples it is added to.
The result is not clipped and may exceed full scale, and the sound keeps its level. Writing it as integers
(`iaca.media.write_audio`) would clip it. Faces: a lower resolution, or a block over the mouth or the eyes.

The tasks corrupt the signal, embed the clip again and write that embedding to a file of its own; scoring reads the
file. Tasks and scoring draw the corrupted steps by the same function, `iaca.evaluation.corruption.corrupted_steps`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from iaca.encoders.config import EMBEDDING_VERSION, EmbeddingConfig, describe, mismatches
from iaca.encoders.embed import NUMBERS, with_faces, with_sound
from iaca.encoders.embedding import ClipEmbedding, read_embedding, read_metadata, write_embedding
from iaca.errors import InputError, counted
from iaca.evaluation.config import Condition, RobustnessConfig
from iaca.evaluation.corruption import LEFT_ALONE, clip_generator, corrupted_steps
from iaca.faces import FaceImages, read_faces
from iaca.faces.detect import TEMPLATE, TEMPLATE_SIDE
from iaca.faces.extract import Jpegs, decode_face
from iaca.media import AudioTrack, read_audio_file

SILENT_RMS = 1e-4
"""A sound with a lower RMS (-80 dB of full scale) is silent: no noise has a ratio to it."""
TALKERS = 6
"""Voices in a babble: enough that single ones can no longer be made out."""
SYLLABLES_HZ, CUTOFF_HZ = 4.0, 500.0
"""Synthetic voices: how often they swell, and above which frequency they fall by 6 dB per octave."""
Samples = NDArray[np.float32]
Mask = NDArray[np.bool_]


def present_samples(track: AudioTrack) -> Mask:
    """Which samples (n,) of a track its file really holds."""
    there = np.zeros(len(track.samples), np.bool_)
    for start_s, end_s in track.present:
        there[round(start_s * track.rate) : round(end_s * track.rate)] = True
    return there


def samples_of_steps(steps: Mask, times: NDArray[np.float64], count: int, rate: int) -> Mask:
    """Which samples (count,) belong to the chosen steps; a sample belongs to the step nearest in time.

    Args:
        steps: (t,) True for the chosen steps.
        times: (t,) s, increasing.
        count: number of samples in the sound.
        rate: Hz.
    """
    edges = np.rint((times[1:] + times[:-1]) / 2 * rate).astype(np.int64).clip(0, count)
    return np.repeat(steps, np.diff(np.concatenate([[0], edges, [count]])))


def rms(samples: Samples) -> float:
    """Root mean square; 0 for an empty array."""
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if len(samples) else 0.0


def add_noise(sound: Samples, noise: Samples, present: Mask, where: Mask, snr_db: float) -> Samples:
    """Add a noise (n,) to a sound (n,) at a ratio (dB) where both masks (n,) are True; elsewhere no bit changes.

    The noise is scaled by its own RMS over the samples it is added to, so the ratio is exact whatever was drawn. A
    silent sound (`SILENT_RMS`) is returned unchanged.
    """
    reference, here = rms(sound[present]), present & where
    drawn = rms(noise[here])
    if reference < SILENT_RMS or drawn == 0 or np.isposinf(snr_db):
        return sound
    gain = reference / drawn * 10 ** (-snr_db / 20)
    mixed = sound.copy()
    mixed[here] += (gain * noise[here].astype(np.float64)).astype(np.float32)
    return mixed


def white_noise(rng: np.random.Generator, count: int) -> Samples:
    """Gaussian white noise (count,)."""
    return rng.standard_normal(count, dtype=np.float32)


def babble(rng: np.random.Generator, count: int, rate: int, voices: Sequence[AudioTrack]) -> Samples:
    """Several people talking at once (count,): all voices at the same RMS, each looped from a random place.

    Silent voices are left out. If none is left, `TALKERS` synthetic ones take their place: noise that falls off above
    `CUTOFF_HZ` and swells `SYLLABLES_HZ` times a second.
    """
    audible = [voice.samples[:][present_samples(voice)] for voice in voices]
    audible = [samples / np.float32(rms(samples)) for samples in audible if rms(samples) >= SILENT_RMS]
    talkers = [np.resize(np.roll(samples, -int(rng.integers(len(samples)))), count) for samples in audible]
    talkers = talkers or [_synthetic_voice(rng, count, rate) for _ in range(TALKERS)]
    return np.asarray(np.sum(talkers, axis=0), np.float32)


def _synthetic_voice(rng: np.random.Generator, count: int, rate: int) -> Samples:
    pole = np.exp(-2 * np.pi * CUTOFF_HZ / rate)
    low_passed = lfilter([1.0 - pole], [1.0, -pole], rng.standard_normal(count))
    syllables = rng.random(int(count / rate * SYLLABLES_HZ * 2) + 2)  # two points per period: a peak and a dip
    swell = np.interp(np.arange(count) * (SYLLABLES_HZ * 2 / rate), np.arange(len(syllables)), syllables)
    return np.asarray(low_passed * swell**2, np.float32)


Face = NDArray[np.uint8]
Corruption = Callable[[Face], Face]
Part = Literal["mouth", "eyes"]
GREY = 128


class _Block(NamedTuple):
    """Which template points a block covers, and its margins around them as fractions of their distance."""

    points: tuple[int, int]
    beside: float
    above: float
    below: float


BLOCKS: dict[Part, _Block] = {"mouth": _Block((3, 4), 0.4, 0.5, 0.65), "eyes": _Block((0, 1), 0.4, 0.4, 0.4)}
"""The mouth block reaches from below the nose to the chin, so it covers an open mouth; the eyes block from above the
brows to the cheekbones."""


def blurred(face: Face, factor: float) -> Face:
    """Average a face (side, side, 3) down by a factor >= 1 and scale it back up to its size."""
    side = len(face)
    small = max(round(side / factor), 1)
    if small >= side:
        return face
    reduced = cv2.resize(face, (small, small), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(reduced, (side, side), interpolation=cv2.INTER_LINEAR), np.uint8)


def block(part: Part, side: int) -> tuple[slice, slice]:
    """Rows and columns of the block over a part of an aligned face of `side` px, placed by the template."""
    cover = BLOCKS[part]
    points = TEMPLATE[list(cover.points)]
    reach = float(np.ptp(points[:, 0]))
    (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
    edges = (y0 - cover.above * reach, y1 + cover.below * reach, x0 - cover.beside * reach, x1 + cover.beside * reach)
    top, bottom, left, right = (round(min(max(edge / TEMPLATE_SIDE, 0.0), 1.0) * side) for edge in edges)
    return slice(top, bottom), slice(left, right)


def covered(face: Face, part: Part) -> Face:
    """A copy of an aligned face (side, side, 3) with a flat grey block over its mouth or its eyes."""
    result = face.copy()
    result[block(part, len(face))] = GREY
    return result


class CorruptedFaces:
    """Stored faces, some of which are corrupted when they are read; the others keep their stored bytes.

    Args:
        jpegs: by frame.
        steps: (t,) bool, the frames to corrupt.
        corruption: from a face to its corrupted form, which is stored losslessly (PNG), so that an encoder sees it
            exactly.
    """

    def __init__(self, jpegs: Jpegs, steps: NDArray[np.bool_], corruption: Corruption):
        self._jpegs, self._steps, self._corruption = jpegs, steps, corruption

    def __getitem__(self, frame: int, /) -> bytes:
        jpeg = self._jpegs[frame]
        return _png(self._corruption(decode_face(jpeg))) if self._steps[frame] else jpeg


def _png(face: Face) -> bytes:
    _, data = cv2.imencode(".png", cv2.cvtColor(face, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return bytes(data)


VERSION = "1"


def corrupt_sound_file(
    embedding: Path,
    audio: Path,
    *voices: Path,
    target: Path,
    clip: str,
    condition: Condition,
    corruption: RobustnessConfig,
    config: EmbeddingConfig,
    encoders: Mapping[str, str],
) -> None:
    """Task: write a clip's embedding with noise or babble added to its sound.

    Args:
        embedding, audio: of the clip.
        voices: sounds (FLAC) of other clips, for babble.
        target: file to write.
        clip: its name.
        condition: `audio_noise` or `audio_babble`, and the signal-to-noise ratio (dB).
        corruption: segments and seed.
        config: encoders of the embedding.
        encoders: `describe(config)` when the task was planned.

    Raises:
        InputError: the embedding was made with other encoders.
    """
    clean, track = _read_clean(embedding, config, encoders), read_audio_file(audio)
    samples, present = track.samples[:], present_samples(track)
    if rms(samples[present]) < SILENT_RMS:
        write_embedding(_uncorrupted(clean, "no sound to which a noise could have a ratio"), target)
        return
    rng = clip_generator(corruption.seed, condition.corruption, f"{clip}/noise")
    if condition.corruption == "audio_babble":
        noise = babble(rng, len(samples), track.rate, [read_audio_file(voice) for voice in voices])
    else:
        noise = white_noise(rng, len(samples))
    steps = corrupted_steps(condition, clip, clean.time_s, corruption)
    where = samples_of_steps(steps, clean.time_s, len(samples), track.rate)
    noisy = add_noise(samples, noise, present, where, condition.level)
    write_embedding(with_sound(clean, replace(track, samples=noisy), config), target, config.dtype)


def corrupt_faces_file(
    embedding: Path,
    faces: Path,
    *,
    target: Path,
    clip: str,
    condition: Condition,
    corruption: RobustnessConfig,
    config: EmbeddingConfig,
    encoders: Mapping[str, str],
) -> None:
    """Task: write a clip's embedding with its faces (Parquet) blurred or partly covered.

    Raises:
        InputError: the embedding was made with other encoders, or has another number of frames than the faces.
    """
    clean = _read_clean(embedding, config, encoders)
    if not clean.face_found.any():
        write_embedding(_uncorrupted(clean, "no face"), target)
        return
    steps = corrupted_steps(condition, clip, clean.time_s, corruption)
    table = read_faces(faces, columns=NUMBERS)
    if len(table) != len(clean):
        raise InputError(
            f"{counted(len(table), 'frame')} of faces, but {len(clean)} embedded",
            faces,
            remedy="run the embedding pipeline again",
        )
    with FaceImages(faces) as jpegs:
        corrupted = CorruptedFaces(jpegs, steps, _face_corruption(condition))
        write_embedding(with_faces(clean, table, corrupted, config), target, config.dtype)


def _face_corruption(condition: Condition) -> Corruption:
    if condition.corruption == "video_blur":
        return partial(blurred, factor=condition.level)
    return partial(covered, part="mouth" if condition.corruption == "occlusion_mouth" else "eyes")


def _read_clean(path: Path, config: EmbeddingConfig, encoders: Mapping[str, str]) -> ClipEmbedding:
    """The clean embedding, if it was made with the present encoders and code."""
    clean = read_embedding(path)
    changed = [*mismatches(encoders, describe(config)), *mismatches(encoders, clean.metadata)]
    if (version := clean.metadata.get("embedding_version")) != EMBEDDING_VERSION:
        changed.append(f"embedding_version {version}, not {EMBEDDING_VERSION}")
    if changed:
        raise InputError(
            f"embedding is out of date: {'; '.join(changed)}", path, remedy="run the embedding pipeline again"
        )
    return clean


def _uncorrupted(clean: ClipEmbedding, reason: str) -> ClipEmbedding:
    return replace(clean, metadata={**clean.metadata, LEFT_ALONE: reason})


def left_alone(
    corrupted_files: Mapping[str, Path], conditions: Iterable[Condition], clips: Iterable[str]
) -> dict[str, dict[str, str]]:
    """Protocol -> clip -> why it could not be corrupted. Protocols that corrupted every clip are omitted."""
    found: dict[str, dict[str, str]] = {}
    for condition, clip in product(conditions, clips):
        if reason := read_metadata(corrupted_files[condition.item(clip)]).get(LEFT_ALONE):
            found.setdefault(condition.corruption, {})[clip] = reason
    return found
