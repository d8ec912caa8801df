"""The tables of the page: cells as text, made from the summary."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pandas as pd

from iaca.evaluation.benchmark.paired import verdict
from iaca.evaluation.benchmark.summary import AREA, RELATIVE_AREA
from iaca.evaluation.benchmark.words import TITLES, interval, level_text, plain, signed
from iaca.evaluation.robustness.config import CLEAN, clean_level, in_order

_MARKS = re.compile(r"[\\`*|\[\]]|(?<![^\W_])_|_(?![^\W_])")  # an underscore within a word marks nothing
Cells = Sequence[Sequence[str]]


def markdown(header: Sequence[str], rows: Cells) -> str:
    """A pipe table; nothing where there are no rows."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) if rows else ""


def escaped(value: object) -> str:
    """A text of others in Markdown, shown as it is: one line, no bar that would end a cell, no HTML, link or code."""
    line = " ".join(str(value).split()).replace("&", "&amp;").replace("<", "&lt;")
    return _MARKS.sub(r"\\\g<0>", line)


def clean_table(summary: pd.DataFrame, main: Sequence[str]) -> tuple[list[str], Cells]:
    """Every model on the clean partition, best first, and how far the main ones are from it."""
    clean = summary[summary["corruption"] == CLEAN.corruption]
    own = clean[clean["minus"].isna()]
    order = own[own["measure"] == "ccc_mean"].sort_values("mean", ascending=False, kind="stable")["model"]
    header = ["model", "valence", "arousal", "mean of both", *(f"{escaped(name)} minus it" for name in main)]
    return header, [
        [escaped(model)]
        + [_spread(own, model=model, measure=f"ccc_{score}") for score in ("valence", "arousal", "mean")]
        + [_difference(clean, model=name, minus=model, measure="ccc_mean") for name in main]
        for model in order
    ]


def curve_table(own: pd.DataFrame, corruption: str) -> tuple[list[str], Cells]:
    """Mean CCC of every model at every level, with its standard deviation over seeds."""
    rows = own[(own["corruption"] == corruption) & (own["measure"] == "ccc_mean")]
    levels = in_order(corruption, rows["level"].unique())
    return ["model", *(level_text(corruption, level) for level in levels)], [
        [escaped(model), *(_spread(rows, model=model, level=level) for level in levels)]
        for model in rows["model"].unique()
    ]


def difference_table(summary: pd.DataFrame, main: str, corruption: str) -> tuple[list[str], Cells]:
    """The main model minus every other at every level, bold where the interval excludes 0."""
    rows = summary[(summary["corruption"] == corruption) & (summary["measure"] == "ccc_mean")]
    rows = rows[(rows["model"] == main) & rows["minus"].notna() & (rows["level"] != clean_level(corruption))]
    levels = in_order(corruption, rows["level"].unique())
    return [f"{escaped(main)} minus", *(level_text(corruption, level) for level in levels)], [
        [escaped(other), *(_difference(rows, minus=other, level=level) for level in levels)]
        for other in rows["minus"].unique()
    ]


def area_table(own: pd.DataFrame, corruptions: Sequence[str]) -> tuple[list[str], Cells]:
    """Area under each curve, and in brackets what share of the clean score that is."""

    def cell(model: str, corruption: str) -> str:
        area, relative = (
            _one(own, model=model, corruption=corruption, measure=measure) for measure in (AREA, RELATIVE_AREA)
        )
        share = f" ({100 * relative['mean']:.0f} %)" if relative is not None else ""
        return "n/a" if area is None else plain(area["mean"]) + share

    return ["model", *(TITLES[name].lower() for name in corruptions)], [
        [escaped(model), *(cell(model, name) for name in corruptions)] for model in own["model"].unique()
    ]


def area_differences(summary: pd.DataFrame, main: str, corruptions: Sequence[str]) -> tuple[list[str], Cells]:
    """The main model's area minus that of every other."""
    rows = summary[(summary["model"] == main) & summary["minus"].notna() & (summary["measure"] == AREA)]
    return [f"{escaped(main)} minus", *(TITLES[name].lower() for name in corruptions)], [
        [escaped(other), *(_difference(rows, minus=other, corruption=name) for name in corruptions)]
        for other in rows["minus"].unique()
    ]


def gate_table(gates: pd.DataFrame, source: str) -> tuple[list[str], Cells]:
    """AUROC of every gate and modality by kind; for a protocol the mean over its levels."""
    rows = gates[gates["source"] == source]
    kinds = list(rows["kind"].unique())
    place = {model: i for i, model in enumerate(rows["model"].unique())}
    rows = rows.assign(place=rows["model"].map(place)).sort_values(["place", "gate", "modality"], kind="stable")
    keys = ["model", "gate", "modality"]
    table = []
    for names, of_gate in rows.groupby(keys, sort=False):
        means = of_gate.groupby("kind")["mean"].mean()
        spreads = of_gate.groupby("kind")["sd"].mean()
        cells = [f"{plain(means[k], 2)} ± {plain(spreads[k], 2)}" if k in means else "" for k in kinds]
        table.append([*map(escaped, names), *cells])
    return [*keys, *(escaped(TITLES.get(kind, kind).lower()) for kind in kinds)], table


def _spread(rows: pd.DataFrame, **where: object) -> str:
    row = _one(rows, **where)
    return "n/a" if row is None else f"{plain(row['mean'])} ± {plain(row['sd'])}"


def _difference(rows: pd.DataFrame, **where: object) -> str:
    row = _one(rows, **where)
    if row is None:
        return "–"
    text = f"{signed(row['mean'])} {interval(row['low'], row['high'])}"
    return text if verdict(row["low"], row["high"]) == "undecided" else f"**{text}**"


def _one(rows: pd.DataFrame, **where: object) -> dict[str, float] | None:
    """The first row with these values, if there is one."""
    for name, value in where.items():
        rows = rows[rows[name] == value]
    return None if rows.empty else {str(key): value for key, value in rows.iloc[0].items()}
