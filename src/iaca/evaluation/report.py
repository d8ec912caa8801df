"""The report as one self-contained HTML page: the tables as they are on disk, the figures, and facts about the model.
And the model card, which says some of it in Markdown.

`ReportData` is everything the page shows; `render_report` builds the page from one template per section. `render_card`
writes the card, whose parts are ordered as in Mitchell et al. (Model Cards for Model Reporting, 2019).
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader

from iaca.encoders.config import Origin
from iaca.evaluation.benchmark_page import NO_BENCHMARK, UNRANKED, BenchmarkFound, Cells, escaped, markdown
from iaca.evaluation.benchmark_summary import AREA, findings, in_short
from iaca.evaluation.benchmark_summary import is_ranked as ranked
from iaca.evaluation.certainty import ALL, CLEAN, EITHER
from iaca.evaluation.config import AnalysisConfig
from iaca.evaluation.errors import RULES
from iaca.evaluation.metrics import DIMENSIONS, METRIC_NAMES, MIN_CLIPS
from iaca.evaluation.style import (
    MODALITY_NAMES,
    TITLES,
    cell,
    count,
    counted_data,
    difference,
    number,
    parameter,
    parameter_text,
    plain,
    signed,
)
from iaca.evaluation.tables import best_and_worst, headline, is_ranked, too_few
from iaca.training.calibration import LEVEL


@dataclass(frozen=True)
class Slot:
    """A place for a picture.

    Attributes:
        title, caption: of the picture.
        needs: table of `ReportData` whose rows the picture shows; without rows the picture is left out. "" needs none.
    """

    title: str
    caption: str
    needs: str = ""


FIGURES: Mapping[str, Slot] = MappingProxyType(
    {
        "comparison": Slot("Models side by side", "Pooled CCC with 95 % intervals; the main model in colour."),
        "learning_curve": Slot("Training", "Loss and validation CCC by epoch; the dashed line marks the epoch kept."),
        "affect_plane": Slot("Where predictions lie", "Annotated and predicted frames in the valence-arousal plane."),
        "best_traces": Slot("Best videos", "Dark: annotated. Colour: predicted. Gaps were not annotated.", "videos"),
        "worst_traces": Slot("Worst videos", "Dark: annotated. Colour: predicted. Gaps were not annotated.", "videos"),
        "calibration": Slot("Calibration", "Mean annotation by bins of the prediction, with quartiles.", "calibration"),
        "regions": Slot("Error by region", "RMSE and bias over a grid of the annotated plane.", "regions"),
        "quadrants": Slot("Confusion of quadrants", "Share of each annotated quadrant, and frames.", "quadrants"),
        "gates": Slot(
            "What the model trusted", "Weights of voice and face over time, above the true events.", "gate_auroc"
        ),
        "gate_distribution": Slot(
            "Weights during events",
            "Weight of the corrupted modality, during events and in clean frames.",
            "gate_auroc",
        ),
        "event_response": Slot(
            "Weights around the start of events", "Mean weight of the corrupted modality by kind.", "event_response"
        ),
    }
)

TABLES = ("corpus", "problems", "gate_auroc", "calibration", "regions", "quadrants", "postprocessing", "multitask")


def _empty() -> pd.DataFrame:
    return pd.DataFrame()


@dataclass(frozen=True)
class ReportData:
    """What the report shows. Every table is shown as it is; nothing is recomputed.

    Attributes:
        title: heading of the page.
        comparison: `tables.comparison`; it should include audio only, visual only and concatenation.
        corpus: one row per partition with any columns: clips, subjects, frames, annotated frames, ...
        videos: `tables.video_table` of the main model.
        partition: partition of the tables and figures; the headline has validation and test, too.
        problems: problems of the data, one per row; may be empty.
        gate_auroc: `events.gate_auroc`; this table and those below may be empty.
        coverage, inconsistency: `certainty.coverage` and `certainty.inconsistency_auroc`.
        calibration, regions, quadrants, failures: of `errors`.
        event_response, event_scores: of `events`.
        postprocessing: partition, step, ccc_valence, ccc_arousal, ccc_mean, difference, low, high; one row per step.
        multitask: `multitask.multitask_table`.
        benchmark: results of the benchmark on the same corpus, if any.
        analysis: settings of the error analysis, shown next to its tables.
        figures: slot of `FIGURES` -> PNG bytes; a slot may be missing.
        facts: about the model, name -> value (parameters, encoders, fingerprint, seed, ...).
        note: plain text, paragraphs separated by empty lines: what these numbers do not prove.
    """

    title: str
    comparison: pd.DataFrame
    corpus: pd.DataFrame
    videos: pd.DataFrame
    partition: str = "validation"
    problems: pd.DataFrame = field(default_factory=_empty)
    gate_auroc: pd.DataFrame = field(default_factory=_empty)
    coverage: pd.DataFrame = field(default_factory=_empty)
    inconsistency: pd.DataFrame = field(default_factory=_empty)
    calibration: pd.DataFrame = field(default_factory=_empty)
    regions: pd.DataFrame = field(default_factory=_empty)
    quadrants: pd.DataFrame = field(default_factory=_empty)
    event_response: pd.DataFrame = field(default_factory=_empty)
    event_scores: pd.DataFrame = field(default_factory=_empty)
    failures: pd.DataFrame = field(default_factory=_empty)
    postprocessing: pd.DataFrame = field(default_factory=_empty)
    multitask: pd.DataFrame = field(default_factory=_empty)
    benchmark: BenchmarkFound = NO_BENCHMARK
    analysis: AnalysisConfig = field(default_factory=AnalysisConfig)
    figures: Mapping[str, bytes] = field(default_factory=dict)
    facts: Mapping[str, object] = field(default_factory=dict)
    note: str = ""


def render_report(data: ReportData) -> str:
    """The page as HTML text: inline style sheet, pictures as data URIs, no script, no external link.

    Every number is a `<data>` element with the exact value; the table around it names the file of the value.
    """
    environment = Environment(loader=PackageLoader("iaca.evaluation", "templates"), autoescape=True, trim_blocks=True)
    environment.filters |= {
        "number": number,
        "difference": difference,
        "count": count,
        "cell": cell,
        "parameter": parameter,
        "counted": counted_data,
    }
    rows = data.comparison[data.comparison["partition"] == data.partition]
    ranked = is_ranked(data.comparison, data.partition)
    best, worst = best_and_worst(data.videos, data.partition, data.analysis.listed, ranked)
    models = rows.sort_values("ccc_mean", ascending=False, na_position="last") if ranked else rows
    return environment.get_template("page.html.j2").render(
        data=data,
        sections=sections(data),
        left_out=left_out(data),
        headline=headline(data.comparison),
        headline_parts=headline_parts(data),
        models=models.to_dict("records"),
        too_few=too_few(rows.iloc[0].to_dict()),
        other_partitions=_other_partitions(data),
        best=best.to_dict("records"),
        worst=worst.to_dict("records"),
        metrics=METRIC_NAMES,
        tables={name: _records(getattr(data, name)) for name in TABLES},
        events=data.event_scores.to_dict("records"),
        level=LEVEL,
        coverage=coverage_lines(data.coverage),
        inconsistency=[(event_name(row), row) for row in data.inconsistency.to_dict("records")],
        modality_names=MODALITY_NAMES,
        min_clips=MIN_CLIPS,
        failures=failure_groups(data.failures),
        robustness=robustness(data.benchmark),
        figures=_pictures(data),
        paragraphs=[text.strip() for text in data.note.split("\n\n") if text.strip()],
    )


ROLES: Mapping[str, str] = MappingProxyType(
    {
        "train": "the model was fitted to these clips: no estimate for others",
        "validation": "chose the epoch that was kept: too good an estimate for other clips",
        "test": "nothing was fitted to these clips, and nothing chosen by them",
    }
)
"""What the training did with each partition, for its score in the headline."""


def headline_parts(data: ReportData) -> list[dict[str, str]]:
    """Name, role and `too_few` of every partition of the headline: what nothing was fitted to comes first."""
    mains = {row["partition"]: row for row in data.comparison[data.comparison["main"]].to_dict("records")}
    names = [name for name in ("test", "validation") if name in mains]
    names += [name for name in mains if name == data.partition and name not in names]
    return [{"name": name, "role": ROLES.get(name, ""), "too_few": too_few(mains[name])} for name in names]


def _other_partitions(data: ReportData) -> list[dict[str, object]]:
    """Name and rows of the partitions that are not shown elsewhere; ranked ones have the best model first."""
    others: list[dict[str, object]] = []
    for name, rows in data.comparison[data.comparison["partition"] != data.partition].groupby("partition", sort=False):
        if is_ranked(rows, str(name)):
            rows = rows.sort_values("ccc_mean", ascending=False, na_position="last")
        others.append({"name": name, "rows": rows.to_dict("records")})
    return others


@dataclass(frozen=True)
class Section:
    """A section of the page: the name of its template (also its anchor) and its heading."""

    name: str
    title: str


def sections(data: ReportData) -> list[Section]:
    """The sections that have content, in page order."""
    known = (
        ("note", "What this does not prove", bool(data.note.strip())),
        ("comparison", "Models side by side", True),
        ("multitask", "Expressions and action units", len(data.multitask) > 0),
        ("failures", "What fails", len(data.failures.columns) > 0),
        (
            "videos",
            "Best and worst videos" if is_ranked(data.comparison, data.partition) else "Videos",
            len(data.videos) > 0,
        ),
        ("calibration", "Calibration", len(data.calibration) > 0),
        ("regions", "Error over the plane", len(data.regions) > 0),
        ("quadrants", "Confusion of quadrants", len(data.quadrants) > 0),
        ("gates", "What the model trusted", len(data.gate_auroc) + len(data.event_response) > 0),
        ("events", "Models during events", len(data.event_scores) > 0),
        ("certainty", "How sure, and do voice and face agree", len(data.coverage) + len(data.inconsistency) > 0),
        ("robustness", "Robustness", len(data.benchmark.summary) > 0),
        ("postprocessing", "Post-processing", len(data.postprocessing) > 0),
        ("training", "Training", "learning_curve" in data.figures),
        ("data", "Data", True),
        ("model", "Model and parameters", bool(data.facts)),
        ("left_out", "Not in this report", bool(left_out(data))),
    )
    return [Section(name, title) for name, title, shown in known if shown]


def left_out(data: ReportData) -> list[str]:
    """A sentence for each missing part, with the way to get it."""
    known = (
        (
            data.gate_auroc.empty and data.event_response.empty,
            "Gates around events: these need a model with a gate across modalities and a corpus with known events "
            "(clip, modality, kind, start_s, end_s in events.csv).",
        ),
        (data.event_scores.empty, "Models during events: no frame of a known event is annotated in this partition."),
        (
            data.coverage.empty,
            "Intervals: no annotated frame has one. What the model was calibrated on, or why it was not, is among its "
            "parameters.",
        ),
        (
            data.inconsistency.empty,
            "Inconsistency around events: this needs a model that judges it (one of voice and face) and a corpus with "
            "known events.",
        ),
        (
            data.benchmark.summary.empty,
            "Robustness curves: no benchmark of this corpus was found when this page was written. Run kedro run "
            "--pipelines benchmark, then kedro run --pipelines evaluation --tags report; dvc repro does both.",
        ),
    )
    return [sentence for missing, sentence in known if missing]


def coverage_lines(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Lines of `certainty.coverage` with both dimensions side by side: `name`, and a row or None by dimension."""
    if table.empty:
        return []
    lines = []
    for _, rows in table.groupby(["partition", "modality", "kind"], sort=False):
        own = {row["dimension"]: row for row in rows.to_dict("records")}
        first = next(iter(own.values()))
        lines.append({"name": event_name(first), **{name: own.get(name) for name in DIMENSIONS}})
    return lines


def event_name(row: Mapping[Hashable, Any]) -> str:
    """`voice noisy`, `voice or face contradictory`; for frames of no event the partition, if the row has one."""
    known = {
        ALL: f"{row.get('partition')}: all frames",
        CLEAN: f"{row.get('partition')}: outside of all events",
    }
    if row["modality"] == ALL:
        return known[row["kind"]]
    both = " or ".join(MODALITY_NAMES.values())
    return f"{both if row['modality'] == EITHER else MODALITY_NAMES[row['modality']]} {row['kind']}"


def failure_groups(failures: pd.DataFrame) -> list[tuple[str, str, list[str]]]:
    """(name, description, sentences) of every rule; a rule without a finding has no sentence."""
    if failures.empty:
        return [(name, text, []) for name, text in RULES.items()]
    return [
        (name, text, failures.loc[failures["rule"] == name, "sentence"].astype(str).tolist())
        for name, text in RULES.items()
    ]


def robustness(benchmark: BenchmarkFound) -> dict[str, object]:
    """Findings of the benchmark's main models, and the area under every curve (mean CCC over the levels)."""
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
        "found": [(name, in_short(findings(summary, name)) if ranked(summary) else f"{UNRANKED}.") for name in mains],
    }


def _records(table: pd.DataFrame) -> dict[str, list[object]]:
    return {"columns": [str(name) for name in table], "rows": [list(row) for row in table.itertuples(index=False)]}


def _pictures(data: ReportData) -> Mapping[str, dict[str, str]]:
    """The pictures that have content, by slot."""
    found = {
        slot: (place.title, place.caption, data.figures[slot])
        for slot, place in FIGURES.items()
        if slot in data.figures and (not place.needs or len(getattr(data, place.needs)))
    }
    if data.benchmark.figure:
        caption = "Mean CCC of every model under every corruption of the benchmark."
        found["robustness"] = ("Robustness", caption, data.benchmark.figure)
    return {
        slot: {
            "title": title,
            "caption": caption,
            "source": "data:image/png;base64," + base64.b64encode(picture).decode("ascii"),
        }
        for slot, (title, caption, picture) in found.items()
    }


# The model card: intended use, training data, scores, limits, and the weights it uses with their licences

_SCORES = ("ccc_mean", "ccc_valence", "ccc_arousal")


@dataclass(frozen=True)
class CardData:
    """What the card shows.

    Attributes:
        report: the tables of the report.
        corpus: name of the corpus the model was trained on.
        preset: name of the model's preset, which is its name in the benchmark.
        origins: of the third-party weights it uses.
        parameters: number of its own weights.
    """

    report: ReportData
    corpus: str
    preset: str
    origins: Sequence[Origin] = field(default_factory=tuple)
    parameters: int = 0


def render_card(card: CardData) -> str:
    """The card as Markdown text; every number is from the tables of the report."""
    environment = Environment(loader=PackageLoader("iaca.evaluation", "templates"), trim_blocks=True)
    environment.filters["text"] = escaped
    report = card.report
    mains = report.comparison[report.comparison["main"].astype(bool)].to_dict("records")
    return environment.get_template("model_card.md.j2").render(
        card=card,
        report=report,
        model=headline(report.comparison)["model"],
        note=" ".join(report.note.split()),
        facts=markdown(
            ["parameter", "value"],
            [[_text(name), escaped(parameter_text(value))] for name, value in report.facts.items()],
        ),
        corpus_table=_markdown_table(report.corpus),
        metrics=markdown(*metric_table(report.comparison)),
        too_few=[(row["partition"], too_few(row)) for row in mains if row["few"]],
        differences=markdown(*difference_table(report.comparison)),
        events=markdown(*event_table(report.event_scores)),
        gates=markdown(*gate_table(report.gate_auroc)),
        level=LEVEL,
        coverage=markdown(*coverage_table(report.coverage)),
        inconsistency=markdown(*inconsistency_table(report.inconsistency)),
        robustness=markdown(*robustness_table(report.benchmark.summary, card.preset)),
        failures=[(RULES[rule], found) for rule, found in _sentences(report.failures).items()],
        origins=markdown(
            ["part", "file", "source", "licence", "sha256"],
            [[_text(x) for x in (o.part, o.name, o.source, o.licence, o.sha256 or "–")] for o in card.origins],
        ),
    )


def metric_table(comparison: pd.DataFrame) -> tuple[list[str], Cells]:
    """Pooled CCC of the main model on every partition, with 95 % intervals."""
    header = ["partition", "clips", "frames", "CCC mean", "CCC valence", "CCC arousal", "RMSE valence", "RMSE arousal"]
    rows = comparison[comparison["main"].astype(bool)].to_dict("records")
    return header, [
        [_text(row["partition"]), f"{row['clips']}", f"{row['frames_valence']}"]
        + [_bounded(row, score) for score in _SCORES]
        + [plain(row["rmse_valence"]), plain(row["rmse_arousal"])]
        for row in rows
    ]


def difference_table(comparison: pd.DataFrame) -> tuple[list[str], Cells]:
    """Every other model minus the main one, paired over clips."""
    rows = comparison[~comparison["main"].astype(bool)].to_dict("records")
    return ["model", "partition", "CCC mean", "minus this model"], [
        [
            _text(row["model"]),
            _text(row["partition"]),
            plain(row["ccc_mean"]),
            _bounded(row, "difference_ccc_mean", signed),
        ]
        for row in rows
    ]


def event_table(scores: pd.DataFrame) -> tuple[list[str], Cells]:
    """Scores of the main model within each kind of event, and of the best other model; of few clips none is best."""
    if scores.empty:
        return [], []
    table = []
    for (modality, kind), rows in scores.groupby(["modality", "kind"], sort=True):
        main = rows[rows["main"].astype(bool)].iloc[0]
        others = rows[~rows["main"].astype(bool)].sort_values("ccc_mean", ascending=False)
        ranked = len(others) and main["clips"] >= MIN_CLIPS
        best = f"{_text(others.iloc[0]['model'])} {plain(others.iloc[0]['ccc_mean'])}" if ranked else "–"
        name = f"{MODALITY_NAMES[str(modality)]} {_text(kind)}"
        table.append(
            [name, f"{main['clips']}", f"{main['frames']}", plain(main["ccc_mean"]), plain(main["rmse"]), best]
        )
    return ["event", "clips", "frames", "CCC mean", "RMSE", "best other model"], table


def gate_table(auroc: pd.DataFrame) -> tuple[list[str], Cells]:
    """How well the gate across modalities detects the corrupted modality."""
    return ["event", "AUROC", "weight in the event", "weight in clean frames"], [
        [f"{MODALITY_NAMES[row['modality']]} {_text(row['kind'])}"]
        + [plain(row[name]) for name in ("auroc", "weight_event", "weight_clean")]
        for row in auroc.to_dict("records")
    ]


def coverage_table(coverage: pd.DataFrame) -> tuple[list[str], Cells]:
    """How often the annotation is inside the interval, over all frames of each partition."""
    rows = coverage[coverage["kind"] == ALL].to_dict("records") if len(coverage) else []
    return ["partition", "dimension", "clips", "inside", "mean width", "rank correlation of width and error"], [
        [_text(row["partition"]), row["dimension"], f"{row['clips']}", _bounded(row, "coverage")]
        + [plain(row[name]) for name in ("width", "width_error_correlation")]
        for row in rows
    ]


def inconsistency_table(scores: pd.DataFrame) -> tuple[list[str], Cells]:
    """Whether inconsistency is higher during each kind of event."""
    return ["event", "AUROC", "AUROC of the gate's deviation from 1/2", "clips", "frames", "unknown"], [
        [_text(event_name(row)), *(_bounded(row, name) for name in ("auroc", "gate_auroc"))]
        + [f"{row[name]}" for name in ("event_clips", "event_frames", "unknown_event")]
        for row in scores.to_dict("records")
    ]


def robustness_table(summary: pd.DataFrame, preset: str) -> tuple[list[str], Cells]:
    """Mean CCC of the preset over the levels of each corruption: mean over seeds with its 95 % interval."""
    if summary.empty:
        return [], []
    rows = summary[summary["minus"].isna() & (summary["measure"] == AREA) & (summary["model"] == preset)]
    return ["corruption", "seeds", "mean CCC over its levels"], [
        [
            TITLES.get(row["corruption"]) or _text(row["corruption"]),
            f"{row['seeds']}",
            f"{plain(row['mean'])} [{plain(row['low'])}, {plain(row['high'])}]",
        ]
        for row in rows.to_dict("records")
    ]


def _sentences(failures: pd.DataFrame) -> dict[str, list[str]]:
    if failures.empty:
        return {}
    return {str(rule): rows["sentence"].tolist() for rule, rows in failures.groupby("rule", sort=False)}


def _markdown_table(table: pd.DataFrame) -> str:
    rows = [[_text(value) for value in row] for row in table.itertuples(index=False)]
    return markdown([_text(name).replace("_", " ") for name in table], rows)


def _bounded(row: Mapping[Hashable, Any], name: str, text: Callable[[float], str] = plain) -> str:
    return f"{text(row[name])} [{text(row[f'{name}_low'])}, {text(row[f'{name}_high'])}]"


def _text(value: object) -> str:
    return escaped(plain(value) if isinstance(value, float) else value)
