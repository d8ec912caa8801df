"""Sound of another movie as AAC, whatever it was: each stretch at its own time."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from iaca.media.audio import PlacedSound
from iaca.media.container import Source

AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
AAC_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1"}


class EncodedSound:
    """Decoded frames as AAC, each at its own time; what changes its rate or its channels is brought to the first."""

    def __init__(self, source: Source, audio: Any, container: Any):
        context = audio.codec_context
        self._rate = context.sample_rate if context.sample_rate in AAC_RATES else 48000
        self._layout = AAC_LAYOUTS.get(context.channels, "stereo")
        self._container = container
        self._stream = container.add_stream("aac", rate=self._rate, layout=self._layout)
        self._placing = PlacedSound(source, audio, self._rate, self._layout)

    def write(self, packet: Any, frames: list[Any]) -> None:
        """Encode what a packet decodes to."""
        for frame in frames:
            self._encode(self._placing.push(frame))

    def close(self) -> None:
        """Encode what is held back."""
        self._encode(self._placing.finish())
        self._container.mux(self._stream.encode(None))

    def _encode(self, blocks: Iterator[tuple[int, NDArray[np.float32]]]) -> None:
        for start, block in blocks:
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), format="fltp", layout=self._layout)
            frame.sample_rate, frame.pts, frame.time_base = self._rate, start, Fraction(1, self._rate)
            self._container.mux(self._stream.encode(frame))
