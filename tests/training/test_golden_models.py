"""Model files written by an older version load, and predict what that version predicted; see `golden/README.md`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from iaca.encoders.embedding import ClipEmbedding
from iaca.training.model_file import load_model
from iaca.training.predict import predict_clip, prediction_table

GOLDEN = Path(__file__).parent / "golden"


def seeded_clip() -> ClipEmbedding:
    """40 steps of seed 2024, about a fifth of each modality absent."""
    rng = np.random.default_rng(2024)
    return ClipEmbedding(
        audio=rng.normal(size=(40, 6)).astype(np.float32),
        visual=rng.normal(size=(40, 8)).astype(np.float32),
        audio_present=rng.random(40) > 0.2,
        face_found=rng.random(40) > 0.2,
        time_s=np.arange(40) / 25,
        quality=rng.normal([0.9, 20.0, 0.4], [0.05, 5.0, 0.2], (40, 3)).astype(np.float32),
        quality_names=("face_score", "snr_estimate", "synchrony"),
    )


@pytest.mark.parametrize("name", ["iaca", "lstm", "iaca_plus"])
def test_an_older_model_file_predicts_what_it_predicted(name: str) -> None:
    model, clip = load_model(GOLDEN / f"{name}.safetensors"), seeded_clip()
    expected = pd.read_csv(GOLDEN / f"{name}.csv")
    table = prediction_table(name, clip, predict_clip(model, clip, window=16, hop=10), model.build().gate_labels)
    assert {"valence", "arousal", *table.filter(like="gate_")} == set(expected)
    np.testing.assert_allclose(table[expected.columns], expected, rtol=0, atol=1e-5)
