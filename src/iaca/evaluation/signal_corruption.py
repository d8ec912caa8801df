"""How is a clip's sound, or its faces, corrupted before the encoders?

The tasks of this module corrupt the signal, embed the clip again and write that embedding to a file of its own; scoring
reads the file. Tasks and scoring draw the corrupted steps by the same function, `corrupted_steps`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from iaca.audio.noise import SILENT_RMS, add_noise, babble, present_samples, rms, samples_of_steps, white_noise
from iaca.encoders.config import EmbeddingConfig, describe, mismatches
from iaca.encoders.embed import NUMBERS
from iaca.encoders.embed import VERSION as EMBEDDING_VERSION
from iaca.encoders.embedding import ClipEmbedding, read_embedding, read_metadata, write_embedding
from iaca.encoders.reembed import with_faces, with_sound
from iaca.errors import InputError
from iaca.evaluation.config import SNR, Condition, RobustnessConfig
from iaca.evaluation.partition import Corrupted, Partition, block_count, clip_generator, segments
from iaca.faces import FaceImages, read_faces
from iaca.faces.corrupt import CorruptedFaces, Corruption, blurred, covered
from iaca.media import read_audio_file
from iaca.parameters import MODALITIES

VERSION = "1"
LEFT_ALONE = "left_alone"
"""Key of an embedding's metadata: the reason why the clip was not corrupted."""


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
    rng = _generator(Condition(condition.corruption, 0.0), f"{clip}/noise", corruption)
    if condition.corruption == "audio_babble":
        noise = babble(rng, len(samples), track.rate, [read_audio_file(voice) for voice in voices])
    else:
        noise = white_noise(rng, len(samples))
    steps = corrupted_steps(condition, clip, clean.time_s, corruption)
    where = samples_of_steps(steps, clean.time_s, len(samples), track.rate)
    noisy = add_noise(samples, noise, present, where, condition.level)
    write_embedding(with_sound(clean, noisy, track.rate, config), target)


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
            f"{len(table)} frames of faces, but {len(clean)} embedded", faces, remedy="run the embedding pipeline again"
        )
    with FaceImages(faces) as jpegs:
        corrupted = CorruptedFaces(jpegs, steps, _face_corruption(condition))
        write_embedding(with_faces(clean, table, corrupted, config), target)


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


def corrupted_steps(
    condition: Condition, name: str, time_s: NDArray[np.float64], config: RobustnessConfig
) -> NDArray[np.bool_]:
    """(t,) bool, the steps whose signal a condition corrupts, in segments.

    An occlusion covers the share of the clip that its level gives; noise and blur cover `signal_share`.
    """
    protocol, level = condition
    share = level if protocol.startswith("occlusion") else config.signal_share
    steps = np.zeros(len(time_s), np.bool_)
    if len(time_s):
        blocks = block_count(time_s, config.block_s)
        for part in segments(len(time_s), blocks, share, _generator(condition, name, config)):
            steps[part] = True
    return steps


def _generator(condition: Condition, name: str, config: RobustnessConfig) -> np.random.Generator:
    """The same for all levels, so that they differ only in the strength of one noise in the same segments."""
    return clip_generator(config.seed, condition.corruption, name)


def corrupted_signal(
    protocol: str, name: str, clip: ClipEmbedding, level: float, partition: Partition, config: RobustnessConfig
) -> Corrupted:
    """Protocol of `audio_noise`, `audio_babble`, `video_blur`, `occlusion_mouth`, `occlusion_eyes`: read the embedding
    of the corrupted signal.

    The truth is where the signal was corrupted. Encoders with a longer receptive field spread the corruption beyond
    those steps; that is not counted. A clip that was not corrupted has no such steps.
    """
    changed = read_embedding(partition.corrupted_files[protocol, level, name])
    truth = np.zeros((len(clip), len(MODALITIES)), np.bool_)
    if LEFT_ALONE not in changed.metadata:
        column = MODALITIES.index("audio" if protocol in SNR else "visual")
        truth[:, column] = corrupted_steps(Condition(protocol, level), name, clip.time_s, config)
    return Corrupted(changed, truth)


def left_alone(
    corrupted_files: Mapping[str, Path], conditions: Iterable[Condition], clips: Iterable[str]
) -> dict[str, dict[str, str]]:
    """Protocol -> clip -> why it could not be corrupted. Protocols that corrupted every clip are omitted."""
    found: dict[str, dict[str, str]] = {}
    for condition, clip in product(conditions, clips):
        if reason := read_metadata(corrupted_files[condition.item(clip)]).get(LEFT_ALONE):
            found.setdefault(condition.corruption, {})[clip] = reason
    return found
