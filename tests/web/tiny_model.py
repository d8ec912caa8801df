"""A model file that the page can use: the default encoders, the gates, and weights that nobody has trained."""

from pathlib import Path

import numpy as np
import torch

from iaca.encoders.config import EmbeddingConfig, describe
from iaca.encoders.embedding import ClipEmbedding
from iaca.fusion import FusionModel, preset
from iaca.training.model_file import TrainedModel, save_model
from iaca.training.sample import Normalisation

MARKUP = "<img src=x onerror=alert(1)> & 'c' [x](javascript:alert(1))"
"""What a hostile model file or the name of a video may say."""
ORIGIN = {"preset": "iaca", "corpus": "no corpus", "caveat": f"never trained: its numbers mean nothing {MARKUP}"}


def save_tiny_model(path: Path) -> Path:
    """Write the model; the same one every time."""
    torch.manual_seed(0)
    config = EmbeddingConfig()
    fusion = preset("iaca", config.dim("audio"), config.dim("visual"), width=8)
    there = np.ones(4, bool)
    rows = (np.ones((4, config.dim(modality)), np.float32) for modality in ("audio", "visual"))
    clip = ClipEmbedding(*rows, there, there, np.arange(4.0), np.zeros((4, 0), np.float32))
    metadata = {**describe(config), **ORIGIN}
    save_model(TrainedModel(fusion, FusionModel(fusion).state_dict(), Normalisation.fit({"a": clip}), metadata), path)
    return path
