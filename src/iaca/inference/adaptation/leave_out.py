"""Is the correction any good on people it has not seen? Each subject in turn is left out, and predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import comb
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from iaca.evaluation.bootstrap import paired_difference
from iaca.evaluation.metrics import DIMENSIONS, ccc
from iaca.inference.adaptation.config import AdaptationConfig
from iaca.inference.adaptation.ridge import CALIBRATION, NOTHING, Choice, Sums, fit, total
from iaca.inference.adaptation.rows import Rows

Array = NDArray[np.float64]
ALL = "all, pooled"
LIKELY = 0.05


@dataclass(frozen=True)
class Fitter:
    """Annotated rows by subject, to fit corrections to any of them.

    Attributes:
        groups: subject -> its clips.
        modalities: where sound and face stand among the columns.
        config: candidates and folds.
    """

    groups: Mapping[str, Sequence[Rows]]
    modalities: tuple[slice, slice]
    config: AdaptationConfig

    @cached_property
    def sums(self) -> dict[str, Sums]:
        """Of each subject."""
        return {name: total(Sums.of(clip) for clip in clips) for name, clips in self.groups.items()}

    def weights(self, names: Sequence[str]) -> tuple[Array, tuple[Choice, Choice]]:
        """Weights (p, 2) from these subjects, and the penalty chosen by them for each dimension."""
        choices = self.choose(names)
        sums = self._sum(names)
        fitted = {choice: fit(sums, self.modalities, choice, self.config.calibration) for choice in set(choices)}
        return np.stack([fitted[choice][:, i] for i, choice in enumerate(choices)], axis=1), choices

    def choose(self, names: Sequence[str]) -> tuple[Choice, Choice]:
        """The penalty for each dimension, by the pooled CCC over folds of these subjects.

        Candidates are tried from the strongest to the weakest: a weaker one has to be better by `margin`. A single
        subject can't be divided: there, level and scale alone are fitted.
        """
        if len(names) < 2:
            return CALIBRATION, CALIBRATION
        folds = [list(names[i :: self.config.folds]) for i in range(min(self.config.folds, len(names)))]
        best: list[Choice] = [NOTHING, NOTHING]
        scores = np.full(2, -np.inf)
        candidates: list[Choice] = [NOTHING, CALIBRATION, *sorted(self.config.strengths, reverse=True)]
        for choice in candidates:
            said = [self._fold(names, fold, choice) for fold in folds]
            answer, gold = (np.concatenate(part) for part in zip(*said, strict=True))
            for i in range(2):
                score = float(np.nan_to_num(ccc(answer[:, i], gold[:, i]), nan=-1.0))
                if score > scores[i] + (self.config.margin if choice != NOTHING else 0.0):
                    best[i], scores[i] = choice, score
        return best[0], best[1]

    def _fold(self, names: Sequence[str], left_out: list[str], choice: Choice) -> tuple[Array, Array]:
        weights = fit(
            self._sum([n for n in names if n not in left_out]), self.modalities, choice, self.config.calibration
        )
        clips = [clip for name in left_out for clip in self.groups[name]]
        return (
            np.concatenate([corrected(clip.columns, weights) for clip in clips]),
            np.concatenate([clip.gold for clip in clips]),
        )

    def _sum(self, names: Sequence[str]) -> Sums:
        return total(self.sums[name] for name in names)


def corrected(columns: Array, weights: Array) -> Array:
    """(t, p) and (p, 2) -> (t, 2) valence and arousal in [-1, 1]."""
    return np.asarray((columns[:, 1:3] + columns @ weights).clip(-1, 1))


def leave_one_out(fitter: Fitter) -> pd.DataFrame:
    """Every annotated row with the zero-shot answer and that of a correction which never saw its subject.

    Columns: subject, clip, valence and arousal (corrected), valence_zero_shot, arousal_zero_shot, valence_gold,
    arousal_gold.
    """
    tables = []
    for name, clips in fitter.groups.items():
        weights, _ = fitter.weights([other for other in fitter.groups if other != name])
        for clip in clips:
            said = (("", corrected(clip.columns, weights)), ("_zero_shot", clip.zero_shot), ("_gold", clip.gold))
            columns = {f"{d}{suffix}": values[:, i] for suffix, values in said for i, d in enumerate(DIMENSIONS)}
            tables.append(pd.DataFrame({"subject": name, "clip": clip.clip, **columns}))
    return pd.concat(tables, ignore_index=True)


def score_table(rows: pd.DataFrame, config: AdaptationConfig) -> pd.DataFrame:
    """The table of scores: one row per held-out subject and one of all together.

    Columns: held_out, clips, rows, and per dimension ccc_zero_shot_, ccc_adapted_, and in the last row difference_
    with its 95 % interval low_ and high_ over held-out subjects, better_ (subjects that the correction serves better)
    and chance_ (how likely that many are if each were a toss: a sign test).
    """
    lines = [_line(str(name), part) for name, part in rows.groupby("subject", sort=True)]
    pooled = _line(ALL, rows)
    by_subject = rows.assign(clip=rows["subject"])
    plain = by_subject.assign(**{d: rows[f"{d}_zero_shot"] for d in DIMENSIONS})
    difference = paired_difference(by_subject, plain, config.replicates, config.seed)
    for dimension in DIMENSIONS:
        interval = difference[f"ccc_{dimension}"]
        pooled |= {
            f"difference_{dimension}": interval.estimate,
            f"low_{dimension}": interval.low,
            f"high_{dimension}": interval.high,
            **_sign_test(lines, dimension),
        }
    return pd.DataFrame([*lines, pooled])


def verdict(scores: pd.DataFrame) -> list[str]:
    """What the scores allow to say, one sentence per dimension.

    An interval over a handful of subjects is too narrow (of pure noise for five of them, 8 of 80 lay above zero): the
    sign test has to agree before anything is called better.
    """
    pooled, subjects = scores.iloc[-1], len(scores) - 1
    said = []
    for d in DIMENSIONS:
        low, high = pooled[f"low_{d}"], pooled[f"high_{d}"]
        judged = "it does not beat the zero-shot model: nothing is shown either way"
        if low > 0 and pooled[f"chance_{d}"] <= LIKELY:
            judged = "it beats the zero-shot model"
        elif low > 0:
            judged = "it looks better than the zero-shot model, but these subjects are too few or too unlike to say so"
        elif high < 0:
            judged = "it is WORSE than the zero-shot model"
        said.append(
            f"{d}: CCC {pooled[f'ccc_adapted_{d}']:.3f} on subjects left out, zero-shot "
            f"{pooled[f'ccc_zero_shot_{d}']:.3f}, difference {pooled[f'difference_{d}']:+.3f} "
            f"(95 % {low:+.3f} to {high:+.3f}, better for {pooled[f'better_{d}']:.0f} of {subjects}): {judged}"
        )
    return said


def _sign_test(lines: Sequence[Mapping[str, Any]], dimension: str) -> dict[str, float]:
    """How many subjects the correction serves better, and the chance of that many or more among those that differ."""
    pairs = [(line[f"ccc_adapted_{dimension}"], line[f"ccc_zero_shot_{dimension}"]) for line in lines]
    differ = [after > before for after, before in pairs if np.isfinite(after - before) and after != before]
    chance = sum(comb(len(differ), k) for k in range(sum(differ), len(differ) + 1)) / 2 ** len(differ)
    return {f"better_{dimension}": sum(differ), f"chance_{dimension}": chance}


def _line(name: str, rows: pd.DataFrame) -> dict[str, Any]:
    line: dict[str, Any] = {"held_out": name, "clips": rows["clip"].nunique(), "rows": len(rows)}
    for d in DIMENSIONS:
        line[f"ccc_zero_shot_{d}"] = ccc(rows[f"{d}_zero_shot"], rows[f"{d}_gold"])
        line[f"ccc_adapted_{d}"] = ccc(rows[d], rows[f"{d}_gold"])
    return line
