"""What a benchmark found, in plain sentences made from its numbers and from nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from iaca.evaluation.benchmark.paired import verdict
from iaca.evaluation.benchmark.words import TITLES, interval, level_text, listed, signed
from iaca.evaluation.robustness.config import CLEAN, clean_level, in_order

VERDICTS = ("better", "worse", "undecided")


@dataclass(frozen=True)
class Finding:
    """A main model against one other.

    Attributes:
        main, other: the two models.
        clean: the verdict on the clean partition, by the mean CCC of main - other with its interval over seeds.
        numbers: those, as text.
        counts: verdict -> number of corrupted conditions.
        where: verdict -> corruption -> its levels, as text; "every level" where it is all of them.
        confirmed: of the conditions that are better or worse, those whose interval over clips says the same.
    """

    main: str
    other: str
    clean: str
    numbers: str
    counts: dict[str, int]
    where: dict[str, dict[str, str]]
    confirmed: int

    def sentence(self) -> str:
        """Everything of it in three sentences."""
        parts = [f"{name} in {self.counts[name]}{self._places(name)}" for name in VERDICTS[:2]]
        decided = self.counts["better"] + self.counts["worse"]
        over_clips = f" The interval over clips agrees in {self.confirmed} of {decided}." if decided else ""
        return (
            f"Against **{self.other}**: {self.clean} ({self.numbers}) on the clean partition. "
            f"Of {sum(self.counts.values())} corrupted conditions {'; '.join(parts)}; "
            f"undecided in {self.counts['undecided']}.{over_clips}"
        )

    def _places(self, name: str) -> str:
        places = [f"{TITLES[corruption].lower()}: {levels}" for corruption, levels in self.where[name].items()]
        return f" ({'; '.join(places)})" if places else ""


def findings(summary: pd.DataFrame, main: str) -> list[Finding]:
    """One per other model, in the order of the table; all on the mean CCC of valence and arousal."""
    rows = summary[(summary["model"] == main) & (summary["measure"] == "ccc_mean") & summary["minus"].notna()]
    rows = rows.assign(verdict=[verdict(low, high) for low, high in zip(rows["low"], rows["high"], strict=True)])
    return [_finding(main, str(other), of_other) for other, of_other in rows.groupby("minus", sort=False)]


def corrupted_rows(rows: pd.DataFrame) -> NDArray[np.bool_]:
    """(n,) bool, rows at a level at which something is done; those over all levels of a corruption are none."""
    clean = rows["corruption"].map(lambda name: clean_level(str(name)))
    return np.asarray(rows["level"].notna() & (rows["level"] != clean))


def in_short(found: Sequence[Finding]) -> str:
    """One main model against all others, in two sentences."""
    clean = {name: [finding.other for finding in found if finding.clean == name] for name in VERDICTS}
    total = {name: sum(finding.counts[name] for finding in found) for name in VERDICTS}
    return (
        f"On the clean partition better than {listed(clean['better'])}; worse than {listed(clean['worse'])}; undecided "
        f"against {listed(clean['undecided'])}. Under corruption, of {sum(total.values())} comparisons better in "
        f"{total['better']}, worse in {total['worse']}, undecided in {total['undecided']}."
    )


def _finding(main: str, other: str, rows: pd.DataFrame) -> Finding:
    clean = rows[rows["corruption"] == CLEAN.corruption].iloc[0]
    corrupted = rows[corrupted_rows(rows)]
    decided = corrupted[corrupted["verdict"] != "undecided"]
    over_clips = [verdict(low, high) for low, high in zip(decided["clips_low"], decided["clips_high"], strict=True)]
    return Finding(
        main=main,
        other=other,
        clean=str(clean["verdict"]),
        numbers=f"{signed(clean['mean'])} {interval(clean['low'], clean['high'])}",
        counts={name: int((corrupted["verdict"] == name).sum()) for name in VERDICTS},
        where={name: _where(corrupted, name) for name in VERDICTS},
        confirmed=sum(a == b for a, b in zip(decided["verdict"], over_clips, strict=True)),
    )


def _where(rows: pd.DataFrame, name: str) -> dict[str, str]:
    places = {}
    for corruption, of_one in rows.groupby("corruption", sort=False):
        levels = in_order(str(corruption), of_one.loc[of_one["verdict"] == name, "level"])
        if len(levels):
            texts = [level_text(str(corruption), level) for level in levels]
            places[str(corruption)] = "every level" if len(levels) == len(of_one) > 1 else listed(texts)
    return places
