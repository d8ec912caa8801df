"""Parameters of the web page."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from iaca.config import Parameters
from iaca.inference.models import ZERO_SHOT
from iaca.media.limits import MediaLimits


class WebConfig(Parameters):
    """What the page predicts with, where it listens, and what it accepts.

    Attributes:
        model: as of `iaca.inference.Predictor`: a file, a folder, a pattern or a name; by default the zero-shot model.
        port: of 127.0.0.1; the page listens nowhere else.
        max_mb: largest upload, in MiB.
        max_seconds: longest video, in s.
        limits: what else a video may hold; from the command line NAME=N, several times.
        idle_minutes: uploads that nobody asked to analyse are removed after this time.
    """

    model: str = ZERO_SHOT
    port: int = Field(default=7860, ge=1024, le=65535)
    max_mb: int = Field(default=200, ge=1, le=8192)
    max_seconds: float = Field(default=300, gt=0)
    limits: MediaLimits = MediaLimits()
    idle_minutes: int = Field(default=10, ge=1)

    @field_validator("limits", mode="before")
    @classmethod
    def _named(cls, given: Any) -> Any:
        return dict(item.partition("=")[::2] for item in given) if isinstance(given, list) else given
