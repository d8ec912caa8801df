"""How is a video read without a trained model? By the expression of the face and the effort of the voice.

A heuristic: an expression classifier's posteriors are placed on the valence-arousal plane, and arousal is supported by
vocal effort and pitch. Nothing in it was learned from valence or arousal, so it is a place to start from and measures
nothing. Its numbers are in `zero_shot.json`; `docs/guide/zero_shot.md` explains them. Two other files of rules have the
face read by blendshapes too, or by an encoder with a head that was trained on valence and arousal.

Letters: t steps, k modalities (voice, face).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator
from torch import from_numpy
from torch.special import erf, ndtr, ndtri, softmax

from iaca.audio.features import NAMES
from iaca.encoders.blendshapes import NAMES as BLENDSHAPES
from iaca.encoders.blendshapes import columns_of
from iaca.encoders.config import ENCODERS, EmbeddingConfig, identity
from iaca.encoders.embedding import ClipEmbedding
from iaca.errors import InputError, brief
from iaca.parameters import MODALITIES, Parameters, faults
from iaca.text import parse_json
from iaca.training.calibration import circumstances
from iaca.training.predict import ClipPrediction

Array = NDArray[np.float64]

CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""The classes of the expression encoder, in the order of its logits."""
TILT = ("alpha_ratio", "hammarberg_index")
"""Measures of vocal effort that the channel changes too."""
PITCH = "pitch_median"
EFFORT = (*TILT, PITCH)
"""Columns of the default audio encoder that say how much effort a voice takes."""

Reader = Literal["mini_xception", "blendshapes", "enet_b0_8_va_mtl", "mbf_va_mtl", "mobilevit_va_mtl"]
"""Encoders that a face can be read by."""
HEADS: tuple[Reader, ...] = ("enet_b0_8_va_mtl", "mbf_va_mtl", "mobilevit_va_mtl")
"""Those of them whose last two columns are valence and arousal."""
HOW: Mapping[Reader, str] = {
    "mini_xception": "an expression classifier's posteriors placed on the circumplex",
    "blendshapes": "blendshape coefficients weighted by hand",
    **{head: f"valence and arousal by {head}, trained on still pictures (AffectNet)" for head in HEADS},
}
Hearer = Literal["prosody", "wav2vec2_vad"]
"""Encoders that a voice can be read by; the last two columns of `wav2vec2_vad` are valence and arousal."""
BY_EFFORT, BY_HEAD = (
    "with arousal supported by the effort and pitch of the voice",
    "with valence and arousal of the voice by wav2vec2_vad, trained on recorded speech (MSP-Podcast)",
)

NAME, KIND = "zero_shot", "zero-shot heuristic"
GATES: Mapping[str, tuple[str, ...]] = {"modalities": ("audio", "visual")}
SOURCES: Mapping[str, tuple[str, ...]] = {"valence": ("visual",), "arousal": GATES["modalities"]}
CAVEAT = "HEURISTIC, not a trained model: {how}, {voice}. {fitted}; its limits: docs/guide/zero_shot.md"
UNFITTED, BY_OTHERS = "Never fitted to valence or arousal", "Never fitted to videos"
UNCALIBRATED = "none: nothing was calibrated on annotated clips; adapt the model to clips of your own"
INCONSISTENCY = "of the arousal of voice and face, if they go together as stated: not calibrated on people"
REMEDY = "give a file like the project's own zero_shot.json"
RANKS = 64  # of a reading, at which the share of pairs with less surprise is computed
LEAST_S = 0.03  # s of evidence that whatever is present at a step has at least in its share

# The numbers of the model, and the JSON file that holds them

Value = Annotated[float, Field(ge=-1, le=1)]


class Ramp(Parameters):
    """How a measurement becomes trust: 0 at `none` and beyond, 1 at `full` and beyond, linear in between."""

    none: float
    full: float

    @model_validator(mode="after")
    def _steep(self) -> Ramp:
        if self.none == self.full:
            raise ValueError("a ramp needs two different ends")
        return self


class Scale(Parameters):
    """How a descriptor is read: `usual` is neither calm nor aroused, `unit` above it is one unit of arousal."""

    usual: float
    unit: float

    @model_validator(mode="after")
    def _not_flat(self) -> Scale:
        if self.unit == 0:
            raise ValueError("a unit of 0 measures nothing")
        return self


class Rest(Parameters):
    """How much of its own mean is subtracted from a reading: share T / (T + half_s) after T seconds of evidence."""

    share: float = Field(ge=0, le=1)
    half_s: float = Field(gt=0)


class BlendshapeRules(Parameters):
    """Weights of blendshapes: valence and arousal are the tanh of a weighted sum of coefficients.

    Attributes:
        valence, arousal: name -> weight; `mouthSmile` is the mean of `mouthSmileLeft` and `mouthSmileRight`.
    """

    valence: dict[str, float] = Field(min_length=1)
    arousal: dict[str, float] = Field(min_length=1)

    @model_validator(mode="after")
    def _known(self) -> BlendshapeRules:
        for name in [*self.valence, *self.arousal]:
            if not columns_of(name):
                raise ValueError(f"no blendshape named {name!r}")
        return self

    def matrix(self) -> Array:
        """(52, 2) weights of the columns of the encoder."""
        weights = np.zeros((len(BLENDSHAPES), 2))
        for dimension, given in enumerate((self.valence, self.arousal)):
            for name, weight in given.items():
                weights[columns_of(name), dimension] += weight / len(columns_of(name))
        return weights


class FaceRules(Parameters):
    """How a face is read.

    Attributes:
        encoders: whose columns it is read from. Several readings are averaged.
        coordinates: valence and arousal of each class of `mini_xception`; only if that is one of the encoders.
        blendshapes: only if that is one of the encoders.
        trust: quality cue -> ramp; the trust in a face is their product. An unknown cue counts as good.
        rest: of the face's own mean position.
    """

    encoders: tuple[Reader, ...] = Field(default=("mini_xception",), min_length=1)
    coordinates: dict[str, tuple[Value, Value]] = Field(default_factory=dict)
    blendshapes: BlendshapeRules | None = None
    trust: dict[str, Ramp]
    rest: Rest

    @model_validator(mode="after")
    def _complete(self) -> FaceRules:
        if len(set(self.encoders)) < len(self.encoders):
            raise ValueError(f"an encoder is named twice: {', '.join(self.encoders)}")
        if set(self.coordinates) != (set(CLASSES) if "mini_xception" in self.encoders else set()):
            raise ValueError(f"coordinates are needed of exactly {', '.join(CLASSES)}, and only for mini_xception")
        if (self.blendshapes is not None) != ("blendshapes" in self.encoders):
            raise ValueError("weights of blendshapes are needed if that is one of the encoders, and only then")
        return self


class VoiceRules(Parameters):
    """How a voice is read.

    Attributes:
        encoders: whose columns it is read from: `prosody` by vocal effort, or both, of which `wav2vec2_vad` then says
            valence and arousal and `prosody` whether there is a voice.
        effort: descriptor -> scale; exactly those of `EFFORT`.
        trust: quality cue or descriptor -> ramp; the trust that there is a voice is their product.
        channel: likewise; their product is the trust in spectral tilt.
        rest: of the speaker's own mean effort.
    """

    encoders: tuple[Hearer, ...] = ("prosody",)
    effort: dict[str, Scale]
    trust: dict[str, Ramp]
    channel: dict[str, Ramp]
    rest: Rest

    @property
    def head(self) -> bool:
        """Whether valence and arousal are outputs of an encoder."""
        return "wav2vec2_vad" in self.encoders

    @model_validator(mode="after")
    def _complete(self) -> VoiceRules:
        if self.encoders not in (("prosody",), ("prosody", "wav2vec2_vad")):
            raise ValueError("the encoders of a voice are prosody, or prosody and wav2vec2_vad in this order")
        if set(self.effort) != set(EFFORT):
            raise ValueError(f"scales are needed of exactly {', '.join(EFFORT)}")
        return self


class Agreement(Parameters):
    """How the arousal of voice and face go together where they belong together: as a pair of correlated Gaussians.

    Attributes:
        boundary: of low and high arousal, the mean of both readings.
        voice, face: deviation of each reading.
        correlation: of both.
    """

    boundary: float = Field(gt=-1, lt=1)
    voice: float = Field(gt=0)
    face: float = Field(gt=0)
    correlation: float = Field(gt=0, lt=1)

    def surprise(self, voice: Array, face: Array, used: Array | float = 1.0) -> Array:
        """How far the readings lie on opposite sides of the boundary, (t,) in [-1, 1]: the product of their ranks.

        A rank is the share of readings that are lower less the share that are higher. `used` (t,) is the share of the
        voice's descriptors that the channel carries: the voice's boundary is that part of the effort at the boundary.
        """
        own = np.tanh(used * np.arctanh(self.boundary))
        z = np.stack([(voice - own) / self.voice, (face - self.boundary) / self.face])
        x, y = erf(from_numpy(z) / 2**0.5).numpy()
        return np.asarray(-x * y)

    def share(self, surprise: Array) -> Array:
        """Share (t,) of pairs with less surprise: P(Y > -surprise / x), the mean over the rank x > 0 of a reading."""
        x, r = (from_numpy(np.arange(RANKS)) + 0.5) / RANKS, self.correlation  # x < 0 gives the same, by symmetry
        lower = (1 - from_numpy(surprise[:, None]) / x).clip(0, 2) / 2
        above = ndtr((r * ndtri((1 + x) / 2) - ndtri(lower)) / (1 - r * r) ** 0.5)
        return np.asarray(above.mean(1).numpy())


class ZeroShotConfig(Parameters):
    """The numbers of the model.

    Attributes:
        version: of the rules in code that these numbers are for.
        sources: where the numbers come from, in words.
        smoothing_s: time constant of the two-sided exponential mean, s.
        step_s: the longest time one step may stand for, s: a step after a gap weighs no more.
        prior_s: s of fully trusted evidence that the resting point (0, 0) weighs.
        agreement: of the readings of arousal, for `inconsistency`.
    """

    version: int = Field(ge=4, le=4)
    sources: dict[str, str]
    face: FaceRules
    voice: VoiceRules
    smoothing_s: float = Field(gt=0)
    step_s: float = Field(gt=0)
    prior_s: float = Field(gt=0)
    agreement: Agreement

    @property
    def embedding(self) -> EmbeddingConfig:
        """The encoders whose embeddings the model reads."""
        return EmbeddingConfig.model_validate({"visual": self.face.encoders, "audio": self.voice.encoders})


def read_config(path: Path) -> ZeroShotConfig:
    """Read the rules from a JSON file.

    Raises:
        InputError: the file is missing or is not a file of rules.
    """
    try:
        content = parse_json(path.read_text())
        json.dumps(content, ensure_ascii=False).encode()  # ValueError: half a surrogate pair can't be written again
        return ZeroShotConfig.model_validate(content)
    except FileNotFoundError as error:
        raise InputError("there is no such model file", path, remedy=REMEDY) from error
    except ValidationError as error:
        raise InputError(f"not the rules of a zero-shot model ({faults(error)})", path, remedy=REMEDY) from error
    except (OSError, ValueError) as error:
        raise InputError(f"not a JSON file of rules ({brief(error)})", path, remedy=REMEDY) from error


# The model


@dataclass(frozen=True)
class ZeroShot:
    """Rules ready to predict many clips."""

    config: ZeroShotConfig
    name: str = NAME
    gate_labels: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: GATES, init=False)

    @classmethod
    def read(cls, path: Path) -> ZeroShot:
        """Read the rules from a JSON file; errors as `read_config`."""
        return cls(read_config(path), path.stem)

    @property
    def kind(self) -> str:
        """What every output says that made it."""
        encoders = self.config.face.encoders
        kind = KIND if encoders == ("mini_xception",) else f"{KIND}, face by {'+'.join(encoders)}"
        return f"{kind}, voice by wav2vec2_vad" if self.config.voice.head else kind

    @property
    def sources(self) -> Mapping[str, tuple[str, ...]]:
        """The inputs that valence and that arousal are read from."""
        return dict.fromkeys(SOURCES, MODALITIES) if self.config.voice.head else SOURCES

    @cached_property
    def metadata(self) -> dict[str, str]:
        """The encoders it needs, and what it is."""
        encoders, head = self.config.face.encoders, self.config.voice.head
        fitted = BY_OTHERS if set(encoders) & set(HEADS) or head else UNFITTED
        how = " and ".join(HOW[encoder] for encoder in encoders)
        caveat = CAVEAT.format(how=how, voice=BY_HEAD if head else BY_EFFORT, fitted=fitted)
        own = {"preset": self.name, "kind": self.kind, "corpus": "none", "caveat": caveat, "data_fingerprint": ""}
        own |= {"intervals": UNCALIBRATED, "inconsistency": INCONSISTENCY}
        return {**identity(self.config.embedding), **own}

    def predict(self, clip: ClipEmbedding) -> ClipPrediction:
        """Predict every step of a clip that was embedded with the encoders of `metadata`.

        Each modality's reading m_k with trust w_k, times the s that a step stands for, is averaged to
        r_k = (1 + p / 2T) S(w_k m_k) / (p + S(w_k)), where S is the sum weighted by exp(-|distance| / T),
        T = smoothing_s and p = prior_s. Lasting evidence has S(w_k) = 2T and is taken as it is; without any, r_k is 0.
        Valence is that of the face. Both readings of arousal are joined by `joined`, and so are those of valence if an
        encoder reads it from the voice. Inconsistency is the share of pairs with less `surprise` if readings go
        together as `agreement` states: stated, not calibrated on people.
        """
        return self._prediction(clip, *self.readings(clip))

    def _prediction(self, clip: ClipEmbedding, heard: Array, seen: Array, mass: Array) -> ClipPrediction:
        present = np.stack([clip.present[modality] for modality in MODALITIES], axis=1)
        return ClipPrediction(
            prediction=self._joint(heard, seen),
            gates={"modalities": _shares(mass, present, 2 if self.config.voice.head else 1)},
            observed=clip.observed,
            inconsistency=self.config.agreement.share(self._surprise(clip, heard, seen, mass)).astype(np.float32),
        )

    def stream(self) -> RunningZeroShot:
        """The predictions for a stream."""
        return RunningZeroShot(self)

    def cases(self, clip: ClipEmbedding) -> Array:
        """What an error of the model may depend on, (t, q): see `calibration.circumstances`."""
        heard, seen, mass = self.readings(clip)
        odds = np.zeros((len(clip), 3))
        odds[:, 0] = self._surprise(clip, heard, seen, mass)
        return circumstances(clip, self._joint(heard, seen), np.stack([heard, seen], 1).astype(np.float32), odds)

    def _joint(self, heard: Array, seen: Array) -> NDArray[np.float32]:
        """Valence and arousal (t, 2) of both readings."""
        valence = joined(heard[:, 0], seen[:, 0]) if self.config.voice.head else seen[:, 0]
        return np.stack([valence, joined(heard[:, 1], seen[:, 1])], axis=1).astype(np.float32)

    def _surprise(self, clip: ClipEmbedding, heard: Array, seen: Array, mass: Array) -> Array:
        """`Agreement.surprise` (t,) of the readings; NaN where there is hardly any evidence of one of them."""
        used = 1.0 if self.config.voice.head else (1 + 2 * trusted(clip, self.config.voice.channel)) / 3
        surprise = self.config.agreement.surprise(heard[:, 1], seen[:, 1], used)
        return np.where((mass > LEAST_S).all(axis=1), surprise, np.nan)

    def readings(self, clip: ClipEmbedding, stream: ZeroShotPast | None = None) -> tuple[Array, Array, Array]:
        """What voice and face say, (t, 2) each, and the trusted evidence of each within reach, in s, (t, k).

        Args:
            clip: of t steps.
            stream: of the steps before, if these are the next ones of a stream; later ones are then not read.
        """
        config, times = self.config, clip.time_s
        seconds = durations(times, config.step_s) if stream is None else stream.durations(times, config.step_s)
        own = (None, None) if stream is None else (stream.voice, stream.face)
        readings = (
            voice_evidence(clip, config.voice, seconds, own[0]),
            face_evidence(clip, config.face, seconds, own[1]),
        )
        weights = np.stack([reading.trust for reading in readings], axis=1) * seconds[:, None]  # (t, k)
        values = np.stack([reading.value for reading in readings], axis=1) * weights[..., None]  # (t, k, 2)
        columns = np.concatenate([weights, values.reshape(len(clip), 4)], axis=1)
        if stream is None:
            smooth, sides = two_sided(columns, times, config.smoothing_s), 2
        else:
            smooth, sides = stream.smooth.of(columns, times, config.smoothing_s), 1
        mass, sums = smooth[:, :2], smooth[:, 2:].reshape(len(clip), 2, 2)  # (t, k), (t, k, 2)
        lasting = 1 + config.prior_s / (sides * config.smoothing_s)
        voice, face = np.moveaxis((lasting * sums / (config.prior_s + mass[..., None])).clip(-1, 1), 1, 0)
        return voice, face, mass


class ZeroShotPast:
    """What the zero-shot model keeps of a stream: own means so far instead of those of the clip, a one-sided average
    instead of a two-sided one."""

    def __init__(self) -> None:
        self.voice, self.face, self.smooth = OwnMean(), OwnMean(), OneSided()
        self._last_s: float | None = None

    def durations(self, times: Array, longest: float) -> Array:
        """How many s each of the next t steps stands for: the way from the step before, at most `longest` s."""
        before = times[:1] - longest if self._last_s is None else np.array([self._last_s])
        self._last_s = float(times[-1]) if len(times) else self._last_s
        return np.asarray(np.clip(np.diff(np.concatenate([before, times])), 0, longest))


class RunningZeroShot:
    """The predictions of a zero-shot model for a stream, step by step."""

    def __init__(self, model: ZeroShot):
        self._model, self._past = model, ZeroShotPast()

    def push(self, clip: ClipEmbedding) -> ClipPrediction:
        """The prediction of the next steps."""
        return self._model._prediction(clip, *self._model.readings(clip, self._past))

    def finish(self) -> ClipPrediction | None:
        """None: no step waits."""


def joined(one: Array, other: Array) -> Array:
    """Join two readings (t,) in [-1, 1] as independent evidence: (a + b) / (1 + a b).

    If a reading is P(high) - P(low), this is Bayes' rule with equal priors: the log-odds add. A reading of 0 leaves the
    other as it is, agreement strengthens, contradiction cancels; +1 against -1 is 0.
    """
    return np.asarray((one + other) / np.maximum(1 + one * other, 1e-9))


def _shares(mass: Array, present: NDArray[np.bool_], heard: int) -> NDArray[np.float32]:
    """Each modality's share (t, 2) of all evidence used; NaN where neither modality is present.

    A face informs both dimensions, so its evidence counts twice; a voice informs `heard` of them. Where there is hardly
    any evidence, as in silence long after a face, the share goes to what is present.
    """
    used = mass * [float(heard), 2.0]
    total = used.sum(axis=1, keepdims=True)
    count = present.sum(axis=1, keepdims=True)
    shares = (used + LEAST_S * present / np.maximum(count, 1)) / (total + LEAST_S)
    return np.where(count > 0, shares, np.nan).astype(np.float32)


# What a face and a voice show at each step, and how far each can be trusted


@dataclass(frozen=True)
class Evidence:
    """The reading of one modality at t steps.

    Attributes:
        value: (t, 2) valence and arousal in [-1, 1]; zero where there is no trust.
        trust: (t,) in [0, 1].
    """

    value: Array
    trust: Array


def face_evidence(clip: ClipEmbedding, rules: FaceRules, seconds: Array, own: OwnMean | None = None) -> Evidence:
    """Mean position of the face on the valence-arousal plane over the readings of its encoders.

    A reading is the expected position of the expression, i.e. posteriors of the classes times their coordinates; the
    tanh of weighted blendshapes; or the two outputs of an encoder's own head. It counts as far as the encoder sees a
    face. A classifier takes some faces at rest for angry or sad. Part of the face's own mean position over the clip is
    therefore subtracted.

    Args:
        clip: its visual columns are those of `rules.encoders`, in this order.
        rules: how each encoder is read, and ramps.
        seconds: (t,) s that each step stands for.
        own: the face's own mean so far, in a stream.
    """
    trust = np.where(clip.face_found, trusted(clip, rules.trust), 0.0)
    ends = np.cumsum([ENCODERS["visual"][name].dim for name in rules.encoders])
    parts = np.split(clip.visual, ends[:-1], axis=1)
    readings = [read_face(name, part, rules) for name, part in zip(rules.encoders, parts, strict=True)]
    weights = np.stack([reading.trust for reading in readings])  # (encoders, t)
    total = sum(reading.value * reading.trust[:, None] for reading in readings)
    value = total / np.maximum(weights.sum(axis=0), 1e-9)[:, None]
    return _less_own_mean(value, trust * weights.max(axis=0), seconds, rules.rest, own)


def read_face(encoder: Reader, columns: NDArray[np.float32], rules: FaceRules) -> Evidence:
    """What the columns (t, dim) of one encoder say, and how sure it is that they are of a face."""
    found, rows = np.ones(len(columns)), columns.astype(np.float64)
    if encoder in HEADS:
        return Evidence(rows[:, -2:].clip(-1, 1), found)
    if encoder == "blendshapes" and rules.blendshapes is not None:
        return Evidence(np.tanh(rows @ rules.blendshapes.matrix()), rows[:, 0])
    places = np.array([rules.coordinates[name] for name in CLASSES])
    return Evidence(softmax(from_numpy(rows[:, -len(CLASSES) :]), 1).numpy() @ places, found)


def voice_evidence(clip: ClipEmbedding, rules: VoiceRules, seconds: Array, own: OwnMean | None = None) -> Evidence:
    """Arousal by vocal effort, which no gain changes; by effort, a voice has nothing to say about valence.

    arousal = tanh(c (z_alpha + z_hammarberg) + z_pitch) for z = (x - usual) / unit, where x is the median of a
    descriptor over the voiced frames of the 3 s around the step. Noise raises spectral tilt and a dull microphone
    lowers it, while pitch survives both: c in [0, 1] is the trust in the channel, and two thirds of the trust depend on
    it. Steps without a voice have no trust: silence is not a calm voice. If an encoder says valence and arousal, it is
    taken at its word, with the trust that there is a voice.

    Args:
        clip: its audio columns are those of `rules.encoders`, in this order.
        rules: scales and ramps.
        seconds: (t,) s that each step stands for.
        own: the speaker's own mean so far, in a stream.
    """
    sound = {name: clip.audio[:, i].astype(np.float64) for i, name in enumerate(NAMES)}
    channel = trusted(clip, rules.channel)
    z = {name: np.nan_to_num((sound[name] - scale.usual) / scale.unit) for name, scale in rules.effort.items()}
    effort = np.tanh(channel * sum(z[name] for name in TILT) + z[PITCH])
    voiced = np.where(clip.audio_present, trusted(clip, rules.trust), 0.0)
    if rules.head:
        return _less_own_mean(clip.audio[:, -2:].astype(np.float64).clip(-1, 1), voiced, seconds, rules.rest, own)
    trust = voiced * (1 + 2 * channel) / 3
    return _less_own_mean(np.stack([np.zeros_like(effort), effort], axis=1), trust, seconds, rules.rest, own)


def trusted(clip: ClipEmbedding, ramps: Mapping[str, Ramp]) -> Array:
    """Product of all ramps, (t,) in [0, 1]; a measurement that is unknown or missing counts as good."""
    measured = dict(zip((*NAMES, *clip.quality_names), [*clip.audio.T[: len(NAMES)], *clip.quality.T], strict=True))
    trust = np.ones(len(clip))
    for name, ramp in ramps.items():
        if name in measured:
            rise = (measured[name].astype(np.float64) - ramp.none) / (ramp.full - ramp.none)
            trust *= np.nan_to_num(rise, nan=1.0).clip(0, 1)
    return trust


def _less_own_mean(value: Array, trust: Array, seconds: Array, rest: Rest, own: OwnMean | None = None) -> Evidence:
    """Subtract the part of the clip's own mean that `rest` sets from readings (t, 2); zero where there is no trust."""
    value = np.where(trust[:, None] > 0, value, 0.0)
    weight = trust * seconds
    seen_s = float(weight.sum())
    if own is not None:
        value = value - own.part(value, weight, rest)
    elif seen_s > 0:
        share = rest.share * seen_s / (seen_s + rest.half_s)
        value = value - share * (weight @ value) / seen_s
    return Evidence(np.where(trust[:, None] > 0, value, 0.0).clip(-1, 1), trust)


class OwnMean:
    """The mean of the readings of a stream so far, weighted by trust and time."""

    def __init__(self) -> None:
        self._seen_s, self._sum = 0.0, np.zeros(2)

    def part(self, value: Array, weight: Array, rest: Rest) -> Array:
        """Readings (t, 2) and weights (t,) of the next steps -> the part of the mean that `rest` sets, at each."""
        seen_s = self._seen_s + np.cumsum(weight)
        sums = self._sum + np.cumsum(value * weight[:, None], axis=0)
        if len(value):
            self._seen_s, self._sum = float(seen_s[-1]), sums[-1]
        share = rest.share / (seen_s + rest.half_s)  # of the sum: the seconds of the mean and of the share cancel
        return np.asarray(share[:, None] * sums)


class OneSided:
    """`two_sided` without what comes later: a decaying sum over a step and all before it."""

    def __init__(self) -> None:
        self._sum: Array | None = None
        self._last_s = 0.0

    def of(self, values: Array, times: Array, constant: float) -> Array:
        """(t, k) -> (t, k) at the next steps."""
        sums = np.zeros_like(values)
        for i, (value, time_s) in enumerate(zip(values, times, strict=True)):
            before = 0.0 if self._sum is None else self._sum * np.exp(-abs(time_s - self._last_s) / constant)
            self._sum, self._last_s = value + before, float(time_s)
            sums[i] = self._sum
        return sums


# Sums over a clip's own clock, whatever the frame rate and whatever is missing


def durations(times: Array, longest: float) -> Array:
    """How many s each of t steps stands for: half the way to its neighbours, at most `longest` s.

    A single step stands for `longest`; times that do not rise stand for nothing.
    """
    if len(times) < 2:
        return np.full(len(times), longest)
    gaps = np.clip(np.diff(times), 0, longest)
    return np.concatenate([gaps[:1], gaps]) / 2 + np.concatenate([gaps, gaps[-1:]]) / 2


def two_sided(values: Array, times: Array, constant: float) -> Array:
    """Sum over all steps of values times exp(-|distance in s| / constant): (t, k) -> (t, k).

    Time and memory grow with t: one pass forwards and one backwards, each carrying a decaying sum. Values several
    constants away, as beyond a gap, count for nothing.
    """
    decay = np.exp(-np.abs(np.diff(times)) / constant)
    total = np.array(values, np.float64)
    return total + _before(total, decay) + _before(total[::-1], decay[::-1])[::-1]


def _before(values: Array, decay: Array) -> Array:
    """Decayed sum of everything before each step, which itself is left out."""
    sums = np.zeros_like(values)
    for i in range(1, len(values)):
        sums[i] = (sums[i - 1] + values[i - 1]) * decay[i - 1]
    return sums
