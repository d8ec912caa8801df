"""Adaptation: the linear correction of the zero-shot model, fitted to annotated clips by ridge regression, and scored.

`adapt` returns the `members.AdaptedModel`, and its scores on subjects it was not fitted to. The fit needs only sums
that add up over clips. The penalty pulls towards the zero-shot model: an infinite one changes nothing. To score the
correction on people it has not seen, each subject in turn is left out of the fit and predicted.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from math import comb
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from iaca.corpora.check import require_subjects
from iaca.corpora.folder import FolderConfig, build_timeline, index_folder
from iaca.corpora.index import read_card
from iaca.encoders.config import identity, mismatches
from iaca.encoders.embedding import AnnotatedClip, ClipEmbedding, annotate, read_annotated
from iaca.engine import ClipPaths
from iaca.errors import InputError, counted
from iaca.evaluation.metrics import DIMENSIONS, ccc, paired_difference
from iaca.files import write_text
from iaca.formats.labels import inspect_labels
from iaca.inference.config import NAMED, ZERO_SHOT
from iaca.inference.members import FIRST, AdaptedModel, columns_of, corrected, widths
from iaca.inference.predictor import Predictor
from iaca.inference.zero_shot import ZeroShot
from iaca.media import MediaLimits
from iaca.parameters import LONGEST_S, Parameters, Seed
from iaca.training.calibration import Errors, Intervals, fit_intervals, origin_of_intervals

log = logging.getLogger(__name__)
Array = NDArray[np.float64]

Clip = tuple[str, str, AnnotatedClip]
"""Subject, name, embeddings and annotation."""
Labelled = tuple[str, str, Path, Path]
"""Subject, clip, video, labels."""
MODEL, SCORES = "adapted.safetensors", "adapted.json"


def adapt(
    model: ZeroShot, clips: Iterable[Clip], card: Mapping[str, str], config: AdaptationConfig
) -> tuple[AdaptedModel, pd.DataFrame]:
    """Fit the correction to all annotated clips, and score it on each subject by a fit to the others.

    Args:
        model: the zero-shot model to correct.
        clips: read one by one; those without annotation are left out.
        card: name and caveat of the corpus.
        config: candidates, folds, resamples.

    Returns:
        The model, and the table of `score_table`.

    Raises:
        InputError: fewer than two subjects are annotated, or clips are not embedded with the encoders of the model.
    """
    embedding = model.config.embedding
    encoders, groups = identity(embedding), dict[str, list[Rows]]()
    for subject, name, clip in clips:
        _check_encoders(name, clip.embedding, encoders)
        rows = annotated_rows(subject, name, model, clip, config.every_s)
        if rows is not None:
            groups.setdefault(subject, []).append(rows)
    require_subjects(groups)
    fitter = Fitter(
        {name: groups[name] for name in sorted(groups)}, widths(embedding.dim("audio"), embedding.dim("visual")), config
    )
    held_out = leave_one_out(fitter)
    scores = score_table(held_out, config)
    intervals, sentence = _intervals(fitter, held_out)
    weights, choices = fitter.weights(list(fitter.groups))
    facts = {
        **encoders,
        "corpus": card.get("name", ""),
        "caveat": _caveat(fitter, scores, card),
        "data_fingerprint": "",
        "choices": json.dumps(choices),
        "scores": scores.iloc[-1].to_json(),
        "intervals": sentence,
    }
    return AdaptedModel(model.config, weights, facts, intervals), scores


def _intervals(fitter: Fitter, held_out: pd.DataFrame) -> tuple[Intervals | None, str]:
    """Intervals from the errors on subjects left out, whose rows are in the order of the fitter, and their origin."""
    errors = np.abs(held_out[list(DIMENSIONS)].to_numpy() - held_out[[f"{d}_gold" for d in DIMENSIONS]].to_numpy())
    clips = [clip for group in fitter.groups.values() for clip in group]
    ends = np.cumsum([len(clip.gold) for clip in clips])
    cases = [Errors(c.group, c.cases, part) for c, part in zip(clips, np.split(errors, ends[:-1]), strict=True)]
    intervals = fit_intervals(cases)
    return intervals, origin_of_intervals(intervals, cases)


def _check_encoders(name: str, clip: ClipEmbedding, encoders: Mapping[str, str]) -> None:
    if differences := mismatches(encoders, clip.metadata):
        raise InputError(
            f"clip {name} is embedded with other encoders than those of the zero-shot model: {'; '.join(differences)}",
            remedy="set embedding.visual and embedding.audio to those encoders, for zero_shot to their defaults, and "
            "embed again",
        )


def _caveat(fitter: Fitter, scores: pd.DataFrame, card: Mapping[str, str]) -> str:
    videos, subjects = counted(scores.iloc[-1]["clips"], "annotated video"), counted(len(fitter.groups), "subject")
    text = f"ADAPTED HEURISTIC: the zero-shot model, corrected by {videos} of {subjects} ({card.get('name', '')}). "
    text += "; ".join(verdict(scores))
    return f"{text}. {card['caveat']}" if card.get("caveat") else text


# A corpus


def adapt_model(
    clips: pd.DataFrame,
    embeddings: ClipPaths,
    timelines: ClipPaths,
    corpus_card: dict[str, str],
    config: AdaptationConfig,
) -> tuple[AdaptedModel, pd.DataFrame]:
    """The zero-shot model corrected by the annotated clips, and its scores on held-out subjects, which are logged."""
    known = clips[clips["clip"].isin(set(embeddings) & set(timelines))]
    read = (
        (str(subject), clip, read_annotated(embeddings.whole(clip), timelines.whole(clip)))
        for clip, subject in zip(known["clip"], known["subject"], strict=True)
    )
    model, scores = adapt(ZeroShot.read(NAMED[ZERO_SHOT]), read, corpus_card, config)
    shown = scores[
        [name for name in scores if not str(name).startswith(("difference", "low", "high", "better", "chance"))]
    ]
    log.info("each subject predicted by a model fitted to the others:\n%s", shown.round(3).to_string(index=False))
    for sentence in verdict(scores):
        log.info("%s", sentence)
    return model, scores


# A folder of labelled videos


def labelled_clips(root: Path) -> list[Labelled]:
    """The clips whose labels have both dimensions somewhere."""
    table = index_folder(root, FolderConfig()).clips
    rows = table[["subject", "clip", "media", "annotation"]].itertuples(index=False, name=None)
    found = [(subject, clip, root / media, root / labels) for subject, clip, media, labels in rows if labels]
    return [each for each in found if inspect_labels(each[3]).annotated]


def adapt_clips(
    send: Callable[[dict[str, Any]], None], clips: list[Labelled], root: Path, scratch: Path, limits: MediaLimits
) -> None:
    """Write the model adapted to labelled clips, and its scores, into `scratch`; send a message before each step."""
    predictor = Predictor.load(ZERO_SHOT, limits=limits)

    def embedded() -> Any:
        for number, (subject, clip, video, labels) in enumerate(clips):
            send({"number": number, "step": f"reading face and voice of {clip}"})
            timeline = scratch / "timeline.parquet"
            build_timeline(video, labels, target=timeline, limits=limits)
            found: Clip = (subject, clip, annotate(predictor.embed(video, scratch), timeline))
            yield found
        send({"number": len(clips), "step": "fitting"})

    card = read_card(root).model_dump() if (root / "corpus.json").exists() else {"name": "annotated on the page"}
    model, scores = adapt(ZeroShot.read(NAMED[ZERO_SHOT]), embedded(), card, AdaptationConfig())
    model.save(scratch / MODEL)
    rows = json.loads(scores.to_json(orient="records"))
    found = {
        "rows": rows,
        "verdict": verdict(scores),
        "intervals": model.metadata["intervals"],
        "has_intervals": model.intervals is not None,
        "caveat": model.metadata["caveat"],
    }
    write_text(scratch / SCORES, json.dumps(found, ensure_ascii=False) + "\n")


# The fit


class AdaptationConfig(Parameters):
    """How the correction is fitted and scored.

    Attributes:
        strengths: penalties on the weights of the embeddings to try, in addition to a calibration alone and to the
            unchanged zero-shot model; descriptors are standardised and the error is a mean, so that 1 is strong.
        calibration: penalty on level and scale.
        every_s: annotated steps are taken at least this far apart, s.
        folds: parts of the training subjects in the cross-validation that chooses a strength.
        margin: CCC by which a weaker penalty has to be better to be chosen.
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


@dataclass(frozen=True)
class Rows:
    """Annotated steps of one clip.

    Attributes:
        group: the subject, whose clips are held out together.
        clip: its name.
        columns: (n, p) inputs of the correction.
        gold: (n, 2) annotated valence and arousal.
        cases: (n, q) what the size of an error may depend on, see `ZeroShot.cases`.
    """

    group: str
    clip: str
    columns: Array
    gold: Array
    cases: Array

    @property
    def zero_shot(self) -> Array:
        """(n, 2) predictions of the zero-shot model."""
        return self.columns[:, 1:FIRST]


def annotated_rows(group: str, name: str, model: ZeroShot, clip: AnnotatedClip, every_s: float) -> Rows | None:
    """The annotated and observed steps of a clip, at least `every_s` apart; None if there are none."""
    embedding = clip.embedding
    usable = np.isfinite(clip.labels).all(axis=1) & embedding.observed
    chosen, last = [], -np.inf
    for i in np.flatnonzero(usable):
        if embedding.time_s[i] >= last + every_s:
            chosen.append(i)
            last = embedding.time_s[i]
    if not chosen:
        return None
    gold = clip.labels[chosen].astype(np.float64)
    return Rows(group, name, columns_of(model, embedding)[chosen], gold, model.cases(embedding)[chosen])


CALIBRATION, NOTHING = "calibration", "nothing"
Choice = float | str
"""The penalty on the embeddings' weights; `calibration`: level and scale alone; `nothing`: no correction."""


@dataclass(frozen=True)
class Sums:
    """Sufficient statistics of n rows for a fit.

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
        """The sums of one clip."""
        x = rows.columns
        return cls(len(x), x.T @ x, x.T @ (rows.gold - rows.zero_shot))

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.rows + other.rows, self.products + other.products, self.errors + other.errors)


def total(parts: Iterable[Sums]) -> Sums:
    """The sums of all clips together; at least one."""
    return reduce(lambda a, b: a + b, parts)


def fit(sums: Sums, modalities: tuple[slice, slice], choice: Choice, calibration: float) -> Array:
    """Weights (p, 2) of the columns: zero-shot + columns @ weights is the corrected prediction.

    Minimises mean |error|^2 + calibration |w_c|^2 + choice |w_e|^2, where w_c are the weights of level and zero-shot
    prediction, w_e those of the embeddings, each column standardised by the same sums. An embedding's mean is taken
    over the steps at which its modality is present, so that absence adds nothing.
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

    A nearly constant column is left out: its deviation would be rounding error.
    """
    change = np.eye(len(sums.products))
    groups = [(0, range(1, FIRST)), *((m.start, range(m.start + 1, m.stop)) for m in modalities)]
    for presence, columns in groups:
        present = sums.products[presence, 0]
        for j in columns:
            mean = sums.products[j, 0] / present if present > 0 else 0.0
            square = sums.products[j, j] / present if present > 0 else 0.0
            spread = square - mean**2
            keep = spread > 1e-10 * max(square, 1e-6)
            change[j, j] = 1 / np.sqrt(spread) if keep else 0.0
            change[presence, j] = -mean * change[j, j]
    for m in modalities:
        change[m.start, m.start] = (
            0.0  # presence itself is not a feature: the zero-shot prediction already depends on it
        )
    return change


ALL = "all, pooled"
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Fitter:
    """Annotated rows by subject, to fit corrections to any of them.

    Attributes:
        groups: subject -> its clips.
        modalities: columns of sound and of face.
        config: candidates and folds.
    """

    groups: Mapping[str, Sequence[Rows]]
    modalities: tuple[slice, slice]
    config: AdaptationConfig

    @cached_property
    def sums(self) -> dict[str, Sums]:
        """The sums of each subject."""
        return {name: total(Sums.of(clip) for clip in clips) for name, clips in self.groups.items()}

    def weights(self, names: Sequence[str]) -> tuple[Array, tuple[Choice, Choice]]:
        """Weights (p, 2) fitted to these subjects, and the penalty chosen for each dimension by cross-validation."""
        choices = self.choose(names)
        sums = self._sum(names)
        fitted = {choice: fit(sums, self.modalities, choice, self.config.calibration) for choice in set(choices)}
        return np.stack([fitted[choice][:, i] for i, choice in enumerate(choices)], axis=1), choices

    def choose(self, names: Sequence[str]) -> tuple[Choice, Choice]:
        """The penalty for each dimension, by the pooled CCC over folds of these subjects.

        Candidates are tried from the strongest to the weakest: a weaker one has to be better by `margin`. With a single
        subject there are no folds: level and scale alone are fitted.
        """
        if len(names) < 2:
            return CALIBRATION, CALIBRATION
        folds = [list(names[i :: self.config.folds]) for i in range(min(self.config.folds, len(names)))]
        best: list[Choice] = [NOTHING, NOTHING]
        scores = np.full(2, -np.inf)
        candidates: list[Choice] = [NOTHING, CALIBRATION, *sorted(self.config.strengths, reverse=True)]
        for choice in candidates:
            held_out = [self._fold(names, fold, choice) for fold in folds]
            prediction, gold = (np.concatenate(part) for part in zip(*held_out, strict=True))
            for i in range(2):
                score = float(np.nan_to_num(ccc(prediction[:, i], gold[:, i]), nan=-1.0))
                if score > scores[i] + (self.config.margin if choice != NOTHING else 0.0):
                    best[i], scores[i] = choice, score
        return best[0], best[1]

    def _fold(self, names: Sequence[str], left_out: list[str], choice: Choice) -> tuple[Array, Array]:
        """Corrected predictions and gold (n, 2) of the subjects left out."""
        sums = self._sum([name for name in names if name not in left_out])
        weights = fit(sums, self.modalities, choice, self.config.calibration)
        clips = [clip for name in left_out for clip in self.groups[name]]
        return (
            np.concatenate([corrected(clip.columns, weights) for clip in clips]),
            np.concatenate([clip.gold for clip in clips]),
        )

    def _sum(self, names: Sequence[str]) -> Sums:
        return total(self.sums[name] for name in names)


def leave_one_out(fitter: Fitter) -> pd.DataFrame:
    """Every annotated row with the zero-shot prediction and that of a correction fitted without its subject.

    Columns: subject, clip, valence and arousal (corrected), valence_zero_shot, arousal_zero_shot, valence_gold,
    arousal_gold.
    """
    tables = []
    for name, clips in fitter.groups.items():
        weights, _ = fitter.weights([other for other in fitter.groups if other != name])
        for clip in clips:
            parts = (("", corrected(clip.columns, weights)), ("_zero_shot", clip.zero_shot), ("_gold", clip.gold))
            columns = {f"{d}{suffix}": values[:, i] for suffix, values in parts for i, d in enumerate(DIMENSIONS)}
            tables.append(pd.DataFrame({"subject": name, "clip": clip.clip, **columns}))
    return pd.concat(tables, ignore_index=True)


def score_table(rows: pd.DataFrame, config: AdaptationConfig) -> pd.DataFrame:
    """The table of scores: one row per held-out subject and one of all together.

    Columns: held_out, clips, rows, and per dimension ccc_zero_shot_, ccc_adapted_, and in the last row difference_
    with its 95 % interval low_ and high_ over held-out subjects, better_ (number of subjects on which the correction
    is better) and chance_ (the p-value of that number in a one-sided sign test).
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
    """The conclusion from the scores, one sentence per dimension.

    An interval over a handful of subjects is too narrow (for pure noise and five subjects, 8 of 80 were above zero):
    the sign test has to agree before anything is called better.
    """
    pooled, subjects = scores.iloc[-1], len(scores) - 1
    sentences = []
    for d in DIMENSIONS:
        low, high = pooled[f"low_{d}"], pooled[f"high_{d}"]
        known = np.isfinite([low, high]).all()
        interval = f"95 % {low:+.3f} to {high:+.3f}" if known else f"no interval over {counted(subjects, 'subject')}"
        judged = "it does not beat the zero-shot model; the difference is inconclusive"
        if low > 0 and pooled[f"chance_{d}"] <= SIGNIFICANT:
            judged = "it beats the zero-shot model"
        elif low > 0:
            judged = (
                "it looks better than the zero-shot model, but these subjects are too few or too different to be sure"
            )
        elif high < 0:
            judged = "it is WORSE than the zero-shot model"
        sentences.append(
            f"{d}: CCC {pooled[f'ccc_adapted_{d}']:.3f} on subjects left out, zero-shot "
            f"{pooled[f'ccc_zero_shot_{d}']:.3f}, difference {pooled[f'difference_{d}']:+.3f} "
            f"({interval}, better for {pooled[f'better_{d}']:.0f} of {subjects}): {judged}"
        )
    return sentences


def _sign_test(lines: Sequence[Mapping[str, Any]], dimension: str) -> dict[str, float]:
    """Number of subjects on which the correction is better, and the chance of that many or more by tosses of a coin."""
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
