"""Untrained models for the tests of `iaca.inference`."""

import numpy as np
import torch

from iaca.encoders.config import EmbeddingConfig, identity
from iaca.encoders.embedding import ClipEmbedding
from iaca.fusion import FusionModel, preset
from iaca.training.model_file import TrainedModel
from iaca.training.sample import Normalisation


def model_on(config: EmbeddingConfig, name: str = "concat", seed: int = 0) -> TrainedModel:
    """A narrow model on the embeddings of a configuration."""
    torch.manual_seed(seed)
    fusion = preset(name, config.dim("audio"), config.dim("visual"), width=8)
    there = np.ones(4, bool)
    rows = (np.ones((4, config.dim(modality)), np.float32) for modality in ("audio", "visual"))
    clip = ClipEmbedding(*rows, there, there, np.arange(4.0), np.zeros((4, 0), np.float32))
    return TrainedModel(fusion, FusionModel(fusion).state_dict(), Normalisation.fit({"a": clip}), identity(config))
