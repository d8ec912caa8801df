"""What does a paper print of a benchmark? Every model clean and with the voice missing, as a LaTeX table and a figure.

The figure has the shape of the one in the paper's repository: CCC against the share of missing sound, each attention by
itself and with IACA over it. Intervals are those of `benchmark_summary`: Student's t over seeds, differences paired by
seed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from iaca.errors import counted
from iaca.evaluation import style
from iaca.evaluation.benchmark_page import UNRANKED, Look, looks
from iaca.evaluation.benchmark_summary import is_ranked, over_seeds, verdict
from iaca.evaluation.config import CLEAN
from iaca.evaluation.style import signed

MISSING = "missing_audio"
PAIRS: Mapping[str, str] = MappingProxyType(
    {"ca": "iaca_ca", "jca": "iaca", "rjca": "iaca_rjca", "dca": "iaca_dca", "grjca": "iaca_grjca"}
)
"""Attention by itself -> IACA over it."""
NAMES: Mapping[str, str] = MappingProxyType(
    {
        "audio": "Voice alone", "visual": "Face alone", "concat": "Concatenation", "late": "Late fusion of ridges",
        "ridge": "Ridge on both", "lfan": "LFAN", "cold": "COLD", "raav": "RAAV", "mha": "Multi-head", "ca": "CA",
        "jca": "JCA", "rjca": "RJCA", "dca": "DCA", "grjca": "GRJCA", "hgrjca": "HGRJCA", "tagf": "TAGF",
        "iaca_ca": "IACA over CA", "iaca": "IACA over JCA", "iaca_rjca": "IACA over RJCA", "iaca_dca": "IACA over DCA",
        "iaca_grjca": "IACA over GRJCA", "iaca_plus": "IACA+ (ours)",
    }
)  # fmt: skip
GROUPS: tuple[tuple[str, ...], ...] = (
    ("audio", "visual"),
    ("concat", "late", "ridge", "lfan", "cold", "raav"),
    ("ca", "jca", "rjca", "mha"),
    ("dca", "grjca", "hgrjca", "tagf"),
    tuple(PAIRS.values()),
)
"""Models between two rules of the table; all others follow in a group of their own."""
MEASURES = ("ccc_valence", "ccc_arousal", "ccc_mean")
COLUMNS = ["model", "minus", "corruption", "level", "measure", "seeds", "mean", "sd", "low", "high"]


def paper_table(results: pd.DataFrame, few: bool = False) -> pd.DataFrame:
    """`comparison.csv`: every model, and IACA minus the attention that it is over, at every share of missing sound.

    Args:
        results: of `benchmark_summary.results_table`.
        few: whether clips, subjects or seeds are too few for any interval (`benchmark_summary.too_few`).

    Returns:
        model, minus (empty for a model by itself), corruption (clean or missing_audio), level, measure (ccc_valence,
        ccc_arousal, ccc_mean), then over the seeds: seeds, mean, sd, and the 95 % interval low, high.
    """
    kept = results[results["corruption"].isin([CLEAN.corruption, MISSING])]
    kept = kept.assign(ccc_mean=kept[["ccc_valence", "ccc_arousal"]].mean(axis=1))
    place = ["corruption", "level", "measure"]
    values = kept.melt(id_vars=["model", "seed", "corruption", "level"], value_vars=list(MEASURES), var_name="measure")
    own = over_seeds(values, ["model", *place]).assign(minus=None)
    gaps = [
        of_pair.assign(minus=base)
        for base, over in PAIRS.items()
        if not (of_pair := over_seeds(_gap(values, base, over, ["seed", *place]), ["model", *place])).empty
    ]
    table = pd.concat([own, *gaps], ignore_index=True)[COLUMNS]
    return table.assign(low=np.nan, high=np.nan) if few else table


def _gap(values: pd.DataFrame, base: str, over: str, on: list[str]) -> pd.DataFrame:
    """IACA over an attention minus that attention, matched by the columns `on`."""
    with_iaca, without = (values.loc[values["model"] == name, [*on, "value"]] for name in (over, base))
    both = with_iaca.merge(without, on=on, suffixes=("", "_of_base"))
    return both.assign(model=over, value=both["value"] - both["value_of_base"])


Place = tuple[str, float, str]  # corruption, level, measure
Cells = dict[tuple[str, Place], dict[str, float]]


def _cells(rows: pd.DataFrame) -> Cells:
    """(model, place) -> mean, sd, low, high."""
    records = rows.to_dict("records")
    return {(row["model"], (row["corruption"], row["level"], row["measure"])): row for row in records}  # type: ignore[misc]


# The table


def latex_table(table: pd.DataFrame, corpus: str, partition: str) -> str:
    """`comparison.tex`: a booktabs table of CCC, mean and standard deviation over seeds.

    The best mean of each column is bold. In IACA's rows, + and - mark a difference to the attention that it is over
    whose interval, paired by seed, excludes 0. Without intervals there are no marks, and the caption says why.

    Args:
        table: of `paper_table`.
        corpus, partition: what was scored, for the caption.
    """
    own, gaps = _cells(table[table["minus"].isna()]), _cells(table[table["minus"].notna()])
    levels = sorted(level for level in set(table.loc[table["corruption"] == MISSING, "level"]) if level > 0)
    columns: list[Place] = [(CLEAN.corruption, CLEAN.level, measure) for measure in MEASURES]
    columns += [(MISSING, level, "ccc_mean") for level in levels]
    models = list(dict.fromkeys(model for model, _ in own))
    best = {
        place: max((own[model, place]["mean"] for model in models if (model, place) in own), default=0.0)
        for place in columns
    }
    if not is_ranked(table):
        best = dict.fromkeys(columns, math.inf)
    lines = []
    for group in grouped(models):
        lines.append("\\midrule")
        for model in group:
            cells = (_cell(own.get((model, place)), gaps.get((model, place)), best[place]) for place in columns)
            lines.append(f"{_escaped(NAMES.get(model, model))} & {' & '.join(cells)} \\\\")
    return "\n".join(
        [
            "% Needs \\usepackage{booktabs}.",
            "\\begin{table}",
            "\\centering\\small",
            f"\\caption{{{_caption(own, corpus, partition, is_ranked(table))}}}",
            f"\\begin{{tabular}}{{l{'c' * len(columns)}}}",
            "\\toprule",
            *_header(levels),
            *lines,
            "\\bottomrule",
            "\\end{tabular}",
            "\\end{table}",
            "",
        ]
    )


def grouped(models: Sequence[str]) -> list[list[str]]:
    """The models in the order of `GROUPS`, then all others; no empty group."""
    known = [[model for model in group if model in models] for group in GROUPS]
    others = [model for model in models if not any(model in group for group in GROUPS)]
    return [group for group in [*known, others] if group]


def _caption(own: Cells, corpus: str, partition: str, ranked: bool) -> str:
    seeds = counted(max(int(row["seeds"]) for row in own.values()), "seed")
    marks = (
        "Bold: best of the column. $^{+}$, $^{-}$: IACA minus the attention that it is over, paired by seed, has a "
        "95\\,\\% interval above or below 0."
    )
    return (
        f"CCC on the {partition} partition of {_escaped(corpus)}, mean and standard deviation over {seeds}; on the "
        f"right the mean of both, the voice missing for that share of the time. {marks if ranked else UNRANKED + '.'}"
    )


def _header(levels: Sequence[float]) -> list[str]:
    spans = [f"\\multicolumn{{{len(MEASURES)}}}{{c}}{{clean}}"]
    rules = [f"\\cmidrule(lr){{2-{1 + len(MEASURES)}}}"]
    if levels:
        spans.append(f"\\multicolumn{{{len(levels)}}}{{c}}{{voice missing}}")
        rules.append(f"\\cmidrule(lr){{{2 + len(MEASURES)}-{1 + len(MEASURES) + len(levels)}}}")
    names = ["valence", "arousal", "mean", *(f"{100 * level:.0f}\\,\\%" for level in levels)]
    return [f" & {' & '.join(spans)} \\\\", "".join(rules), f"model & {' & '.join(names)} \\\\"]


def _cell(row: dict[str, float] | None, gap: dict[str, float] | None, best: float) -> str:
    if row is None:
        return "--"
    mean = f"{row['mean']:.3f}"
    number = mean.replace("-", "$-$")  # a hyphen is not a minus
    text = f"\\textbf{{{number}}}" if mean == f"{best:.3f}" else number
    if gap is not None:
        text += {"better": "$^{+}$", "worse": "$^{-}$", "undecided": ""}[verdict(gap["low"], gap["high"])]
    return text if pd.isna(row["sd"]) else f"{text} {{\\scriptsize $\\pm$ {row['sd']:.3f}}}"


def _escaped(text: str) -> str:
    """Text that LaTeX shows literally."""
    special = {"\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}"}
    special |= {character: f"\\{character}" for character in "&%$#_{}"}
    return "".join(special.get(character, character) for character in text)


# The figure

WITHOUT = (0, (4, 1.6))
ROWS = {"ccc_valence": ("Valence", style.VALENCE), "ccc_arousal": ("Arousal", style.AROUSAL)}


def paper_figure(table: pd.DataFrame, corpus: str, partition: str) -> Figure:
    """`comparison.png`: CCC against the share of missing sound; a column for each attention, one for all other models.

    Args:
        table: of `paper_table`.
        corpus, partition: what was scored.
    """
    rows = table[table["corruption"] == MISSING]
    own, models = rows[rows["minus"].isna()], list(table["model"].unique())
    pairs = {base: over for base, over in PAIRS.items() if base in models and over in models}
    others = [model for model in models if model not in {*pairs, *pairs.values()}]
    columns = [*pairs, *([""] if others else [])]
    figure = style.new_figure(
        1.4 + 2.3 * max(len(columns), 3),
        6.6,
        finding(table),
        f"Pooled CCC on the {partition} partition of {corpus}, voice missing for a share of the time. "
        f"Mean of {counted(int(table['seeds'].max()), 'seed')}{'; bands: 95 % interval' if is_ranked(table) else ''}.",
    )
    if own.empty:
        figure.text(
            0.5, 0.5, "benchmark.corruption.levels has no level of missing_audio", ha="center", color=style.MUTED
        )
        return figure
    drawn = {model: replace(look, band=False) for model, look in looks(others, []).items()}
    grid = figure.subplots(len(ROWS), len(columns), sharex=True, squeeze=False)
    for of_row, (measure, (title, colour)) in zip(grid, ROWS.items(), strict=True):
        of_measure = rows[rows["measure"] == measure]
        curves = of_measure[of_measure["minus"].isna()]
        for axes, base in zip(of_row, columns, strict=True):
            looked = drawn
            if base:
                looked = {base: Look(style.INK, 1.8, WITHOUT, band=True), pairs[base]: Look(colour, 2.6, band=True)}
            for model, look in looked.items():
                _curve(axes, curves[curves["model"] == model], look)
            gaps = of_measure[of_measure["minus"].notna() & (of_measure["model"] == pairs.get(base))]
            style.panel_title(style.dress(axes), NAMES.get(base, "Other models"), _first_and_last(gaps))
            axes.xaxis.set_major_formatter("{x:.0f} %")
        of_row[0].set_ylabel(f"CCC, {title.lower()}")
        _share_scale(of_row[: len(pairs)], curves.loc[curves["model"].isin([*pairs, *pairs.values()]), "mean"])
    _legend(figure, drawn)
    return figure


def _share_scale(row: Sequence[Axes], means: pd.Series) -> None:
    """One scale for the columns of attentions; the wide bands of few seeds may be cut off."""
    for i, axes in enumerate(row):
        axes.set_ylim(means.min() - 0.06, means.max() + 0.06)
        if i:
            axes.set_yticklabels([])


def finding(table: pd.DataFrame) -> str:
    """Title: at how many levels IACA is ahead of the attention it is over, and on how many curves the gap grows."""
    gaps = table[table["minus"].notna() & (table["corruption"] == MISSING) & (table["measure"] == "ccc_mean")]
    gaps = gaps[gaps["level"] > 0]
    if not is_ranked(table):
        return UNRANKED
    if gaps.empty:
        return "Models with the voice missing"
    found = [verdict(low, high) for low, high in zip(gaps["low"], gaps["high"], strict=True)]
    ends = [(curve["mean"].iloc[0], curve["mean"].iloc[-1]) for _, curve in gaps.sort_values("level").groupby("model")]
    return (
        f"IACA minus the attention it is over: of {len(found)} levels above 0 in {found.count('better')}, below 0 "
        f"in {found.count('worse')}; the gap grows on {sum(last > first for first, last in ends)} of {len(ends)} curves"
    )


def _curve(axes: Axes, rows: pd.DataFrame, look: Look) -> None:
    rows = rows.sort_values("level")
    x = 100 * rows["level"]
    if look.band:
        axes.fill_between(x, rows["low"], rows["high"], color=look.colour, alpha=0.14, linewidth=0)
    axes.plot(x, rows["mean"], color=look.colour, linewidth=look.width, linestyle=look.line)  # type: ignore[arg-type]


def _first_and_last(gaps: pd.DataFrame) -> str:
    """The difference at the lowest and at the highest share: `+0.01 to +0.05`."""
    means = gaps[gaps["level"] > 0].sort_values("level")["mean"]
    return "" if means.empty else f"{signed(means.iloc[0], 2)} to {signed(means.iloc[-1], 2)}"


def _legend(figure: Figure, drawn: Mapping[str, Look]) -> None:
    lines = [
        Line2D([], [], color=style.INK, linewidth=1.8, linestyle=WITHOUT, label="attention alone"),
        Line2D([], [], color=style.VALENCE, linewidth=2.6, label="IACA over it: valence"),
        Line2D([], [], color=style.AROUSAL, linewidth=2.6, label="IACA over it: arousal"),
        *(
            Line2D([], [], color=look.colour, linewidth=look.width, linestyle=look.line, label=NAMES.get(model, model))  # type: ignore[arg-type]
            for model, look in drawn.items()
        ),
    ]
    figure.legend(
        handles=lines, loc="outside lower center", ncols=min(len(lines), 7), frameon=False, fontsize=style.NORMAL,
        labelcolor=style.INK, handlelength=2.6,
    )  # fmt: skip
