"""Sound to numbers. This module holds the parameters of stored sound and imports no torch."""

from __future__ import annotations

from typing import Literal

from iaca.parameters import Parameters


class AudioConfig(Parameters):
    """How sound is stored. Any rate other than 16 kHz is rejected, because the encoders are built for it.

    Attributes:
        rate: sampling rate, Hz.
    """

    rate: Literal[16000] = 16000
