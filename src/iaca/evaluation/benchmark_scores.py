"""What a pooled CCC needs to know of each clip: it adds up, so that no prediction has to be kept.

The scores of a run on disk: a row per condition, with what lies behind it nested in two of its columns.

Whether gates noticed a corruption whose place is known: AUROC of one minus the weight of the corrupted modality.

Scoring of a trained model as the engine's task: every corruption, every level, one Parquet file.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from iaca.encoders.embedding import AnnotatedClip, ClipEmbedding, annotate
from iaca.evaluation.config import Condition, RobustnessConfig
from iaca.evaluation.corruption import corrupted
from iaca.evaluation.events import EVENT_COLUMNS, event_mask, gate_auroc, modality_gate
from iaca.evaluation.metrics import DIMENSIONS, SCORES, ClipStatistics, pooled_ccc
from iaca.evaluation.partition import Mask, Partition
from iaca.parameters import MODALITIES
from iaca.training.model_file import load_model
from iaca.training.predict import BuiltModel, ClipPrediction, predict_clip
from iaca.training.sample import Normalisation

SUMS = ("n", "x", "y", "xx", "yy", "xy")
EXTREMES = ("x_min", "y_min", "x_max", "y_max")
ClipSums = dict[str, str | float]


def clip_sums(name: str, clip: AnnotatedClip, prediction: NDArray[np.float32]) -> list[ClipSums]:
    """Per dimension: n, sums of x (predicted) and y (annotated), of their squares and product, and their extremes.

    The steps that count are annotated, and had a face or sound in the *clean* clip: the same ones at every level of
    every corruption, so that nothing gets easier by going missing.

    Args:
        name: of the clip.
        clip: the clean clip.
        prediction: (t, 2) the model's answers to the clean or the corrupted one; NaN where it was trained on one
            dimension alone.
    """
    observed = clip.embedding.observed
    rows: list[ClipSums] = []
    for k, dimension in enumerate(DIMENSIONS):
        counts = observed & np.isfinite(clip.labels[:, k]) & np.isfinite(prediction[:, k])
        x, y = prediction[counts, k].astype(np.float64), clip.labels[counts, k].astype(np.float64)
        moments = (float(x.size), x.sum(), y.sum(), x @ x, y @ y, x @ y)
        extremes = (x.min(), y.min(), x.max(), y.max()) if x.size else (np.inf, np.inf, -np.inf, -np.inf)
        named = dict(zip((*SUMS, *EXTREMES), map(float, (*moments, *extremes)), strict=True))
        rows.append({"clip": name, "dimension": dimension, **named})
    return rows


def statistics(rows: Sequence[Mapping[str, Any]]) -> ClipStatistics:
    """The rows of `clip_sums` of several clips as `iaca.evaluation.metrics` takes them."""
    clips = tuple(row["clip"] for row in rows[:: len(DIMENSIONS)])

    def table(names: Sequence[str]) -> NDArray[np.float64]:
        return np.array([[row[name] for name in names] for row in rows]).reshape(len(clips), len(DIMENSIONS), -1)

    extremes = table(EXTREMES)
    return ClipStatistics(clips, table(SUMS), extremes[..., :2], extremes[..., 2:], np.zeros(len(DIMENSIONS)))


ScoreRow = dict[str, Any]
GATE_KEYS = ("gate", "modality", "kind")
GATE_VALUES = ("auroc", "weight_event", "weight_clean", "event_frames", "clean_frames")
_CLIP = pa.struct([("clip", pa.string()), ("dimension", pa.string()), *((n, pa.float64()) for n in (*SUMS, *EXTREMES))])
_GATE = pa.struct([*((name, pa.string()) for name in GATE_KEYS), *((name, pa.float64()) for name in GATE_VALUES)])
SCHEMA = pa.schema(
    [
        ("corruption", pa.string()),
        ("level", pa.float64()),
        *((score, pa.float64()) for score in SCORES),
        ("corrupted_audio", pa.float64()),  # share of the timeline that the corruption held
        ("corrupted_visual", pa.float64()),
        ("clips", pa.list_(_CLIP)),
        ("gates", pa.list_(_GATE)),
    ]
)


def write_scores(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write the rows to `path` itself; the caller renames."""
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows], SCHEMA), path)


def read_scores(path: Path) -> list[ScoreRow]:
    """What `write_scores` wrote."""
    rows: list[ScoreRow] = pq.read_table(path).to_pylist()
    return rows


Weights = NDArray[np.float32]
Row = dict[str, str | float | int]
ACROSS, RELIABILITY, TRUSTED = "modalities", "reliability", "trusted"
NOTHING = np.float32(np.nan)


def trust(prediction: ClipPrediction, labels: Mapping[str, tuple[str, ...]], clip: ClipEmbedding) -> dict[str, Weights]:
    """What the model's gates say of each modality: gate -> (t, 2) weight of audio and of visual; NaN: nothing.

    `modalities` weighs one against the other, wherever there is one. `reliability` judges each by itself, where it is
    there: of an absent one the mask has said everything. Gates within a modality, between its own features and the
    attended ones, do not say whether it can be believed.

    Args:
        prediction: of t steps.
        labels: of the model's gates.
        clip: what was predicted on, clean or corrupted.
    """
    found = {}
    if labels.get(ACROSS) == MODALITIES:
        found[ACROSS] = np.where(prediction.observed[:, None], prediction.gates[ACROSS], NOTHING)
    parts = [f"{RELIABILITY}_{modality}" for modality in MODALITIES]
    if all(part in labels for part in parts):
        said = np.stack([prediction.gates[part][:, labels[part].index(TRUSTED)] for part in parts], axis=1)
        found[RELIABILITY] = np.where(_observed(clip), said, NOTHING)
    return found


@dataclass
class GateRecord:
    """Weights of one gate under one condition, with what was true, clip after clip."""

    weights: list[Weights] = field(default_factory=list)
    corrupted: list[Mask] = field(default_factory=list)
    clean: list[Mask] = field(default_factory=list)

    def add(self, weights: Weights, truth: Mask, clip: ClipEmbedding, spoilt: Mask) -> None:
        """One clip of t steps.

        Args:
            weights: (t, 2) of `trust`, after the corruption.
            truth: (t, 2) what the protocol corrupted.
            clip: before the corruption: what was not observed then, the protocol cannot have corrupted.
            spoilt: (t,) steps in which something else is known to be wrong; they belong to neither class.
        """
        usable: Mask = _observed(clip) & ~spoilt[:, None] & np.isfinite(weights)
        self.weights.append(weights)
        self.corrupted.append(truth & usable)
        self.clean.append(np.logical_and(~truth.any(axis=1), usable.all(axis=1)))

    def scores(self, gate: str, kind: str) -> list[Row]:
        """One row per modality for which there are corrupted steps, and clean ones to compare them with."""
        weights, corrupted = np.concatenate(self.weights), np.concatenate(self.corrupted)
        clean = np.concatenate(self.clean)
        return [
            {"gate": gate, "modality": modality, "kind": kind, **_score(weights[:, i], corrupted[:, i], clean)}
            for i, modality in enumerate(MODALITIES)
            if corrupted[:, i].any() and clean.any()
        ]


def event_scores(gate: str, tables: list[pd.DataFrame], events: pd.DataFrame) -> list[Row]:
    """The same against the corpus's known events, in clean clips: `iaca.evaluation.events.gate_auroc`.

    Args:
        gate: its name.
        tables: of each clip, from `weight_table`.
        events: clip, modality, kind, start_s, end_s.
    """
    scores = gate_auroc(pd.concat(tables, ignore_index=True), events).drop(columns="event_clips")
    return [{"gate": gate, **{str(name): value for name, value in row.items()}} for row in scores.to_dict("records")]


def weight_table(name: str, clip: ClipEmbedding, weights: Weights) -> pd.DataFrame:
    """Weights (t, 2) of a clip under the names that `gate_auroc` knows."""
    columns = {modality_gate(modality): weights[:, i] for i, modality in enumerate(MODALITIES)}
    return pd.DataFrame({"clip": name, "time_s": clip.time_s, **columns})


def _observed(clip: ClipEmbedding) -> Mask:
    """(t, 2) where audio and where visual was observed."""
    return np.stack([clip.present[modality] for modality in MODALITIES], axis=1)


def _score(weight: Weights, corrupted: Mask, clean: Mask) -> dict[str, float | int]:
    either = corrupted | clean
    return {
        "auroc": float(roc_auc_score(corrupted[either], -weight[either])),
        "weight_event": float(weight[corrupted].mean(dtype=np.float64)),
        "weight_clean": float(weight[clean].mean(dtype=np.float64)),
        "event_frames": int(corrupted.sum()),
        "clean_frames": int(clean.sum()),
    }


VERSION = "1"


def score_file(
    model: Path,
    *files: Path,
    target: Path,
    corruption: RobustnessConfig,
    events: Sequence[Mapping[str, Any]],
    window: int,
    hop: int,
    spoilt: Sequence[tuple[str, float, str]] = (),
) -> None:
    """Score a model on the clips of a partition, clean and corrupted, and write the table that `store` describes.

    Args:
        model: its file.
        files: embeddings of the partition's clips, then their timelines in the same order, then the embeddings that
            `spoilt` names.
        target: to write to.
        corruption: protocols and levels.
        events: rows (clip, modality, kind, start_s, end_s) of what is known to be wrong with the corpus itself.
        window, hop: of the prediction, in steps.
        spoilt: protocol, level and clip of the embeddings whose signal was corrupted, in the order of their files.
    """
    trained = load_model(model)
    built = BuiltModel.of(trained)
    clips = (len(files) - len(spoilt)) // 2
    clean_files, timelines, spoilt_files = files[:clips], files[clips : 2 * clips], files[2 * clips :]
    signal = {(protocol, level, clip): path for (protocol, level, clip), path in zip(spoilt, spoilt_files, strict=True)}
    partition = Partition.of_files(clean_files, _scale(trained.normalisation), signal)
    timeline_paths = {clip.stem: timeline for clip, timeline in zip(clean_files, timelines, strict=True)}
    known = pd.DataFrame(list(events), columns=list(EVENT_COLUMNS))
    tallies = {condition: Tally() for condition in corruption.conditions()}
    weights: dict[str, list[pd.DataFrame]] = defaultdict(list)
    for name in partition.steps:
        clip = partition.read(name)
        annotated = annotate(clip, timeline_paths[name])
        clean = predict_clip(built, clip, window, hop)
        wrong = event_mask(pd.DataFrame({"clip": name, "time_s": clip.time_s}), known)
        for gate, said in trust(clean, built.model.gate_labels, clip).items():
            weights[gate].append(weight_table(name, clip, said))
        for condition, tally in tallies.items():
            made = corrupted(condition, name, clip, partition, corruption)
            answer = clean if made.clip is clip else predict_clip(built, made.clip, window, hop)
            weights_said = trust(answer, built.model.gate_labels, made.clip)
            tally.add(name, annotated, answer, weights_said, corrupted=made.truth, spoilt=wrong)
    rows = [tally.row(condition) for condition, tally in tallies.items()]
    rows[0]["gates"] = [row for gate, tables in weights.items() for row in event_scores(gate, tables, known)]
    write_scores(rows, target)


@dataclass
class Tally:
    """What is gathered under one condition, clip by clip."""

    clips: list[ClipSums] = field(default_factory=list)
    gates: dict[str, GateRecord] = field(default_factory=lambda: defaultdict(GateRecord))
    steps: int = 0
    corrupted_steps: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(MODALITIES), np.int64))

    def add(
        self,
        name: str,
        clip: AnnotatedClip,
        answer: ClipPrediction,
        weights: Mapping[str, Weights],
        *,
        corrupted: Mask,
        spoilt: Mask,
    ) -> None:
        """Add the model's answer to one clip, and what its gates said of each modality.

        Args:
            name, clip: the clean clip.
            answer: of the model to the corrupted clip.
            weights: of its gates, by gate (t, 2).
            corrupted: (t, 2) what the protocol corrupted.
            spoilt: (t,) steps in which something else is known to be wrong.
        """
        self.clips += clip_sums(name, clip, answer.prediction)
        self.steps += len(clip)
        self.corrupted_steps += corrupted.sum(axis=0)
        for gate, said in weights.items():
            self.gates[gate].add(said, corrupted, clip.embedding, spoilt)

    def row(self, condition: Condition) -> ScoreRow:
        """The condition's row of the table."""
        everything = np.ones((1, len(self.clips) // 2), np.int64)
        pooled = pooled_ccc(statistics(self.clips), everything)[0]
        shares = self.corrupted_steps / max(self.steps, 1)
        return {
            **condition._asdict(),
            **{score: float(value) for score, value in zip(SCORES, pooled, strict=True)},
            **{f"corrupted_{modality}": float(share) for modality, share in zip(MODALITIES, shares, strict=True)},
            "clips": self.clips,
            "gates": [row for gate, record in self.gates.items() for row in record.scores(gate, condition.corruption)],
        }


def _scale(normalisation: Normalisation) -> dict[str, Any]:
    """The deviation of each feature over the train partition: the same for every model that was trained on it."""
    return {modality: getattr(normalisation, f"{modality}_std") for modality in MODALITIES}
