"""A complete report of the four clips: every table, every figure, and a benchmark as on disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from iaca.evaluation.benchmark_page import BenchmarkFound
from iaca.evaluation.certainty import COVERAGE_COLUMNS, INCONSISTENCY_COLUMNS, coverage, inconsistency_auroc
from iaca.evaluation.config import AnalysisConfig
from iaca.evaluation.errors import (
    CALIBRATION_COLUMNS,
    QUADRANT_COLUMNS,
    REGION_COLUMNS,
    Results,
    calibration,
    failures,
    quadrant_confusion,
    region_errors,
)
from iaca.evaluation.events import (
    AUROC_COLUMNS,
    EVENT_SCORE_COLUMNS,
    RESPONSE_COLUMNS,
    event_response,
    event_scores,
    gate_auroc,
)
from iaca.evaluation.metrics import join_labels
from iaca.evaluation.report import FIGURES, ReportData
from iaca.evaluation.tables import comparison, video_table

PNG = b"\x89PNG not looked at"
CONFIG = AnalysisConfig(few_frames=20, listed=2)
FILES = {
    "comparison": "comparison.csv",
    "videos": "per_video.csv",
    "corpus": "summary.csv",
    "problems": "problems.csv",
    "gate_auroc": "gate_scores.csv",
    "coverage": "coverage.csv",
    "inconsistency": "inconsistency_scores.csv",
    "calibration": "calibration.csv",
    "regions": "regions.csv",
    "quadrants": "quadrants.csv",
    "event_response": "event_response.csv",
    "event_scores": "event_scores.csv",
    "failures": "failures_found.csv",
    "postprocessing": "postprocessing.csv",
    "summary": "benchmark_summary.csv",
}
EMPTY = {
    "calibration": pd.DataFrame(columns=list(CALIBRATION_COLUMNS)),
    "regions": pd.DataFrame(columns=list(REGION_COLUMNS)),
    "quadrants": pd.DataFrame(columns=list(QUADRANT_COLUMNS)),
    "event_response": pd.DataFrame(columns=list(RESPONSE_COLUMNS)),
    "event_scores": pd.DataFrame(columns=list(EVENT_SCORE_COLUMNS)),
    "gate_auroc": pd.DataFrame(columns=list(AUROC_COLUMNS)),
    "coverage": pd.DataFrame(columns=list(COVERAGE_COLUMNS)),
    "inconsistency": pd.DataFrame(columns=list(INCONSISTENCY_COLUMNS)),
    "postprocessing": pd.DataFrame(),
}
SUMMARY = pd.DataFrame(
    [
        ("clean", 0.0, "iaca", None, "ccc_mean", 2, 0.7, 0.01, 0.6, 0.8, 0.55, 0.85),
        ("clean", 0.0, "iaca", "concat", "ccc_mean", 2, 0.03, 0.01, 0.01, 0.05, -0.01, 0.07),
        ("conflict", 0.5, "iaca", "concat", "ccc_mean", 2, 0.02, 0.01, -0.01, 0.05, -0.02, 0.06),
        ("conflict", float("nan"), "iaca", None, "area", 2, 0.512, 0.01, 0.41, 0.613, float("nan"), float("nan")),
        ("conflict", float("nan"), "concat", None, "area", 2, 0.487, 0.01, 0.4, 0.574, float("nan"), float("nan")),
    ],
    columns=["corruption", "level", "model", "minus", "measure", "seeds", "mean", "sd", "low", "high", "clips_low",
             "clips_high"],
)  # fmt: skip
POSTPROCESSING = pd.DataFrame(
    [
        ("validation", "none", 0.81, 0.79, 0.8, 0.0, 0.0, 0.0),
        ("validation", "smooth", 0.82, 0.8, 0.81, 0.01, -0.01, 0.03),
    ],
    columns=["partition", "step", "ccc_valence", "ccc_arousal", "ccc_mean", "difference", "low", "high"],
)  # fmt: skip


def judged(predictions: pd.DataFrame) -> pd.DataFrame:
    """The predictions with intervals of two widths, and an inconsistency that is unknown at one step of each clip."""
    half = np.where(predictions["frame"] % 3 == 0, 0.1, 0.3)
    bounds = {f"{name}_{end}": predictions[name] + sign * half
              for name in ("valence", "arousal") for end, sign in (("low", -1), ("high", 1))}  # fmt: skip
    inconsistency = (predictions["frame"] % 7 / 7).where(predictions["frame"] != 150)
    return predictions.assign(**bounds, inconsistency=inconsistency)


def data_of(models: dict[str, pd.DataFrame], labels: pd.DataFrame, events: pd.DataFrame) -> ReportData:
    """Everything a report can show of these models, the first of them the main one."""
    main = next(iter(models.values()))
    table = comparison(models, labels, replicates=100)
    gold = labels[labels["partition"] == "validation"]
    joined, inside = join_labels(main, gold), main[main["clip"].isin(gold["clip"])]
    tables = {
        "calibration": calibration(joined, CONFIG),
        "regions": region_errors(joined, CONFIG),
        "quadrants": quadrant_confusion(joined, CONFIG),
        "event_response": event_response(inside, events, CONFIG),
        "event_scores": event_scores(models, gold, events, replicates=100),
        "gate_auroc": gate_auroc(inside, events),
        "coverage": coverage(judged(main), labels, events, "validation", replicates=100),
        "inconsistency": inconsistency_auroc(judged(inside), events, replicates=100),
    }
    videos = video_table(main, labels)
    results = Results(
        table, videos, tables["regions"], tables["quadrants"], tables["event_scores"], "validation", CONFIG
    )
    return ReportData(
        title="Four clips",
        comparison=table,
        corpus=pd.DataFrame({"partition": ["train", "validation"], "clips": [1, 3], "frames": [300, 12900]}),
        videos=videos,
        problems=pd.DataFrame({"clip": ["<script>alert(1)</script>"], "problem": ["labels & video differ"]}),
        failures=failures(results),
        postprocessing=POSTPROCESSING,
        benchmark=BenchmarkFound("four", SUMMARY, PNG),
        analysis=CONFIG,
        figures=dict.fromkeys(FIGURES, PNG),
        facts={"parameters": 412345, "fingerprint": "9f1c2d"},
        note="Not about people.\n\nOnly about the <workflow>.",
        **tables,
    )


def read_back(data: ReportData, folder: Path) -> ReportData:
    """The same with its tables as they are read from the files in `folder`."""
    text = {"clip": str, "where": str}
    tables = {name: pd.read_csv(folder / file, dtype=text) for name, file in FILES.items()}
    found = replace(data.benchmark, summary=tables.pop("summary"))
    return replace(data, benchmark=found, **tables)
