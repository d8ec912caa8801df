"""Predictions for frames and sound as they arrive, with what is kept from step to step bounded.

stream = Predictor.load(MODEL).stream()
rows = stream.sound(samples) + stream.frame(image, time_s) ... + stream.finish()

frame -> face of the person -> waits for the sound up to its time -> embedding -> models -> row

Each part is the one that `Predictor.predict` of a causal model uses.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from iaca.encoders.config import EmbeddingConfig
from iaca.encoders.embed import StreamEmbedder
from iaca.encoders.embedding import ClipEmbedding
from iaca.errors import InputError
from iaca.faces.detect import FaceConfig, Side
from iaca.faces.extract import CausalFaces, FaceRow
from iaca.inference.members import Member, Nearness, join, observed_shares
from iaca.media import VideoFrame, present_at
from iaca.parameters import faults
from iaca.training.predict import ClipPrediction, joined_predictions, prediction_columns

Row = dict[str, Any]
"""A row of a predictions table: the columns of `Predictor.predict` by name."""
NAME = "stream"
"""What the column `clip` says."""
RATE = 16_000
WAIT_S = 1.0
"""A frame waits for its sound until a frame this much later (s) has arrived; then the sound counts as absent."""
STEP_S = 0.02
"""Sound that starts at least this much later (s) than the sound before it ended leaves a gap."""


class Stream:
    """The predictions of a `Predictor` for one camera and one microphone, or for a recording played into it.

    Frames and sound have one clock, in seconds from its start. Call `frame` and `sound` in any order, each with
    increasing times; both return the rows that are complete. A row is complete when the sound up to its time has
    arrived, and the steps that the model looks ahead. Not for several threads.

    Args:
        members: models that can run on a stream, whose predictions are averaged.
        embedding: the encoders they were trained on.
        faces: how faces are found.
        side: of two people in view, the one on that side; None for the person with the largest face.

    Raises:
        InputError: a model reads later steps, or its encoders do.
    """

    def __init__(
        self, members: Sequence[Member], embedding: EmbeddingConfig, faces: FaceConfig, side: Side | None = None
    ):
        self._running = [member.stream() for member in members]
        if any(m.metadata.get("kind") is None for m in members) and not embedding.causal:
            raise InputError(
                "this model was trained on embeddings that read later sound, so it can't run on a stream",
                remedy="embed with embedding.causal=true, and train on that (docs/guide/live.md)",
            )
        self._members, self._near = members, Nearness()
        try:
            causal = EmbeddingConfig(**{**embedding.model_dump(), "causal": True})
        except ValidationError as error:
            raise InputError(
                f"the model's encoders can't run on a stream: {faults(error)}",
                remedy="use zero_shot, or train a model on encoders that can (docs/guide/live.md)",
            ) from error
        self._faces, self._embedder = CausalFaces(faces, side), StreamEmbedder(causal)
        self._frames: deque[FaceRow] = deque()  # whose sound is not complete
        self._clips: deque[tuple[ClipEmbedding, FaceRow]] = deque()  # that a model has not predicted yet
        self._predicted: list[ClipPrediction | None] = [None] * len(members)  # of the first of those, by model
        self._count, self._last_s = 0, -np.inf
        self._sound = _PlacedSamples()
        self.box: tuple[float, ...] | None = None
        """x0, y0, x1, y1 (px) of the face of the last row; None without one."""

    def frame(self, image: NDArray[np.uint8], time_s: float) -> list[Row]:
        """Take the next frame: RGB (h, w, 3) uint8, upright, at a time (s).

        Raises:
            InputError: it is not such an image, or its time does not increase.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
            raise InputError(
                f"a frame is {image.dtype} {image.shape}, not uint8 (height, width, 3)", remedy="give RGB images"
            )
        if not (np.isfinite(time_s) and time_s > self._last_s and time_s >= 0):
            raise InputError(
                f"the frame's time {time_s} s is not above that of the one before, {self._last_s} s",
                remedy="give frames in order, with their times from the start of the stream",
            )
        self._last_s = float(time_s)
        self._frames.append(self._faces.row(VideoFrame(self._count, self._last_s, image)))
        self._count += 1
        return self._advance()

    def sound(self, samples: NDArray[np.floating], start_s: float | None = None, rate: int = RATE) -> list[Row]:
        """Take the next sound: mono samples (n,) in -1..1.

        Args:
            samples: any number of them.
            start_s: time of the first one; None continues the sound before. A gap is silence that was not observed.
            rate: Hz; another one than 16,000 is resampled, and has to stay the same.

        Raises:
            InputError: they are not mono numbers, or their rate or time can't be used.
        """
        if samples.ndim != 1 or samples.dtype.kind != "f":
            raise InputError(
                f"sound is {samples.dtype} {samples.shape}, not mono floating-point samples (n,)",
                remedy="mix the channels, and scale samples to -1..1",
            )
        for start, block in self._sound.take(samples, start_s, rate):
            self._hear(start, block)
        return self._advance()

    def finish(self) -> list[Row]:
        """The rows that are left, when nothing else arrives."""
        while self._frames:
            self._step(self._frames.popleft())
        for i, running in enumerate(self._running):
            self._add(i, running.finish())
        return self._rows()

    def _hear(self, start: int, block: NDArray[np.float32]) -> None:
        heard = self._embedder.sound.heard
        if start > heard:
            self._embedder.sound.hear(np.zeros(start - heard, np.float32), present=False)
        block = block[max(heard - start, 0) :]  # what came too late was taken for silence
        if len(block):
            self._embedder.sound.hear(block)

    def _advance(self) -> list[Row]:
        while self._frames and self._is_complete(self._frames[0].time_s):
            self._step(self._frames.popleft())
        return self._rows()

    def _is_complete(self, time_s: float) -> bool:
        return self._embedder.sound.heard_s > time_s or self._last_s - time_s >= WAIT_S

    def _step(self, row: FaceRow) -> None:
        present = bool(present_at(self._sound.present(row.time_s), np.array([row.time_s]))[0])
        clip = self._embedder.step(row, present and self._embedder.sound.heard_s > row.time_s)
        self._clips.append((clip, row))
        for i, running in enumerate(self._running):
            self._add(i, running.push(clip))

    def _add(self, model: int, new: ClipPrediction | None) -> None:
        if new is not None and len(new.observed):
            waiting = self._predicted[model]
            self._predicted[model] = new if waiting is None else joined_predictions([waiting, new])

    def _rows(self) -> list[Row]:
        """Rows of the steps that every model has predicted."""
        rows = list[Row]()
        while all(part is not None and len(part.observed) for part in self._predicted):
            clip, face = self._clips.popleft()
            parts = [part for part in self._predicted if part is not None]
            joint = join(self._members, [part.part(slice(1)) for part in parts])
            self._predicted = [part.part(slice(1, None)) for part in parts]
            shares = observed_shares(joint.prediction.gates, joint.labels, clip, self._near)
            columns = prediction_columns(clip, replace(joint.prediction, gates=shares), joint.labels)
            row = {name: _plain(values[0]) for name, values in columns.items()}
            rows.append({"clip": NAME, **row, "frame": face.frame})
            self.box = tuple(map(float, face.numbers[1:5])) if face.track >= 0 else None
        return rows


def _plain(value: Any) -> Any:
    """A value of a table as Python's own; None for a missing integer."""
    return value.item() if isinstance(value, np.generic) else None


class _PlacedSamples:
    """Sound of any rate on the stream's clock, as 16 kHz blocks with the precision of 16 bits: recordings are stored
    so, and quiet sound would otherwise give other numbers live."""

    def __init__(self) -> None:
        self._rate, self._resampler = RATE, None  # type: int, Any
        self._next, self._intervals = 0, deque[list[int]]()  # next sample, and where there is sound

    def take(self, samples: NDArray[np.floating], start_s: float | None, rate: int) -> list[tuple[int, Any]]:
        """The blocks that samples complete, with the number of their first sample."""
        if start_s is not None and not (np.isfinite(start_s) and start_s >= 0):
            raise InputError(f"sound can't start at {start_s} s", remedy="give times from the start of the stream")
        finite = np.nan_to_num(samples.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0).clip(-1.0, 1.0)
        if start_s is not None and round(start_s * RATE) - self._next >= STEP_S * RATE:
            self._next = round(start_s * RATE)
        blocks = []
        for block in self._resampled(finite, rate):
            steps = np.rint(block * np.float32(SCALE)).clip(-SCALE, SCALE - 1)
            blocks.append((self._next, (steps / np.float32(SCALE)).astype(np.float32)))
            self._remember(self._next, self._next + len(block))
            self._next += len(block)
        return blocks

    def present(self, time_s: float) -> tuple[tuple[float, float], ...]:
        """The intervals (s) with sound, of those that end after a time."""
        while len(self._intervals) > 1 and self._intervals[0][1] / RATE < time_s:
            self._intervals.popleft()
        return tuple((start / RATE, stop / RATE) for start, stop in self._intervals)

    def _remember(self, start: int, stop: int) -> None:
        if self._intervals and self._intervals[-1][1] == start:
            self._intervals[-1][1] = stop
        else:
            self._intervals.append([start, stop])

    def _resampled(self, samples: NDArray[np.float32], rate: int) -> list[NDArray[np.float32]]:
        if self._next == 0 and self._resampler is None:
            self._rate = rate
        if rate != self._rate or not 1000 <= rate <= 384_000:
            raise InputError(
                f"the rate of the sound is {rate} Hz after {self._rate} Hz", remedy="keep one rate of 1 to 384 kHz"
            )
        if rate == RATE or not len(samples):
            return [samples] if len(samples) else []
        if self._resampler is None:
            self._resampler = av.AudioResampler("fltp", "mono", RATE)
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate = rate
        return [
            np.asarray(out.to_ndarray()[0], np.float32) for out in self._resampler.resample(frame) if out is not None
        ]


SCALE = 32768
"""Steps of 16 bits in 0..1."""
