"""Large networks trained without labels (DINOv2, CLIP, WavLM, HuBERT, emotion2vec), and wav2vec2 with a head for
emotion.

    VisionTransformer   DINOv2 and the picture half of CLIP, by their published files (safetensors)
    LargeHiddenStates   WavLM and HuBERT Large, on torchaudio's networks
    EmotionalSpeech     wav2vec2 with a head for arousal, dominance and valence
    Emotion2vec         emotion2vec and emotion2vec+, by their published files

The networks are written here or taken from torchaudio: transformers, timm and FunASR are not needed. Each was compared
with that library's own forward pass (`tests/encoders/test_foundation.py`, `tests/encoders/test_emotion2vec.py`).

Letters: n pictures, b sounds of m samples, t steps or hidden states, s px of a side, p patches, w width, h heads.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchaudio.models import Wav2Vec2Model, hubert_large, wav2vec2_model, wavlm_large

from iaca.audio.features import BLOCK, Sound
from iaca.encoders.audio import (
    CORE,
    FIELD,
    HOP,
    RATE,
    STRIDE,
    HiddenStates,
    LayerStates,
    RowBuffer,
    Run,
    Windows,
    between,
    count_states,
    old_weight_norm,
    pieces,
    speech_windows,
)
from iaca.encoders.checkpoint import load
from iaca.encoders.config import LargeLayerOptions, NoOptions, PatchOptions, PooledOptions
from iaca.encoders.visual import IMAGENET, Normalise
from iaca.parameters import Modality

CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
"""Mean and deviation of each channel (RGB) of CLIP's pictures, as fractions of full scale."""


# Pictures


@dataclass(frozen=True)
class Shape:
    """Sizes of a vision transformer.

    Attributes:
        width: of a token.
        heads: of the attention.
        patch: px of a side of a patch.
        grid: patches of a side for which position embeddings are stored.
        layers: number of blocks.
        clip: as in CLIP: QuickGELU, a normalisation before the blocks, no scales of branches. Otherwise as in DINOv2.
    """

    width: int
    heads: int
    patch: int
    grid: int
    layers: int = 12
    clip: bool = False


class TransformerBlock(nn.Module):
    """The layers of a block: attention, a perceptron, a normalisation for each. A subclass says in which order."""

    def __init__(self, width: int, heads: int, eps: float = 1e-5):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width, eps), nn.LayerNorm(width, eps)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def attend(self, tokens: Tensor, bias: Tensor | None = None) -> Tensor:
        """(n, count, w) -> (n, count, w); `bias` (1, h, count, count) is added to the scores before the softmax."""
        n, count, width = tokens.shape
        query, key, value = self.qkv(tokens).view(n, count, 3, self.heads, -1).permute(2, 0, 3, 1, 4)  # n heads count d
        mixed = F.scaled_dot_product_attention(query, key, value, bias).transpose(1, 2).reshape(n, count, width)
        attended: Tensor = self.out(mixed)
        return attended


class Block(TransformerBlock):
    """Attention, then a perceptron, each on normalised tokens and added to them."""

    def __init__(self, shape: Shape, eps: float):
        super().__init__(shape.width, shape.heads, eps)
        self.clip = shape.clip
        if not shape.clip:
            self.scale1, self.scale2 = nn.Parameter(torch.ones(shape.width)), nn.Parameter(torch.ones(shape.width))

    def forward(self, tokens: Tensor) -> Tensor:
        """(n, p + 1, w) -> (n, p + 1, w)."""
        attended = self.attend(self.norm1(tokens))
        tokens = tokens + (attended if self.clip else self.scale1 * attended)
        inner = self.fc1(self.norm2(tokens))
        inner = self.fc2(inner * torch.sigmoid(1.702 * inner) if self.clip else F.gelu(inner))
        changed: Tensor = tokens + (inner if self.clip else self.scale2 * inner)
        return changed


class VisionTransformer(nn.Module):
    """A picture -> its class token after the last block, normalised."""

    def __init__(self, shape: Shape):
        super().__init__()
        eps = 1e-5 if shape.clip else 1e-6
        self.shape = shape
        self.patches = nn.Conv2d(3, shape.width, shape.patch, stride=shape.patch, bias=not shape.clip)
        self.cls = nn.Parameter(0.02 * torch.randn(shape.width))
        self.positions = nn.Parameter(0.02 * torch.randn(1 + shape.grid**2, shape.width))
        self.before = nn.LayerNorm(shape.width, eps) if shape.clip else nn.Identity()
        self.blocks = nn.Sequential(*(Block(shape, eps) for _ in range(shape.layers)))
        self.after = nn.LayerNorm(shape.width, eps)

    def forward(self, pictures: Tensor) -> Tensor:
        """(n, 3, s, s), normalised -> (n, w); s is a multiple of the patch."""
        patches = self.patches(pictures)  # n w s/patch s/patch
        tokens = torch.cat([self.cls.expand(len(pictures), 1, -1), patches.flatten(2).transpose(1, 2)], 1)
        tokens = self.blocks(self.before(tokens + self._positions(patches.shape[-1])))
        rows: Tensor = self.after(tokens[:, 0])
        return rows

    def _positions(self, side: int) -> Tensor:
        """Position embeddings (1 + side^2, w), interpolated between the stored ones."""
        if side == self.shape.grid:
            return self.positions
        stored = self.positions[1:].T.reshape(1, -1, self.shape.grid, self.shape.grid)
        resized = F.interpolate(stored.float(), (side, side), mode="bicubic", align_corners=False)
        return torch.cat([self.positions[:1], resized.flatten(2)[0].T.to(self.positions.dtype)])


class FaceTransformer(nn.Module):
    """A vision transformer over single faces."""

    def __init__(self, shape: Shape, side: int, statistics: Any, weights: Path | None):
        super().__init__()
        self.prepare, self.backbone = Normalise(side, statistics), VisionTransformer(shape)
        load(self.backbone, weights, drop=("fc.", "head.", "classifier."), arrange=arranged)
        self.eval()

    def forward(self, faces: Tensor) -> Tensor:
        """(n, h, w, 3) uint8 RGB -> (n, dim)."""
        rows: Tensor = self.backbone(self.prepare(faces))
        return rows

    def last_layers(self, count: int) -> Sequence[nn.Module]:
        """The last blocks and what follows them, for fine-tuning."""
        return [*self.backbone.blocks[-count:], self.backbone.after]


class Dinov2S(FaceTransformer):
    """DINOv2 ViT-S/14: 384 features per face.

    M. Oquab et al., *DINOv2: Learning Robust Visual Features without Supervision* (2023).
    """

    def __init__(self, options: PatchOptions, weights: Path | None):
        super().__init__(Shape(384, 6, 14, 37), options.side, IMAGENET, weights)


class Dinov2B(FaceTransformer):
    """DINOv2 ViT-B/14: 768 features per face; see `Dinov2S`."""

    def __init__(self, options: PatchOptions, weights: Path | None):
        super().__init__(Shape(768, 12, 14, 37), options.side, IMAGENET, weights)


class ClipB32(FaceTransformer):
    """The picture half of CLIP ViT-B/32: 768 features per face, before the projection to the space of texts.

    Those are the features that the paper classifies: A. Radford et al., *Learning Transferable Visual Models From
    Natural Language Supervision* (2021).
    """

    def __init__(self, options: NoOptions, weights: Path | None):
        del options
        super().__init__(Shape(768, 12, 32, 7, clip=True), 224, CLIP, weights)


_TOWERS = ("visual.", "vision_model.", "dinov2.")
_IGNORED = ("embeddings.mask_token", "embeddings.position_ids", "proj", "pooler.")
_BLOCK = re.compile(r"(?:encoder\.layers?|transformer\.resblocks)\.(\d+)\.(.+?)(?:\.?(weight|bias|lambda1))?")
_INSIDE = {
    "norm1": "norm1", "layer_norm1": "norm1", "ln_1": "norm1", "norm2": "norm2", "layer_norm2": "norm2",
    "ln_2": "norm2",
    "attention.attention.query": "qkv.0", "attention.q_proj": "qkv.0", "self_attn.q_proj": "qkv.0",
    "attention.attention.key": "qkv.1", "attention.k_proj": "qkv.1", "self_attn.k_proj": "qkv.1",
    "attention.attention.value": "qkv.2", "attention.v_proj": "qkv.2", "self_attn.v_proj": "qkv.2",
    "attention.output.dense": "out", "attention.o_proj": "out", "self_attn.out_proj": "out", "attn.out_proj": "out",
    "attn.in_proj_": "qkv", "mlp.fc1": "fc1", "mlp.c_fc": "fc1", "mlp.fc2": "fc2", "mlp.c_proj": "fc2",
    "layer_scale1": "scale1", "layer_scale2": "scale2",
}  # fmt: skip
_OUTSIDE = {
    "embeddings.cls_token": "cls", "embeddings.class_embedding": "cls", "class_embedding": "cls",
    "embeddings.position_embeddings": "positions", "embeddings.position_embedding.weight": "positions",
    "positional_embedding": "positions", "embeddings.patch_embeddings.projection.weight": "patches.weight",
    "embeddings.patch_embeddings.projection.bias": "patches.bias", "conv1.weight": "patches.weight",
    "embeddings.patch_embedding.weight": "patches.weight",
    "pre_layrnorm.weight": "before.weight", "pre_layrnorm.bias": "before.bias", "ln_pre.weight": "before.weight",
    "ln_pre.bias": "before.bias", "post_layernorm.weight": "after.weight", "post_layernorm.bias": "after.bias",
    "layernorm.weight": "after.weight", "layernorm.bias": "after.bias", "ln_post.weight": "after.weight",
    "ln_post.bias": "after.bias",
}  # fmt: skip
"""Names of parts in files of transformers (both of its layouts) and of open_clip -> names of `VisionTransformer`."""


def arranged(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of a file of transformers or open_clip, or of this project, as `VisionTransformer` has them.

    The text half of CLIP is left out; an unknown tensor of the picture half keeps its name.
    """
    for tower in _TOWERS:
        if any(name.startswith(tower) for name in tensors):
            tensors = {name.removeprefix(tower): t for name, t in tensors.items() if name.startswith(tower)}
    named: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if not name.startswith(_IGNORED):
            named[_own_name(name)] = tensor
    for name, size in (("cls", (-1,)), ("positions", None)):
        if name in named:
            named[name] = named[name].reshape(size or (-1, named[name].shape[-1]))
    for first in [name for name in named if ".qkv.0." in name]:
        parts = [named.pop(first.replace(".qkv.0.", f".qkv.{i}."), None) for i in range(3)]
        if all(part is not None for part in parts):
            named[first.replace(".qkv.0.", ".qkv.")] = torch.cat([part for part in parts if part is not None])
    return named


def _own_name(name: str) -> str:
    if (found := _BLOCK.fullmatch(name)) and found[2] in _INSIDE:
        part = _INSIDE[found[2]]
        return f"blocks.{found[1]}.{part}" if part.startswith("scale") else f"blocks.{found[1]}.{part}.{found[3]}"
    return _OUTSIDE.get(name, name)


# Sound


class Standardised:
    """A sound with mean 0 and deviation 1, as large networks want it: samples (m,), a slice of them is a tensor.

    Args:
        samples: read block by block, twice.
        eps: added to the variance.
    """

    def __init__(self, samples: Sound, eps: float):
        self._samples, self.dtype = samples, samples.dtype
        count = max(len(samples), 1)
        self._mean = sum(float(part.sum()) for part in self._blocks()) / count
        variance = sum(float((part - self._mean).square().sum()) for part in self._blocks()) / count
        self._scale = 1 / math.sqrt(variance + eps)

    def _blocks(self) -> Iterator[Tensor]:
        step = BLOCK * HOP
        return (self._samples[at : at + step].double() for at in range(0, len(self._samples), step))

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, part: Any) -> Tensor:
        samples: Tensor = self._samples[part]
        return (samples - self._mean) * self._scale


class StandardisedStates(HiddenStates):
    """As `HiddenStates`, of a sound that is brought to mean 0 and deviation 1."""

    eps = 1e-5  # of torchaudio and FunASR

    def encode(self, samples: Sound, times: Tensor, run: Run, batch: int) -> Tensor:
        """Samples (m,) and times (t,) in s, increasing -> (t, w)."""
        return super().encode(Standardised(samples, self.eps), times, run, batch)

    def rows(self, windows: Tensor) -> Tensor:
        """(b, samples) -> (b, w), for training: each window is standardised by itself."""
        return super().rows(F.layer_norm(windows, windows.shape[-1:], eps=self.eps))


class LargeHiddenStates(StandardisedStates, LayerStates):
    """1024 features per step, of a standardised sound, on a large network of torchaudio."""


class WavLMLarge(LargeHiddenStates):
    """WavLM Large, with the weights of WAVLM_LARGE; see `iaca.encoders.audio.WavLM`."""

    def __init__(self, options: LargeLayerOptions, weights: Path | None):
        super().__init__(options, wavlm_large(), weights)


class HubertLarge(LargeHiddenStates):
    """HuBERT Large, with the weights of HUBERT_LARGE; see `iaca.encoders.audio.Hubert`."""

    def __init__(self, options: LargeLayerOptions, weights: Path | None):
        super().__init__(options, hubert_large(), weights)


def robust_wav2vec2(
    width: int = 1024,
    layers: int = 12,
    heads: int = 16,
    inner: int = 4096,
    convolutions: list[tuple[int, int, int]] | None = None,
) -> Wav2Vec2Model:
    """wav2vec2-large-robust of 12 layers, as it was pruned for emotion in speech, with random weights."""
    return wav2vec2_model(
        extractor_mode="layer_norm", extractor_conv_layer_config=convolutions, extractor_conv_bias=True,
        encoder_embed_dim=width, encoder_projection_dropout=0.0, encoder_pos_conv_kernel=128,
        encoder_pos_conv_groups=16, encoder_num_layers=layers, encoder_num_heads=heads, encoder_attention_dropout=0.0,
        encoder_ff_interm_features=inner, encoder_ff_interm_dropout=0.0, encoder_dropout=0.0,
        encoder_layer_norm_first=True, encoder_layer_drop=0.0, aux_num_out=None,
    )  # fmt: skip


class EmotionalSpeech(nn.Module):
    """wav2vec2 with a head for arousal, dominance and valence, trained on MSP-Podcast: 1027 columns per step.

    1024 hidden states as of `HiddenStates`, but after the last normalisation, then dominance, valence and arousal in
    about [-1, 1], of the mean hidden state over `pool_s` around the step. (The head gives about [0, 1], in another
    order.) It was trained on utterances of a few seconds.

    J. Wagner et al., *Dawn of the Transformer Era in Speech Emotion Recognition: Closing the Valence Gap* (2023).
    """

    eps = 1e-7  # of transformers

    def __init__(self, options: PooledOptions, weights: Path | None, network: Wav2Vec2Model | None = None):
        super().__init__()
        self.around = max(round(options.pool_s * RATE / STRIDE / 2), 0)  # hidden states on either side of a step
        self.network = network or robust_wav2vec2()
        width = self.network.encoder.transformer.layer_norm.normalized_shape[0]
        self.dense, self.out_proj = nn.Linear(width, width), nn.Linear(width, 3)
        load(self, weights, rename=_speech_name, drop=("masked_spec_embed",))
        self.eval()

    def forward(self, samples: Tensor) -> Tensor:
        """(b, m), standardised -> (b, hidden states, 1024)."""
        states: Tensor = self.network(samples)[0]
        return states

    def judged(self, pooled: Tensor) -> Tensor:
        """Mean hidden states (t, 1024) -> dominance, valence, arousal (t, 3) in about [-1, 1]."""
        arousal, dominance, valence = self.out_proj(torch.tanh(self.dense(pooled))).unbind(1)
        return 2 * torch.stack([dominance, valence, arousal], 1) - 1

    def encode(self, samples: Sound, times: Tensor, run: Run, batch: int) -> Tensor:
        """Samples (m,) and times (t,) in s, increasing -> (t, 1027). Outside the sound, the first or last state."""
        del batch
        sound = Standardised(samples, self.eps)
        states = RowBuffer(run(piece[None])[0, first:last] for piece, first, last in pieces(sound))
        total, rows = count_states(len(samples)), []
        place = ((times * RATE - FIELD / 2) / STRIDE).clamp(0, total - 1)
        for some in torch.split(place, CORE):
            index = some.floor().long().clamp(max=max(total - 2, 0))
            first = max(int(index[0]) - self.around, 0)
            block = states.take(first, int(index[-1]) + self.around + 2)
            pooled = _means(block, some.round().long() - first, self.around)
            rows.append(torch.cat([between(block, index - first, some - index), self.judged(pooled)], 1))
        return torch.cat(rows)

    def windows(self, samples: Sound, times: Tensor, context_s: float) -> Windows:
        """See `speech_windows`."""
        return speech_windows(samples, times, context_s)

    def rows(self, windows: Tensor) -> Tensor:
        """(b, samples) -> (b, 1027), for training: pooled over each whole window, which is standardised by itself."""
        states = self(F.layer_norm(windows, windows.shape[-1:], eps=self.eps))
        return torch.cat([states[:, states.shape[1] // 2], self.judged(states.mean(1))], 1)

    def last_layers(self, count: int) -> Sequence[nn.Module]:
        """The last layers of the transformer and what follows them, for fine-tuning."""
        transformer = self.network.encoder.transformer
        return [*transformer.layers[-count:], transformer.layer_norm, self.dense, self.out_proj]


def _means(states: Tensor, places: Tensor, around: int) -> Tensor:
    """Means (t, w) of the states (m, w) within `around` of each place (t,), as far as there are states."""
    sums = F.pad(states.double().cumsum(0), (0, 0, 1, 0))
    places = places.to(states.device)
    first, last = (places - around).clamp(min=0), (places + around + 1).clamp(max=len(states))
    return ((sums[last] - sums[first]) / (last - first)[:, None]).to(states.dtype)


def _speech_name(name: str) -> str:
    """The name of a tensor in a file of transformers, or of this project, in `EmotionalSpeech`."""
    name = old_weight_norm(name).removeprefix("wav2vec2.").removeprefix("classifier.")
    if name.startswith("feature_extractor."):
        return f"network.{name}"
    if name.startswith("feature_projection."):
        return f"network.encoder.{name}"
    if name.startswith("encoder."):
        return f"network.encoder.transformer.{name.removeprefix('encoder.')}"
    return name


POSITIONS, POSITION_KERNEL, POSITION_GROUPS = 5, 19, 16  # convolutions that encode positions; hidden states; groups
EXTRA_TOKENS = 10


@dataclass(frozen=True)
class SpeechShape:
    """Sizes of a network of emotion2vec.

    Attributes:
        width: of a hidden state.
        heads: of the attention.
        prenet, blocks: number of blocks. Those of the prenet come first and compute alike; data2vec 2.0 has one prenet
            for each kind of input.
        convolutions: channels, kernel and stride of each, from samples to a feature every 320 samples.
    """

    width: int = 768
    heads: int = 12
    prenet: int = 4
    blocks: int = 8
    convolutions: tuple[tuple[int, int, int], ...] = ((512, 10, 5), *((512, 3, 2),) * 4, *((512, 2, 2),) * 2)


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of (b, channels, t)."""

    def forward(self, features: Tensor) -> Tensor:
        """(b, channels, t) -> (b, channels, t)."""
        return super().forward(features.transpose(1, 2)).transpose(1, 2)


class SpeechBlock(TransformerBlock):
    """Attention, then a perceptron, each added to its input, and the sum normalised."""

    def forward(self, states: Tensor, bias: Tensor) -> Tensor:
        """(b, t, w), and `bias` (1, h, t, t) of the attention -> (b, t, w)."""
        states = self.norm1(states + self.attend(states, bias))
        changed: Tensor = self.norm2(states + self.fc2(F.gelu(self.fc1(states))))
        return changed


class SpeechTransformer(nn.Module):
    """data2vec 2.0 over sound: samples -> hidden states after the last block.

    A. Baevski et al., *Efficient Self-supervised Learning with Contextualized Target Representations for Vision, Speech
    and Language* (2023).
    """

    slopes: Tensor

    def __init__(self, shape: SpeechShape):
        super().__init__()
        width, channels = shape.width, [1, *(channels for channels, _, _ in shape.convolutions)]
        self.convolutions = nn.Sequential(
            *(
                nn.Sequential(nn.Conv1d(into, out, kernel, stride, bias=False), ChannelNorm(out), nn.GELU())
                for into, (out, kernel, stride) in zip(channels, shape.convolutions, strict=False)
            )
        )
        self.project = nn.Sequential(nn.LayerNorm(channels[-1]), nn.Linear(channels[-1], width))
        self.positions = nn.Sequential(*(_position_layer(width) for _ in range(POSITIONS)))
        self.extra_tokens = nn.Parameter(torch.zeros(1, EXTRA_TOKENS, width))
        self.norm = nn.LayerNorm(width)
        self.alibi_scale = nn.Parameter(torch.ones(shape.heads, 1, 1))
        self.register_buffer("slopes", alibi_slopes(shape.heads)[:, None, None], persistent=False)
        self.prenet = nn.ModuleList(SpeechBlock(width, shape.heads) for _ in range(shape.prenet))
        self.blocks = nn.ModuleList(SpeechBlock(width, shape.heads) for _ in range(shape.blocks))

    def forward(self, samples: Tensor) -> Tensor:
        """(b, m), standardised -> (b, t, w)."""
        features = self.project(self.convolutions(samples[:, None]).transpose(1, 2))  # b t w
        features = features + self.positions(features.transpose(1, 2)).transpose(1, 2)
        tokens = torch.cat([self.extra_tokens.expand(len(features), -1, -1), features], 1)
        states, bias = self.norm(tokens), self._alibi(features.shape[1])
        for block in (*self.prenet, *self.blocks):
            states = block(states, bias)
        kept: Tensor = states[:, EXTRA_TOKENS:]
        return kept

    def _alibi(self, count: int) -> Tensor:
        """Bias of the attention (1, h, 10 + t, 10 + t): it falls with the distance, except to and from extra tokens."""
        place = torch.arange(count, device=self.slopes.device)
        distance = (place[:, None] - place).abs()
        bias = -self.slopes * self.alibi_scale.clamp(min=0) * distance
        return F.pad(bias, (EXTRA_TOKENS, 0, EXTRA_TOKENS, 0))[None]


def _position_layer(width: int) -> nn.Module:
    padding = POSITION_KERNEL // 2
    convolution = nn.Conv1d(width, width, POSITION_KERNEL, padding=padding, groups=POSITION_GROUPS)
    return nn.Sequential(convolution, ChannelNorm(width, elementwise_affine=False), nn.GELU())


def alibi_slopes(heads: int) -> Tensor:
    """The slope (h,) of each head's bias per step of distance, before its learned scale.

    A geometric series that ends at 1/256. If the number of heads is no power of two, the series of the largest one
    below it comes first, then every other slope of the series that is twice as long.

    O. Press et al., *Train Short, Test Long: Attention with Linear Biases Enables Input Length Extrapolation* (2022).
    """
    series = 2 ** int(math.log2(heads))
    exponents = [8 * i / series for i in range(1, series + 1)]
    exponents += [4 * i / series for i in range(1, 2 * (heads - series), 2)]
    return 2 ** -torch.tensor(exponents)


class Emotion2vec(StandardisedStates):
    """emotion2vec, and emotion2vec+ without its head for nine emotions: 768 features per step, of a standardised sound.

    Z. Ma et al., *emotion2vec: Self-Supervised Pre-Training for Speech Emotion Representation* (2024).
    """

    shape = SpeechShape()

    def __init__(self, options: NoOptions, weights: Path | None):
        del options
        super().__init__()
        self.network = SpeechTransformer(self.shape)
        load(self.network, weights, drop=EMOTION2VEC_UNUSED, arrange=arranged_speech)
        self.eval()

    def forward(self, samples: Tensor) -> Tensor:
        """(b, m), standardised -> (b, hidden states, w)."""
        states: Tensor = self.network(samples)
        return states

    def last_layers(self, count: int) -> Sequence[nn.Module]:
        """The last blocks, for fine-tuning."""
        return [*self.network.prenet, *self.network.blocks][-count:]


class Emotion2vecLarge(Emotion2vec):
    """emotion2vec+ large: 1024 features per step; see `Emotion2vec`."""

    shape = SpeechShape(width=1024, heads=16)


EMOTION2VEC_UNUSED = ("proj.", "decoder.", "_ema")
"""The head for nine emotions, and what only the training without labels needs: its decoder and its teacher."""
_SPEECH_PARTS = {
    "d2v_model.": "", "modality_encoders.AUDIO.": "", "project_features.1.": "project.0.",
    "project_features.2.": "project.1.", "context_encoder.blocks.": "prenet.", "context_encoder.norm.": "norm.",
    ".attn.proj.": ".out.", ".attn.qkv.": ".qkv.", ".mlp.fc": ".fc",
    **{f"relative_positional_encoder.{i + 1}.": f"positions.{i}." for i in range(POSITIONS)},
}  # fmt: skip
"""Parts of names in published files of emotion2vec -> the same in `SpeechTransformer`."""
_SPEECH_CONVOLUTION = re.compile(r"local_encoder\.conv_layers\.(\d+)\.(?:2\.)?(\d)\.")


def arranged_speech(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of a published file of emotion2vec, or of this project, as `SpeechTransformer` has them."""
    named: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        for published, own in _SPEECH_PARTS.items():
            name = name.replace(published, own)
        named[_SPEECH_CONVOLUTION.sub(r"convolutions.\1.\2.", name)] = tensor
    if "alibi_scale" in named:
        named["alibi_scale"] = named["alibi_scale"].reshape(-1, 1, 1)  # published as (1, 1, h, 1, 1)
    return named


FOUNDATION: dict[Modality, dict[str, type[nn.Module]]] = {
    "visual": {"dinov2_vits14": Dinov2S, "dinov2_vitb14": Dinov2B, "clip_vitb32": ClipB32},
    "audio": {
        "wavlm_large": WavLMLarge,
        "hubert_large": HubertLarge,
        "wav2vec2_vad": EmotionalSpeech,
        "emotion2vec_base": Emotion2vec,
        "emotion2vec_plus_base": Emotion2vec,
        "emotion2vec_plus_large": Emotion2vecLarge,
    },
}
"""Encoders by modality and name; `iaca.encoders.config.ENCODERS` has the facts about them."""
