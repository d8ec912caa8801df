"""Parameters of the sound on disk."""

from __future__ import annotations

from typing import Literal

from iaca.config import Parameters


class AudioConfig(Parameters):
    """How sound is stored. The encoders are built for 16 kHz, so another rate is refused here.

    Attributes:
        rate: sampling rate, Hz.
    """

    rate: Literal[16000] = 16000
