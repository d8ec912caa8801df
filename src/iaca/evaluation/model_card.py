"""The model card in Markdown: intended use, training data, scores, limits, and the weights it uses with their licences.

The order of its parts follows Mitchell et al. (Model Cards for Model Reporting, 2019).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader

from iaca.encoders.config import Origin
from iaca.evaluation.benchmark_page import Cells, escaped, markdown
from iaca.evaluation.benchmark_summary import AREA
from iaca.evaluation.certainty import ALL
from iaca.evaluation.errors import RULES
from iaca.evaluation.metrics import MIN_CLIPS
from iaca.evaluation.report import ReportData, event_name
from iaca.evaluation.style import MODALITY_NAMES, TITLES, parameter_text, plain, signed
from iaca.evaluation.tables import headline, too_few
from iaca.training.calibration import LEVEL

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
