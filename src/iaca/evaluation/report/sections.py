"""Which sections a page has, and what those need that are more than a table."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from iaca.evaluation.analysis.failures import RULES
from iaca.evaluation.benchmark.findings import findings, in_short
from iaca.evaluation.benchmark.found import BenchmarkFound
from iaca.evaluation.benchmark.summary import AREA
from iaca.evaluation.benchmark.words import TITLES
from iaca.evaluation.report.data import ReportData


@dataclass(frozen=True)
class Section:
    """One section: the name of its template, also its anchor, and its heading."""

    name: str
    title: str


def sections(data: ReportData) -> list[Section]:
    """The sections there is something to show in, in the order of the page."""
    drawn = set(data.figures)
    known = (
        ("note", "What this does not prove", bool(data.note.strip())),
        ("comparison", "Models side by side", True),
        ("failures", "What fails", len(data.failures.columns) > 0),
        ("videos", "Best and worst videos", len(data.videos) > 0),
        ("calibration", "Calibration", len(data.calibration) > 0),
        ("regions", "Error over the plane", len(data.regions) > 0),
        ("quadrants", "Confusion of quadrants", len(data.quadrants) > 0),
        ("gates", "What the model trusted", len(data.gate_auroc) + len(data.event_response) > 0),
        ("events", "Models during events", len(data.event_scores) > 0),
        ("robustness", "Robustness", len(data.benchmark.summary) > 0),
        ("postprocessing", "Post-processing", len(data.postprocessing) > 0),
        ("training", "Training", "learning_curve" in drawn),
        ("data", "Data", True),
        ("model", "Model and parameters", bool(data.facts)),
        ("left_out", "Not in this report", bool(left_out(data))),
    )
    return [Section(name, title) for name, title, shown in known if shown]


def left_out(data: ReportData) -> list[str]:
    """A sentence for each part that is missing, with the way to get it."""
    known = (
        (
            data.gate_auroc.empty and data.event_response.empty,
            "Gates around events: they need a model with a gate across modalities and a corpus whose events are known "
            "(clip, modality, kind, start_s, end_s in events.csv).",
        ),
        (data.event_scores.empty, "Models during events: no frame of a known event is annotated in this partition."),
        (
            data.benchmark.summary.empty,
            "Robustness curves: no benchmark of this corpus lies beside this page. Make it by "
            "kedro run --pipelines benchmark, then kedro run --pipelines evaluation again.",
        ),
    )
    return [sentence for missing, sentence in known if missing]


def failure_groups(failures: pd.DataFrame) -> list[tuple[str, str, list[str]]]:
    """(name, what is listed, sentences) of every rule; a rule by which nothing was found has no sentence."""
    if failures.empty:
        return [(name, text, []) for name, text in RULES.items()]
    return [
        (name, text, failures.loc[failures["rule"] == name, "sentence"].astype(str).tolist())
        for name, text in RULES.items()
    ]


def robustness(benchmark: BenchmarkFound) -> dict[str, object]:
    """Findings of the benchmark's main models, and the area under every curve: mean CCC over the levels."""
    summary = benchmark.summary
    if summary.empty:
        return {}
    areas = summary[summary["minus"].isna() & (summary["measure"] == AREA)]
    names = list(areas["corruption"].unique())
    rows = [
        (model, [of_model.set_index("corruption")["mean"].get(name) for name in names])
        for model, of_model in areas.groupby("model", sort=False)
    ]
    mains = summary.loc[summary["minus"].notna(), "model"].unique()
    return {
        "corruptions": [TITLES.get(name, name) for name in names],
        "rows": rows,
        "found": [(name, in_short(findings(summary, name))) for name in mains],
    }
