"""Is fusion ever worse than its better half? Audio, visual and concatenation against late fusion and the gated models.

    python benchmarks/better_half.py OUT.csv [--seeds 0 1 2] [--clips 14 36] [--demo DATA_FOLDER] [--corrupted]

Corpora: synthetic S2, clean and with events, with 36 or 14 train clips. A model that was trained on clean S2 is scored
on three test partitions: as in training; `gone`, where the voice shows nothing of valence; and `reversed`, where it
shows the opposite; with `--corrupted` also on the first with sound or faces missing, noisy or of another clip, as in
`kedro run --pipelines benchmark`. With `--demo`, the embeddings of a finished run of the demo corpus. Scores are also
given after recalibration of scale and offset on the validation clips (`training.recalibrate`). Corpus and training have
the same seed, so models are compared in pairs. Every score is appended to OUT.csv; a run that is in it is not repeated.
`--table` prints the table of what is there.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
import torch

from iaca.corpora.synthetic import SEES, SyntheticConfig, draw_annotated
from iaca.encoders.embedding import AnnotatedClip, embeddings_of, read_annotated
from iaca.evaluation.config import Condition, RobustnessConfig
from iaca.evaluation.corruption import Partition, corrupted
from iaca.evaluation.metrics import ccc
from iaca.fusion.config import ModelChoice
from iaca.parameters import MODALITIES
from iaca.training.calibration import fit_recalibration
from iaca.training.config import TARGETS, TrainingConfig
from iaca.training.predict import BuiltModel, predict_clip
from iaca.training.sample import Normalisation, shared_cues
from iaca.training.train import TrainingRun, train

MODELS: dict[str, ModelChoice] = {
    **{name: ModelChoice(preset=name) for name in ("ridge", "late", "audio", "visual", "concat", "ca", "iaca")},
    "iaca_plus": ModelChoice(preset="iaca_plus"),
    "iaca_plus_alone": ModelChoice(preset="iaca_plus", readings="none"),
}
COLUMNS = ("corpus", "clips", "seed", "model", "test", "ccc_valence", "ccc_arousal", "recalibrated_valence",
           "recalibrated_arousal", "epoch", "seconds")  # fmt: skip
VOICE = {"as_trained": None, "gone": 0.0, "reversed": -SEES["s2"]["audio"][0]}
"""Correlation of the voice with valence in the test partition."""
RATE, LENGTH, HOP, WIDTH = 5.0, 100, 80, 64  # small, so that a network takes about a minute
Clips = dict[str, AnnotatedClip]


def synthetic(seed: int, events: float, clips: int) -> tuple[Clips, Clips, dict[str, Clips], dict[str, str]]:
    """Train clips, validation clips, test partitions by name, subjects."""
    config = SyntheticConfig(clips=60, rate=RATE, event_share=events, seed=seed)
    subjects = {f"clip{i:05d}": f"subject{i // config.clips_per_subject:05d}" for i in range(config.clips)}
    known = [draw_annotated(config, partition) for partition in ("train", "validation")]
    train_clips, validation_clips = known
    if clips < len(train_clips):
        train_clips, validation_clips = dict([*train_clips.items()][:clips]), dict([*validation_clips.items()][:3])
    tests = {}
    for name, valence in VOICE.items() if events == 0 else [("as_trained", None)]:
        audio = SEES["s2"]["audio"] if valence is None else (valence, SEES["s2"]["audio"][1])
        with patch.dict(SEES, s2={**SEES["s2"], "audio": audio}):
            tests[name] = draw_annotated(config, "test")
    return train_clips, validation_clips, tests, subjects


def demo(data: Path) -> tuple[Clips, Clips, dict[str, Clips], dict[str, str]]:
    """The same of the demo corpus, from the data folder of a run."""
    index = pd.read_csv(data / "05_model_input/training_index.csv", dtype={"clip": str, "subject": str})
    files = (data / "04_feature/embeddings", data / "03_primary/timelines")
    parts = {}
    for name, rows in index.groupby("partition"):
        parts[name] = {
            c: read_annotated(files[0] / f"{c}.safetensors", files[1] / f"{c}.parquet") for c in rows["clip"]
        }
    subjects = dict(zip(index["clip"], index["subject"], strict=True))
    return parts["train"], parts["validation"], {"as_trained": parts["test"]}, subjects


CORRUPTED = (
    ("missing_audio", 0.6), ("missing_audio", 1.0), ("missing_video", 0.6), ("missing_video", 1.0), ("frame_drop", 0.8),
    ("feature_noise", 0.5), ("feature_noise", 0.8), ("conflict", 0.3), ("conflict", 0.8),
)  # fmt: skip


def corrupted_clips(clips: Clips, train_clips: Clips) -> dict[str, Clips]:
    """A test partition under every corruption; the steps that count are those observed before it."""
    normalisation = Normalisation.fit(embeddings_of(train_clips), ())
    deviations = {modality: getattr(normalisation, f"{modality}_std") for modality in MODALITIES}
    partition = Partition.of(embeddings_of(clips), deviations)
    parts: dict[str, Clips] = {}
    for condition in (Condition(*one) for one in CORRUPTED):
        part = parts[f"{condition.corruption} {condition.level:.0%}"] = {}
        for name, clip in clips.items():
            made = corrupted(condition, name, clip.embedding, partition, RobustnessConfig(levels={}))
            part[name] = replace(clip, embedding=made.clip)
    return parts


def scored(clips: Clips) -> Clips:
    """The clips without the annotation of steps at which nothing was observed."""
    nothing = np.float32(np.nan)
    return {
        name: replace(clip, labels=np.where(clip.embedding.observed[:, None], clip.labels, nothing))
        for name, clip in clips.items()
    }


def pooled(built: BuiltModel, clips: Clips) -> tuple[np.ndarray, np.ndarray]:
    """Prediction and annotation (n, 2) of the annotated steps of a partition."""
    predicted = np.concatenate([predict_clip(built, clip.embedding, LENGTH, HOP).prediction for clip in clips.values()])
    gold = np.concatenate([clip.labels for clip in clips.values()])
    seen = np.isfinite(gold).all(axis=1)
    return predicted[seen], gold[seen]


def scores(predicted: np.ndarray, gold: np.ndarray) -> list[float]:
    """CCC of valence and arousal."""
    return [ccc(predicted[:, i], gold[:, i]) for i in range(len(TARGETS))]


def run(out: Path, seeds: list[int], data: Path | None, models: list[str], sizes: list[int], corrupt: bool) -> None:
    done = set()
    if out.exists():
        done = {tuple(map(str, key)) for key in pd.read_csv(out)[list(COLUMNS[:4])].itertuples(index=False)}
    else:
        out.write_text(",".join(COLUMNS) + "\n")
    synthetic_ones = [("s2", 14), ("s2_events", 14), ("s2_events", 36), ("s2", 36)]
    corpora = [*([("demo", 0)] if data else []), *(one for one in synthetic_ones if one[1] in sizes)]
    for seed in seeds:
        for corpus, size in corpora:
            missing = [m for m in models if (corpus, str(size), str(seed), m) not in done]
            if not missing:
                continue
            drawn = demo(data) if data and corpus == "demo" else synthetic(seed, 0.3 * (corpus != "s2"), size)
            train_clips, validation_clips, tests, subjects = drawn
            tests = {name: scored(clips) for name, clips in tests.items()}
            if corrupt:
                tests |= corrupted_clips(tests["as_trained"], train_clips)
            dims = next(iter(train_clips.values())).embedding.dims
            for model in missing:
                cues = shared_cues(embeddings_of(train_clips | validation_clips))
                fusion = MODELS[model].build(dims["audio"], dims["visual"], cues).model_copy(update={"width": WIDTH})
                start = time.monotonic()
                with tempfile.TemporaryDirectory() as folder:
                    config = TrainingConfig(seed=seed, length=LENGTH, hop=HOP, accelerator="cpu", threads=1)
                    run = TrainingRun(fusion, config, train_clips, validation_clips, Path(folder), subjects=subjects)
                    trained, _ = train(run)
                seconds = time.monotonic() - start
                built = BuiltModel.of(trained)
                recalibration = fit_recalibration(*pooled(built, scored(validation_clips)))
                with out.open("a") as file:
                    for name, clips in tests.items():
                        predicted, gold = pooled(built, clips)
                        each = [*scores(predicted, gold), *scores(recalibration.of(predicted), gold)]
                        values = [f"{value:.4f}" for value in each]
                        epoch = trained.metadata["epoch"]
                        file.write(",".join([corpus, str(size), str(seed), model, name, *values, epoch]))
                        file.write(f",{seconds:.0f}\n")


def table(out: Path) -> str:
    """Mean CCC over seeds, and by how much each model is below the best of audio, visual and concat, per dimension."""
    rows = pd.read_csv(out)
    keys = ["corpus", "clips", "test"]
    long = rows.melt([*keys, "seed", "model"], ["ccc_valence", "ccc_arousal"], "dimension", "ccc")
    mean = long.groupby([*keys, "dimension", "model"])["ccc"].mean().unstack("model")
    halves = [name for name in ("audio", "visual", "concat") if name in mean]
    order = [name for name in MODELS if name in mean]
    shown = mean[order].round(3)
    shown["best half"] = mean[halves].max(axis=1).round(3)
    shown["seeds"] = long.groupby([*keys, "dimension"])["seed"].nunique()
    worst = (mean[order].sub(mean[halves].max(axis=1), axis=0)).min().round(3).rename("worst difference")
    return f"{shown.reset_index().to_markdown(index=False)}\n\n{worst.to_frame().T.to_markdown()}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--demo", type=Path)
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--clips", type=int, nargs="+", default=[14, 36], help="train clips of the synthetic corpora")
    parser.add_argument("--corrupted", action="store_true", help="score the test partition under corruption, too")
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if not given.table:
        run(given.out, given.seeds, given.demo, given.models, given.clips, given.corrupted)
    sys.stdout.write(table(given.out))


if __name__ == "__main__":
    main()
