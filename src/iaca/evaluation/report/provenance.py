"""Which weights a model rests on beside its own, where they come from, and under which licence."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from types import MappingProxyType
from typing import Any

from iaca.encoders.config import ENCODERS
from iaca.encoders.weights import WEIGHTS
from iaca.faces.config import FaceConfig
from iaca.modalities import Modality

OWN = "known to its owner"


@dataclass(frozen=True)
class Origin:
    """One thing that a model rests on.

    Attributes:
        part: what it does.
        name: of the file or the thing.
        source: where it is published.
        licence: of it, and what it was trained on where that is known.
        sha256: of the file, as far as the project knows it.
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
DEMO = "demo corpus"
PORTRAIT = Origin(
    "portrait of the demo corpus", "astronaut()", "package scikit-image; photograph by NASA", "public domain"
)


def origins(metadata: Mapping[str, str], faces: FaceConfig) -> list[Origin]:
    """Weights of every encoder in a model's metadata, of the face detector, and the portrait of the demo corpus.

    Args:
        metadata: of a `TrainedModel`: `<modality>_choice`, or at least `<modality>_encoder`; `corpus`.
        faces: of the run. Features of the user's own saw no detector.
    """
    found = [origin for modality in ENCODERS for origin in _encoders(metadata, modality)]
    if any(choice["name"] in ENCODERS["visual"] for choice in _choices(metadata, "visual")):
        name, source, licence = DETECTORS.get(faces.detector, (faces.detector, OWN, OWN))
        where = "face detector" if faces.source == "detect" else "face detector, for clips without crops of their own"
        found.append(Origin(where, name, source, licence))
    return [*found, PORTRAIT] if metadata.get("corpus") == DEMO else found


def _encoders(metadata: Mapping[str, str], modality: Modality) -> Iterator[Origin]:
    for choice in _choices(metadata, modality):
        name, part = choice["name"], f"{modality} encoder {choice['name']}"
        file = WEIGHTS.get(name)
        if name not in ENCODERS[modality]:
            yield Origin(f"{modality} features", name, "given by the user", OWN)
        elif choice.get("weights"):
            yield Origin(part, PurePath(choice["weights"]).name, "a checkpoint of the user's own", OWN)
        elif file is not None:
            yield Origin(part, file.name, file.source, file.licence, file.sha256)
        elif ENCODERS[modality][name].learned:
            yield Origin(part, "none published", "started from random numbers", "none needed")
        else:
            yield Origin(part, "no weights", "computed descriptors, part of this project", "Apache-2.0")


def _choices(metadata: Mapping[str, str], modality: Modality) -> list[dict[str, Any]]:
    given = metadata.get(f"{modality}_choice")
    if given:
        return list(json.loads(given))
    return [{"name": name} for name in metadata.get(f"{modality}_encoder", "").split("+") if name]
