"""Audio encoders that look at a window of a spectrogram around each step, and rows that pass by block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from iaca.audio.features import Padded, Sound

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


class Stack(Protocol):
    """Frames (f, bands) or samples (m,) of a sound, any stretch of which is a tensor."""

    def __getitem__(self, part: Any, /) -> Tensor: ...


@dataclass(frozen=True)
class Windows:
    """What an encoder sees of a sound at each of t steps, to be cut out when it is needed.

    Attributes:
        stack: frames or samples, with silence before and after the sound.
        starts: (t,) where each step's window begins in it.
        length: of a window.
    """

    stack: Stack
    starts: Tensor
    length: int

    def __getitem__(self, step: int) -> Tensor:
        start = int(self.starts[step])
        return self.stack[start : start + self.length]


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
        blocks, starts = self._placed(samples, times)
        frames = Passing(blocks)
        rows = []
        for some in torch.split(starts, batch):
            first = int(some[0])
            around = frames.take(first, int(some[-1]) + self.length)
            windows = around.unfold(0, self.length, 1)  # a view (f, bands, length): they overlap without being copied
            rows.append(run(windows[some - first].transpose(1, 2).contiguous()))
        return torch.cat(rows) if rows else torch.zeros(0)

    def windows(self, samples: Sound, times: Tensor, context_s: float) -> Windows:
        """The windows that `encode` takes through the network; all frames are held. Their length is the encoder's own:
        `context_s` is for encoders that have none."""
        del context_s
        blocks, starts = self._placed(samples, times)
        return Windows(torch.cat(list(blocks)), starts, self.length)

    def rows(self, windows: Tensor) -> Tensor:
        """(b, length, bands) -> (b, dim): for training, of windows from anywhere."""
        rows: Tensor = self(windows)
        return rows

    def _placed(self, samples: Sound, times: Tensor) -> tuple[Iterator[Tensor], Tensor]:
        """Blocks of frames of the sound between two silences, and the first frame (t,) of each step's window."""
        lead = -(-round(self.centre_s * RATE) // HOP) + 1  # frames of silence before the container's start
        end = int(float(times.max()) * RATE) if len(times) else 0
        after = max(end - len(samples), 0) + (self.length + 2) * HOP
        starts = ((times - self.centre_s) * RATE / HOP).round().long() + lead
        return self.frames_of(Padded(samples, lead * HOP, after)), starts
