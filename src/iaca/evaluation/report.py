"""The report: one HTML page that needs nothing else, its numbers taken from the tables it is given."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from iaca.evaluation.metrics import METRIC_NAMES
from iaca.evaluation.tables import headline

FIGURES: Mapping[str, tuple[str, str]] = {
    "comparison": ("Models side by side", "Pooled CCC with 95 % intervals; the main model in colour."),
    "learning_curve": ("Training", "Loss and validation CCC by epoch; the dashed line marks the epoch that was kept."),
    "affect_plane": ("Where predictions lie", "Annotated and predicted frames in the valence-arousal plane."),
    "traces": ("Predicted against annotated", "Dark: annotated. Colour: predicted. Gaps were not annotated."),
    "gates": ("What the model trusted", "Share of voice and face over time above what was really wrong with them."),
    "gate_distribution": (
        "Weights during events",
        "The weight of the corrupted modality, in events and in clean frames.",
    ),
}


@dataclass(frozen=True)
class ReportData:
    """What the report shows. Every table is shown as it is; nothing is computed again.

    Attributes:
        title: heading of the page.
        comparison: `tables.comparison`; audio only, visual only and concatenation belong among its models.
        partition: partition of the headline ("validation").
        corpus: one row per partition, columns free: clips, subjects, frames, annotated frames, ...
        problems: what was found wrong with the data, one row each; may be empty.
        videos: `tables.video_table` of the main model.
        gate_auroc: `events.gate_auroc`; may be empty.
        figures: slot of `FIGURES` -> PNG bytes; slots without a picture are left out.
        facts: model card: name -> value (parameters, encoders, fingerprint, seed, ...).
        note: plain text, paragraphs parted by empty lines: what these numbers do not prove.
        shown_videos: how many of the best and of the worst videos are listed.
    """

    title: str
    comparison: pd.DataFrame
    corpus: pd.DataFrame
    videos: pd.DataFrame
    partition: str = "validation"
    problems: pd.DataFrame = field(default_factory=pd.DataFrame)
    gate_auroc: pd.DataFrame = field(default_factory=pd.DataFrame)
    figures: Mapping[str, bytes] = field(default_factory=dict)
    facts: Mapping[str, object] = field(default_factory=dict)
    note: str = ""
    shown_videos: int = 5


def render_report(data: ReportData) -> str:
    """The whole page as HTML text: style sheet inline, pictures as data URIs, no script, no link to anywhere."""
    environment = Environment(loader=PackageLoader("iaca.evaluation", "."), autoescape=True, trim_blocks=True)
    environment.filters |= {"number": number, "difference": difference, "count": count, "cell": cell}
    rows = data.comparison[data.comparison["partition"] == data.partition]
    best, worst = _best_and_worst(data.videos, data.partition, data.shown_videos)
    return environment.get_template("report.html.j2").render(
        data=data,
        headline=headline(rows),
        models=rows.sort_values("ccc_mean", ascending=False, na_position="last").to_dict("records"),
        other_partitions=data.comparison[data.comparison["partition"] != data.partition].to_dict("records"),
        best=best,
        worst=worst,
        metrics=METRIC_NAMES,
        corpus=_records(data.corpus),
        problems=_records(data.problems),
        gates=_records(data.gate_auroc),
        figures=_pictures(data.figures),
        paragraphs=[text.strip() for text in data.note.split("\n\n") if text.strip()],
    )


def number(value: object, digits: int = 3) -> Markup:
    """A real number as a `<data>` element: `digits` places to read, the exact value in its attribute."""
    return _data(value, lambda x: f"{x:.{digits}f}".replace("-", "−"))


def difference(value: object) -> Markup:
    """A signed difference with three places; exactly 0 is a dash, since a model does not differ from itself."""
    return _data(value, lambda x: "–" if x == 0 else f"{x:+.3f}".replace("-", "−"))


def count(value: object) -> Markup:
    """A whole number with thousands set apart."""
    return _data(value, lambda x: f"{x:,.0f}".replace(",", " "))


def cell(value: object) -> Markup | str:
    """Whatever stands in a table: whole numbers as counts, real ones with three places, text as it is (escaped)."""
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (int, np.integer)):
        return count(value)
    return number(value) if isinstance(value, (float, np.floating)) else str(value)


def _data(value: object, text: Callable[[float], str]) -> Markup:
    if value is None or not np.isfinite(float(value)):  # type: ignore[arg-type]
        return Markup('<data value="">n/a</data>')
    exact = float(value)  # type: ignore[arg-type]
    return Markup('<data value="{}">{}</data>').format(repr(exact), text(exact))


def _records(table: pd.DataFrame) -> dict[str, list[object]]:
    return {"columns": [str(name) for name in table], "rows": [list(row) for row in table.itertuples(index=False)]}


def _best_and_worst(
    videos: pd.DataFrame, partition: str, shown: int
) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """The first and last videos of the partition by mean CCC; none is listed in both."""
    if "partition" in videos:
        videos = videos[videos["partition"] == partition]
    scored = videos.dropna(subset=["ccc_mean"]) if "ccc_mean" in videos else videos
    scored = scored.sort_values("ccc_mean", ascending=False) if len(scored) else scored
    best = scored.head(min(shown, (len(scored) + 1) // 2))
    worst = scored.iloc[len(best) :].tail(shown).iloc[::-1]
    return _dicts(best), _dicts(worst)


def _dicts(table: pd.DataFrame) -> list[dict[str, object]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _pictures(figures: Mapping[str, bytes]) -> dict[str, dict[str, str]]:
    return {
        slot: {
            "title": title,
            "caption": caption,
            "source": "data:image/png;base64," + base64.b64encode(figures[slot]).decode("ascii"),
        }
        for slot, (title, caption) in FIGURES.items()
        if slot in figures
    }
