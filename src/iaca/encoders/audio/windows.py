"""Audio encoders that look at a window of a spectrogram around each step."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

RATE, HOP = 16_000, 160  # Hz, samples: every front end here makes a frame each 10 ms
Run = Callable[[Tensor], Tensor]


class WindowEncoder(nn.Module):
    """Frames of a front end, cut into windows of `length` that are centred on the steps.

    A subclass gives `frames_of`, `centre_s` and `forward(windows (b, length, bands)) -> (b, dim)`.

    Attributes:
        length: frames in a window.
        centre_s: from the time stamp of a window's first frame to its middle, s.
    """

    length: int
    centre_s: float

    def frames_of(self, samples: Tensor) -> Tensor:
        """Samples (m,) -> frames (f, bands); frame i is of the time i * 10 ms."""
        raise NotImplementedError

    def encode(self, samples: Tensor, times: Tensor, run: Run, batch: int) -> Tensor:
        """Samples (m,) and times (t,) in s -> rows (t, dim). Beyond the sound there is silence."""
        lead = -(-round(self.centre_s * RATE) // HOP) + 1  # frames of silence before the container's start
        end = int(float(times.max()) * RATE) if len(times) else 0
        after = max(end - len(samples), 0) + (self.length + 2) * HOP
        frames = self.frames_of(F.pad(samples, (lead * HOP, after)))
        first = ((times - self.centre_s) * RATE / HOP).round().long() + lead
        windows = frames.unfold(0, self.length, 1)  # a view (f, bands, length): windows overlap without being copied
        rows = [run(windows[some].transpose(1, 2).contiguous()) for some in torch.split(first, batch)]
        return torch.cat(rows) if rows else samples.new_zeros(0)
