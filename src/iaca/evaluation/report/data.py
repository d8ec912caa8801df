"""What a report shows: tables as they are on disk, pictures, and facts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import pandas as pd

from iaca.evaluation.benchmark.found import NO_BENCHMARK, BenchmarkFound
from iaca.evaluation.config import AnalysisConfig


@dataclass(frozen=True)
class Slot:
    """A place for a picture.

    Attributes:
        title, caption: said of the picture.
        needs: table of `ReportData` without whose rows the picture says nothing and is left out; "" needs none.
    """

    title: str
    caption: str
    needs: str = ""


FIGURES: Mapping[str, Slot] = MappingProxyType(
    {
        "comparison": Slot("Models side by side", "Pooled CCC with 95 % intervals; the main model in colour."),
        "learning_curve": Slot("Training", "Loss and validation CCC by epoch; the dashed line marks the one kept."),
        "affect_plane": Slot("Where predictions lie", "Annotated and predicted frames in the valence-arousal plane."),
        "best_traces": Slot("Best videos", "Dark: annotated. Colour: predicted. Gaps were not annotated.", "videos"),
        "worst_traces": Slot("Worst videos", "Dark: annotated. Colour: predicted. Gaps were not annotated.", "videos"),
        "calibration": Slot("Calibration", "Mean annotation by bins of the prediction, with quartiles.", "calibration"),
        "regions": Slot("Error by region", "RMSE and bias over a grid of the annotated plane.", "regions"),
        "quadrants": Slot("Confusion of quadrants", "Share of each annotated quadrant, and frames.", "quadrants"),
        "gates": Slot(
            "What the model trusted", "Share of voice and face over time above what was really wrong.", "gate_auroc"
        ),
        "gate_distribution": Slot(
            "Weights during events", "Weight of the corrupted modality, in events and in clean frames.", "gate_auroc"
        ),
        "event_response": Slot(
            "Weights around the start of events", "Mean weight of the corrupted modality by kind.", "event_response"
        ),
    }
)


def _empty() -> pd.DataFrame:
    return pd.DataFrame()


@dataclass(frozen=True)
class ReportData:
    """What the report shows. Every table is shown as it is; nothing is computed again.

    Attributes:
        title: heading of the page.
        comparison: `tables.comparison`; audio only, visual only and concatenation belong among its models.
        corpus: one row per partition, columns free: clips, subjects, frames, annotated frames, ...
        videos: `tables.video_table` of the main model.
        partition: partition of the headline ("validation").
        problems: what was found wrong with the data, one row each; may be empty.
        gate_auroc: `events.gate_auroc`; may be empty, as all that follow.
        calibration, regions, quadrants, event_response, event_scores, failures: of `iaca.evaluation.analysis`.
        postprocessing: partition, step, ccc_valence, ccc_arousal, ccc_mean, difference, low, high; one row per step.
        benchmark: results of the benchmark on the same corpus, where there are some.
        analysis: settings of the analysis, said where its tables are shown.
        figures: slot of `FIGURES` -> PNG bytes; slots without a picture are left out.
        facts: the model: name -> value (parameters, encoders, fingerprint, seed, ...).
        note: plain text, paragraphs parted by empty lines: what these numbers do not prove.
    """

    title: str
    comparison: pd.DataFrame
    corpus: pd.DataFrame
    videos: pd.DataFrame
    partition: str = "validation"
    problems: pd.DataFrame = field(default_factory=_empty)
    gate_auroc: pd.DataFrame = field(default_factory=_empty)
    calibration: pd.DataFrame = field(default_factory=_empty)
    regions: pd.DataFrame = field(default_factory=_empty)
    quadrants: pd.DataFrame = field(default_factory=_empty)
    event_response: pd.DataFrame = field(default_factory=_empty)
    event_scores: pd.DataFrame = field(default_factory=_empty)
    failures: pd.DataFrame = field(default_factory=_empty)
    postprocessing: pd.DataFrame = field(default_factory=_empty)
    benchmark: BenchmarkFound = NO_BENCHMARK
    analysis: AnalysisConfig = field(default_factory=AnalysisConfig)
    figures: Mapping[str, bytes] = field(default_factory=dict)
    facts: Mapping[str, object] = field(default_factory=dict)
    note: str = ""
