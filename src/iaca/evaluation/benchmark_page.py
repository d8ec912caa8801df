"""What does a reader of a benchmark see? The Markdown page with its tables, and the figures of curves and differences.

The page and the figures show the numbers of `benchmark_summary` and compute nothing but verdicts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle, product
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from iaca.errors import counted
from iaca.evaluation import style
from iaca.evaluation.benchmark_summary import (
    AREA,
    RELATIVE_AREA,
    corrupted_rows,
    findings,
    in_short,
    is_ranked,
    too_few,
    verdict,
)
from iaca.evaluation.config import BLUR, CLEAN, CLEAN_LEVELS, SIGNAL, SNR, clean_level, curve_levels
from iaca.evaluation.style import TITLES, level_text, plain, signed, with_interval
from iaca.parameters import flat
from iaca.training.calibration import LEVEL

# The page

HEADING = "# Benchmark: "
"""Start of the page's first line, before the corpus's name. No other file of a benchmark names its corpus."""
_MARKS = re.compile(r"[\\`*|\[\]]|(?<![^\W_])_|_(?![^\W_])")  # an underscore within a word is not markup
Cells = Sequence[Sequence[str]]


@dataclass(frozen=True)
class PageData:
    """Content of the page.

    Attributes:
        summary: of `benchmark_summary.summarise`.
        gates: of `benchmark_summary.gate_summary`.
        certainty: of `benchmark_summary.certainty_summary`.
        main: the models that the others are subtracted from.
        corpus, caveat: name of the corpus, and what its numbers do not prove.
        partition, clips, steps: what was scored; steps are annotated ones.
        subjects: of the scored clips; None if every clip is a subject of its own.
        facts: settings that all runs share, name -> value; nested names are joined by dots.
        left_out: requested protocols that need sound or pictures, if the corpus has none.
        left_alone: protocol -> clip -> why it could not be corrupted, of `signal_corruption.left_alone`.
    """

    summary: pd.DataFrame
    gates: pd.DataFrame
    certainty: pd.DataFrame
    main: Sequence[str]
    corpus: str
    caveat: str
    partition: str
    clips: int
    steps: int
    facts: Mapping[str, object]
    left_out: Sequence[str] = ()
    left_alone: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    subjects: int | None = None


def render_page(data: PageData) -> str:
    """The page in Markdown."""
    summary = data.summary
    environment = Environment(loader=PackageLoader("iaca.evaluation", "templates"), trim_blocks=True)
    environment.filters |= {"text": escaped, "counted": counted}
    corruptions = [name for name in summary["corruption"].unique() if name != CLEAN.corruption]
    own = summary[summary["minus"].isna()]
    seeds = int(own["seeds"].max())
    return environment.get_template("benchmark.md.j2").render(
        data=data,
        facts=[escaped(f"{name} {_value_text(value)}") for name, value in flat(data.facts)],
        left_alone=[escaped(line) for line in _left_alone_lines(data.left_alone)],
        models=list(own["model"].unique()),
        seeds=seeds,
        too_few=too_few(data.clips, seeds, data.subjects),
        titles=TITLES,
        corruptions=corruptions,
        signal=[name for name in corruptions if name in SIGNAL],
        conditions=len(summary.loc[corrupted_rows(summary), ["corruption", "level"]].drop_duplicates()),
        in_short=in_short,
        findings={name: findings(summary, name) for name in data.main},
        clean=markdown(*clean_table(summary, data.main)),
        curves={name: markdown(*curve_table(own, name)) for name in corruptions},
        differences={
            name: {main: markdown(*difference_table(summary, main, name)) for main in data.main} for name in corruptions
        },
        areas=markdown(*area_table(own, corruptions)),
        area_differences={main: markdown(*area_differences(summary, main, corruptions)) for main in data.main},
        protocol_gates=markdown(*gate_table(data.gates, "protocol")),
        event_gates=markdown(*gate_table(data.gates, "event")),
        level=f"{LEVEL:.0%}".replace("%", " %"),
        coverage=markdown(*coverage_table(data.certainty, data.main)),
        inconsistency=markdown(*inconsistency_table(data.certainty, data.main)),
    )


def _left_alone_lines(found: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """`White noise in the sound: 2 clips (no sound to which ...): a, b` for each protocol and reason."""
    for protocol, clips in found.items():
        for reason in dict.fromkeys(clips.values()):
            named = [clip for clip, why in clips.items() if why == reason]
            yield f"{TITLES.get(protocol, protocol)}: {counted(len(named), 'clip')} ({reason}): {', '.join(named)}"


def _value_text(value: object) -> str:
    values = value if isinstance(value, list | tuple) else [value]
    return ", ".join(f"{v:.4g}" if isinstance(v, float) else str(v) for v in values)


def markdown(header: Sequence[str], rows: Cells) -> str:
    """A pipe table; "" if there are no rows."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) if rows else ""


def escaped(value: object) -> str:
    """Foreign text that Markdown shows literally, on one line: no bar that ends a cell, no HTML, link or code."""
    line = " ".join(str(value).split()).replace("&", "&amp;").replace("<", "&lt;")
    return _MARKS.sub(r"\\\g<0>", line)


# Tables of the page: rows of cells as text


def clean_table(summary: pd.DataFrame, main: Sequence[str]) -> tuple[list[str], Cells]:
    """Every model on the clean partition, best first if they can be ranked, and the main models minus it."""
    clean = summary[summary["corruption"] == CLEAN.corruption]
    own = clean[clean["minus"].isna()]
    means = own[own["measure"] == "ccc_mean"]
    order = (means.sort_values("mean", ascending=False, kind="stable") if is_ranked(summary) else means)["model"]
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
    levels = curve_levels(corruption, rows["level"].unique())
    return ["model", *(level_text(corruption, level) for level in levels)], [
        [escaped(model), *(_spread(rows, model=model, level=level) for level in levels)]
        for model in rows["model"].unique()
    ]


def difference_table(summary: pd.DataFrame, main: str, corruption: str) -> tuple[list[str], Cells]:
    """The main model minus every other at every level; bold if the interval excludes 0."""
    rows = summary[(summary["corruption"] == corruption) & (summary["measure"] == "ccc_mean")]
    rows = rows[(rows["model"] == main) & rows["minus"].notna() & (rows["level"] != clean_level(corruption))]
    levels = curve_levels(corruption, rows["level"].unique())
    return [f"{escaped(main)} minus", *(level_text(corruption, level) for level in levels)], [
        [escaped(other), *(_difference(rows, minus=other, level=level) for level in levels)]
        for other in rows["minus"].unique()
    ]


def area_table(own: pd.DataFrame, corruptions: Sequence[str]) -> tuple[list[str], Cells]:
    """Area under each curve, and in brackets its share of the clean score."""

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
    """AUROC of every gate and modality by kind; for a protocol, the mean over its levels."""
    rows = gates[gates["source"] == source]
    kinds = list(rows["kind"].unique())
    rank = {model: i for i, model in enumerate(rows["model"].unique())}
    rows = rows.assign(rank=rows["model"].map(rank)).sort_values(["rank", "gate", "modality"], kind="stable")
    keys = ["model", "gate", "modality"]
    table = []
    for names, of_gate in rows.groupby(keys, sort=False):
        means = of_gate.groupby("kind")["mean"].mean()
        spreads = of_gate.groupby("kind")["sd"].mean()
        cells = [_with_spread(means[k], spreads[k], 2) if k in means else "" for k in kinds]
        table.append([*map(escaped, names), *cells])
    return [*keys, *(escaped(TITLES.get(kind, kind).lower()) for kind in kinds)], table


def coverage_table(certainty: pd.DataFrame, main: Sequence[str]) -> tuple[list[str], Cells]:
    """Coverage, width and rank correlation of width and error of the main models, mean over seeds with interval."""
    rows = certainty[certainty["dimension"].notna()]
    table = []
    for model in main:
        for dimension in rows.loc[rows["model"] == model, "dimension"].unique():
            of_one = rows[(rows["model"] == model) & (rows["dimension"] == dimension)]
            cells = [_mean(of_one, measure=name) for name in ("coverage", "width", "width_error_correlation")]
            table.append([escaped(model), escaped(dimension), *cells])
    return ["model", "dimension", "inside", "mean width", "rank correlation of width and error"], table


def inconsistency_table(certainty: pd.DataFrame, main: Sequence[str]) -> tuple[list[str], Cells]:
    """AUROC of inconsistency of the main models by kind of event, mean over seeds with interval."""
    rows = certainty[certainty["modality"].notna()]
    table = []
    for model in main:
        of_model = rows[rows["model"] == model]
        for modality, kind in dict.fromkeys(zip(of_model["modality"], of_model["kind"], strict=True)):
            of_one = of_model[(of_model["modality"] == modality) & (of_model["kind"] == kind)]
            cells = [_mean(of_one, measure=f"inconsistency_{name}") for name in ("auroc", "gate_auroc")]
            table.append([escaped(model), escaped(modality), escaped(kind), *cells])
    return ["model", "modality", "kind", "AUROC", "AUROC of the gate's deviation from 1/2"], table


def _mean(rows: pd.DataFrame, **where: object) -> str:
    row = _one(rows, **where)
    if row is None:
        return "n/a"
    return plain(row["mean"]) + (f" [{plain(row['low'])}, {plain(row['high'])}]" if np.isfinite(row["low"]) else "")


def _spread(rows: pd.DataFrame, **where: object) -> str:
    row = _one(rows, **where)
    return "n/a" if row is None else _with_spread(row["mean"], row["sd"], 3)


def _with_spread(mean: float, sd: float, digits: int) -> str:
    """`0.512 ± 0.020`; one seed has no spread."""
    return plain(mean, digits) + (f" ± {plain(sd, digits)}" if np.isfinite(sd) else "")


def _difference(rows: pd.DataFrame, **where: object) -> str:
    row = _one(rows, **where)
    if row is None:
        return "–"
    text = with_interval(row["mean"], row["low"], row["high"])
    return text if verdict(row["low"], row["high"]) == "undecided" else f"**{text}**"


def _one(rows: pd.DataFrame, **where: object) -> dict[str, float] | None:
    """The first row with these values; None if there is none."""
    for name, value in where.items():
        rows = rows[rows[name] == value]
    return None if rows.empty else {str(key): value for key, value in rows.iloc[0].items()}


# Figures

UNRANKED = "Too few clips, subjects or seeds to rank the models"
CURVE_COLUMNS = 3
BASELINE = "concat"
SOLID, DASHED = "-", (0, (4, 1.6))
DASHES = (SOLID, (0, (1, 1.3)), (0, (6, 1.5, 1, 1.5)), (0, (2.5, 1.5)))
MAIN_COLOURS = (style.VALENCE, style.AROUSAL, "#2f8f4e", "#7a52a8")
OTHERS = tuple(product((style.MUTED, "#a9b6c2", "#a67c45"), DASHES))
"""Colour and dashes of further models: twelve that can be told apart."""
LEGEND_COLUMNS = 6
X_LABELS = {
    "time_shift": "the voice comes late by (s)",
    "frame_drop": "probability of a drop",
    **dict.fromkeys(SNR, "signal-to-noise ratio (dB)"),
    BLUR: "fewer pixels to a side, by a factor of",
}


@dataclass(frozen=True)
class Look:
    """Line style of a model. The models that the figure is about have a band."""

    colour: str
    width: float
    line: object = SOLID
    band: bool = False
    label: str | None = None


def looks(models: Sequence[str], main: Sequence[str]) -> dict[str, Look]:
    """Line style by model, in the order of the legend: main models, baselines, all others.

    Main models are in colour, baselines in ink, one modality alone in its own colour, all others as in `OTHERS`.
    """
    first = {name: Look(colour, 2.7, band=True) for name, colour in zip(main, MAIN_COLOURS, strict=False)}
    known = {
        BASELINE: Look(style.INK, 2.0, band=True),
        "audio": Look(style.AUDIO, 1.7, DASHED, label="audio alone"),
        "visual": Look(style.VISUAL, 1.7, DASHED, label="visual alone"),
        "late": Look(style.INK, 1.3, DASHED, label="late fusion of ridges"),
        "ridge": Look(style.INK, 1.3, DASHES[1], label="ridge on both"),
    }
    known = first | {name: look for name, look in known.items() if name not in first}
    others = [model for model in models if model not in known]
    known |= {model: Look(colour, 1.3, line) for model, (colour, line) in zip(others, cycle(OTHERS), strict=False)}
    return {model: look for model, look in known.items() if model in models}


def robustness_curves(summary: pd.DataFrame, main: Sequence[str], partition: str) -> Figure:
    """Mean CCC against the level of every corruption, one panel each.

    Args:
        summary: of `benchmark_summary.summarise`.
        main: the models in colour.
        partition: the scored one.
    """
    own = summary[summary["minus"].isna() & (summary["measure"] == "ccc_mean")]
    names = [name for name in own["corruption"].unique() if name != CLEAN.corruption]
    drawn = looks(list(own["model"].unique()), main)
    lines = max(1, -(-len(names) // CURVE_COLUMNS))
    seeds = counted(own["seeds"].max(), "seed")
    figure = style.new_figure(
        12.8,
        1.35 + 2.75 * lines + 0.2 * -(-len(drawn) // LEGEND_COLUMNS),
        curve_finding(summary, main),
        f"Pooled CCC, mean of valence and arousal, {partition} partition. Lines: mean of {seeds}"
        + ("; bands: 95 % interval. Ahead, behind: the paired interval excludes 0." if is_ranked(summary) else "."),
    )
    grid = figure.subplots(lines, CURVE_COLUMNS, sharey=True, squeeze=False).ravel()
    for axes, name in zip(grid, names, strict=False):
        _curves(axes, own[own["corruption"] == name], name, drawn)
    grid[0].set_ylim(own["mean"].min() - 0.05, own["mean"].max() + 0.05)  # the wide bands of few seeds may be cut off
    for axes in grid[len(names) :]:
        axes.set_visible(False)
    for axes in grid[::CURVE_COLUMNS]:
        axes.set_ylabel("CCC")
    figure.legend(
        *_legend(drawn), loc="outside lower center", ncols=min(len(drawn), LEGEND_COLUMNS), frameon=False,
        fontsize=style.NORMAL, labelcolor=style.INK, handlelength=2.6, columnspacing=1.6,
    )  # fmt: skip
    return figure


def curve_finding(summary: pd.DataFrame, main: Sequence[str]) -> str:
    """Title: in how many conditions each main model is ahead of the baseline, and in how many behind.

    The baseline is `BASELINE`, or without it the first model that is not the first main one.
    """
    if not is_ranked(summary):
        return UNRANKED
    others = [model for model in summary["model"].unique() if model not in main[:1]]
    baseline = BASELINE if BASELINE in others or not others else others[0]
    parts = []
    for name in main:
        against = {finding.other: finding for finding in findings(summary, name)}
        if found := against.get(baseline):
            parts.append(f"{name} in {found.counts['better']}, behind in {found.counts['worse']}")
            total = sum(found.counts.values())
    return f"Of {total} conditions, ahead of {baseline}: {'; '.join(parts)}" if parts else "Scores under corruption"


def _curves(axes: Axes, rows: pd.DataFrame, name: str, drawn: Mapping[str, Look]) -> None:
    levels = curve_levels(name, rows["level"].unique())
    even = name in X_LABELS and name != "frame_drop"  # levels at equal distances, each with its own label
    x = np.arange(len(levels)) if even else 100 * np.array(levels)
    for model, look in sorted(drawn.items(), key=lambda item: item[1].width):
        curve = rows[rows["model"] == model].set_index("level").loc[levels]
        if look.band:
            axes.fill_between(x, curve["low"], curve["high"], color=look.colour, alpha=0.16, linewidth=0)
        axes.plot(x, curve["mean"], color=look.colour, linewidth=look.width, linestyle=look.line)  # type: ignore[arg-type]
    style.panel_title(style.dress(axes), TITLES.get(name, name))
    axes.set_xlabel(X_LABELS.get(name, "share of the timeline"))
    axes.margins(x=0.02)
    if even:
        labels = {i: _tick(name, level) for i, level in enumerate(levels) if _has_tick(name, level, levels)}
        axes.set_xticks(list(labels), list(labels.values()))
    else:
        axes.xaxis.set_major_formatter("{x:.0f} %")


def _has_tick(name: str, level: float, levels: Sequence[float]) -> bool:
    """All levels have a label, except time shifts, which are too close together."""
    some = {-8.0, -2.0, -0.5, 0.0, 0.5, 2.0, 8.0} & set(levels)
    return name != "time_shift" or not some or level in some


def _tick(name: str, level: float) -> str:
    if name in CLEAN_LEVELS:
        return "clean" if level == CLEAN_LEVELS[name] else f"{level:g}".replace("-", "−")
    return f"{level:+g}".replace("-", "−") if level else "0"


def _legend(drawn: Mapping[str, Look]) -> tuple[list[Line2D], list[str]]:
    """Handles and labels of every model."""
    handles = [Line2D([], [], color=k.colour, linewidth=k.width, linestyle=k.line) for k in drawn.values()]  # type: ignore[arg-type]
    return handles, [look.label or model for model, look in drawn.items()]


DIFFERENCE_COLUMNS = 7
SHORT: Mapping[str, str] = MappingProxyType(
    {
        "frame_drop": "Steps dropped",
        "time_shift": "Voice shifted",
        "conflict": "Swapped",
        "feature_noise": "Noise on features",
        "audio_noise": "White noise",
        "audio_babble": "Babble",
    }
)
"""Titles of narrow panels, for corruptions whose title is too long."""


def difference_dots(summary: pd.DataFrame, main: Sequence[str], partition: str) -> Figure:
    """The main models minus every other: on the clean partition, and averaged over the curve of every corruption.

    Args:
        summary: of `benchmark_summary.summarise`.
        main: the models in colour.
        partition: the scored one.
    """
    paired = summary[summary["minus"].notna()]
    clean = paired[(paired["corruption"] == CLEAN.corruption) & (paired["measure"] == "ccc_mean")]
    areas = paired[paired["measure"] == AREA]
    subtracted = set(paired["minus"])
    others = [name for name in summary["model"].unique() if name in subtracted]
    panels = {CLEAN.corruption: clean, **dict(iter(areas.groupby("corruption", sort=False)))}
    lines = -(-len(panels) // DIFFERENCE_COLUMNS)
    across = -(-len(panels) // lines)
    figure = style.new_figure(
        12.8,
        1.9 + lines * (0.4 * len(others) + (0.5 if lines > 1 else 0.0)),
        difference_finding(areas, main) if is_ranked(summary) else UNRANKED,
        f"Mean CCC over each curve, {partition} partition: model minus the one named on the left, paired over "
        f"{counted(paired['seeds'].max(), 'seed')}. Bars: 95 % interval; hollow: it contains 0.",
    )
    grid: list[Axes] = figure.subplots(lines, across, sharex=True, sharey=True, squeeze=False).ravel().tolist()
    drawn = looks(main, main)
    limit = _limit(pd.concat(panels.values()))
    for axes, (name, rows) in zip(grid, panels.items(), strict=False):
        axes.set_xlim(-limit, limit)
        _dots(axes, rows, others, drawn)
        style.panel_title(style.dress(axes, grid="x"), SHORT.get(str(name), TITLES.get(str(name), str(name))))
    grid[0].set(yticks=range(len(others)), yticklabels=others[::-1], ylim=(-0.6, len(others) - 0.4))
    for axes in grid[::across]:
        axes.tick_params(axis="y", labelsize=style.NORMAL, labelcolor=style.INK)
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    handles = [Line2D([], [], color=look.colour, marker="o", linewidth=2.2, label=name) for name, look in drawn.items()]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=style.NORMAL,
        labelcolor=style.INK,
    )  # fmt: skip
    return figure


def difference_finding(areas: pd.DataFrame, main: Sequence[str]) -> str:
    """Title: in how many comparisons of areas each main model is above 0, and in how many below."""
    parts = []
    for name in main:
        rows = areas[areas["model"] == name]
        above, below = int((rows["low"] > 0).sum()), int((rows["high"] < 0).sum())
        parts.append(f"{name} {above} above 0, {below} below")
    return f"Of {len(areas) // max(len(main), 1)} comparisons over whole curves: {'; '.join(parts)}"


def _dots(axes: Axes, rows: pd.DataFrame, others: Sequence[str], drawn: Mapping[str, Look]) -> None:
    axes.axvline(0, color=style.INK, linewidth=1.1)
    limit = axes.get_xlim()[1]
    offsets = np.linspace(0.17, -0.17, len(drawn)) if len(drawn) > 1 else [0.0]
    for offset, (name, look) in zip(offsets, drawn.items(), strict=True):
        for row in rows[rows["model"] == name].to_dict("records"):
            y = len(others) - 1 - others.index(row["minus"]) + offset
            if abs(row["mean"]) > 0.9 * limit:
                _off_axis(axes, row["mean"], y, look.colour)
                continue
            decided = row["low"] > 0 or row["high"] < 0
            axes.plot([row["low"], row["high"]], [y, y], color=look.colour, linewidth=2.0, alpha=0.6)
            axes.plot(row["mean"], y, "o", color=look.colour, markersize=6.5, fillstyle="full" if decided else "none")


def _off_axis(axes: Axes, value: float, y: float, colour: str) -> None:
    """A value outside the axis: an arrowhead at the edge, labelled with it."""
    above = value > 0
    edge = (0.97 if above else -0.97) * axes.get_xlim()[1]
    axes.plot(edge, y, ">" if above else "<", color=colour, markersize=6)
    axes.annotate(
        signed(value, 2), (edge, y), (-7 if above else 7, 0), textcoords="offset points", va="center",
        ha="right" if above else "left", size=style.SMALL, color=colour,
    )  # fmt: skip


def _limit(rows: pd.DataFrame) -> float:
    """Half the width of the axis: wide enough for most differences, narrow enough to show small ones."""
    bounds = rows[["low", "high", "mean"]].abs().max(axis=1).dropna()
    return max(0.03, 1.6 * float(bounds.median())) if len(bounds) else 1.0


# A benchmark on disk, for the report and the model card


@dataclass(frozen=True)
class BenchmarkFound:
    """Files of an earlier benchmark.

    Attributes:
        corpus: name of the corpus; "" if there is no benchmark.
        summary: of `benchmark_summary.summarise`.
        figure: PNG of `robustness_curves`.
    """

    corpus: str = ""
    summary: pd.DataFrame = field(default_factory=pd.DataFrame)
    figure: bytes = b""

    def of(self, corpus: str) -> BenchmarkFound:
        """The benchmark if it is of this corpus, otherwise `NO_BENCHMARK`: corpora share one reporting folder."""
        return self if self.corpus == corpus else NO_BENCHMARK


NO_BENCHMARK = BenchmarkFound()


def find_benchmark(folder: Path) -> BenchmarkFound:
    """The benchmark of `benchmark_summary.csv`, `.md` and `.png` in a folder; none unless all three have content."""
    table, page, picture = (folder / f"benchmark_summary.{ending}" for ending in ("csv", "md", "png"))
    if not all(path.is_file() and path.stat().st_size for path in (table, page, picture)):
        return NO_BENCHMARK
    heading = page.read_text(encoding="utf-8").splitlines()[0]
    if not heading.startswith(HEADING):
        return NO_BENCHMARK
    return BenchmarkFound(heading.removeprefix(HEADING).strip(), pd.read_csv(table), picture.read_bytes())
