"""What is listened to and what is looked at: the two streams that everything here is about."""

from __future__ import annotations

from typing import Literal

Modality = Literal["audio", "visual"]
MODALITIES: tuple[Modality, Modality] = ("audio", "visual")
"""In the order that columns of truth and the weights of gates have."""
