"""Which encoders turn faces and sound into embeddings."""

from __future__ import annotations

from typing import Literal

from iaca.config import Parameters


class EmbeddingConfig(Parameters):
    """Parameters of the embedding step.

    Attributes:
        visual: name of the visual encoder.
        audio: name of the audio encoder.
        device: `auto` takes a GPU where there is one.
        precision: of the network's arithmetic; `bfloat16` runs it under autocast.
        batch: faces in one forward pass.
    """

    visual: Literal["mini_xception"] = "mini_xception"
    audio: Literal["prosody"] = "prosody"
    device: str = "auto"
    precision: Literal["float32", "bfloat16"] = "float32"
    batch: int = 64
