"""Which encoders made an embedding: what its file, a model trained on it, and the engine's fingerprint say of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from iaca.encoders.config import EmbeddingConfig, EncoderChoice
from iaca.encoders.registry import REGISTRIES, published
from iaca.encoders.weights import local, locate, sha256
from iaca.modalities import Modality
from iaca.text import parse_json


def weights_of(choice: EncoderChoice, modality: Modality) -> Path | None:
    """The weight file of a choice; None for an encoder that learned nothing.

    Raises:
        InputError: it is missing, or is not the published one.
    """
    if not choice.entry(modality).learned:
        return None
    return locate(choice.name) if choice.weights is None else local(choice.weights)


def describe(config: EmbeddingConfig) -> dict[str, str]:
    """Names, versions and choices of a configuration's encoders: the metadata of an embedding.

    `visual_encoder` and `audio_encoder` are names, joined by `+` where there are several. `visual_version` and
    `audio_version` differ whenever the rows may: they hold the version of the code, the first 16 digits of the
    checksum of weights that are not pinned by the registry, and changed options. `visual_choice` and `audio_choice`
    are what is needed to build the same encoders again, as JSON.

    Raises:
        InputError: a weight file is missing, or is not the published one.
    """
    facts: dict[str, str] = {}
    for modality in REGISTRIES:
        choices = config.choices(modality)
        facts[f"{modality}_encoder"] = "+".join(choice.name for choice in choices)
        facts[f"{modality}_version"] = "+".join(_version(choice, modality) for choice in choices)
        facts[f"{modality}_choice"] = json.dumps([choice.model_dump(mode="json") for choice in choices])
    return facts


def config_of(metadata: Mapping[str, str], device: str = "auto") -> EmbeddingConfig:
    """The configuration that makes embeddings like those of a model's or an embedding's metadata.

    Raises:
        ValueError: they name encoders that are not in the registry.
    """
    given = {m: metadata.get(f"{m}_choice") or json.dumps(metadata.get(f"{m}_encoder")) for m in REGISTRIES}
    return EmbeddingConfig(**{name: parse_json(text) for name, text in given.items()}, device=device)


def mismatches(metadata: Mapping[str, str], facts: Mapping[str, str]) -> list[str]:
    """Where names or versions of encoders differ, in words; what one of the two does not say is no difference."""
    keys = [f"{modality}_{what}" for modality in REGISTRIES for what in ("encoder", "version")]
    return [
        f"{key} {facts[key]!r}, not {metadata[key]!r}"
        for key in keys
        if key in metadata and key in facts and metadata[key] != facts[key]
    ]


def _version(choice: EncoderChoice, modality: Modality) -> str:
    entry, path, known = choice.entry(modality), weights_of(choice, modality), published(choice.name)
    pinned = choice.weights is None and known is not None and known.sha256
    checksum = f"#{sha256(path)[:16]}" if path is not None and not pinned else ""
    changes = ",".join(f"{name}={value}" for name, value in sorted(choice.changes.items()))
    return f"{entry.version}{checksum}" + (f"({changes})" if changes else "")
