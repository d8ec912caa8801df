"""Hidden states of WavLM and HuBERT at 50 Hz, brought to the steps.

S. Chen et al., *WavLM: Large-Scale Self-Supervised Pre-Training for Full Stack Speech Processing* (2022); W.-N. Hsu et
al., *HuBERT: Self-Supervised Speech Representation Learning by Masked Prediction of Hidden Units* (2021). Networks and
layout of the weights are torchaudio's.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torchaudio.models import Wav2Vec2Model, hubert_base, wavlm_base

from iaca.audio.features import Padded, Sound
from iaca.encoders.audio import RATE, Passing, Run, Windows
from iaca.encoders.checkpoint import load
from iaca.encoders.options import LayerOptions

STRIDE, FIELD = 320, 400  # samples from one hidden state to the next, and that one looks at
CORE, CONTEXT = 500, 100  # hidden states: 10 s are taken from a piece, 2 s on either side are heard and left


class HiddenStates(nn.Module):
    """768 features a step, between the two hidden states that are nearest in time.

    Attention grows with the square of the length: sound goes through in pieces that overlap.
    """

    def __init__(self, options: LayerOptions, network: Wav2Vec2Model, weights: Path | None):
        super().__init__()
        self.layer, self.network = options.layer, network
        load(self.network, weights, drop=("aux.",))
        self.eval()

    def forward(self, samples: Tensor) -> Tensor:
        """(1, m) -> (1, hidden states, 768)."""
        states, _ = self.network.extract_features(samples, num_layers=self.layer)
        last: Tensor = states[-1]
        return last

    def encode(self, samples: Sound, times: Tensor, run: Run, batch: int) -> Tensor:
        """Samples (m,) and times (t,) in s, increasing -> (t, 768). Beyond the sound, the first or last state."""
        del batch
        states = Passing(run(piece[None])[0, first:last] for piece, first, last in pieces(samples))
        total = count_states(len(samples))
        place = ((times * RATE - FIELD / 2) / STRIDE).clamp(0, total - 1)
        before = place.floor().long().clamp(max=max(total - 2, 0))
        rows = [
            _between(states.take(int(index[0]), int(index[-1]) + 2), index - index[0], some - index)
            for some, index in zip(torch.split(place, CORE), torch.split(before, CORE), strict=True)
        ]
        return torch.cat(rows)

    def windows(self, samples: Sound, times: Tensor, context_s: float) -> Windows:
        """Sound around each step (t,), `context_s` long, an odd number of hidden states of it; silence beyond."""
        around = max(round(context_s * RATE / STRIDE) // 2, 0)
        length = 2 * around * STRIDE + FIELD
        lead = length // 2
        after = max(round(float(times.max()) * RATE) + length - len(samples), 0) if len(times) else 0
        starts = (times * RATE).round().long()  # in the stack: the step itself lies `lead` samples into its window
        return Windows(Padded(samples, lead, after), starts, length)

    def rows(self, windows: Tensor) -> Tensor:
        """(b, samples) -> (b, 768): the hidden state in the middle of each, which sees no more than its window.

        `encode` lets a state see 4 s and more: training on short windows is what their memory allows.
        """
        states: Tensor = self(windows)
        return states[:, states.shape[1] // 2]


def _between(states: Tensor, before: Tensor, share: Tensor) -> Tensor:
    """Rows (t, k): `share` (t,) of the way from the state with index `before` (t,) to the one after it, if any."""
    before, share = before.to(states.device), share.to(states.device)[:, None].to(states.dtype)
    return torch.lerp(states[before], states[(before + 1).clamp(max=len(states) - 1)], share)


def count_states(samples: int) -> int:
    """Hidden states of a sound; a very short one is filled up with silence for one."""
    return (max(samples, FIELD) - FIELD) // STRIDE + 1


def pieces(samples: Sound) -> Iterator[tuple[Tensor, int, int]]:
    """Pieces of a sound, and which of the hidden states of each are taken: first, and one after the last."""
    total, samples = count_states(len(samples)), Padded(samples, 0, max(FIELD - len(samples), 0))
    for first in range(0, total, CORE):
        start, stop = max(first - CONTEXT, 0), min(first + CORE + CONTEXT, total)
        end = len(samples) if stop == total else (stop - 1) * STRIDE + FIELD
        yield samples[start * STRIDE : end], first - start, min(first + CORE, total) - start


class WavLM(HiddenStates):
    """WavLM Base, the weights of WAVLM_BASE_PLUS."""

    def __init__(self, options: LayerOptions, weights: Path | None):
        super().__init__(options, wavlm_base(), weights)


class Hubert(HiddenStates):
    """HuBERT Base."""

    def __init__(self, options: LayerOptions, weights: Path | None):
        super().__init__(options, hubert_base(), weights)
