"""Audio encoders: from 16 kHz samples to a row per step, and the registry that finds them by name.

An audio encoder is an `nn.Module` built as `Class(options, weights)`, with the path of its weights; without a path its
weights are random. `encode(samples (m,), times (t,), run, batch)` returns rows (t, dim); `run` passes a batch through
`forward` on the device. Most derive from `WindowEncoder`. A new encoder is a class, an entry in `AUDIO` and an entry in
`iaca.encoders.config.ENCODERS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import torch
import torchaudio
from torch import Tensor, nn
from torch.nn import functional as F
from torchaudio.models import Wav2Vec2Model, hubert_base, wavlm_base

from iaca.audio.features import BLOCK, PAPER, VGGISH, LogMel, Padded, Sound, frame_blocks, functionals
from iaca.encoders.checkpoint import load
from iaca.encoders.config import LayerOptions, NoOptions, WindowOptions

RATE, HOP = 16_000, 160  # Hz, samples: every front end here has a frame every 10 ms
Run = Callable[[Tensor], Tensor]


class RowBuffer:
    """Rows (n, k) that arrive in blocks; only those from the last requested row onwards are in memory.

    Args:
        blocks: consecutive rows, (m, k) each.
    """

    def __init__(self, blocks: Iterator[Tensor]):
        self._blocks, self._first = blocks, 0
        self._held: Tensor | None = None

    def take(self, first: int, last: int) -> Tensor:
        """Rows first to last (last - first, k), fewer if the rows end before; rows before `first` are dropped.

        Raises:
            ValueError: row `first` has already been dropped.
        """
        if first < self._first:
            raise ValueError(f"rows are read in increasing order: {first} comes after {self._first}")
        while self._held is None or self._first + len(self._held) < last:
            block = next(self._blocks, None)
            if block is None:
                break
            self._held = block if self._held is None else torch.cat([self._held, block])
            self._drop_before(first)
        if self._held is None:
            return torch.zeros(0)
        self._drop_before(first)
        return self._held[: last - first]

    def _drop_before(self, first: int) -> None:
        if self._held is not None:
            gone = min(first - self._first, len(self._held))
            self._held, self._first = self._held[gone:], self._first + gone


class Sliceable(Protocol):
    """Frames (f, bands) or samples (m,) of a sound; a slice of them is a tensor."""

    def __getitem__(self, part: Any, /) -> Tensor: ...


@dataclass(frozen=True)
class Windows:
    """What an encoder sees of a sound at each of t steps; a window is cut out when it is read.

    Attributes:
        stack: frames or samples, with silence before and after the sound.
        starts: (t,) where the window of each step starts in it.
        length: of a window.
    """

    stack: Sliceable
    starts: Tensor
    length: int

    def __getitem__(self, step: int) -> Tensor:
        start = int(self.starts[step])
        return self.stack[start : start + self.length]


class WindowEncoder(nn.Module):
    """An encoder that sees a window of `length` frames of a front end, centred on each step.

    A subclass provides `frames_of`, `centre_s` and `forward(windows (b, length, bands)) -> (b, dim)`.

    Attributes:
        length: frames in a window.
        centre_s: from the time stamp of the first frame of a window to its middle, s.
    """

    length: int
    centre_s: float

    def frames_of(self, samples: Sound) -> Iterator[Tensor]:
        """Samples (m,) -> blocks of frames (f, bands); frame i is at i * 10 ms."""
        raise NotImplementedError

    def encode(self, samples: Sound, times: Tensor, run: Run, batch: int) -> Tensor:
        """Samples (m,) and times (t,) in s, increasing -> rows (t, dim). Outside the sound there is silence."""
        blocks, starts = self._placed(samples, times)
        frames = RowBuffer(blocks)
        rows = []
        for some in torch.split(starts, batch):
            first = int(some[0])
            around = frames.take(first, int(some[-1]) + self.length)
            windows = around.unfold(0, self.length, 1)  # a view (f, bands, length): overlapping windows are not copied
            rows.append(run(windows[some - first].transpose(1, 2).contiguous()))
        return torch.cat(rows) if rows else torch.zeros(0)

    def windows(self, samples: Sound, times: Tensor, context_s: float) -> Windows:
        """The windows that `encode` passes through the network; all frames are in memory.

        Their length is that of the encoder: `context_s` is for encoders without one.
        """
        del context_s
        blocks, starts = self._placed(samples, times)
        return Windows(torch.cat(list(blocks)), starts, self.length)

    def rows(self, windows: Tensor) -> Tensor:
        """(b, length, bands) -> (b, dim): for training, on windows from anywhere."""
        rows: Tensor = self(windows)
        return rows

    def _placed(self, samples: Sound, times: Tensor) -> tuple[Iterator[Tensor], Tensor]:
        """Blocks of frames of the sound between two silences, and the first frame (t,) of the window of each step."""
        lead = -(-round(self.centre_s * RATE) // HOP) + 1  # frames of silence before the sound
        end = int(float(times.max()) * RATE) if len(times) else 0
        after = max(end - len(samples), 0) + (self.length + 2) * HOP
        starts = ((times - self.centre_s) * RATE / HOP).round().long() + lead
        return self.frames_of(Padded(samples, lead * HOP, after)), starts


class Prosody(nn.Module):
    """Prosodic and spectral descriptors over one to three seconds, without weights: 44 statistics per step.

    See `iaca.audio.features.functionals`.
    """

    def __init__(self, options: NoOptions, weights: Path | None):
        super().__init__()
        del options, weights

    def encode(self, samples: Sound, times: Tensor, run: Run, batch: int) -> Tensor:
        """Samples (m,) and times (t,) in s -> (t, 44)."""
        del run, batch
        return functionals(samples, times)


SILENT_DB = 0.1  # a window with a smaller deviation is silent, and is not scaled up


class LogMelResNet18(WindowEncoder):
    """ResNet-18 over log-mel spectrograms, as in the published models for Aff-Wild2: 512 features per step.

    64 bands by 107 frames of 10 ms, normalised to mean 0 and deviation 1, as in R. G. Praveen et al., *A Joint
    Cross-Attention Model for Audio-Visual Fusion in Dimensional Emotion Recognition* (2022). The first convolution has
    one input channel; no weights are published.
    """

    def __init__(self, options: WindowOptions, weights: Path | None):
        from torchvision.models import resnet18  # takes 1.5 s, and a worker with the default encoder does not need it

        super().__init__()
        self.length, self.centre_s = options.frames, (options.frames // 2) * HOP / RATE
        self.backbone = resnet18(weights=None)
        self.backbone.conv1 = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
        self.backbone.fc = nn.Identity()
        load(self.backbone, weights, drop=("fc.", "head."))
        self.eval()

    def frames_of(self, samples: Sound) -> Iterator[Tensor]:
        """Blocks of log-mel (f, 64) in dB."""
        return LogMel(PAPER).blocks(samples)

    def forward(self, windows: Tensor) -> Tensor:
        """(b, length, 64) -> (b, 512)."""
        mean, deviation = windows.mean((1, 2), keepdim=True), windows.std((1, 2), keepdim=True)
        picture = ((windows - mean) / deviation.clamp_min(SILENT_DB)).transpose(1, 2)[:, None]  # b 1 64 length
        rows: Tensor = self.backbone(picture)
        return rows


VGGISH_STAGES = ((64,), (128,), (256, 256), (512, 512))  # channels of the convolutions before each pooling
VGGISH_WIDTHS = (512 * 6 * 4, 4096, 4096, 128)


class VGGish(WindowEncoder):
    """VGGish: 128 features per step, of the 0.975 s that its 96 frames cover.

    S. Hershey et al., *CNN Architectures for Large-Scale Audio Classification* (2017). The layout of the weights is
    that of torchvggish. The rows are the outputs of the network, without the PCA and quantisation of YouTube-8M.
    """

    length = 96

    def __init__(self, options: NoOptions, weights: Path | None):
        super().__init__()
        del options
        self.centre_s = ((self.length - 1) * HOP + VGGISH.window) / 2 / RATE
        self.features, self.embeddings = _vggish_convolutions(), _vggish_linears()
        load(self, weights, drop=("pproc.",))
        self.eval()

    def frames_of(self, samples: Sound) -> Iterator[Tensor]:
        """Blocks of log-mel (f, 64); frame i covers the 25 ms that start at i * 10 ms."""
        return LogMel(VGGISH).blocks(samples)

    def forward(self, windows: Tensor) -> Tensor:
        """(b, 96, 64) -> (b, 128)."""
        maps = self.features(windows[:, None])  # b 512 6 4
        rows: Tensor = self.embeddings(maps.permute(0, 2, 3, 1).flatten(1))  # time, band, channel: as in training
        return rows


def _vggish_convolutions() -> nn.Sequential:
    layers: list[nn.Module] = []
    channels = 1
    for stage in VGGISH_STAGES:
        for width in stage:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


def _vggish_linears() -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(VGGISH_WIDTHS):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers)


GE2E_BANDS, GE2E_WIDTH, GE2E_LAYERS, GE2E_FFT = 40, 256, 3, 400
TARGET_DB = -30.0  # quieter sound is amplified to this level (RMS)


class GE2E(WindowEncoder):
    """GE2E voice encoder: who speaks, and how, in 256 features of unit length per step, from 160 frames (1.6 s).

    L. Wan, Q. Wang, A. Papir, I. Lopez Moreno, *Generalized End-to-End Loss for Speaker Verification* (2018). Weights:
    `pretrained.pt` of the package Resemblyzer (Apache-2.0); front end and loudness as there, but silences are kept.
    """

    length = 160
    bands: Tensor

    def __init__(self, options: NoOptions, weights: Path | None):
        super().__init__()
        del options
        self.centre_s = self.length * HOP / RATE / 2  # a whole number of frames: all steps are rounded alike
        self.lstm = nn.LSTM(GE2E_BANDS, GE2E_WIDTH, GE2E_LAYERS, batch_first=True)
        self.linear = nn.Linear(GE2E_WIDTH, GE2E_WIDTH)
        bands = torchaudio.functional.melscale_fbanks(
            GE2E_FFT // 2 + 1, 0.0, RATE / 2, GE2E_BANDS, RATE, norm="slaney", mel_scale="slaney"
        )
        self.register_buffer("bands", bands, persistent=False)
        load(self, weights, drop=("similarity_",))
        self.eval()

    def frames_of(self, samples: Sound) -> Iterator[Tensor]:
        """Blocks of mel power (f, 40), not its logarithm."""
        window, scale = torch.hann_window(GE2E_FFT), gain(samples)
        for frames in frame_blocks(samples, GE2E_FFT, HOP, GE2E_FFT // 2, 1 + len(samples) // HOP, BLOCK):
            yield torch.fft.rfft(scale * frames * window).abs().square() @ self.bands.cpu()

    def forward(self, windows: Tensor) -> Tensor:
        """(b, 160, 40) -> (b, 256) of unit length."""
        _, (hidden, _) = self.lstm(windows)
        return F.normalize(self.linear(hidden[-1]).relu(), dim=1)


def gain(samples: Sound) -> float:
    """The factor that raises the RMS level of a sound to at least `TARGET_DB`; the sound is read block by block."""
    step = BLOCK * HOP
    energy = sum(float(samples[at : at + step].double().square().sum()) for at in range(0, len(samples), step))
    level = 10 * math.log10(max(energy / max(len(samples), 1), 1e-10))
    return float(10 ** (max(TARGET_DB - level, 0) / 20))


STRIDE, FIELD = 320, 400  # samples between two hidden states, and samples that one sees
CORE, CONTEXT = 500, 100  # hidden states: 10 s are used of a piece, and 2 s of context on either side are not


class HiddenStates(nn.Module):
    """Hidden states of a speech transformer at 50 Hz, w features per step, interpolated between the two nearest.

    Attention grows with the square of the length, so a sound goes through in overlapping pieces. A subclass provides
    `forward(samples (b, m)) -> (b, hidden states, w)`.
    """

    def encode(self, samples: Sound, times: Tensor, run: Run, batch: int) -> Tensor:
        """Samples (m,) and times (t,) in s, increasing -> (t, w). Outside the sound, the first or last state."""
        del batch
        states = RowBuffer(run(piece[None])[0, first:last] for piece, first, last in pieces(samples))
        total = count_states(len(samples))
        place = ((times * RATE - FIELD / 2) / STRIDE).clamp(0, total - 1)
        before = place.floor().long().clamp(max=max(total - 2, 0))
        rows = [
            between(states.take(int(index[0]), int(index[-1]) + 2), index - index[0], some - index)
            for some, index in zip(torch.split(place, CORE), torch.split(before, CORE), strict=True)
        ]
        return torch.cat(rows)

    def windows(self, samples: Sound, times: Tensor, context_s: float) -> Windows:
        """See `speech_windows`."""
        return speech_windows(samples, times, context_s)

    def rows(self, windows: Tensor) -> Tensor:
        """(b, samples) -> (b, w): the middle hidden state of each window, which sees no more than the window.

        In `encode` a state sees 4 s and more; for training, memory allows only short windows.
        """
        states: Tensor = self(windows)
        return states[:, states.shape[1] // 2]


class LayerStates(HiddenStates):
    """Hidden states of one layer of a network of torchaudio, whose layout of the weights is read."""

    def __init__(self, options: LayerOptions, network: Wav2Vec2Model, weights: Path | None):
        super().__init__()
        self.layer, self.network = options.layer, network
        load(self.network, weights, rename=old_weight_norm, drop=("aux.",))
        self.eval()

    def forward(self, samples: Tensor) -> Tensor:
        """(b, m) -> (b, hidden states, w)."""
        states, _ = self.network.extract_features(samples, num_layers=self.layer)
        last: Tensor = states[-1]
        return last

    def last_layers(self, count: int) -> Sequence[nn.Module]:
        """The last of the layers whose hidden states are taken, for fine-tuning."""
        used: Sequence[nn.Module] = self.network.encoder.transformer.layers[: self.layer]
        return used[-count:]


def old_weight_norm(name: str) -> str:
    """The present name of a tensor of torch's weight normalisation: published files have the one it had before 2.0."""
    for old, new in ((".weight_g", "original0"), (".weight_v", "original1")):
        if name.endswith(old):
            return f"{name.removesuffix(old)}.parametrizations.weight.{new}"
    return name


def speech_windows(samples: Sound, times: Tensor, context_s: float) -> Windows:
    """Windows of about `context_s` around each step (t,): an odd number of hidden states, silence outside."""
    around = max(round(context_s * RATE / STRIDE) // 2, 0)
    length = 2 * around * STRIDE + FIELD
    lead = length // 2
    after = max(round(float(times.max()) * RATE) + length - len(samples), 0) if len(times) else 0
    starts = (times * RATE).round().long()  # in the padded sound: the step is `lead` samples into its window
    return Windows(Padded(samples, lead, after), starts, length)


def between(states: Tensor, before: Tensor, share: Tensor) -> Tensor:
    """Rows (t, k): `share` (t,) of the way from the state with index `before` (t,) to the next one, if any."""
    before, share = before.to(states.device), share.to(states.device)[:, None].to(states.dtype)
    return torch.lerp(states[before], states[(before + 1).clamp(max=len(states) - 1)], share)


def count_states(samples: int) -> int:
    """Number of hidden states of a sound; a very short one is padded with silence to one."""
    return (max(samples, FIELD) - FIELD) // STRIDE + 1


def pieces(samples: Sound) -> Iterator[tuple[Tensor, int, int]]:
    """Pieces of a sound, and which of the hidden states of each are used: the first, and one after the last."""
    total, samples = count_states(len(samples)), Padded(samples, 0, max(FIELD - len(samples), 0))
    for first in range(0, total, CORE):
        start, stop = max(first - CONTEXT, 0), min(first + CORE + CONTEXT, total)
        end = len(samples) if stop == total else (stop - 1) * STRIDE + FIELD
        yield samples[start * STRIDE : end], first - start, min(first + CORE, total) - start


class WavLM(LayerStates):
    """WavLM Base, with the weights of WAVLM_BASE_PLUS.

    S. Chen et al., *WavLM: Large-Scale Self-Supervised Pre-Training for Full Stack Speech Processing* (2022).
    """

    def __init__(self, options: LayerOptions, weights: Path | None):
        super().__init__(options, wavlm_base(), weights)


class Hubert(LayerStates):
    """HuBERT Base.

    W.-N. Hsu et al., *HuBERT: Self-Supervised Speech Representation Learning by Masked Prediction of Hidden Units*
    (2021).
    """

    def __init__(self, options: LayerOptions, weights: Path | None):
        super().__init__(options, hubert_base(), weights)


AUDIO: dict[str, type[nn.Module]] = {
    "prosody": Prosody,
    "logmel_resnet18": LogMelResNet18,
    "vggish": VGGish,
    "ge2e": GE2E,
    "wavlm_base_plus": WavLM,
    "hubert_base": Hubert,
}
"""Audio encoders by name; `iaca.encoders.config.ENCODERS` has the facts about them."""
