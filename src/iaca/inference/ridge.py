"""Parameters of adaptation.

What the correction sees of a step: the zero-shot answer, and the embeddings around it.

Columns: 1; zero-shot valence and arousal; then for sound and for face its presence and its embedding, both averaged
over the same stretch of time as the zero-shot model averages, absent steps as zeros.

Ridge regression of what the zero-shot model leaves over, from sums that add up over clips.

The penalty pulls towards the zero-shot model itself: an infinitely strong one changes nothing.

Is the correction any good on people it has not seen? Each subject in turn is left out, and predicted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from math import comb
from typing import Annotated, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from iaca.encoders.embedding import AnnotatedClip, ClipEmbedding
from iaca.evaluation.metrics import DIMENSIONS, ccc, paired_difference
from iaca.inference.zero_shot import ZeroShot, durations, two_sided
from iaca.parameters import LONGEST_S, MODALITIES, Parameters, Seed

Array = NDArray[np.float64]


class AdaptationConfig(Parameters):
    """How the correction is fitted and scored.

    Attributes:
        strengths: penalties on the weights of the embeddings that are tried, beside none but a calibration and beside
            the zero-shot model as it is; descriptors are standardised and the error is a mean, so that 1 is strong.
        calibration: penalty on level and scale.
        every_s: annotated steps are taken at least this far apart, s.
        folds: parts of the training subjects by which a strength is chosen.
        margin: CCC by which a weaker penalty has to be better to be taken.
        replicates: resamples of the held-out subjects for the interval of the difference.
        seed: of the resamples.
    """

    strengths: tuple[Annotated[float, Field(gt=0, le=1e9)], ...] = (100, 30, 10, 3, 1, 0.3, 0.1)
    calibration: float = Field(default=0.1, gt=0, le=1e9)
    every_s: float = Field(default=0.2, ge=0, le=LONGEST_S)
    folds: int = Field(default=5, ge=2, le=1000)
    margin: float = Field(default=0.01, ge=0, le=2)
    replicates: int = Field(default=2000, ge=1, le=1_000_000)
    seed: Seed = 0


FIRST = 3  # columns before the embeddings


@dataclass(frozen=True)
class Rows:
    """Annotated steps of one clip.

    Attributes:
        group: who is held out together: the subject.
        clip: its name.
        columns: (n, p) what the correction sees.
        gold: (n, 2) annotated valence and arousal.
    """

    group: str
    clip: str
    columns: Array
    gold: Array

    @property
    def zero_shot(self) -> Array:
        """(n, 2) what the zero-shot model says."""
        return self.columns[:, 1:FIRST]


def columns_of(model: ZeroShot, clip: ClipEmbedding) -> Array:
    """(t, p) float64, finite: p is 5 more than both embeddings are wide."""
    weights = durations(clip.time_s, model.config.step_s)[:, None]
    masked = [
        np.where(clip.present[m][:, None], np.column_stack([clip.present[m], np.nan_to_num(clip.features[m])]), 0.0)
        for m in MODALITIES
    ]
    weighted = np.concatenate([weights, *(weights * part for part in masked)], axis=1)
    around = two_sided(weighted, clip.time_s, model.config.smoothing_s)
    said = model.predict(clip).prediction.astype(np.float64)
    return np.concatenate([np.ones_like(weights), said, around[:, 1:] / np.maximum(around[:, :1], 1e-9)], axis=1)


def annotated_rows(group: str, name: str, model: ZeroShot, clip: AnnotatedClip, every_s: float) -> Rows | None:
    """The annotated and observed steps of a clip, at least `every_s` apart; None where there are none."""
    embedding = clip.embedding
    usable = np.isfinite(clip.labels).all(axis=1) & embedding.observed
    chosen, last = [], -np.inf
    for i in np.flatnonzero(usable):
        if embedding.time_s[i] >= last + every_s:
            chosen.append(i)
            last = embedding.time_s[i]
    if not chosen:
        return None
    return Rows(group, name, columns_of(model, embedding)[chosen], clip.labels[chosen].astype(np.float64))


def widths(audio: int, visual: int) -> tuple[slice, slice]:
    """Where the presence and embedding of sound and of face stand among the columns."""
    return slice(FIRST, FIRST + 1 + audio), slice(FIRST + 1 + audio, FIRST + 2 + audio + visual)


CALIBRATION, NOTHING = "calibration", "nothing"
Choice = float | str
"""The penalty on the embeddings' weights; `calibration`: level and scale alone; `nothing`: no correction."""


@dataclass(frozen=True)
class Sums:
    """All that a fit needs to know of n rows.

    Attributes:
        rows: n.
        products: (p, p) of the columns with each other.
        errors: (p, 2) of the columns with gold minus zero-shot.
    """

    rows: int
    products: Array
    errors: Array

    @classmethod
    def of(cls, rows: Rows) -> Sums:
        """Of one clip."""
        x = rows.columns
        return cls(len(x), x.T @ x, x.T @ (rows.gold - rows.zero_shot))

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.rows + other.rows, self.products + other.products, self.errors + other.errors)


def total(parts: Iterable[Sums]) -> Sums:
    """The sums of all clips together; there has to be one."""
    return reduce(lambda a, b: a + b, parts)


def fit(sums: Sums, modalities: tuple[slice, slice], choice: Choice, calibration: float) -> Array:
    """Weights (p, 2) of the columns: zero-shot + columns @ weights is the corrected answer.

    Minimises mean |error|^2 + calibration |w_c|^2 + choice |w_e|^2, where w_c are the weights of level and zero-shot
    answer, w_e those of the embeddings, each column standardised by the same sums. An embedding's mean is taken over
    the steps at which its modality is there, so that absence adds nothing.
    """
    size = len(sums.products)
    if choice == NOTHING:
        return np.zeros((size, 2))
    standard = _standardisation(sums, modalities)
    used = FIRST if choice == CALIBRATION else size
    penalty = np.full(used, calibration)
    if not isinstance(choice, str):
        penalty[FIRST:] = choice
    change = standard[:, :used]
    products = change.T @ sums.products @ change / sums.rows
    return np.asarray(change @ np.linalg.solve(products + np.diag(penalty), change.T @ sums.errors / sums.rows))


def _standardisation(sums: Sums, modalities: tuple[slice, slice]) -> Array:
    """(p, p) matrix that turns columns into standardised ones: column j becomes (x_j - mean_j x_presence) / std_j.

    A column that hardly varies is left out: its deviation would be rounding.
    """
    change = np.eye(len(sums.products))
    places = [(0, range(1, FIRST)), *((m.start, range(m.start + 1, m.stop)) for m in modalities)]
    for presence, columns in places:
        present = sums.products[presence, 0]
        for j in columns:
            mean = sums.products[j, 0] / present if present > 0 else 0.0
            square = sums.products[j, j] / present if present > 0 else 0.0
            spread = square - mean**2
            keep = spread > 1e-10 * max(square, 1e-6)
            change[j, j] = 1 / np.sqrt(spread) if keep else 0.0
            change[presence, j] = -mean * change[j, j]
    for m in modalities:
        change[m.start, m.start] = 0.0  # presence itself is no feature: the zero-shot answer knows of it
    return change


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
