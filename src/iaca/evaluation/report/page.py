"""The report as one HTML page, put together from its sections."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import pandas as pd
from jinja2 import Environment, PackageLoader

from iaca.evaluation.metrics import METRIC_NAMES
from iaca.evaluation.report.data import FIGURES, ReportData
from iaca.evaluation.report.sections import failure_groups, left_out, robustness, sections
from iaca.evaluation.report.words import cell, count, difference, number
from iaca.evaluation.style import MODALITY_NAMES
from iaca.evaluation.tables import best_and_worst, headline

TABLES = ("corpus", "problems", "gate_auroc", "calibration", "regions", "quadrants", "postprocessing")


def render_report(data: ReportData) -> str:
    """The whole page as HTML text: style sheet inline, pictures as data URIs, no script, no link to anywhere.

    Every number is a `<data>` element with the exact value; the table around it names the file that holds it.
    """
    environment = Environment(
        loader=PackageLoader("iaca.evaluation.report", "templates"), autoescape=True, trim_blocks=True
    )
    environment.filters |= {"number": number, "difference": difference, "count": count, "cell": cell}
    rows = data.comparison[data.comparison["partition"] == data.partition]
    best, worst = best_and_worst(data.videos, data.partition, data.analysis.listed)
    return environment.get_template("page.html.j2").render(
        data=data,
        at=f"{data.partition}_",
        sections=sections(data),
        left_out=left_out(data),
        headline=headline(rows),
        models=rows.sort_values("ccc_mean", ascending=False, na_position="last").to_dict("records"),
        other_partitions=data.comparison[data.comparison["partition"] != data.partition].to_dict("records"),
        best=best.to_dict("records"),
        worst=worst.to_dict("records"),
        metrics=METRIC_NAMES,
        tables={name: _records(getattr(data, name)) for name in TABLES},
        events=data.event_scores.to_dict("records"),
        modality_names=MODALITY_NAMES,
        failures=failure_groups(data.failures),
        robustness=robustness(data.benchmark),
        figures=_pictures(data),
        paragraphs=[text.strip() for text in data.note.split("\n\n") if text.strip()],
    )


def _records(table: pd.DataFrame) -> dict[str, list[object]]:
    return {"columns": [str(name) for name in table], "rows": [list(row) for row in table.itertuples(index=False)]}


def _pictures(data: ReportData) -> Mapping[str, dict[str, str]]:
    """The pictures that say something, by slot."""
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
