"""How unusual is the disagreement of voice and face? One number in [0, 1] per step, calibrated without any events.

It is symmetric: it says that voice and face do not belong together, not which of them is wrong. Three kinds of
evidence are added as log-odds of "they do not belong together" against "they do":

readings    the pair of readings (`readings.py`), averaged over 1 s. For Gaussian readings the log-odds of a pair drawn
            independently against a pair of one clip are a quadratic form in both.
synchrony   does the mouth move with the sound? (the cue of that name)
identity    is this stretch of voice, or of face, another person than in the rest of the clip? Log-odds of two people
            against one, for Gaussian people and Gaussian variation within a clip, as in PLDA (Prince and Elder, 2007).

What disagreement looks like is learned from the voices of train clips paired with the faces of others. Log-odds become
a share: .95 means more unusual than in 95 % of the time in clips whose voice and face belong together.

Letters: t steps, k dimensions of the identity space.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iaca.encoders.cues import synchrony
from iaca.encoders.embedding import AnnotatedClip, ClipEmbedding
from iaca.parameters import MODALITIES, Modality
from iaca.training.readings import Readers, Readings, every_nth, local_mean, rate_of, stride
from iaca.training.sample import BoolArray, FloatArray, Normalisation, read_cues

Array = NDArray[np.float64]

MEAN_S = 1.0
"""Readings and the result are averaged over this time (s)."""
IDENTITY_S = 2.0
"""A stretch of this length (s) is compared with the rest of the clip."""
IDENTITY_DIMENSIONS = 12
NOISY = 10.0
"""A corrupted stretch has a covariance this many times that within a clip: it is unusual, but not another person."""
PARTNERS = 2
"""With so many other clips every train clip is paired."""
ROWS = 50_000
"""At most this many steps are fitted to."""
QUANTILES = 201
OPENING, LEVEL, SYNCHRONY = "mouth_opening", "sound_level", "synchrony"


@dataclass(frozen=True)
class Identity:
    """People in one modality, in the first k principal components.

    Attributes:
        space: (D, k), those components of normalised embeddings.
        same: (k, k), covariance of a stretch's departure from the median of its clip.
        other: (k, k), the same for a stretch of another clip.
    """

    space: FloatArray
    same: FloatArray
    other: FloatArray

    def log_odds(self, x: FloatArray, present: BoolArray, rate: float) -> Array:
        """Normalised embeddings (t, D) -> log-odds of another person (t,); 0 where the modality is absent."""
        stretch, middle = _stretches(x, self.space, present, rate)
        departure = stretch - middle
        usual = np.logaddexp(_log_density(departure, self.same), _log_density(departure, NOISY * self.same) - 1.0)
        return np.where(present, _log_density(departure, self.other) - usual, 0.0)


@dataclass(frozen=True)
class Inconsistency:
    """What `inconsistency` is computed with; every field is a float32 array.

    Attributes:
        mean: (4,), of the pair of readings: voice valence, voice arousal, face valence, face arousal.
        covariance: (4, 4), likewise.
        evidence: (3,) weight of the readings' log-odds, weight of synchrony, constant.
        audio_same, audio_other, visual_same, visual_other: of `Identity`.
        quantiles: rising log-odds at equal steps of probability, in clips whose voice and face belong together.
    """

    mean: FloatArray
    covariance: FloatArray
    evidence: FloatArray
    audio_same: FloatArray
    audio_other: FloatArray
    visual_same: FloatArray
    visual_other: FloatArray
    quantiles: FloatArray

    def share(self, odds: Array) -> FloatArray:
        """Inconsistency (t,) in [0, 1] of `log_odds` (t, 3); NaN where voice and face were not both observed nearby."""
        shares = np.interp(odds[:, 0], self.quantiles, np.linspace(0.0, 1.0, len(self.quantiles)))
        return np.where(np.isfinite(odds[:, 0]), shares, np.nan).astype(np.float32)

    def log_odds(
        self, clip: ClipEmbedding, normalisation: Normalisation, readers: Readers, readings: FloatArray
    ) -> Array:
        """Log-odds (t, 3): that voice and face do not belong together, that it is another voice, another face.

        The three ways in which they may not belong together, equally likely: the same people with other feelings,
        another voice, another face. The first column is NaN where voice and face were not both observed within the 1 s
        around, the others are 0 where unknown.

        Args:
            clip: of t steps.
            normalisation: of its embeddings.
            readers: of voice and face.
            readings: (t, 2, 2), what they say of the clip.
        """
        both, rate = _both(clip), rate_of(clip)
        disagreement = self._disagreement(readings, read_cues(clip, [SYNCHRONY])[:, 0], both, rate)
        persons = np.zeros((len(clip), 3))
        for i, modality in enumerate(MODALITIES, start=1):
            present = clip.present[modality]
            x = normalisation.apply(clip.features[modality], present, modality)
            persons[:, i] = self.identity(modality, readers).log_odds(x, present, rate)
        odds = disagreement + np.logaddexp.reduce(persons, axis=1) - np.log(3)
        near = local_mean(both[:, None].astype(np.float64), np.ones_like(both), rate * MEAN_S)[:, 0] > 0
        persons[:, 0] = np.where(near, local_mean(odds[:, None], both, rate * MEAN_S)[:, 0], np.nan)
        return persons

    def identity(self, modality: Modality, readers: Readers) -> Identity:
        """People in one modality."""
        same, other = (getattr(self, f"{modality}_{name}") for name in ("same", "other"))
        return Identity(readers.of(modality).components[:, : len(same)], same, other)

    def _disagreement(self, readings: FloatArray, agreement: FloatArray, both: BoolArray, rate: float) -> Array:
        pair = local_mean(readings.reshape(len(readings), 4), both, rate * MEAN_S)
        rows = np.column_stack([_independence(pair, self.mean, self.covariance), np.nan_to_num(agreement)])
        return np.asarray(rows @ self.evidence[:2] + self.evidence[2])


def _independence(pair: Array, mean: FloatArray, covariance: FloatArray) -> Array:
    """Log-odds (t,) of readings (t, 4) drawn independently against drawn as a pair, both Gaussian."""
    apart = covariance.copy()
    apart[:2, 2:] = apart[2:, :2] = 0.0
    return _log_density(pair - mean, apart) - _log_density(pair - mean, covariance)


def _log_density(x: Array, covariance: FloatArray) -> Array:
    """Log of the Gaussian density (t,) of centred x (t, k), up to a constant."""
    factor = np.linalg.cholesky(covariance.astype(np.float64))
    whitened = np.linalg.solve(factor, x.T)
    return np.asarray(-0.5 * (whitened**2).sum(axis=0) - np.log(np.diag(factor)).sum())


def _stretches(x: FloatArray, space: FloatArray, present: BoolArray, rate: float) -> tuple[Array, Array]:
    """Averages (t, k) of the stretch around each step, and the median (k,) of the clip; 0 without any observation."""
    stretch = local_mean(x @ space, present, rate * IDENTITY_S)
    middle = np.median(stretch[present], axis=0) if present.any() else np.zeros(space.shape[1])
    return stretch, middle


# --- the fit ---


def fit_inconsistency(
    clips: Mapping[str, AnnotatedClip],
    subjects: Mapping[str, str],
    readings: Readings,
    held_out: Mapping[str, AnnotatedClip],
    normalisation: Normalisation,
) -> Inconsistency | None:
    """Learn from clips whose voice and face mostly belong together; annotation and events are not used.

    Args:
        clips: of the train partition; their readings are those of readers that have not seen the subject.
        subjects: of the clips; a clip that is not listed is a subject of its own.
        readings: of `clips`, with the readers.
        held_out: clips of other subjects, which calibrate together with `clips`.
        normalisation: of the embeddings.

    Returns:
        None if voice and face are observed together in fewer than two subjects.
    """
    embeddings = {name: clip.embedding for name, clip in clips.items()}
    usable = {n: c for n, c in embeddings.items() if _both(c).any()}
    if len({subjects.get(name, name) for name in usable}) < 2:
        return None
    every = stride(usable, held_out)

    def pair(name: str) -> Array:
        return _pair(usable[name], readings.out_of_fold[name])

    mean, covariance = _moments([pair(name)[every_nth(_both(clip), every)] for name, clip in usable.items()])
    # copies throughout: a slice would keep the whole array, and memory would grow with the corpus
    own = [_evidence(pair(n), c, c, mean, covariance)[::every].copy() for n, c in usable.items()]
    mixed = [
        _evidence(_mixed(pair(voice), pair(face)), usable[voice], usable[face], mean, covariance)[::every].copy()
        for voice, face in partners(list(usable), subjects)
    ]
    people = {m: _fit_identity(m, usable, readings.readers, normalisation) for m in MODALITIES}
    persons = {f"{m}_{name}": getattr(people[m], name) for m in MODALITIES for name in ("same", "other")}
    judge = Inconsistency(mean, covariance, _fit_evidence(own, mixed), **persons, quantiles=np.empty(0, np.float32))
    readers = readings.readers

    def known_odds(clip: ClipEmbedding, read: FloatArray) -> Array:
        odds = judge.log_odds(clip, normalisation, readers, read)[:, 0]
        return odds[np.isfinite(odds)][::every].copy()

    known = [known_odds(clip, readings.out_of_fold[name]) for name, clip in usable.items()]
    for clip in held_out.values():
        known.append(known_odds(clip.embedding, readers.read(clip.embedding, normalisation)))
    quantiles = clip_quantiles([values for values in known if len(values)], np.linspace(0, 1, QUANTILES))
    return Inconsistency(**{**vars(judge), "quantiles": quantiles.astype(np.float32)})


def partners(names: Sequence[str], subjects: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Pairs of clips of different subjects: the voice of the first, the face of the second."""
    for i, voice in enumerate(names):
        others = [n for n in (*names[i + 1 :], *names[:i]) if subjects.get(n, n) != subjects.get(voice, voice)]
        yield from ((voice, face) for face in others[:: max(1, len(others) // PARTNERS)][:PARTNERS])


def clip_quantiles(values: Sequence[Array], shares: Array) -> Array:
    """Quantiles of values pooled over clips, each clip with the same weight however long it is."""
    weights = np.concatenate([np.full(len(part), 1 / len(part)) for part in values])
    pooled = np.concatenate(values)
    order = np.argsort(pooled, kind="stable")
    reached = np.cumsum(weights[order]) - weights[order] / 2
    return np.interp(shares, reached / weights.sum(), pooled[order])


def _both(clip: ClipEmbedding) -> BoolArray:
    return clip.audio_present & clip.face_found


def _pair(clip: ClipEmbedding, readings: FloatArray) -> Array:
    return local_mean(readings.reshape(len(clip), 4), _both(clip), rate_of(clip) * MEAN_S)


def _mixed(voice: Array, face: Array) -> Array:
    """The voice's readings of one clip with the face's of another, over the steps that both have."""
    steps = min(len(voice), len(face))
    return np.concatenate([voice[:steps, :2], face[:steps, 2:]], axis=1)


def _moments(parts: Sequence[Array]) -> tuple[FloatArray, FloatArray]:
    pooled = np.concatenate(parts)
    covariance = np.cov(pooled.T) + 1e-4 * np.eye(pooled.shape[1])
    return pooled.mean(axis=0).astype(np.float32), covariance.astype(np.float32)


def _evidence(
    pair: Array, voice: ClipEmbedding, face: ClipEmbedding, mean: FloatArray, covariance: FloatArray
) -> NDArray[np.float32]:
    """Evidence (n, 2), log-odds of the readings and synchrony, at the steps where voice and face are observed."""
    steps = len(pair)
    known = voice.audio_present[:steps] & face.face_found[:steps]
    agreement = read_cues(voice, [SYNCHRONY])[:steps, 0]
    if voice is not face:
        opening, level = (read_cues(c, [n])[:steps, 0] for c, n in ((face, OPENING), (voice, LEVEL)))
        agreement = synchrony(opening, level, voice.time_s[:steps], known)[SYNCHRONY]
    rows = np.column_stack([_independence(pair, mean, covariance), np.nan_to_num(agreement)])
    return rows[known].astype(np.float32)


def _fit_evidence(own: Sequence[NDArray[np.float32]], mixed: Sequence[NDArray[np.float32]]) -> FloatArray:
    """Weights of the log-odds of the readings and of synchrony, and the constant, by logistic regression.

    Evidence that points the wrong way is worth nothing: its weight is 0.
    """
    from sklearn.linear_model import LogisticRegression  # not installed where a model is only run

    rows = np.concatenate([*own, *mixed])
    apart = np.repeat([False, True], [sum(map(len, own)), sum(map(len, mixed))])
    every = max(1, len(rows) // ROWS)
    rows, apart = rows[::every], apart[::every]
    weights = np.zeros(3, np.float32)
    used = [i for i in range(2) if rows[:, i].std() > 0]
    while used and not apart.all() and apart.any():
        fit = LogisticRegression(class_weight="balanced").fit(rows[:, used], apart)
        signed = fit.coef_[0] * [1.0 if i == 0 else -1.0 for i in used]
        if (signed > 0).all():
            weights[used], weights[2] = fit.coef_[0], fit.intercept_[0]
            break
        used = [i for i, sign in zip(used, signed, strict=True) if sign > 0]
    return weights


def _fit_identity(
    modality: Modality, clips: Mapping[str, ClipEmbedding], readers: Readers, normalisation: Normalisation
) -> Identity:
    """Covariances within clips and between them, in the first principal components."""
    space = readers.of(modality).components[:, :IDENTITY_DIMENSIONS]
    size = space.shape[1]
    within, rows, middles = np.zeros((size, size)), 0, []
    for clip in clips.values():
        present = clip.present[modality]
        x = normalisation.apply(clip.features[modality], present, modality)
        stretch, middle = _stretches(x, space, present, rate_of(clip))
        departure = (stretch - middle)[present]
        within, rows = within + departure.T @ departure, rows + len(departure)
        middles.append(middle)
    same = within / max(rows, 1)
    same += max(0.01 * np.trace(same) / size, 1e-6) * np.eye(size)
    between = np.cov(np.stack(middles).T).reshape(size, size)
    return Identity(space, same.astype(np.float32), (same + 2 * between).astype(np.float32))
