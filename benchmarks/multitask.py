"""Do expressions and action units cost valence and arousal anything? One model with and without these heads.

    python benchmarks/multitask.py OUT.csv [--seeds 0 1 2 3 4] [--presets iaca] [--weight 1.0]

Corpus: synthetic S2 with events. The class of a frame follows from the plane of valence and arousal, in 8 sectors with
a neutral centre; each action unit is a threshold on a direction of that plane, with slow noise of its own. Of the train
clips a third has no classes, and another third no action units. Corpus and training have the same seed, so that the two
models of a seed are a pair; they are scored on test clips. Every pair is appended to OUT.csv; a seed that is in it is
not repeated. The differences are printed with the half-width of their 95 % interval over seeds.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import t as student_t

from iaca.corpora.synthetic import SyntheticConfig, draw_annotated
from iaca.encoders.embedding import AnnotatedClip, embeddings_of
from iaca.evaluation.metrics import ccc
from iaca.fusion.config import ModelChoice
from iaca.training.config import LossConfig, TrainingConfig
from iaca.training.loss import THRESHOLDS, expression_f1, unit_f1
from iaca.training.predict import BuiltModel, predict_clip
from iaca.training.sample import shared_cues
from iaca.training.train import TrainingRun, train

RATE, LENGTH, HOP, WIDTH = 5.0, 100, 80, 64
TASKS = {"without": (), "with": ("expression", "action_units")}
Clips = dict[str, AnnotatedClip]


def annotated(clips: Clips, seed: int, gaps: bool) -> Clips:
    """The clips with classes and action units; with `gaps`, two thirds of them lack one of the two."""
    made = {}
    for index, (name, clip) in enumerate(clips.items()):
        rng = np.random.default_rng((seed, index))
        plane = clip.labels.astype(np.float64)
        angle, length = np.arctan2(plane[:, 1], plane[:, 0]), np.hypot(*plane.T)
        classes = np.where(length < 0.25, 0, 1 + np.floor((angle + np.pi) / (2 * np.pi) * 7).clip(0, 6))
        directions = np.array([[np.cos(i), np.sin(i)] for i in range(12)])
        slow = np.stack([_slow(rng, len(clip)) for _ in range(12)], axis=1)
        units = plane @ directions.T + slow > np.linspace(0.0, 0.4, 12)
        tasks = np.column_stack([classes, units]).astype(np.float32)
        tasks[~np.isfinite(plane).all(axis=1)] = np.nan
        if gaps and index % 3 == 1:
            tasks[:, 0] = np.nan
        if gaps and index % 3 == 2:
            tasks[:, 1:] = np.nan
        made[name] = replace(clip, tasks=tasks)
    return made


def _slow(rng: np.random.Generator, steps: int, every: int = 25) -> np.ndarray:
    """(steps,) noise of deviation 0.2 that changes over `every` steps."""
    places = np.arange(0, steps + every, every)
    return np.interp(np.arange(steps), places, rng.normal(0, 0.2, len(places)))


def scores(seed: int, preset: str, tasks: tuple[str, ...], weight: float, parts: dict[str, Clips]) -> dict[str, float]:
    """Test scores of one model."""
    embeddings = embeddings_of(parts["train"])
    dims = next(iter(embeddings.values())).dims
    changes = {"tasks": tasks} if tasks else {}
    choice = ModelChoice(preset=preset, width=WIDTH, **changes)
    fusion = choice.build(dims["audio"], dims["visual"], shared_cues(embeddings))
    loss = LossConfig(expression=weight, action_units=weight)
    config = TrainingConfig(seed=seed, length=LENGTH, hop=HOP, threads=1, accelerator="cpu", loss=loss)
    with tempfile.TemporaryDirectory() as folder:
        run = TrainingRun(fusion, config, parts["train"], parts["validation"], Path(folder) / "c")
        model, _ = train(run)
    built, rows = BuiltModel.of(model), []
    for clip in parts["test"].values():
        found = predict_clip(built, clip.embedding)
        rows.append((found.prediction, clip.labels, found.tasks, clip.tasks))
    prediction, gold = (np.concatenate([row[i] for row in rows]).astype(np.float64) for i in (0, 1))
    known = np.isfinite(gold).all(axis=1)
    row = {f"ccc_{name}": ccc(prediction[known, i], gold[known, i]) for i, name in enumerate(("valence", "arousal"))}
    if tasks:
        truth = np.concatenate([row[3] for row in rows]).astype(np.float64)
        classes = np.concatenate([row[2]["expression"] for row in rows]).argmax(axis=1)
        units = np.concatenate([row[2]["action_units"] for row in rows])
        row["expression_f1"] = float(expression_f1(classes, truth[:, 0]).mean())
        row["action_units_f1"] = float(unit_f1(units >= model.weights[THRESHOLDS].numpy(), truth[:, 1:]).mean())
        row["action_units_f1_at_half"] = float(unit_f1(units >= 0.5, truth[:, 1:]).mean())
    return row


def main() -> None:
    """Train the pairs, append their scores, print the differences."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="CSV that is appended to")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(5)))
    parser.add_argument("--presets", nargs="+", default=["iaca"])
    parser.add_argument("--weight", type=float, default=LossConfig().expression, help="of the losses of both tasks")
    given = parser.parse_args()
    for preset in given.presets:
        for seed in given.seeds:
            known = pd.read_csv(given.out) if given.out.exists() else pd.DataFrame(columns=["preset", "seed"])
            if ((known["preset"] == preset) & (known["seed"] == seed)).any():
                continue
            config = SyntheticConfig(clips=60, rate=RATE, event_share=0.3, seed=seed)
            parts = {
                name: annotated(draw_annotated(config, name), seed, name == "train")
                for name in ("train", "validation", "test")
            }
            plain = {name: {c: replace(clip, tasks=None) for c, clip in clips.items()} for name, clips in parts.items()}
            rows = [
                {
                    "preset": preset,
                    "seed": seed,
                    "heads": heads,
                    **scores(seed, preset, tasks, given.weight, parts if tasks else plain),
                }
                for heads, tasks in TASKS.items()
            ]
            pd.concat([known, pd.DataFrame(rows)]).to_csv(given.out, index=False)
            print(pd.DataFrame(rows).to_string(index=False), flush=True)
    table = pd.read_csv(given.out)
    for preset, part in table.groupby("preset"):
        pairs = part.pivot(index="seed", columns="heads")
        for name in ("ccc_valence", "ccc_arousal"):
            change = pairs[name]["with"] - pairs[name]["without"]
            half = (
                student_t.ppf(0.975, len(change) - 1) * change.std() / np.sqrt(len(change))
                if len(change) > 1
                else np.nan
            )
            print(f"{preset} {name}: {change.mean():+.4f} +- {half:.4f} over {len(change)} seeds")


if __name__ == "__main__":
    main()
