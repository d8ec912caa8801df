"""Scoring of a trained model as the engine's task: every corruption, every level, one Parquet file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from iaca.encoders.embedding import AnnotatedClip, annotate
from iaca.evaluation.benchmark.gates import GateRecord, Weights, event_scores, trust, weight_table
from iaca.evaluation.benchmark.store import ScoreRow, write_scores
from iaca.evaluation.benchmark.sums import ClipSums, clip_sums, statistics
from iaca.evaluation.bootstrap import SCORES, pooled_ccc
from iaca.evaluation.events import EVENT_COLUMNS, event_mask
from iaca.evaluation.robustness.config import Condition, RobustnessConfig
from iaca.evaluation.robustness.partition import Partition
from iaca.evaluation.robustness.protocol import Mask
from iaca.evaluation.robustness.protocols import corrupted
from iaca.modalities import MODALITIES
from iaca.training.model_file import load_model
from iaca.training.normalisation import Normalisation
from iaca.training.predict import BuiltModel, ClipPrediction, predict_clip

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
