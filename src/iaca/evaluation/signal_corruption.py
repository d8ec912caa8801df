"""Corruption of the signal: sound and faces are spoilt before the encoders, and the clip is embedded anew.

A clip's embedding under such a protocol is a file of its own, made by the tasks of this module; scoring reads it. The
steps that are spoilt are drawn by `spoilt_steps`, for both alike.
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
"""In an embedding's metadata: why nothing was done to the clip."""


def spoilt(
    protocol: str, name: str, clip: ClipEmbedding, level: float, partition: Partition, config: RobustnessConfig
) -> Corrupted:
    """`audio_noise`, `audio_babble`, `video_blur`, `occlusion_mouth`, `occlusion_eyes`: read what the encoders made.

    The truth is where the signal was spoilt. Encoders that look at more than a step carry some of it beyond; that is
    theirs, and is not counted. A clip that was left alone has no such steps.
    """
    changed = read_embedding(partition.spoilt[protocol, level, name])
    truth = np.zeros((len(clip), len(MODALITIES)), np.bool_)
    if LEFT_ALONE not in changed.metadata:
        column = MODALITIES.index("audio" if protocol in SNR else "visual")
        truth[:, column] = spoilt_steps(Condition(protocol, level), name, clip.time_s, config)
    return Corrupted(changed, truth)


def spoilt_steps(
    condition: Condition, name: str, time_s: NDArray[np.float64], config: RobustnessConfig
) -> NDArray[np.bool_]:
    """(t,) bool, the steps whose signal a condition spoils: in segments, `signal_share` of the clip.

    For an occlusion it is the share that its level says.
    """
    protocol, level = condition
    share = level if protocol.startswith("occlusion") else config.signal_share
    steps = np.zeros(len(time_s), np.bool_)
    if len(time_s):
        for part in segments(
            len(time_s), block_count(time_s, config.block_s), share, _generator(condition, name, config)
        ):
            steps[part] = True
    return steps


def spoil_sound_file(
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
    """The engine's task: a clip's embedding after noise or babble has been added to its sound.

    Args:
        embedding, audio: of the clip.
        voices: sounds (FLAC) of others, that babble.
        target: the file to write.
        clip: its name.
        condition: `audio_noise` or `audio_babble`, and the signal-to-noise ratio (dB).
        corruption: segments and seed.
        config: the encoders that the embedding was made with.
        encoders: what `describe` said of them.

    Raises:
        InputError: the embedding is of other encoders.
    """
    clean, track = _embedded(embedding, config, encoders), read_audio_file(audio)
    samples, present = track.samples[:], present_samples(track)
    if rms(samples[present]) < SILENT_RMS:
        write_embedding(_left_alone(clean, "no sound to which a noise could have a ratio"), target)
        return
    rng = _generator(Condition(condition.corruption, 0.0), f"{clip}/noise", corruption)
    if condition.corruption == "audio_babble":
        noise = babble(rng, len(samples), track.rate, [read_audio_file(voice) for voice in voices])
    else:
        noise = white_noise(rng, len(samples))
    steps = spoilt_steps(condition, clip, clean.time_s, corruption)
    where = samples_of_steps(steps, clean.time_s, len(samples), track.rate)
    noisy = add_noise(samples, noise, present, where, condition.level)
    write_embedding(with_sound(clean, noisy, track.rate, config), target)


def spoil_faces_file(
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
    """The same for faces (Parquet) that are blurred, or of which a part is covered."""
    clean = _embedded(embedding, config, encoders)
    if not clean.face_found.any():
        write_embedding(_left_alone(clean, "no face"), target)
        return
    steps = spoilt_steps(condition, clip, clean.time_s, corruption)
    table = read_faces(faces, columns=NUMBERS)
    if len(table) != len(clean):
        raise InputError(
            f"{len(table)} frames of faces, but {len(clean)} embedded", faces, remedy="run the embedding pipeline again"
        )
    with FaceImages(faces) as jpegs:
        spoiling = CorruptedFaces(jpegs, steps, _spoil(condition))
        write_embedding(with_faces(clean, table, spoiling, config), target)


def _spoil(condition: Condition) -> Corruption:
    if condition.corruption == "video_blur":
        return partial(blurred, factor=condition.level)
    return partial(covered, part="mouth" if condition.corruption == "occlusion_mouth" else "eyes")


def _generator(condition: Condition, name: str, config: RobustnessConfig) -> np.random.Generator:
    """The same for all levels: one noise, louder and louder, in the same places."""
    return clip_generator(config.seed, condition.corruption, name)


def _embedded(path: Path, config: EmbeddingConfig, encoders: Mapping[str, str]) -> ClipEmbedding:
    clean = read_embedding(path)
    changed = [*mismatches(encoders, describe(config)), *mismatches(encoders, clean.metadata)]
    if (version := clean.metadata.get("embedding_version")) != EMBEDDING_VERSION:
        changed.append(f"embedding_version {version}, not {EMBEDDING_VERSION}")
    if changed:
        raise InputError(
            f"not embedded as it would be now: {'; '.join(changed)}", path, remedy="run the embedding pipeline again"
        )
    return clean


def left_alone(
    spoilt: Mapping[str, Path], conditions: Iterable[Condition], clips: Iterable[str]
) -> dict[str, dict[str, str]]:
    """Protocol -> clip -> why there was nothing in it to spoil; protocols that spoilt every clip are not in it."""
    found: dict[str, dict[str, str]] = {}
    for condition, clip in product(conditions, clips):
        if reason := read_metadata(spoilt[condition.item(clip)]).get(LEFT_ALONE):
            found.setdefault(condition.corruption, {})[clip] = reason
    return found


def _left_alone(clean: ClipEmbedding, why: str) -> ClipEmbedding:
    return replace(clean, metadata={**clean.metadata, LEFT_ALONE: why})
