"""Audio encoders that look at a window of a spectrogram around each step, and rows that pass by block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from iaca.audio.frames import Padded, Sound

RATE, HOP = 16_000, 160  # Hz, samples: every front end here makes a frame each 10 ms
Run = Callable[[Tensor], Tensor]


class Passing:
    """Rows (n, k) that come block by block. Only those from the last one asked for onwards are held.

    Args:
        blocks: rows in their order, (m, k) each.
    """

    def __init__(self, blocks: Iterator[Tensor]):
        self._blocks, self._first = blocks, 0
        self._held: Tensor | None = None

    def take(self, first: int, last: int) -> Tensor:
        """Rows first to last (last - first, k), fewer where they end before; those before `first` are forgotten.

        Raises:
            ValueError: `first` was forgotten.
        """
        if first < self._first:
            raise ValueError(f"rows are taken in their order: {first} comes after {self._first}")
        while self._held is None or self._first + len(self._held) < last:
            block = next(self._blocks, None)
            if block is None:
                break
            self._held = block if self._held is None else torch.cat([self._held, block])
            self._forget(first)
        if self._held is None:
            return torch.zeros(0)
        self._forget(first)
        return self._held[: last - first]

    def _forget(self, first: int) -> None:
        if self._held is not None:
            gone = min(first - self._first, len(self._held))
            self._held, self._first = self._held[gone:], self._first + gone


class WindowEncoder(nn.Module):
    """Frames of a front end, cut into windows of `length` that are centred on the steps.

    A subclass gives `frames_of`, `centre_s` and `forward(windows (b, length, bands)) -> (b, dim)`.

    Attributes:
        length: frames in a window.
        centre_s: from the time stamp of a window's first frame to its middle, s.
    """

    length: int
    centre_s: float

    def frames_of(self, samples: Sound) -> Iterator[Tensor]:
        """Samples (m,) -> blocks of frames (f, bands); frame i is of the time i * 10 ms."""
        raise NotImplementedError

    def encode(self, samples: Sound, times: Tensor, run: Run, batch: int) -> Tensor:
        """Samples (m,) and times (t,) in s, increasing -> rows (t, dim). Beyond the sound there is silence."""
        lead = -(-round(self.centre_s * RATE) // HOP) + 1  # frames of silence before the container's start
        end = int(float(times.max()) * RATE) if len(times) else 0
        after = max(end - len(samples), 0) + (self.length + 2) * HOP
        frames = Passing(self.frames_of(Padded(samples, lead * HOP, after)))
        starts = ((times - self.centre_s) * RATE / HOP).round().long() + lead
        rows = []
        for some in torch.split(starts, batch):
            first = int(some[0])
            around = frames.take(first, int(some[-1]) + self.length)
            windows = around.unfold(0, self.length, 1)  # a view (f, bands, length): they overlap without being copied
            rows.append(run(windows[some - first].transpose(1, 2).contiguous()))
        return torch.cat(rows) if rows else torch.zeros(0)
