"""From a clip's faces and sound to its embeddings; and one modality embedded again, from other sound or faces.

The encoders' networks, and with them torch, are imported when a clip is embedded: a run whose clips are all up to date
does not need them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from iaca.encoders.config import EmbeddingConfig, describe, identity, mismatches
from iaca.encoders.cues import (
    BOX,
    LAG,
    LANDMARKS,
    NAMES,
    FaceCues,
    TrailingSoundCues,
    TrailingSynchrony,
    sound_cues,
    stacked,
    synchrony,
)
from iaca.encoders.embedding import ClipEmbedding, write_embedding
from iaca.errors import InputError
from iaca.faces.extract import FaceImages, FaceRow, Jpegs, decode_face, read_faces
from iaca.media import AudioTrack, present_at, read_audio_file

if TYPE_CHECKING:
    from torch import Tensor

    from iaca.encoders.networks import FaceBatch, VisualEncoder

NUMBERS = ["time_s", "face_found", "score", *BOX, *LANDMARKS]
"""Columns of a table of faces that an embedding is made of, besides the images."""
THREADS = 2  # besides the computing one: decoding and the audio encoder


def embed_file(faces: Path, audio: Path, *, target: Path, config: EmbeddingConfig, encoders: Mapping[str, str]) -> None:
    """The engine's task: read a clip's faces (Parquet) and sound (FLAC), write its embeddings.

    Args:
        faces, audio: of the clip.
        target: the file to write.
        config: which encoders.
        encoders: what `describe` said of them when the task was planned: it is part of the task's fingerprint.

    Raises:
        InputError: the encoders have changed since the task was planned.
    """
    if changed := mismatches(encoders, describe(config)):
        raise InputError(f"encoders changed during the run: {'; '.join(changed)}", remedy="run it again")
    with FaceImages(faces) as jpegs:
        embedding = embed(read_faces(faces, columns=NUMBERS), jpegs, read_audio_file(audio), config)
    write_embedding(embedding, target, config.dtype)


@dataclass(frozen=True)
class Sound:
    """Embeddings (t, D_a) and cues (t,) by name of a sound. Several people of a video share them."""

    rows: NDArray[np.float32]
    cues: Mapping[str, NDArray[np.float32]]


def embed(
    faces: pd.DataFrame,
    jpegs: Jpegs,
    audio: AudioTrack,
    config: EmbeddingConfig,
    sound: Sound | None = None,
) -> ClipEmbedding:
    """Embed one clip. With images and sound on disk, only its numbers and what is at work are in memory.

    Args:
        faces: `NUMBERS` of `iaca.faces.extract_faces`, a row per decoded frame; box and landmarks may be unknown.
        jpegs: the aligned face of each row that has one.
        audio: the clip's sound, 16 kHz, zero at the container's start.
        config: which encoders.
        sound: what `embed_sound` made of the same sound at the same times; None to make it here.
    """
    from iaca.encoders.networks import build_encoders

    times, found = faces["time_s"].to_numpy(np.float64), faces["face_found"].to_numpy(bool)
    visual_encoder, _ = build_encoders(config)
    audio_present, face_cues = present_at(audio.present, times), FaceCues(faces)
    with ThreadPoolExecutor(THREADS, thread_name_prefix="embed") as pool:
        encoding_sound = pool.submit(lambda: sound or embed_sound(audio, times, config))
        visual = encode_faces(jpegs, found, visual_encoder, pool, face_cues)
        encoded_sound = encoding_sound.result()
    cues = {**face_cues.columns(), **jaw_opening(visual, found, config), **encoded_sound.cues}
    cues |= _synchrony(cues, times, found & audio_present, config)
    return ClipEmbedding(
        audio=encoded_sound.rows,
        visual=visual,
        audio_present=audio_present,
        face_found=found,
        time_s=times,
        quality=stacked(cues),
        quality_names=NAMES,
        metadata=identity(config),
    )


def embed_sound(audio: AudioTrack, times: NDArray[np.float64], config: EmbeddingConfig) -> Sound:
    """The part of `embed` that is the same for everyone in a video; `times` (t,) in s."""
    if config.causal:
        return _trailing_sound(audio, times)
    from iaca.encoders.networks import build_encoders

    _, encoder = build_encoders(config)
    return Sound(encoder.encode(audio.samples, times), sound_cues(audio.samples, audio.rate, times, audio.present))


def _synchrony(
    cues: Mapping[str, NDArray[np.float32]],
    times: NDArray[np.float64],
    both: NDArray[np.bool_],
    config: EmbeddingConfig,
) -> dict[str, NDArray[np.float32]]:
    """Synchrony of mouth and sound (t,) by name, where `both` are present."""
    opening, level = cues["mouth_opening"], cues["sound_level"]
    if not config.causal:
        return synchrony(opening, level, times, both)
    trailing = TrailingSynchrony()
    steps = [trailing.step(*step) for step in zip(opening, level, times, both, strict=True)]
    return {name: np.array([step[name] for step in steps], np.float32) for name in ("synchrony", LAG)}


class TrailingSound:
    """Embedding and cues of sound that arrives in pieces: at each step, of the sound before it."""

    def __init__(self) -> None:
        from iaca.audio.features import PAPER, TrailingDescriptors

        self._rate, self.heard = PAPER.rate, 0
        """`heard`: samples so far."""
        self._descriptors, self._cues = TrailingDescriptors(), TrailingSoundCues(PAPER.rate)

    @property
    def heard_s(self) -> float:
        """How much has been heard, s."""
        return self.heard / self._rate

    def hear(self, samples: NDArray[np.float32], present: bool = True) -> None:
        """Add 16 kHz samples (n,); `present` is whether the recording has them, or they fill a gap."""
        self.heard += len(samples)
        self._descriptors.hear(samples)
        self._cues.hear(samples, present)

    def step(self, time_s: float) -> tuple[NDArray[np.float32], dict[str, float]]:
        """The row (D_a,) and the cues at the next step, at a time (s); sound that is missing up to then is silence."""
        missing = math.ceil(time_s * self._rate) - self.heard
        if missing > 0:
            self.hear(np.zeros(missing, np.float32), present=False)
        return self._descriptors.row(time_s), self._cues.at(time_s)


def _trailing_sound(audio: AudioTrack, times: NDArray[np.float64]) -> Sound:
    """`TrailingSound` of a whole recording: it is heard in pieces of a second, none later than needed."""
    sound, place, count = TrailingSound(), 0, len(audio.samples)
    edges = sorted({round(edge * audio.rate) for stretch in audio.present for edge in stretch} | {count})
    rows, cues = [], []
    for time_s in times:
        while place < min(count, math.ceil(time_s * audio.rate)):
            stop = min(place + audio.rate, count, next(edge for edge in edges if edge > place))
            middle = np.array([(place + stop) / 2 / audio.rate])
            sound.hear(audio.samples[place:stop], bool(present_at(audio.present, middle)[0]))
            place = stop
        row, measured = sound.step(float(time_s))
        rows.append(row)
        cues.append(measured)
    names = sound.step(0.0)[1] if not cues else cues[0]
    return Sound(
        np.stack(rows) if rows else np.zeros((0, len(sound.step(0.0)[0])), np.float32),
        {name: np.array([measured[name] for measured in cues], np.float32) for name in names},
    )


class StreamEmbedder:
    """Embeddings of a stream, step by step: what `embed` makes of the whole recording with `config.causal`.

    Args:
        config: which encoders, causal ones.
    """

    def __init__(self, config: EmbeddingConfig):
        from iaca.encoders.networks import build_encoders

        self._encoder, _ = build_encoders(config)
        self._config, self._metadata = config, identity(config)
        self.sound, self._synchrony = TrailingSound(), TrailingSynchrony()
        self._mouth: NDArray[np.uint8] | None = None

    def step(self, row: FaceRow, audio_present: bool) -> ClipEmbedding:
        """The embedding of the next step alone; all sound before it has been heard."""
        found, face_cues = row.track >= 0, FaceCues(row.numbers[None], self._mouth)
        visual = np.zeros((1, self._encoder.dim), np.float32)
        if found:
            face = decode_face(row.jpeg)
            face_cues.add(0, face)
            visual = self._encoder.encode(face[None])
        self._mouth = face_cues.last_mouth
        sound, heard = self.sound.step(row.time_s)
        seen = face_cues.columns() | jaw_opening(visual, np.array([found]), self._config)
        cues = {name: float(values[0]) for name, values in seen.items()} | heard
        level = float(np.float32(cues["sound_level"]))
        cues |= self._synchrony.step(cues["mouth_opening"], level, row.time_s, found and audio_present)
        return ClipEmbedding(
            audio=sound[None],
            visual=visual,
            audio_present=np.array([audio_present]),
            face_found=np.array([found]),
            time_s=np.array([row.time_s]),
            quality=stacked({name: np.array([value]) for name, value in cues.items()}),
            quality_names=NAMES,
            metadata=self._metadata,
        )


def encode_faces(
    jpegs: Jpegs, found: NDArray[np.bool_], encoder: VisualEncoder, pool: ThreadPoolExecutor, cues: FaceCues
) -> NDArray[np.float32]:
    """Embeddings (t, dim), zeros where there is no face; `cues` measures every face.

    The rows of a batch are fetched when the next one has been handed to the device, so that a GPU does not wait. Cues
    are measured in the pool meanwhile, one batch after the other: motion is relative to the face before.
    """
    from iaca.encoders.networks import nearest_faces, read_ahead, to_rows

    rows = np.zeros((len(found), encoder.dim), np.float32)
    with_face = np.flatnonzero(found)
    launched: tuple[NDArray[np.intp], Tensor] | None = None
    measuring: Future[None] | None = None
    for batch in read_ahead(jpegs, found, encoder.batch, encoder.reach, pool):
        if measuring is not None:
            measuring.result()
        measuring = pool.submit(_measure_cues, batch, cues)
        sources = [
            np.searchsorted(batch.frames, nearest_faces(with_face, batch.steps, network.offsets))
            for network in encoder.networks
        ]
        before, launched = launched, (batch.steps, encoder.launch(batch.faces, sources))
        if before is not None:
            rows[before[0]] = to_rows(before[1])
    if launched is not None:
        rows[launched[0]] = to_rows(launched[1])
    if measuring is not None:
        measuring.result()
    return rows


def jaw_opening(
    visual: NDArray[np.float32], found: NDArray[np.bool_], config: EmbeddingConfig
) -> dict[str, NDArray[np.float32]]:
    """The cue `mouth_opening` (t,) by the coefficient `jawOpen`, if blendshapes are among the encoders that
    made the rows (t, dim).

    On the demo corpus it follows a voice at least as well as the darkness of the mouth does
    (docs/engineering/cue_validity.md). NaN where no face was found or the landmarker sees none.
    """
    names = [choice.name for choice in config.visual]
    if "blendshapes" not in names:
        return {}
    from iaca.encoders.blendshapes import NAMES as COLUMNS

    first = sum(choice.entry("visual").dim for choice in config.visual[: names.index("blendshapes")])
    presence, opening = visual[:, first], visual[:, first + COLUMNS.index("jawOpen")]
    return {"mouth_opening": np.where(found & (presence > 0.5), opening, np.nan).astype(np.float32)}


def _measure_cues(batch: FaceBatch, cues: FaceCues) -> None:
    for step, place in zip(batch.steps, np.searchsorted(batch.frames, batch.steps), strict=True):
        cues.add(int(step), batch.faces[place])


def with_sound(clip: ClipEmbedding, sound: AudioTrack, config: EmbeddingConfig) -> ClipEmbedding:
    """The clip as `iaca.encoders.embed.embed` would embed it with this sound; bit for bit the same on its own sound.

    Args:
        clip: embedded with `config`, cues included.
        sound: 16 kHz, zero at the start of the container, present where the clip's own sound is.
        config: which encoders.
    """
    embedded = embed_sound(sound, clip.time_s, config)
    return replace(clip, audio=embedded.rows, quality=_with_cues(clip, embedded.cues, config))


def with_faces(clip: ClipEmbedding, faces: pd.DataFrame, jpegs: Jpegs, config: EmbeddingConfig) -> ClipEmbedding:
    """The same for other images of the same faces.

    Args:
        clip: embedded with `config`, cues included.
        faces: `iaca.encoders.embed.NUMBERS` of the clip's own table: score, box and landmarks stay.
        jpegs: the aligned face of each row that has one.
        config: which encoders.
    """
    from iaca.encoders.networks import build_encoders

    encoder, _ = build_encoders(config)
    cues = FaceCues(faces)
    with ThreadPoolExecutor(THREADS, thread_name_prefix="embed") as pool:
        visual = encode_faces(jpegs, clip.face_found, encoder, pool, cues)
    measured = cues.columns() | jaw_opening(visual, clip.face_found, config)
    return replace(clip, visual=visual, quality=_with_cues(clip, measured, config))


def _with_cues(
    clip: ClipEmbedding, cues: Mapping[str, NDArray[np.float32]], config: EmbeddingConfig
) -> NDArray[np.float32]:
    """The cues of the clip (t, q) with some replaced, and with the synchrony of mouth and sound that follows."""
    known = {**dict(zip(clip.quality_names, clip.quality.T, strict=True)), **cues}
    known |= _synchrony(known, clip.time_s, clip.face_found & clip.audio_present, config)
    return stacked({name: known[name] for name in NAMES})
