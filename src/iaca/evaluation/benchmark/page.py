"""The page of a benchmark, in Markdown: what was found, every number behind it, and what it cannot tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd
from jinja2 import Environment, PackageLoader

from iaca.config import flat
from iaca.evaluation.benchmark.findings import corrupted_rows, findings, in_short
from iaca.evaluation.benchmark.page_tables import (
    area_differences,
    area_table,
    clean_table,
    curve_table,
    difference_table,
    escaped,
    gate_table,
    markdown,
)
from iaca.evaluation.benchmark.words import TITLES
from iaca.evaluation.robustness.config import CLEAN, SIGNAL


@dataclass(frozen=True)
class PageData:
    """What the page shows; it computes nothing but verdicts.

    Attributes:
        summary: of `summary.summarise`.
        gates: of `summary.gate_summary`.
        main: the models that the others are subtracted from.
        corpus, caveat: its name, and what its numbers do not prove.
        partition, clips, steps: what was scored; steps are the annotated ones.
        facts: settings that all runs share, name -> value; nested ones are written with dots.
        left_out: protocols that were asked for and need sound or pictures, of which the corpus has none.
        left_alone: of `left_alone`: clips that a protocol found nothing to spoil in, with the reason.
    """

    summary: pd.DataFrame
    gates: pd.DataFrame
    main: Sequence[str]
    corpus: str
    caveat: str
    partition: str
    clips: int
    steps: int
    facts: Mapping[str, object]
    left_out: Sequence[str] = ()
    left_alone: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def render_page(data: PageData) -> str:
    """The whole page."""
    summary = data.summary
    environment = Environment(loader=PackageLoader("iaca.evaluation.benchmark", "."), trim_blocks=True)
    environment.filters["text"] = escaped
    corruptions = [name for name in summary["corruption"].unique() if name != CLEAN.corruption]
    own = summary[summary["minus"].isna()]
    return environment.get_template("page.md.j2").render(
        data=data,
        facts=[escaped(f"{name} {_said(value)}") for name, value in flat(data.facts)],
        left_alone=[escaped(line) for line in _left_alone(data.left_alone)],
        models=list(own["model"].unique()),
        seeds=int(own["seeds"].max()),
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
    )


def _left_alone(found: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """`White noise in the sound: 2 clips (no sound to which ...): a, b` for each protocol and reason."""
    for protocol, clips in found.items():
        for reason in dict.fromkeys(clips.values()):
            named = [clip for clip, why in clips.items() if why == reason]
            count = f"{len(named)} clip{'s' if len(named) > 1 else ''}"
            yield f"{TITLES.get(protocol, protocol)}: {count} ({reason}): {', '.join(named)}"


def _said(value: object) -> str:
    values = value if isinstance(value, list | tuple) else [value]
    return ", ".join(f"{v:.4g}" if isinstance(v, float) else str(v) for v in values)
