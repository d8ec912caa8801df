"""How does a trained model score under every corruption? One task per run writes a Parquet file of scores.

A row per condition: its CCC, and nested in two columns the sums of each clip, from which any pooled CCC follows without
the predictions, and the AUROC of the gates. The row of the clean partition also has the coverage of the intervals and
the AUROC of inconsistency, for the runs that have them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from iaca.encoders.embedding import AnnotatedClip, ClipEmbedding, annotate
from iaca.encoders.networks import pick_device
from iaca.evaluation.certainty import coverage, inconsistency_auroc
from iaca.evaluation.config import Condition, RobustnessConfig
from iaca.evaluation.corruption import Mask, Partition, corrupted
from iaca.evaluation.events import event_mask, gate_auroc, gate_values, modality_gate
from iaca.evaluation.metrics import DIMENSIONS, SCORES, ClipStatistics, pooled_ccc
from iaca.formats.labels import EVENT_COLUMNS
from iaca.fusion.config import weighing_gates
from iaca.parameters import MODALITIES
from iaca.training.model_file import load_model
from iaca.training.predict import BuiltModel, ClipPrediction, predict_clip, prediction_table
from iaca.training.sample import Normalisation

VERSION = "3"
Weights = NDArray[np.float32]
ScoreRow = dict[str, Any]
GateRow = dict[str, str | float | int]
ClipSums = dict[str, str | float]

SUMS = ("n", "x", "y", "xx", "yy", "xy")
EXTREMES = ("x_min", "y_min", "x_max", "y_max")
GATE_KEYS = ("gate", "modality", "kind")
GATE_VALUES = ("auroc", "weight_event", "weight_clean", "event_frames", "clean_frames")
COVERAGE_KEYS, COVERAGE_VALUES = ("dimension",), ("coverage", "width", "width_error_correlation", "frames")
INCONSISTENCY_KEYS = ("modality", "kind")
INCONSISTENCY_VALUES = ("auroc", "gate_auroc", "event_frames", "clean_frames", "unknown_event", "unknown_clean")


def _struct(keys: Sequence[str], values: Sequence[str]) -> pa.StructType:
    return pa.struct([*((name, pa.string()) for name in keys), *((name, pa.float64()) for name in values)])


_CLIP = pa.struct([("clip", pa.string()), ("dimension", pa.string()), *((n, pa.float64()) for n in (*SUMS, *EXTREMES))])
SCHEMA = pa.schema(
    [
        ("corruption", pa.string()),
        ("level", pa.float64()),
        *((score, pa.float64()) for score in SCORES),
        ("corrupted_audio", pa.float64()),  # share of the timeline that was corrupted
        ("corrupted_visual", pa.float64()),
        ("clips", pa.list_(_CLIP)),
        ("gates", pa.list_(_struct(GATE_KEYS, GATE_VALUES))),
        ("coverage", pa.list_(_struct(COVERAGE_KEYS, COVERAGE_VALUES))),
        ("inconsistency", pa.list_(_struct(INCONSISTENCY_KEYS, INCONSISTENCY_VALUES))),
    ]
)


def score_file(
    model: Path,
    *files: Path,
    target: Path,
    corruption: RobustnessConfig,
    events: Sequence[Mapping[str, Any]],
    window: int,
    hop: int,
    spoilt: Sequence[tuple[str, float, str]] = (),
    device: str = "cpu",
) -> None:
    """Task: score a model on the clips of a partition, clean and corrupted, and write a table of `SCHEMA`.

    Args:
        model: its file.
        files: embeddings of the partition's clips, then their timelines in the same order, then the embeddings that
            `spoilt` names.
        target: file to write.
        corruption: protocols and levels.
        events: rows (clip, modality, kind, start_s, end_s) of known events in the corpus itself.
        window, hop: of the prediction, in steps.
        spoilt: protocol, level and clip of the embeddings with a corrupted signal, in the order of their files. The
            name is part of the task's fingerprint.
        device: of the model.
    """
    trained = load_model(model)
    built = BuiltModel.of(trained, pick_device(device))
    uncalibrated = replace(built, calibration=None)  # nobody asks for intervals under corruption, and they take time
    clips = (len(files) - len(spoilt)) // 2
    clean_files, timelines, corrupted_files = files[:clips], files[clips : 2 * clips], files[2 * clips :]
    signal = dict(zip(spoilt, corrupted_files, strict=True))
    partition = Partition.of_files(clean_files, _scale(trained.normalisation), signal)
    timeline_paths = {clip.stem: timeline for clip, timeline in zip(clean_files, timelines, strict=True)}
    known = pd.DataFrame(list(events), columns=list(EVENT_COLUMNS))
    tallies = {condition: Tally() for condition in corruption.conditions()}
    clean_weights: dict[str, list[pd.DataFrame]] = defaultdict(list)
    judged: list[tuple[pd.DataFrame, pd.DataFrame]] = []
    for name in partition.steps:
        clip = partition.read(name)
        annotated = annotate(clip, timeline_paths[name])
        clean = predict_clip(built, clip, window, hop)
        if built.calibration is not None:
            table = prediction_table(name, clip, clean, built.model.gate_labels)
            judged.append((table, _label_table(name, annotated)))
        in_event = event_mask(pd.DataFrame({"clip": name, "time_s": clip.time_s}), known)
        for gate, weights in modality_weights(clean, built.model.gate_labels, clip).items():
            clean_weights[gate].append(_weight_table(name, clip, weights))
        for condition, tally in tallies.items():
            made = corrupted(condition, name, clip, partition, corruption)
            prediction = clean if made.clip is clip else predict_clip(uncalibrated, made.clip, window, hop)
            gates = modality_weights(prediction, built.model.gate_labels, made.clip)
            tally.add(name, annotated, prediction, gates, corrupted=made.truth, in_event=in_event)
    rows = [tally.row(condition) for condition, tally in tallies.items()]
    rows[0]["gates"] = [row for gate, tables in clean_weights.items() for row in _event_scores(gate, tables, known)]
    rows[0] |= _certainty(judged, known)
    write_scores(rows, target)


def _scale(normalisation: Normalisation) -> dict[str, Any]:
    """Standard deviation of each feature over the train partition: the same for every model trained on it."""
    return {modality: getattr(normalisation, f"{modality}_std") for modality in MODALITIES}


def _label_table(name: str, clip: AnnotatedClip) -> pd.DataFrame:
    """The annotation of a clip, as `coverage` reads it."""
    columns = dict(zip(DIMENSIONS, clip.labels.T, strict=True))
    return pd.DataFrame({"clip": name, "frame": np.arange(len(clip)), "partition": "scored", **columns})


def _certainty(judged: Sequence[tuple[pd.DataFrame, pd.DataFrame]], events: pd.DataFrame) -> dict[str, list[ScoreRow]]:
    """The columns `coverage` and `inconsistency` of the clean partition; both are empty for a model without a
    calibration. Intervals of these scores come from the seeds.

    Args:
        judged: of each clip its predictions and its annotation.
        events: clip, modality, kind, start_s, end_s.
    """
    if not judged:
        return {"coverage": [], "inconsistency": []}
    predictions, labels = (pd.concat(tables, ignore_index=True) for tables in zip(*judged, strict=True))
    covered = coverage(predictions, labels, replicates=0)[[*COVERAGE_KEYS, *COVERAGE_VALUES]]
    scores = inconsistency_auroc(predictions, events, replicates=0)[[*INCONSISTENCY_KEYS, *INCONSISTENCY_VALUES]]
    return {"coverage": _records(covered), "inconsistency": _records(scores)}


def write_scores(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write rows of `SCHEMA` directly to `path`; the caller renames."""
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows], SCHEMA), path)


def read_scores(path: Path) -> list[ScoreRow]:
    """Rows of `write_scores`."""
    rows: list[ScoreRow] = pq.read_table(path).to_pylist()
    return rows


@dataclass
class Tally:
    """Accumulates the clips of one condition."""

    clips: list[ClipSums] = field(default_factory=list)
    gates: dict[str, GateRecord] = field(default_factory=lambda: defaultdict(GateRecord))
    steps: int = 0
    corrupted_steps: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(MODALITIES), np.int64))

    def add(
        self,
        name: str,
        clip: AnnotatedClip,
        prediction: ClipPrediction,
        weights: Mapping[str, Weights],
        *,
        corrupted: Mask,
        in_event: Mask,
    ) -> None:
        """Add one clip of t steps.

        Args:
            name, clip: the clean clip.
            prediction: of the model, for the corrupted clip.
            weights: gate -> (t, 2), of `modality_weights`.
            corrupted: (t, 2) what the protocol corrupted.
            in_event: (t,) steps in a known event of the corpus.
        """
        self.clips += clip_sums(name, clip, prediction.prediction)
        self.steps += len(clip)
        self.corrupted_steps += corrupted.sum(axis=0)
        for gate, of_gate in weights.items():
            self.gates[gate].add(of_gate, corrupted, clip.embedding, in_event)

    def row(self, condition: Condition) -> ScoreRow:
        """The condition's row of the table."""
        every_clip_once = np.ones((1, len(self.clips) // 2), np.int64)
        pooled = pooled_ccc(statistics(self.clips), every_clip_once)[0]
        shares = self.corrupted_steps / max(self.steps, 1)
        return {
            **condition._asdict(),
            **{score: float(value) for score, value in zip(SCORES, pooled, strict=True)},
            **{f"corrupted_{modality}": float(share) for modality, share in zip(MODALITIES, shares, strict=True)},
            "clips": self.clips,
            "gates": [row for gate, record in self.gates.items() for row in record.scores(gate, condition.corruption)],
        }


# CCC


def clip_sums(name: str, clip: AnnotatedClip, prediction: NDArray[np.float32]) -> list[ClipSums]:
    """Per dimension: n, sums of x (predicted) and y (annotated), of their squares and product, and their extremes.

    Only annotated steps count, and only those with a face or sound in the *clean* clip: the same steps at every level
    of every corruption, so that a missing modality never makes the task easier.

    Args:
        name: of the clip.
        clip: the clean clip.
        prediction: (t, 2) for the clean or the corrupted clip; NaN in a dimension that the model was not trained on.
    """
    observed = clip.embedding.observed
    rows: list[ClipSums] = []
    for k, dimension in enumerate(DIMENSIONS):
        counts = observed & np.isfinite(clip.labels[:, k]) & np.isfinite(prediction[:, k])
        x, y = prediction[counts, k].astype(np.float64), clip.labels[counts, k].astype(np.float64)
        moments = (float(x.size), x.sum(), y.sum(), x @ x, y @ y, x @ y)
        extremes = (x.min(), y.min(), x.max(), y.max()) if x.size else (np.inf, np.inf, -np.inf, -np.inf)
        values = dict(zip((*SUMS, *EXTREMES), map(float, (*moments, *extremes)), strict=True))
        rows.append({"clip": name, "dimension": dimension, **values})
    return rows


def statistics(rows: Sequence[Mapping[str, Any]]) -> ClipStatistics:
    """Rows of `clip_sums` of several clips in the form of `iaca.evaluation.metrics`."""
    clips = tuple(row["clip"] for row in rows[:: len(DIMENSIONS)])

    def table(names: Sequence[str]) -> NDArray[np.float64]:
        return np.array([[row[name] for name in names] for row in rows]).reshape(len(clips), len(DIMENSIONS), -1)

    extremes = table(EXTREMES)
    return ClipStatistics(clips, table(SUMS), extremes[..., :2], extremes[..., 2:], np.zeros(len(DIMENSIONS)))


# Gates: AUROC of one minus the weight of the corrupted modality, against where it was corrupted


def modality_weights(
    prediction: ClipPrediction, labels: Mapping[str, tuple[str, ...]], clip: ClipEmbedding
) -> dict[str, Weights]:
    """Gate -> (t, 2) weight of audio and of visual; NaN where the gate has none.

    Gates that weigh one against the other (`iaca.fusion.config.WEIGHING`) do so where either is observed. `reliability`
    judges each by itself where it is observed; where it is absent, the mask already says so. Gates within a modality,
    between its own and the attended features, do not say whether the modality can be trusted.

    Args:
        prediction: of t steps.
        labels: of the model's gates.
        clip: the clip of the prediction, clean or corrupted.
    """
    nan, found = np.float32(np.nan), {}
    for gate in weighing_gates(labels).values():
        found[gate] = np.where(prediction.observed[:, None], prediction.gates[gate], nan)
    judges = [f"reliability_{modality}" for modality in MODALITIES]
    if all(judge in labels for judge in judges):
        weights = [prediction.gates[judge][:, labels[judge].index("trusted")] for judge in judges]
        found["reliability"] = np.where(_observed(clip), np.stack(weights, axis=1), nan)
    return found


@dataclass
class GateRecord:
    """Weights of one gate under one condition, with what was corrupted, clip by clip."""

    weights: list[Weights] = field(default_factory=list)
    corrupted: list[Mask] = field(default_factory=list)
    clean: list[Mask] = field(default_factory=list)

    def add(self, weights: Weights, truth: Mask, clip: ClipEmbedding, in_event: Mask) -> None:
        """Add one clip of t steps.

        Args:
            weights: (t, 2) of `modality_weights`, after the corruption.
            truth: (t, 2) what the protocol corrupted.
            clip: before the corruption: a protocol can't corrupt what was not observed.
            in_event: (t,) steps in a known event of the corpus; they belong to neither class.
        """
        usable: Mask = _observed(clip) & ~in_event[:, None] & np.isfinite(weights)
        self.weights.append(weights)
        self.corrupted.append(truth & usable)
        self.clean.append(np.logical_and(~truth.any(axis=1), usable.all(axis=1)))

    def scores(self, gate: str, kind: str) -> list[GateRow]:
        """One row per modality that has corrupted steps, if there are clean ones to compare with."""
        weights, corrupted = np.concatenate(self.weights), np.concatenate(self.corrupted)
        clean = np.concatenate(self.clean)
        return [
            {"gate": gate, "modality": modality, "kind": kind, **gate_values(weights[:, i], corrupted[:, i], clean)}
            for i, modality in enumerate(MODALITIES)
            if corrupted[:, i].any() and clean.any()
        ]


def _observed(clip: ClipEmbedding) -> Mask:
    """(t, 2) where audio and where visual was observed."""
    return np.stack([clip.present[modality] for modality in MODALITIES], axis=1)


def _event_scores(gate: str, tables: list[pd.DataFrame], events: pd.DataFrame) -> list[GateRow]:
    """Rows of a gate for the known events of the corpus, in clean clips: `iaca.evaluation.events.gate_auroc`.

    Args:
        gate: its name.
        tables: of each clip, from `_weight_table`.
        events: clip, modality, kind, start_s, end_s.
    """
    scores = gate_auroc(pd.concat(tables, ignore_index=True), events).drop(columns="event_clips")
    return [{"gate": gate, **row} for row in _records(scores)]


def _records(table: pd.DataFrame) -> list[ScoreRow]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _weight_table(name: str, clip: ClipEmbedding, weights: Weights) -> pd.DataFrame:
    """Weights (t, 2) of a clip in the columns that `gate_auroc` reads."""
    columns = {modality_gate(modality): weights[:, i] for i, modality in enumerate(MODALITIES)}
    return pd.DataFrame({"clip": name, "time_s": clip.time_s, **columns})
