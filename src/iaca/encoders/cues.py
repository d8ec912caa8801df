"""Per-step quality cues: evidence, independent of the embeddings, of how far each modality can be trusted.

`TABLE` names them. Cues of the sound, of the picture, and of the synchrony of both are measured below. None is
calibrated: they are inputs to a model that learns what they are worth. What they
showed is in `docs/reference/cues.md`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from iaca.encoders.filters import filtered, running_mean, smoothed, windows
from iaca.media import Samples

Array = NDArray[np.float64]
FloatArray = NDArray[np.float32]
INFINITE = float("inf")


class Cue(NamedTuple):
    """A cue.

    Attributes:
        modality: the modality it describes.
        unit: of its values; a share and a correlation have none.
        low, high: the range of its values.
        least_deviation: normalisation divides by no less; otherwise a cue that hardly varied in training, such as
            clipping, would outweigh all others once it varies.
        noisy: how training expects it to change when its modality is noisy: -1 down, 1 up, 0 not.
        dead: the same for a modality that is present and shows nothing.
        says: what it measures.
    """

    modality: Literal["audio", "visual", "both"]
    unit: str
    low: float
    high: float
    least_deviation: float
    noisy: Literal[-1, 0, 1]
    dead: Literal[-1, 0]
    says: str


TABLE: Mapping[str, Cue] = {
    "face_score": Cue("visual", "", 0, 1, 0.01, -1, -1, "the detector's confidence; 0 without a face"),
    "face_size": Cue("visual", "px", 0, INFINITE, 1, 0, 0, "side of a square as large as the face's box, in the video"),
    "face_sharpness": Cue("visual", "ln", 0, INFINITE, 0.05, -1, -1, "ln(1 + variance of the Laplacian), grey levels"),
    "face_brightness": Cue("visual", "", 0, 1, 0.01, 0, 0, "mean grey of the face, 1 is white"),
    "face_contrast": Cue("visual", "", 0, 0.5, 0.005, -1, -1, "standard deviation of the face's grey, 1 is white"),
    "head_yaw": Cue("visual", "deg", -90, 90, 1, 0, 0, "turn of the head, positive towards the right of the picture"),
    "head_pitch": Cue("visual", "deg", -180, 180, 1, 0, 0, "nod of the head, positive upwards"),
    "head_roll": Cue(
        "visual", "deg", -180, 180, 1, 0, 0, "tilt of the head, positive clockwise as seen in the picture"
    ),
    "mouth_motion": Cue(
        "visual", "grey level", 0, 255, 0.1, -1, -1, "mean change of the mouth region since the last step"
    ),
    "mouth_opening": Cue(
        "visual", "", -INFINITE, 1, 0.01, 0, 0, "how much darker than the face the inside of the mouth is"
    ),
    "sound_level": Cue("audio", "dB", -100, INFINITE, 1, -1, -1, "level over 50 ms, 0 is a mean square of 1"),
    "loudness": Cue("audio", "LUFS", -100, INFINITE, 1, 0, -1, "momentary loudness: K-weighted level over 400 ms"),
    "snr_estimate": Cue(
        "audio", "dB", -INFINITE, INFINITE, 1, -1, -1, "loud parts of a second over the floor around it"
    ),
    "voice_activity": Cue("audio", "", 0, 1, 0.02, -1, -1, "how far the level stands above the floor"),
    "clipping": Cue("audio", "", 0, 1, 0.01, 1, 0, "share of samples at full scale over 400 ms"),
    "synchrony": Cue(
        "both", "", -1, 1, 0.02, -1, -1, "correlation of mouth opening and sound over 2 s, at the lag if known"
    ),
    "synchrony_lag": Cue(
        "both", "s", -0.5, 0.5, 0.02, 0, 0, "how much later the sound is; unknown where nothing agrees"
    ),
}
"""Any cue is NaN where its value is unknown."""

NAMES = tuple(TABLE)
OF = {name: cue.modality for name, cue in TABLE.items()}
"""The modality that each cue describes."""
LAG = "synchrony_lag"
"""The cue that is unknown where the two modalities do not agree."""


def stacked(cues: Mapping[str, NDArray[np.floating]]) -> FloatArray:
    """Cues (t,) by name -> (t, q) float32 in the order of `NAMES`."""
    return np.stack([cues[name] for name in NAMES], axis=1).astype(np.float32)


# Sound

FLOOR_DB = -100.0
FRAME_S = 0.005
LEVEL_S, LOUDNESS_S, FLOOR_S, LOUD_S = 0.05, 0.4, 1.0, 1.0
RANGE_DB = 60.0  # levels are raised to this far below the loudest: digital silence counts as a quiet room
FULL_SCALE = 0.985  # resampling and lossy codecs leave clipped samples slightly below 1
SHELF = (1681.974450955533, 0.7071752369554196, 3.999843853973347)
HIGH_PASS = (38.13547087602444, 0.5003270373238773)
"""Corner (Hz), quality and gain (dB) of the two K-weighting filters: the analogue prototypes behind the coefficients
that ITU-R BS.1770-4 gives for 48 kHz."""
MINUTE = 60


def sound_cues(
    samples: Samples, rate: int, times: Array, present: tuple[tuple[float, float], ...] | None = None
) -> dict[str, FloatArray]:
    """All cues of the sound (t,) by name.

    The noise floor is the smoothed minimum of the level over 1 s, in which speech nearly always pauses; the
    signal-to-noise estimate is the 90th percentile of the level over 1 s above that floor. Voice activity is how far
    the level is above the floor, 0 at 3 dB, 1 at 15 dB. Loudness is the momentary loudness of ITU-R BS.1770-4 and EBU
    Tech 3341 for one channel.

    Args:
        samples: (n,) in [-1, 1], read a minute at a time; a sound shorter than 5 ms counts as silence.
        rate: Hz.
        times: (t,) s; each cue is centred on its time, and outside the sound there is silence.
        present: intervals (s) in which the file has sound; None for everywhere. The zeros elsewhere are no quiet room:
            they do not lower the noise floor of what follows a late start or a gap.
    """
    frame = max(round(rate * FRAME_S), 1)
    power, weighted, full = _frame_powers(samples, rate, frame)
    frame_s = frame / rate
    level = _decibel(_mean_around(power, times / frame_s, LEVEL_S / frame_s))
    blocks = LEVEL_S * (0.5 + np.arange(max(int(len(power) * frame_s / LEVEL_S + 1e-6), 1)))  # complete blocks only
    whole = np.ones(len(blocks), bool) if present is None else _inside(present, blocks)
    snr, active = _above_floor(_mean_around(power, blocks / frame_s, LEVEL_S / frame_s), whole, times / LEVEL_S)
    loudness = _decibel(10**-0.0691 * _mean_around(weighted, times / frame_s, LOUDNESS_S / frame_s))
    clipping = _mean_around(full, times / frame_s, LOUDNESS_S / frame_s)
    cues = {
        "sound_level": level, "loudness": loudness, "snr_estimate": snr, "voice_activity": active, "clipping": clipping,
    }  # fmt: skip
    return {name: cue.astype(np.float32) for name, cue in cues.items()}


QUIET_DB = -80.0
"""Level of a quiet room, to which the trailing cues raise silence: sound that is not over yet has no maximum."""
FRAMES = round(LEVEL_S / FRAME_S)  # of a block


class TrailingSoundCues:
    """The cues of `sound_cues` from the sound before a time, for sound that arrives in pieces.

    Level, loudness and clipping are means over the last 50 and 400 ms; the noise floor is the minimum of the level over
    the last second, averaged over that second; the signal-to-noise estimate is the 90th percentile of the level over
    the last second above it. Up to 5 ms before the time are not yet used. The last two seconds are kept, and what is
    not yet asked for.

    Args:
        rate: of the samples, Hz.
    """

    def __init__(self, rate: int):
        self._rate, self._frame, self._sections = rate, max(round(rate * FRAME_S), 1), k_weighting(rate)
        self._state = np.zeros((2, 2, 2))
        self._rest = np.zeros((0, 2))  # samples of an incomplete frame, and whether they are present
        self._frames = np.zeros((0, 4))  # mean square, the same weighted, share at full scale, whether all is present
        self._first = 0  # of the frames that are kept

    def hear(self, samples: NDArray[np.float32], present: bool = True) -> None:
        """Add samples (n,); zeros that are not `present` are no quiet room."""
        new = np.column_stack([samples.astype(np.float64), np.full(len(samples), float(present))])
        part = np.concatenate([self._rest, new])
        whole = len(part) // self._frame * self._frame
        (x, known), self._rest = part[:whole].T, part[whole:]
        if not whole:
            return
        weighted, self._state = filtered(self._sections, x, self._state)
        columns = [x * x, weighted * weighted, np.abs(x) >= FULL_SCALE]
        means = [column.reshape(-1, self._frame).mean(axis=1) for column in columns]
        self._frames = np.concatenate([self._frames, np.column_stack([*means, known.reshape(-1, self._frame).min(1)])])

    def at(self, time_s: float) -> dict[str, float]:
        """All cues of the sound before a time (s), not earlier than the last; all sound before it has been heard."""
        end = min(int(time_s * self._rate / self._frame + 1e-9), self._first + len(self._frames))
        kept = round((FLOOR_S + LOUD_S) / FRAME_S) + FRAMES
        gone = max(end - kept - self._first, 0)
        self._frames, self._first = self._frames[gone:], self._first + gone
        frames = self._frames[: end - self._first]
        momentary = frames[-round(LOUDNESS_S / FRAME_S) :].sum(axis=0) / round(LOUDNESS_S / FRAME_S)
        power = frames[-FRAMES:, 0].sum() / FRAMES
        snr, active = self._above_floor(frames)
        return {
            "sound_level": float(_decibel(power)), "loudness": float(_decibel(10**-0.0691 * momentary[1])),
            "snr_estimate": snr, "voice_activity": active, "clipping": float(momentary[2]),
        }  # fmt: skip

    @staticmethod
    def _above_floor(frames: Array) -> tuple[float, float]:
        """Signal-to-noise estimate and voice activity at the end of the frames (n, 4)."""
        blocks = len(frames) // FRAMES
        if blocks == 0:
            return 0.0, 0.0
        block = frames[len(frames) - blocks * FRAMES :].reshape(blocks, FRAMES, 4)
        level = 10 * np.log10(np.maximum(block[:, :, 0].mean(axis=1), 10 ** (QUIET_DB / 10)))
        known = np.where(block[:, :, 3].min(axis=1) > 0, level, np.inf)
        span = round(FLOOR_S / LEVEL_S)
        floors = np.array([known[max(i - span + 1, 0) : i + 1].min() for i in range(max(blocks - span, 0), blocks)])
        floors = floors[np.isfinite(floors)]
        floor = float(floors.mean()) if len(floors) else float(level[-1])
        snr = float(np.percentile(level[-round(LOUD_S / LEVEL_S) :], 90)) - floor
        return snr, float(np.clip((level[-1] - floor - 3) / 12, 0, 1))


def k_weighting(rate: int) -> Array:
    """The two filters of ITU-R BS.1770-4 as second-order sections (2, 6) at a rate (Hz), by bilinear transform."""
    f, q, gain = SHELF
    k, high = np.tan(np.pi * f / rate), 10 ** (gain / 20)
    band = high**0.4996667741545416
    shelf = [high + band * k / q + k * k, 2 * (k * k - high), high - band * k / q + k * k, *_poles(k, q)]
    f, q = HIGH_PASS
    k = np.tan(np.pi * f / rate)
    low_cut = [1.0, -2.0, 1.0, *_poles(k, q)]
    sections = np.array([shelf, low_cut])
    sections[0] /= sections[0, 3]
    sections[1, 3:] /= sections[1, 3]  # the standard does not normalise the numerator of this one
    return sections


def _poles(k: float, q: float) -> tuple[float, float, float]:
    return 1 + k / q + k * k, 2 * (k * k - 1), 1 - k / q + k * k


def _frame_powers(samples: Samples, rate: int, frame: int) -> tuple[Array, Array, Array]:
    """Mean square, K-weighted mean square and share at full scale of every 5 ms, read a minute at a time."""
    sections = k_weighting(rate)
    state, parts = np.zeros((2, 2, 2)), []
    piece = frame * max(round(MINUTE * rate / frame), 1)
    for start in range(0, len(samples) - frame + 1, piece):
        heard = samples[start : start + piece]
        part = heard[: len(heard) // frame * frame].astype(np.float64)
        weighted, state = filtered(sections, part, state)
        clipped = np.abs(part) >= FULL_SCALE
        parts.append([x.reshape(-1, frame).mean(axis=1) for x in (part * part, weighted * weighted, clipped)])
    power, loud, full = (np.concatenate(x) for x in zip(*parts, strict=True)) if parts else (np.zeros(0),) * 3
    return power, loud, full


def _mean_around(values: Array, centres: NDArray[np.floating], width: float) -> Array:
    """Means over `width` frames around each centre; partial frames count in proportion, and outside there are zeros."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    edges = np.arange(len(total))
    upper, lower = (np.interp(centres + side * width / 2, edges, total) for side in (1, -1))
    return np.asarray(np.maximum(upper - lower, 0) / width)


def _decibel(power: Array) -> Array:
    return np.asarray(np.maximum(10 * np.log10(np.maximum(power, 1e-10)), FLOOR_DB))


def _inside(present: tuple[tuple[float, float], ...], blocks: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Which blocks (k,), by their centre (s), consist of nothing but sound that the file has."""
    inside = np.zeros(len(blocks), bool)
    for start, end in present:
        inside |= (blocks - LEVEL_S / 2 >= start - 1e-6) & (blocks + LEVEL_S / 2 <= end + 1e-6)
    return inside


def _above_floor(power: Array, whole: NDArray[np.bool_], places: Array) -> tuple[Array, Array]:
    """Powers of blocks (k,) -> signal-to-noise estimate and voice activity at each place (t,), in blocks.

    The floor is that of the blocks that are `whole`, and where there is none nearby, that of the nearest.
    """
    level = 10 * np.log10(np.maximum(power, max(power.max() * 10 ** (-RANGE_DB / 10), np.finfo(float).tiny)))
    floor = windows(np.where(whole, level, np.inf), round(FLOOR_S / LEVEL_S)).min(axis=1)
    known = np.flatnonzero(np.isfinite(floor))
    floor = np.interp(np.arange(len(level)), known, floor[known]) if len(known) else level
    floor = smoothed(floor, 0.5 / LEVEL_S, "edge")
    size = round(LOUD_S / LEVEL_S)
    rank = size * 90 // 100  # the 90th percentile is one of the values
    snr = np.partition(windows(level, size), rank, axis=1)[:, rank] - floor
    index = np.clip(places.astype(int), 0, len(level) - 1)
    return snr[index], np.clip((level - floor - 3) / 12, 0, 1)[index]


# Picture

BOX = ["x0", "y0", "x1", "y1"]
LANDMARKS = [f"lm{point}{axis}" for point in range(5) for axis in "xy"]
FACE = (0.2, 0.95, 0.2, 0.8)
MOUTH = (0.62, 0.95, 0.25, 0.75)
INNER_MOUTH = (0.77, 0.945, 0.395, 0.605)
"""Top, bottom, left and right of a region, as fractions of the side of an aligned face. The lips of the template meet
at 0.82, between corners at 0.37 and 0.63; the lower lip of an open mouth is further down."""
PER_IMAGE = ("face_sharpness", "face_brightness", "face_contrast", "mouth_motion", "mouth_opening")


class FaceCues:
    """Measures the visual cues of a clip while its faces pass by once.

    Args:
        faces: rows of `iaca.faces.extract_faces`, of which box and landmarks are unknown if their columns are missing;
            or `iaca.faces.extract.NUMBERS` of each (t, 15).
        before: `last_mouth` of the row before the first.
    """

    def __init__(self, faces: pd.DataFrame | FloatArray, before: NDArray[np.uint8] | None = None):
        self._numbers: FloatArray = (
            faces.reindex(columns=["score", *BOX, *LANDMARKS]).to_numpy(np.float32)
            if isinstance(faces, pd.DataFrame)
            else faces
        )
        self._measured = {name: np.full(len(faces), np.nan, np.float32) for name in PER_IMAGE}
        self._last = None if before is None else (-1, before)

    @property
    def last_mouth(self) -> NDArray[np.uint8] | None:
        """The mouth region of the last row; None if that has no face."""
        return self._last[1] if self._last is not None and self._last[0] == len(self._numbers) - 1 else None

    def add(self, index: int, face: NDArray[np.uint8]) -> None:
        """Measure the aligned face (side, side, 3) RGB of a row; rows come in order, those without a face are skipped.

        Motion is measured only between consecutive rows.
        """
        grey = np.asarray(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY), np.uint8)
        mean, deviation = (float(x[0, 0]) for x in cv2.meanStdDev(_part(grey, FACE)))
        edges = cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_32F))[1]
        mouth = _part(grey, MOUTH)
        measured = {
            "face_sharpness": np.log1p(float(edges[0, 0]) ** 2),
            "face_brightness": mean / 255,
            "face_contrast": deviation / 255,
            "mouth_opening": 1 - cv2.mean(_part(grey, INNER_MOUTH))[0] / max(mean, 1.0),
        }
        if self._last is not None and self._last[0] == index - 1 and self._last[1].shape == mouth.shape:
            measured["mouth_motion"] = cv2.mean(cv2.absdiff(mouth, self._last[1]))[0]
        for name, value in measured.items():
            self._measured[name][index] = value
        self._last = (index, mouth)

    def columns(self) -> dict[str, FloatArray]:
        """All visual cues (t,) by name: NaN without a face, except for a score of 0."""
        table = self._numbers
        score, box, points = table[:, 0], table[:, 1:5], table[:, 5:].reshape(-1, 5, 2)
        pose = head_pose(points)
        return {
            "face_score": np.nan_to_num(score, nan=0.0),
            "face_size": np.sqrt(np.maximum((box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1]), 0)),
            "head_yaw": pose[:, 0],
            "head_pitch": pose[:, 1],
            "head_roll": pose[:, 2],
            **self._measured,
        }


def _part(grey: NDArray[np.uint8], region: tuple[float, float, float, float]) -> NDArray[np.uint8]:
    top, bottom, left, right = (round(share * len(grey)) for share in region)
    return grey[top:bottom, left:right]


HEAD = np.array([[-31.5, 0, 0], [31.5, 0, 0], [0, 39, -27], [-26, 66, -4], [26, 66, -4]], dtype=np.float64)
"""(5, 3) mm in the order of the landmarks, x to the right and y down in the picture, z away from the camera: pupils,
tip of the nose and corners of the mouth of an average adult, to a few mm. Facing the camera, its pose is 0."""
_CENTRED_HEAD = HEAD - HEAD.mean(axis=0)


def head_pose(landmarks: NDArray[np.floating]) -> FloatArray:
    """Yaw, pitch and roll (t, 3) in degrees of landmarks (t, 5, 2) in px; NaN if they are not finite or coincide.

    A rigid head (`HEAD`) under scaled orthography, without perspective: the best affine map from it to the landmarks is
    a linear least-squares problem, and its singular vectors give the nearest scaled rotation (POS of DeMenthon and
    Davis, *Model-based object pose in 25 lines of code*, IJCV 1995). Signs are those of `TABLE`; the head rotates by
    pitch first, then yaw, then roll.
    """
    pose = np.full((len(landmarks), 3), np.nan, np.float32)
    fine = np.isfinite(landmarks).all(axis=(1, 2)) & (np.ptp(landmarks, axis=1) > 0).all(axis=1)
    if fine.any():
        pose[fine] = _angles(_rotations(np.asarray(landmarks[fine], np.float64)))
    return pose


def _rotations(points: Array) -> Array:
    """Landmarks (n, 5, 2) -> rotations (n, 3, 3) of `HEAD`."""
    centred = points - points.mean(axis=1, keepdims=True)
    affine = np.einsum("npi,pj->nij", centred, np.linalg.pinv(_CENTRED_HEAD).T)  # (n, 2, 3)
    u, _, v = np.linalg.svd(affine, full_matrices=False)
    across = u @ v  # the nearest two orthonormal rows
    return np.concatenate([across, np.cross(across[:, 0], across[:, 1])[:, None]], axis=1)


def _angles(r: Array) -> Array:
    """Rotations R = Rz Ry Rx (n, 3, 3) -> yaw, pitch, roll (n, 3) in degrees."""
    yaw = np.arcsin(np.clip(r[:, 2, 0], -1, 1))
    pitch = -np.arctan2(r[:, 2, 1], r[:, 2, 2])
    roll = np.arctan2(r[:, 1, 0], r[:, 0, 0])
    return np.asarray(np.degrees(np.stack([yaw, pitch, roll], axis=1)))


# Synchrony

RATE_HZ = 30.0
AGREEMENT_S, LAG_S = 2.0, 8.0
"""Windows: short for the agreement, which ends where a contradiction starts; long for the lag, which seldom changes."""
REACH_S = 0.5
TRUSTED = 0.4
"""Peak of the correlation over `LAG_S` below which the lag is unknown: unrelated streams seldom reach it."""
DRIFT_S = 0.5
EVIDENCE = 0.5
"""Share of a window in which both streams have to be known; below it the correlation shrinks in proportion, because two
seconds of unrelated streams often agree at some lag."""


def synchrony(opening: FloatArray, level: FloatArray, times: Array, known: NDArray[np.bool_]) -> dict[str, FloatArray]:
    """Agreement of mouth and sound, and the lag of the sound, at each step.

    The area of the mouth opening follows the envelope of the voice, mostly between 2 and 7 Hz (Chandrasekaran et al.,
    *The natural statistics of audiovisual speech*, PLoS Computational Biology 2009). Both are correlated in sliding
    windows at every lag, on a grid of 33 ms. Taking the peak over lags for the offset is common in lip-sync detectors;
    the rest is our own.

    Args:
        opening: (t,) `mouth_opening`.
        level: (t,) `sound_level`, dB.
        times: (t,) s, increasing.
        known: (t,) where there are both a face and sound. A value that is not finite is unknown too.

    Returns:
        `synchrony` (t,) in [-1, 1]: correlation over 2 s around the step, at the lag if it is known, else at 0; 0 where
        either stream does not move. `synchrony_lag` (t,) in s within +-0.5: the peak of the correlation over 8 s
        without slow drift, refined to less than a step by a parabola; positive if the sound is late; NaN if the peak is
        below 0.4.
    """
    known = known & np.isfinite(opening) & np.isfinite(level)
    if len(times) < 3 or known.sum() < 3:
        return {"synchrony": np.zeros(len(times), np.float32), "synchrony_lag": np.full(len(times), np.nan, np.float32)}
    pair = Pair.of(opening, level, times, known)
    peak, lag = pair.without_drift().best(LAG_S)
    lag[peak < TRUSTED] = np.nan
    shift = np.nan_to_num(np.rint(lag * pair.rate)).astype(int)
    agreement = np.empty(len(lag))
    for value in np.unique(shift):
        agreement[shift == value] = pair.agreement(int(value), AGREEMENT_S)[shift == value]
    at = pair.places(times)
    return {"synchrony": agreement[at].astype(np.float32), "synchrony_lag": lag[at].astype(np.float32)}


class TrailingSynchrony:
    """`synchrony` at a step from the 8 s before it: the agreement over the last 2 s, the lag over all of them."""

    def __init__(self) -> None:
        self._steps: deque[tuple[float, float, float, bool]] = deque()

    def step(self, opening: float, level: float, time_s: float, known: bool) -> dict[str, float]:
        """Both values at the next step; arguments and values are those of one step of `synchrony`."""
        known = known and bool(np.isfinite(opening) and np.isfinite(level))
        self._steps.append((time_s, opening if known else 0.0, level if known else 0.0, known))
        while time_s - self._steps[0][0] > LAG_S:
            self._steps.popleft()
        times, openings, levels, there = (np.array(column) for column in zip(*self._steps, strict=True))
        if len(times) < 3 or there.sum() < 3:
            return {"synchrony": 0.0, LAG: np.nan}
        pair = Pair.of(openings, levels, times, there.astype(bool))
        peaks = pair.without_drift().at_the_end(LAG_S)
        reach, top = len(peaks) // 2, int(peaks.argmax())
        lag = (top - reach) / pair.rate if peaks[top] >= TRUSTED else np.nan
        shift = 0 if np.isnan(lag) else top - reach
        return {"synchrony": float(pair.at_the_end(AGREEMENT_S)[reach + shift]), LAG: lag}


@dataclass(frozen=True)
class Pair:
    """Opening of the mouth and amplitude of the sound (n,), standardised, on one grid of `rate` Hz from `start` (s).

    `known` (n,) is 1 where both are known, 0 elsewhere.
    """

    mouth: Array
    sound: Array
    known: Array
    start: float
    rate: float

    @classmethod
    def of(
        cls, opening: NDArray[np.floating], level: NDArray[np.floating], times: Array, known: NDArray[np.bool_]
    ) -> Pair:
        """Interpolate steps, given as in `synchrony`, onto the grid; it is coarser if timestamps are sparse."""
        span = float(times[-1] - times[0])
        rate = min(RATE_HZ, 40 * len(times) / max(span, 1e-3))
        grid = times[0] + np.arange(int(span * rate) + 1) / rate
        mouth = np.interp(grid, times[known], opening[known].astype(np.float64))
        sound = np.interp(grid, times[known], 10 ** (level[known].astype(np.float64) / 20))
        both = (np.interp(grid, times, known.astype(np.float64)) > 0.5).astype(np.float64)
        return cls(_standard(mouth, both), _standard(sound, both), both, float(times[0]), rate)

    def places(self, times: Array) -> NDArray[np.intp]:
        """Index of the grid point nearest to each time (s)."""
        return np.clip(np.rint((times - self.start) * self.rate), 0, len(self.mouth) - 1).astype(np.intp)

    def without_drift(self) -> Pair:
        """Subtract the mean over half a second from both, so that syllables count, not smiles or noise."""
        weight = np.maximum(smoothed(self.known, DRIFT_S * self.rate), 1e-3)

        def fast(x: Array) -> Array:
            slow = smoothed(x * self.known, DRIFT_S * self.rate) / weight
            return _standard(x - slow, self.known)

        return Pair(fast(self.mouth), fast(self.sound), self.known, self.start, self.rate)

    def agreement(self, shift: int, span_s: float) -> Array:
        """Correlation (n,) of the mouth with the sound `shift` grid steps later, over `span_s` around each point."""
        n, size = len(self.mouth), max(int(span_s * self.rate), 3)
        here = slice(max(0, -shift), max(0, n - max(0, shift)))
        there = slice(max(0, shift), max(0, n + min(0, shift)))
        x, y, w = self.mouth, np.zeros(n), np.zeros(n)
        y[here], w[here] = self.sound[there], self.known[there] * self.known[here]

        terms = w * np.stack([np.ones(n), x, y, x * x, y * y, x * y])
        share, *means = running_mean(terms, size)
        mean_x, mean_y, xx, yy, xy = means / np.maximum(share, 1e-6)
        covariance, variances = xy - mean_x * mean_y, (xx - mean_x * mean_x, yy - mean_y * mean_y)
        moving = (variances[0] > 1e-4) & (variances[1] > 1e-4)
        r = np.where(moving, covariance / np.sqrt(np.maximum(variances[0] * variances[1], 1e-8)), 0.0)
        return np.asarray(np.clip(r, -1, 1) * np.minimum(share / EVIDENCE, 1.0))

    def at_the_end(self, span_s: float) -> Array:
        """`agreement` over the last `span_s` at every lag, the earliest sound first: (2 reach + 1,)."""
        n, reach = len(self.mouth), max(int(REACH_S * self.rate), 1)
        size = max(int(span_s * self.rate), 3)
        place = np.arange(n - size, n)
        there = place + np.arange(-reach, reach + 1)[:, None]  # (lags, size)
        inside = (there >= 0) & (there < n) & (place >= 0)
        at = np.clip(there, 0, n - 1)
        w = np.where(inside, self.known[at] * self.known[np.clip(place, 0, n - 1)], 0.0)
        x, y = np.broadcast_to(self.mouth[np.clip(place, 0, n - 1)], w.shape), self.sound[at]
        share, mean_x, mean_y, xx, yy, xy = ((w * z).mean(axis=1) for z in (1.0, x, y, x * x, y * y, x * y))
        least = np.maximum(share, 1e-6)
        mean_x, mean_y = mean_x / least, mean_y / least
        variances = (xx / least - mean_x**2, yy / least - mean_y**2)
        moving = (variances[0] > 1e-4) & (variances[1] > 1e-4)
        r = (xy / least - mean_x * mean_y) / np.sqrt(np.maximum(variances[0] * variances[1], 1e-8))
        return np.asarray(np.where(moving, np.clip(r, -1, 1), 0.0) * np.minimum(share / EVIDENCE, 1.0))

    def best(self, span_s: float) -> tuple[Array, Array]:
        """The highest correlation (n,) over all lags in windows of `span_s`, and its lag (n,) in s."""
        reach = max(int(REACH_S * self.rate), 1)
        all_lags = np.stack([self.agreement(k, span_s).astype(np.float32) for k in range(-reach, reach + 1)])
        top, column = all_lags.argmax(axis=0), np.arange(len(self.mouth))
        inner = np.clip(top, 1, 2 * reach - 1)
        before, peak, after = (all_lags[inner + d, column].astype(np.float64) for d in (-1, 0, 1))
        bend = before - 2 * peak + after
        shift = np.where((top == inner) & (bend < 0), 0.5 * (before - after) / np.minimum(bend, -1e-9), 0.0)
        return all_lags[top, column].astype(np.float64), (top + np.clip(shift, -0.5, 0.5) - reach) / self.rate


def _standard(x: Array, weight: Array) -> Array:
    """Mean 0 and deviation 1 where known; zeros if it never moves."""
    total = max(float(weight.sum()), 1.0)
    x = x - float((x * weight).sum()) / total
    deviation = float(np.sqrt((x * x * weight).sum() / total))
    return x / deviation if deviation > 1e-9 else np.zeros_like(x)
