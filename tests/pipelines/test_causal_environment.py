"""`kedro run --env causal`: a model that runs live, from the demo corpus to the report."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from iaca.encoders.embedding import read_metadata
from iaca.inference import Predictor
from iaca.media import read_audio, read_frames
from project import copy_project, runner

SMALL = (
    "demo_corpus.identities=6,demo_corpus.clips_per_identity=1,demo_corpus.seconds=4.0,training.epochs=2,"
    "training.length=60,training.hop=40,training.folds=0,fusion.width=16,executor.kind=serial"
)


@pytest.mark.slow
def test_the_environment_makes_a_model_that_runs_live(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    done = runner(project)("kedro", "run", "--env", "causal", "--params", SMALL)
    assert "scores, with 95 % intervals" in done.stdout + done.stderr
    embedding = next((project / "data/04_feature/causal/embeddings").glob("*.safetensors"))
    assert read_metadata(embedding)["embedding_version"].endswith("-causal")
    predictor = Predictor.load(project / "data/06_models/causal/iaca.safetensors")
    assert predictor.faces.causal
    video = next((project / "data/01_raw/demo/videos").glob("*.mp4"))
    offline, stream, rows, place = predictor.predict(video), predictor.stream(), [], 0
    samples = read_audio(video).samples[:]
    for frame in read_frames(video):
        stop = min(round(frame.time_s * 16_000) + 800, len(samples))
        rows += stream.sound(samples[place:stop])
        rows += stream.frame(frame.image, frame.time_s)
        place = stop
    streamed = pd.DataFrame(rows + stream.finish())
    assert len(streamed) == len(offline)
    for name in ("valence", "arousal", "gate_modalities_audio"):
        np.testing.assert_allclose(streamed[name].to_numpy(float), offline[name].to_numpy(float), atol=1e-6)
