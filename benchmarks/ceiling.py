"""How well it can be known, at every step of a synthetic corpus, that the voice or the face is another clip's.

In an `other` event one stream is a stretch of another person's clip. `contradiction_ceiling` computes the posterior
probability of that. It knows the generator: the mixing, all covariances over time, the strength of noise, nuisance and
identity, and the distributions of the lengths of events and pauses. It does not know where events are, and
sees the features alone, not the cues.

Two numbers per step, from different evidence:

* `probability`: given both streams of the entire clip. A swapped stream betrays itself in two ways: it no longer goes
  with the other stream, and it does not continue itself, since another person's offset and another state of every slow
  process begin at one step. The second is by far the stronger evidence.
* `agreement`: given what joins the two streams, and blind to seams, as if a swapped stream continued itself: the only
  evidence is whether voice and face show the same of what is felt. It is the ceiling of an output that compares
  what voice and face say. Each run between two events is judged by itself.

Model. Every feature is a linear function of Gaussian processes, as `iaca.corpora.synthetic` draws them, with one
approximation: the signal bent by a tanh is replaced by its best linear fit. What is left of it, a fiftieth of the
signal's variance, counts as white noise of the true covariance over features. A Gaussian process of this covariance is
a sum of Gaussian bumps of independent normal height, one deviation apart (the variance ripples by 2e-4), so that a clip
is a linear regression on few unknowns: the bumps that reach the present step, and the identity.

Inference. Forward over the steps: a hypothesis is a sequence of runs (clean, voice wrong, face wrong, ...), weighted by
the exact likelihood of everything up to this step (a Kalman filter over the unknowns of the clip and of the current
donor) and by the lengths of its runs. What it says about the past is carried along, so that the weights after the last
step give the posterior of every step given the entire clip: the backward pass is included. Hypotheses of less than
`NEGLIGIBLE` weight are dropped, and those that differ only in the place of changes that lie far back are joined.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.polynomial.hermite_e import hermegauss
from numpy.typing import NDArray
from scipy.linalg import block_diag, solve_triangular
from scipy.special import logsumexp
from sklearn.metrics import roc_auc_score

from iaca.corpora.features import FOLDERS, feature_widths, index_features, read_clip
from iaca.corpora.synthetic import (
    BEND,
    NOISE,
    NUISANCES,
    PLACES,
    TRAITS,
    SyntheticConfig,
    View,
    draw_views,
    read_config,
)
from iaca.encoders.embedding import ClipEmbedding
from iaca.engine.run import progress
from iaca.errors import InputError
from iaca.evaluation.events import event_mask
from iaca.parameters import MODALITIES

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Rows = NDArray[np.intp] | slice

OTHER = "other"  # the kind of event in which a stream is another clip's
SMOOTH = 2 + NUISANCES  # processes of one stream: the shown valence and arousal, and the nuisances
REACH = 4.0  # deviations after which a bump is 0, as in the generator
ALL = slice(None)
NEGLIGIBLE, MOST = 1e-7, 200  # weight below which a hypothesis is dropped, relative to the best; most that are kept
MOST_LOST = 1e-3  # weight of what is dropped beyond the most that are kept
GRID_S = 0.4  # of the runs of `agreement`
SETTLED_S, APART_S = 1.0, 0.5  # hypotheses are joined if they differ in changes this far back, by at most this much
AUROC_COLUMNS = ("modality", "auroc_probability", "auroc_agreement", "event_frames", "clean_frames")


def contradiction_ceiling(root: Path, partition: str | None = None) -> pd.DataFrame:
    """Posterior probability, at every step, that one of the two streams is another clip's.

    Args:
        root: folder of a corpus that `iaca.corpora.synthetic` wrote.
        partition: only the clips of this partition; None means all.

    Returns:
        One row per step: clip, frame, time_s; `probability`, and its parts `audio` and `visual`, the probability that
        the voice, and that the face, is another's; and `agreement`, NaN in a corpus with other kinds of events.

    Raises:
        InputError: `root` is not such a corpus, its features can't come from its parameters, or they tell too little
            for an exact posterior.
    """
    config, index = read_config(root), index_features(root)
    clips = index.clips if partition is None else index.clips[index.clips["partition"] == partition]
    widths, tables = feature_widths(root, index.clips), []
    agreements: dict[tuple[float, ...], Agreement] = {}  # those of s3 differ between partitions
    for row in progress(clips.to_dict("records"), "clips", len(clips)):
        files = {kind: root / row[kind] for kind in FOLDERS if row[kind]}
        embedding = read_clip(files, widths).embedding
        views = draw_views(config, row["partition"])
        streams, key = Streams.of(config, views, embedding, root / row["audio"]), tuple(_correlation(views))
        if key not in agreements and config.event_kinds == (OTHER,):
            agreements[key] = Agreement(config, views)
        wrong = posterior(streams)
        tables.append(
            pd.DataFrame(
                {
                    "clip": row["clip"],
                    "frame": np.arange(len(embedding)),
                    "time_s": embedding.time_s,
                    "probability": wrong.sum(axis=1),
                    **dict(zip(MODALITIES, wrong.T, strict=True)),
                    "agreement": agreements[key].posterior(streams) if key in agreements else np.nan,
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def contradiction_auroc(ceiling: pd.DataFrame, events: pd.DataFrame, smoothing_s: float = 0.0) -> pd.DataFrame:
    """AUROC of `contradiction_ceiling` against the table of events: steps in an `other` event against clean steps.

    Args:
        ceiling: from `contradiction_ceiling`.
        events: clip, modality, kind, start_s, end_s. Steps within other kinds of events are left out.
        smoothing_s: length (s) of a centred moving average over each clip, applied to both numbers first.

    Returns:
        One row for events of the voice, of the face, and of `both` together, with `AUROC_COLUMNS`. An AUROC is NaN
        without steps of both classes.
    """
    scores = {name: _moving_mean(ceiling, name, smoothing_s) for name in ("probability", "agreement")}
    clean = ~event_mask(ceiling, events)
    rows = []
    for modality in (*MODALITIES, "both"):
        wrong = event_mask(ceiling, events, None if modality == "both" else modality, OTHER)
        aurocs = [_auroc(score, wrong, clean) for score in scores.values()]
        rows.append((modality, *aurocs, int(wrong.sum()), int(clean.sum())))
    return pd.DataFrame(rows, columns=list(AUROC_COLUMNS))


def _moving_mean(table: pd.DataFrame, name: str, length_s: float) -> Array:
    means = []
    for _, rows in table.groupby("clip", sort=False):
        steps = max(1, round(length_s / (rows["time_s"].diff().median() or 1.0)))
        means.append(rows[name].rolling(steps, center=True, min_periods=1).mean().where(rows[name].notna()))
    smoothed: Array = pd.concat(means).loc[table.index].to_numpy(np.float64)
    return smoothed


def _auroc(score: Array, wrong: Mask, clean: Mask) -> float:
    used = (wrong | clean) & np.isfinite(score)
    truth = wrong[used]
    return float(roc_auc_score(truth, score[used])) if truth.any() and not truth.all() else float("nan")


# One stream: from features to a linear observation of the unknowns with unit noise


@dataclass(frozen=True)
class Observation:
    """What the features of one modality say about its unknowns: z = loadings @ unknowns + white noise of variance 1.

    Attributes:
        loadings: (r, SMOOTH + TRAITS).
        values: (t, r) z.
        rest: (t,) log-likelihood of what is left of the features, which depends on no unknown.
    """

    loadings: Array
    values: Array
    rest: Array

    @classmethod
    def of(cls, features: Array, mixing: Array, noise: Array) -> Observation:
        """From features (t, D) = unknowns @ mixing (SMOOTH + TRAITS, D) + noise of covariance (D, D)."""
        root = np.linalg.cholesky(noise)
        white, weights = (solve_triangular(root, x.T, lower=True) for x in (features, mixing))  # (D, t), (D, unknowns)
        left, sizes, right = np.linalg.svd(weights, full_matrices=False)
        kept = sizes > 1e-9 * sizes.max(initial=1e-9)
        values = left[:, kept].T @ white
        lost = (white**2).sum(axis=0) - (values**2).sum(axis=0)
        free = len(white) - kept.sum()
        rest = -0.5 * (lost + free * np.log(2 * np.pi)) - np.log(np.diag(root)).sum()
        return cls(sizes[kept, None] * right[kept], values.T, rest)


@dataclass(frozen=True)
class Streams:
    """Both streams of one clip.

    Attributes:
        config: of the corpus.
        sees: (2,) correlation between what voice and face show of valence and of arousal.
        quiet, loud: by modality, the features as they are in clean steps and in `other` events, and as they are in
            `noise` events.
        silent: by modality, (t,) `absent`, `zeros` or an empty text: events that are there to see.
    """

    config: SyntheticConfig
    sees: Array
    quiet: tuple[Observation, ...]
    loud: tuple[Observation, ...]
    silent: tuple[NDArray[np.str_], ...]

    @classmethod
    def of(cls, config: SyntheticConfig, views: Mapping[str, View], clip: ClipEmbedding, file: Path) -> Streams:
        """The streams of a clip that these views have drawn; an error names the file."""
        if config.correlation_s * config.rate < 2:
            raise InputError("what is felt changes from step to step: no smoothness is left to be used", file,
                             remedy="draw a corpus with correlation_s of two steps or more")  # fmt: skip
        quiet, loud, silent = [], [], []
        for modality in MODALITIES:
            features = clip.features[modality].astype(np.float64)
            present, view = clip.present[modality], views[modality]
            if features.shape != (config.steps, view.straight.shape[1]):
                what = f"{modality} features of shape {features.shape}, but the parameters say {config.steps} steps of "
                raise InputError(f"{what}{view.straight.shape[1]}", file, remedy="write the corpus again")
            mixing, noise = linear_view(view, config)
            quiet.append(Observation.of(features, mixing, noise))
            loud.append(Observation.of(features, mixing, noise + np.diag(loudness(mixing, noise, config))))
            silent.append(np.select([~present, ~features.any(axis=1)], ["absent", "zeros"], ""))
        return cls(config, _correlation(views), tuple(quiet), tuple(loud), tuple(silent))

    def __len__(self) -> int:
        return self.config.steps


def linear_view(view: View, config: SyntheticConfig) -> tuple[Array, Array]:
    """Mixing (SMOOTH + TRAITS, D) of a stream's unknowns, all of variance 1, and covariance (D, D) of its noise."""
    nodes, weights = hermegauss(41)
    weights = weights / weights.sum()
    shown = np.array(list(product(nodes, nodes)))
    density = np.outer(weights, weights).ravel()
    bent = BEND * np.tanh(shown @ view.bent)
    linear = (shown * density[:, None]).T @ bent
    left = bent - shown @ linear
    unknown = [view.straight + linear, config.nuisance * view.nuisance, config.identity * view.traits]
    white = config.noise**2 + 10.0 ** (-2 * PLACES) / 12  # rounding is noise, too
    return np.concatenate(unknown), (left * density[:, None]).T @ left + white * np.eye(view.straight.shape[1])


def loudness(mixing: Array, noise: Array, config: SyntheticConfig) -> Array:
    """(D,) expected variance of what a `noise` event adds: NOISE squared times that of the features over a clip."""
    lag = np.arange(config.steps) / (config.correlation_s * config.rate)
    persistent = 2 * ((1 - np.arange(config.steps) / config.steps) * np.exp(-(lag**2))).sum() / config.steps
    varying: Array = (mixing[:SMOOTH] ** 2).sum(axis=0) * max(0.0, 1 - persistent) + np.diag(noise)
    return NOISE**2 * varying


# Smooth processes as bumps


class Bumps:
    """A process of the generator's covariance over time: the sum over j of height_j times a bump at j deviations, with
    independent heights of variance 1. `count` of them reach a step."""

    def __init__(self, config: SyntheticConfig):
        self.spacing = config.correlation_s * config.rate / 2
        self.count = int(2 * REACH) + 1

    def first(self, step: float) -> int:
        """Number of the first bump that reaches a step."""
        return int(np.ceil(step / self.spacing - REACH))

    def at(self, steps: Array, first: int, count: int) -> Array:
        """(t, count) sizes at these steps (t,) of the bumps from `first` on."""
        distance = steps[:, None] / self.spacing - (first + np.arange(count))
        return np.where(np.abs(distance) <= REACH, np.pi**-0.25 * np.exp(-0.5 * distance**2), 0.0)


def _design(loadings: Array, sizes: Array) -> Array:
    """(r, TRAITS + count * SMOOTH): loadings of one stream on identity, then on the heights of each bump."""
    smooth, identity = loadings[:, :SMOOTH], loadings[:, SMOOTH:]
    return np.concatenate([identity, np.kron(sizes, smooth)], axis=1)


def _covariance_of_both(sees: Array) -> Array:
    """(2 SMOOTH, 2 SMOOTH) covariance of the processes of voice and face: what they show is correlated."""
    covariance = np.eye(2 * SMOOTH)
    for k, correlation in enumerate(sees):
        covariance[k, SMOOTH + k] = covariance[SMOOTH + k, k] = correlation
    return covariance


# Hypotheses: sequences of runs


class State(NamedTuple):
    """One of the two streams, 0 or 1, has an event of this kind; stream -1: none has."""

    stream: int
    kind: str


CLEAN = State(-1, "")
Changes = tuple[tuple[int, State], ...]


class Normal(NamedTuple):
    """A normal distribution of the unknowns (n,): identity first, then the bumps that reach the present step."""

    mean: Array
    covariance: Array


@dataclass(frozen=True)
class Hypothesis:
    """A sequence of runs up to the present step.

    Attributes:
        weight: log of its posterior weight.
        changes: step and state of the start of every run.
        own: the unknowns of the clip's own streams.
        donor: those of the stream that an `other` event shows at present.
        wrong: (t, 2) whether voice and face are another's, at every step so far; fractions where hypotheses were
            joined.
    """

    weight: float
    changes: Changes
    own: Normal
    donor: Normal | None
    wrong: NDArray[np.float32]

    @property
    def state(self) -> State:
        return self.changes[-1][1]


@dataclass(frozen=True)
class Runs:
    """Lengths of pauses and events in steps, as probabilities that a run ends after r steps, given that it lasted r."""

    pause: Array
    event: Array
    states: tuple[State, ...]

    @classmethod
    def of(cls, config: SyntheticConfig) -> Runs:
        """Those of the generator."""
        pause, event = (_ending(_lengths(low, high, config.steps)) for low, high in run_bounds(config))
        return cls(pause, event, tuple(State(i, kind) for i in range(len(MODALITIES)) for kind in config.event_kinds))

    def next(self, state: State, length: int) -> Iterator[tuple[float, State | None]]:
        """Probability of every state that may follow a run of this length; None: the run continues."""
        ends = float((self.pause if state == CLEAN else self.event)[length])
        at_once = ends if state == CLEAN else ends * float(self.pause[0])
        yield 1 - ends, None
        yield ends - at_once, CLEAN
        yield from ((at_once / len(self.states), other) for other in self.states)


def run_bounds(config: SyntheticConfig) -> tuple[tuple[float, float], tuple[float, float]]:
    """Bounds (steps) of the length of a pause and of an event, both uniform; without events no pause ends in a clip."""
    mean_s = np.mean(config.event_s) * (1 / config.event_share - 1) if config.event_share else np.inf
    longest = 2 * float(min(mean_s * config.rate, 1e6 * config.steps))
    return (0.0, longest), (config.event_s[0] * config.rate, config.event_s[1] * config.rate)


def _lengths(low: float, high: float, most: int) -> Array:
    """(most + 2,) probability of 0, 1, ... steps of a run whose length is uniform in [low, high], ends rounded; the
    last is that of all greater lengths."""

    def twice_integrated(x: Array) -> Array:
        if low == high:
            ramp: Array = np.maximum(x - low, 0)
            return ramp
        bend: Array = np.maximum(x - low, 0) ** 2 - np.maximum(x - high, 0) ** 2
        return bend / (2 * (high - low))

    length = np.arange(most + 1, dtype=np.float64)
    share = twice_integrated(length + 1) - 2 * twice_integrated(length) + twice_integrated(length - 1)
    shares: Array = np.append(share, 1 - share.sum()).clip(0, 1)
    return shares


def _ending(share: Array) -> Array:
    """Probability that a run ends after r steps, given that it lasted r, from the probabilities of its lengths."""
    left = share[::-1].cumsum()[::-1]
    ending: Array = np.divide(share, left, out=np.ones_like(share), where=left > 1e-12).clip(0, 1)
    return ending


# The posterior


def posterior(streams: Streams) -> Array:
    """(t, 2) probability that the voice, and that the face, is another clip's, given both streams of the clip.

    Raises:
        InputError: the features can't come from the parameters, or tell too little for an exact posterior.
    """
    steps, config = len(streams), streams.config
    settled, apart = (round(seconds * config.rate) for seconds in (SETTLED_S, APART_S))
    filter_, runs = Filter(streams), Runs.of(config)
    hypotheses = [Hypothesis(0.0, ((0, CLEAN),), filter_.own_prior, None, np.zeros((steps, 2), np.float32))]
    for step in range(steps):
        hypotheses = _joined(filter_.advanced(hypotheses, runs, step), step - settled, apart)
    if filter_.lost > MOST_LOST:
        what = f"a step leaves more than {MOST} hypotheses open ({filter_.lost:.1%} beyond): no exact posterior"
        raise InputError(what, remedy="draw a corpus with less noise, more features or a higher rate")
    weights = np.array([h.weight for h in hypotheses])
    shares = np.exp(weights - logsumexp(weights))
    return np.tensordot(shares, np.stack([h.wrong for h in hypotheses]).astype(np.float64), axes=1)


def _joined(hypotheses: list[Hypothesis], settled: int, apart: int) -> list[Hypothesis]:
    """Hypotheses, the heaviest first, where those are one that differ only in the place of changes before `settled`."""
    kept: list[Hypothesis] = []
    for h in hypotheses:
        place = next((i for i, other in enumerate(kept) if _alike(h.changes, other.changes, settled, apart)), None)
        if place is None:
            kept.append(h)
            continue
        weight = float(np.logaddexp(h.weight, kept[place].weight))
        share = np.float32(np.exp(h.weight - weight))
        kept[place] = replace(kept[place], weight=weight, wrong=share * h.wrong + (1 - share) * kept[place].wrong)
    return kept


def _alike(one: Changes, other: Changes, settled: int, apart: int) -> bool:
    if len(one) != len(other) or one[-1][1] != other[-1][1]:
        return False
    return all(
        state == state_ and (step == step_ or (max(step, step_) < settled and abs(step - step_) <= apart))
        for (step, state), (step_, state_) in zip(one, other, strict=True)
    )


class Candidate(NamedTuple):
    """A hypothesis (its number) with a state of the next step; `following` is None if the run continues."""

    weight: float
    parent: int
    state: State
    following: State | None


class Filter:
    """The likelihood of the next step under hypotheses, and what the step adds to what each of them knows."""

    def __init__(self, streams: Streams):
        self.streams, self.bumps = streams, Bumps(streams.config)
        self.both, one = _covariance_of_both(streams.sees), np.eye(SMOOTH)
        count = self.bumps.count
        own, donor = _blocks(np.eye(2 * TRAITS), *[self.both] * count), _blocks(np.eye(TRAITS), *[one] * count)
        self.own_prior, self.donor_prior = (Normal(np.zeros(len(c)), c) for c in (own, donor))
        self.observed = [*streams.quiet, *(streams.loud if "noise" in streams.config.event_kinds else ())]
        ends = np.cumsum([0, *(len(o.loadings) for o in self.observed)])
        self.lost = 0.0  # largest weight, relative to all, of the hypotheses that MOST has dropped at one step
        self.rows = [np.arange(start, end) for start, end in pairwise(ends)]

    def advanced(self, hypotheses: list[Hypothesis], runs: Runs, step: int) -> list[Hypothesis]:
        """What may follow at this step, the heaviest first, without what is negligible.

        Raises:
            InputError: nothing can follow.
        """
        hypotheses = [self._moved(h, step) for h in hypotheses]
        own = Prediction.of([h.own for h in hypotheses], self._own_design(step))
        known = [h.donor or self.donor_prior for h in hypotheses]
        values = [o.values[step] for o in self.streams.quiet]
        as_donor = [Prediction.of([*known, self.donor_prior], self._donor_design(i, step)) for i in range(2)]
        donor_fit = [d.log_density(v) + o.rest[step]
                     for d, v, o in zip(as_donor, values, self.streams.quiet, strict=True)]  # fmt: skip
        fits: dict[State, Array] = {}
        candidates = []
        for number, h in enumerate(hypotheses):
            for share, following in runs.next(h.state, step - h.changes[-1][0]):
                state = following or h.state
                if share <= 0 or not self._possible(state, step):
                    continue
                if state not in fits:
                    rows, seen, rest = self._own_observed(state, step)
                    fits[state] = own.log_density(seen, rows) + rest
                fit = fits[state][number]
                if state.kind == OTHER:
                    fit += donor_fit[state.stream][-1 if following else number]
                candidates.append(Candidate(h.weight + float(np.log(share) + fit), number, state, following))
        if not candidates:
            raise InputError(f"the features of step {step} can't come from the parameters of the corpus")
        candidates.sort(key=lambda c: -c.weight)
        kept = [c for c in candidates if c.weight > candidates[0].weight + np.log(NEGLIGIBLE)]
        if len(kept) > MOST:
            shares = np.exp([c.weight - candidates[0].weight for c in kept])
            self.lost = max(self.lost, float(shares[MOST:].sum() / shares.sum()))
            kept = kept[:MOST]
        result: dict[int, Hypothesis] = {}
        for state in {c.state for c in kept}:
            members = [i for i, c in enumerate(kept) if c.state == state]
            parents = [kept[i].parent for i in members]
            rows, seen, _ = self._own_observed(state, step)
            owns: list[Normal] = own.corrected(parents, seen, rows)
            donors: list[Normal | None] = [None] * len(members)
            if state.kind == OTHER:
                places = [-1 if kept[i].following else kept[i].parent for i in members]
                donors = [*as_donor[state.stream].corrected(places, values[state.stream])]
            for i, own_, donor in zip(members, owns, donors, strict=True):
                result[i] = _followed(hypotheses[kept[i].parent], kept[i], own_, donor, step)
        return [result[i] for i in range(len(kept))]

    def _moved(self, h: Hypothesis, step: int) -> Hypothesis:
        """The hypothesis with the bumps that reach this step in place of those that reached the last."""
        for _ in range(self.bumps.first(step) - self.bumps.first(max(step - 1, 0))):
            donor = None if h.donor is None else _shifted(h.donor, TRAITS, np.eye(SMOOTH))
            h = replace(h, own=_shifted(h.own, 2 * TRAITS, self.both), donor=donor)
        return h

    def _possible(self, state: State, step: int) -> bool:
        """Whether the silence that is there to see is that of the state."""
        return all(
            silent[step] == (state.kind if state.stream == i and state.kind in ("absent", "zeros") else "")
            for i, silent in enumerate(self.streams.silent)
        )

    def _own_observed(self, state: State, step: int) -> tuple[NDArray[np.intp], Array, float]:
        """Rows of the observations of a step that show the clip's own streams, their values, and their `rest`."""
        shown = [i for i in range(2) if state.stream != i]
        if state.kind == "noise":
            shown.append(2 + state.stream)
        rows = np.concatenate([self.rows[i] for i in shown])
        values = np.concatenate([self.observed[i].values[step] for i in shown])
        return rows, values, sum(float(self.observed[i].rest[step]) for i in shown)

    def _sizes(self, step: int) -> Array:
        sizes: Array = self.bumps.at(np.array([float(step)]), self.bumps.first(step), self.bumps.count)[0]
        return sizes

    def _own_design(self, step: int) -> Array:
        """(r, n) of all observations: voice and face, then both as they are under noise."""
        sizes, designs = self._sizes(step), []
        for number, observation in enumerate(self.observed):
            stream, loadings = number % 2, observation.loadings
            smooth, identity = (np.zeros((len(loadings), 2 * n)) for n in (SMOOTH, TRAITS))
            smooth[:, stream * SMOOTH : (stream + 1) * SMOOTH] = loadings[:, :SMOOTH]
            identity[:, stream * TRAITS : (stream + 1) * TRAITS] = loadings[:, SMOOTH:]
            designs.append(np.concatenate([identity, np.kron(sizes, smooth)], axis=1))
        return np.concatenate(designs)

    def _donor_design(self, stream: int, step: int) -> Array:
        return _design(self.streams.quiet[stream].loadings, self._sizes(step))


def _followed(parent: Hypothesis, chosen: Candidate, own: Normal, donor: Normal | None, step: int) -> Hypothesis:
    wrong, changes = parent.wrong.copy(), parent.changes
    if chosen.state.kind == OTHER:
        wrong[step, chosen.state.stream] = 1
    if chosen.following is not None:
        changes = ((0, chosen.state),) if step == 0 else (*changes, (step, chosen.state))
    return Hypothesis(chosen.weight, changes, own, donor, wrong)


@dataclass(frozen=True)
class Prediction:
    """What h hypotheses expect of the r observations of a step.

    Attributes:
        known: (h, n) means and (h, n, n) covariances of the unknowns.
        mean: (h, r).
        covariance: (h, r, r), without the noise of the observations.
        across: (h, r, n) covariance of observations and unknowns.
    """

    known: Normal
    mean: Array
    covariance: Array
    across: Array

    @classmethod
    def of(cls, known: list[Normal], design: Array) -> Prediction:
        """From what each hypothesis knows, and the design (r, n) of the observations."""
        means, covariances = (np.stack(parts) for parts in zip(*known, strict=True))
        across = design @ covariances
        return cls(Normal(means, covariances), means @ design.T, across @ design.T, across)

    def log_density(self, values: Array, rows: Rows = ALL) -> Array:
        """(h,) log density of the values of some rows."""
        root = np.linalg.cholesky(self._covariance(rows))
        white = np.linalg.solve(root, (values - self.mean[:, rows])[..., None])[..., 0]
        volume = np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
        density: Array = -0.5 * ((white**2).sum(axis=1) + len(values) * np.log(2 * np.pi)) - volume
        return density

    def corrected(self, numbers: list[int], values: Array, rows: Rows = ALL) -> list[Normal]:
        """What the hypotheses of these numbers know after the values of some rows."""
        root = np.linalg.cholesky(self._covariance(rows)[numbers])
        surprise = (values - self.mean[numbers][:, rows])[..., None]
        white = np.linalg.solve(root, np.concatenate([surprise, self.across[numbers][:, rows]], axis=2))
        gain = np.swapaxes(white[..., 1:], 1, 2)
        means = self.known.mean[numbers] + (gain @ white[..., :1])[..., 0]
        covariances = self.known.covariance[numbers] - gain @ white[..., 1:]  # symmetric, so it stays a covariance
        return [Normal(mean, covariance) for mean, covariance in zip(means, covariances, strict=True)]

    def _covariance(self, rows: Rows) -> Array:
        covariance = self.covariance[:, rows][:, :, rows]
        return covariance + np.eye(covariance.shape[1])


def _blocks(*blocks: Array) -> Array:
    whole: Array = block_diag(*blocks)
    return whole


def _shifted(known: Normal, fixed: int, bump: Array) -> Normal:
    """Without the first bump after the `fixed` unknowns, with a new one of this covariance at the end."""
    width = len(bump)
    kept = np.r_[:fixed, fixed + width : len(known.mean)]
    mean = np.concatenate([known.mean[kept], np.zeros(width)])
    return Normal(mean, _blocks(known.covariance[np.ix_(kept, kept)], bump))


# Agreement, run by run


class Agreement:
    """The posterior that ignores seams, by forward-backward over the runs of a clip on a grid of `GRID_S`.

    A clean run has the likelihood ratio p(voice, face) / (p(voice) p(face)) of its features, an event the ratio 1.
    """

    def __init__(self, config: SyntheticConfig, views: Mapping[str, View]):
        self.bumps, self.block = Bumps(config), max(1, round(GRID_S * config.rate))
        self.blocks = config.steps // self.block
        self.pause, self.event = (
            _lengths(low / self.block, high / self.block, self.blocks) for low, high in run_bounds(config)
        )
        loadings = [
            Observation.of(np.zeros((0, view.straight.shape[1])), *linear_view(view, config)).loadings
            for view in views.values()
        ]
        both = _covariance_of_both(_correlation(views))
        self.forms = [self._form(loadings, both, length) for length in range(1, self.blocks + 1)]

    def _sizes(self, length: int) -> Array:
        """(steps, count) sizes of all bumps that reach a run of this many blocks."""
        steps = np.arange(length * self.block, dtype=np.float64)
        first = self.bumps.first(0)
        return self.bumps.at(steps, first, self.bumps.first(steps[-1]) - first + self.bumps.count)

    def _form(self, loadings: Sequence[Array], both: Array, length: int) -> tuple[Array, float]:
        """The log likelihood ratio of a clean run of this many blocks as a function of its projected features x (n,):
        x' form x + constant."""
        sizes = self._sizes(length)
        smooth, identity = (block_diag(*parts) for parts in ([x[:, :SMOOTH] for x in loadings],
                                                             [x[:, SMOOTH:] for x in loadings]))  # fmt: skip
        across = np.kron(sizes.sum(axis=0), identity.T @ smooth)
        seen = np.block(
            [[len(sizes) * identity.T @ identity, across], [across.T, np.kron(sizes.T @ sizes, smooth.T @ smooth)]]
        )
        apart = np.eye(len(seen))
        together = block_diag(np.eye(2 * TRAITS), np.kron(np.eye(sizes.shape[1]), both))
        spread = [np.linalg.inv(np.linalg.inv(prior) + seen) for prior in (together, apart)]
        volume = [np.linalg.slogdet(apart + prior @ seen)[1] for prior in (together, apart)]
        return (spread[0] - spread[1]) / 2, float(volume[1] - volume[0]) / 2

    def ratios(self, streams: Streams) -> Array:
        """(blocks + 1, blocks + 1) log likelihood ratio of a clean run from block s up to, not including, block e."""
        said = [o.values @ o.loadings for o in streams.quiet]
        smooth, identity = (np.concatenate([x[:, part] for x in said], axis=1)
                            for part in (slice(SMOOTH), slice(SMOOTH, None)))  # fmt: skip
        sizes = self._sizes(self.blocks)
        ratios = np.full((self.blocks + 1, self.blocks + 1), -np.inf)
        of_identity = np.zeros((self.blocks, identity.shape[1]))
        of_bumps = np.zeros((self.blocks, sizes.shape[1], smooth.shape[1]))
        for length, (form, constant) in enumerate(self.forms, start=1):
            starts = np.arange(self.blocks - length + 1)
            last = slice((length - 1) * self.block, length * self.block)  # steps of the run that are new
            steps = starts[:, None] * self.block + np.arange(last.start, last.stop)
            of_identity[starts] += identity[steps].sum(axis=1)
            of_bumps[starts] += np.einsum("tj,stk->sjk", sizes[last], smooth[steps])
            flat = np.concatenate([of_identity, of_bumps.reshape(self.blocks, -1)], axis=1)[starts, : len(form)]
            ratios[starts, starts + length] = ((flat @ form) * flat).sum(axis=1) + constant
        return ratios

    def posterior(self, streams: Streams) -> Array:
        """(t,) probability that one of the two streams is another's."""
        with np.errstate(divide="ignore"):
            pause, event = np.log(self.pause), np.log(self.event)
            rest = [np.log(share[::-1].cumsum()[::-1].clip(0, 1)) for share in (self.pause, self.event)]  # r or longer
        n, ratios = self.blocks, self.ratios(streams)
        nothing = np.full(n + 1, -np.inf)
        clean_from, wrong_from = nothing.copy(), nothing.copy()  # log weight of all that leads to a run from here
        clean_from[0], wrong_from[0] = 0.0, pause[0]
        for end in range(1, n):
            before = np.arange(end)
            ended_clean = logsumexp(clean_from[:end] + pause[end - before] + ratios[:end, end])
            ended_wrong = logsumexp(wrong_from[:end] + event[end - before])
            clean_from[end], wrong_from[end] = ended_wrong, np.logaddexp(ended_clean, ended_wrong + pause[0])
        clean_on, wrong_on = nothing.copy(), nothing.copy()  # of all that follows, if a run starts here
        for start in range(n - 1, -1, -1):
            after = np.arange(start + 1, n)
            follows = np.logaddexp(clean_on[after], pause[0] + wrong_on[after])
            wrong_on[start] = logsumexp([*(event[after - start] + follows), rest[1][n - start]])
            clean = pause[after - start] + ratios[start, after] + wrong_on[after]
            clean_on[start] = logsumexp([*clean, rest[0][n - start] + ratios[start, n]])
        total = np.logaddexp(clean_on[0], pause[0] + wrong_on[0])
        changes = np.zeros(n + 1)
        for start in range(n):
            after = np.arange(start + 1, n)
            follows = np.logaddexp(clean_on[after], pause[0] + wrong_on[after])
            shares = np.exp(wrong_from[start] + np.append(event[after - start] + follows, rest[1][n - start]) - total)
            changes[start] += shares.sum()
            changes[start + 1 :] -= shares
        probability: Array = changes.cumsum()[:n].clip(0, 1)
        of_steps: Array = probability[(np.arange(len(streams)) // self.block).clip(0, n - 1)]
        return of_steps


def _correlation(views: Mapping[str, View]) -> Array:
    """(2,) correlation between what voice and face show of valence and of arousal."""
    correlation: Array = np.prod([view.sees for view in views.values()], axis=0)
    return correlation
