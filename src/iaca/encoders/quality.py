"""Per-step quality cues: evidence from outside the embeddings about how far each modality can be believed.

All are ours. None is calibrated: they are inputs to a model that learns what they are worth.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, minimum_filter1d, percentile_filter

OF = {
    "face_score": "visual", "face_sharpness": "visual", "sound_level": "audio", "snr_estimate": "audio",
    "voice_activity": "audio", "synchrony": "both", "mouth_motion": "visual",
}  # fmt: skip
"""Which modality each cue speaks of."""
NAMES = tuple(OF)
FloatArray = NDArray[np.float32]
FLOOR_DB = -100.0


def face_cues(face: NDArray[np.uint8], previous: NDArray[np.uint8] | None) -> tuple[float, float]:
    """Of an aligned RGB face: its sharpness, ln of the Laplacian's variance, and the motion of its mouth region
    since the previous step in grey levels (0 where there was no face)."""
    grey = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)
    sharpness = float(np.log1p(cv2.Laplacian(grey, cv2.CV_32F).var()))
    if previous is None:
        return sharpness, 0.0
    size = len(grey)
    mouth = np.s_[int(0.62 * size) : int(0.95 * size), int(0.25 * size) : int(0.75 * size)]
    before = cv2.cvtColor(previous, cv2.COLOR_RGB2GRAY)
    return sharpness, float(cv2.absdiff(grey[mouth], before[mouth]).mean())


def sound_cues(samples: FloatArray, rate: int, times: NDArray[np.float64]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Level in dB over 50 ms, signal-to-noise estimate in dB, and voice activity in [0, 1], at each time (s).

    The noise floor is the smoothed minimum of the level over 3 s; the estimate is the 90th percentile of the level
    over 1 s above that floor. Voice activity is how far the level stands above the floor, 0 at 3 dB, 1 at 15 dB.
    """
    step = rate // 20
    whole = len(samples) // step
    if whole == 0:
        flat = np.full(len(times), FLOOR_DB, np.float32)
        return flat, np.zeros_like(flat), np.zeros_like(flat)
    power = np.square(samples[: whole * step], dtype=np.float64).reshape(whole, step).mean(1)
    level = 10 * np.log10(power + 1e-10)
    floor = gaussian_filter1d(minimum_filter1d(level, 60, mode="nearest"), 10, mode="nearest")
    snr = percentile_filter(level, 90, size=20, mode="nearest") - floor
    active = np.clip((level - floor - 3) / 12, 0, 1)
    index = np.clip((times * rate / step).astype(int), 0, whole - 1)
    return tuple(cue[index].astype(np.float32) for cue in (level, snr, active))  # type: ignore[return-value]


def synchrony(motion: FloatArray, level: FloatArray, times: NDArray[np.float64], span_s: float = 1.0) -> FloatArray:
    """Correlation of mouth motion and sound level in a Gaussian window of `span_s` around each step, in [-1, 1]."""
    if len(times) < 3:
        return np.zeros(len(times), np.float32)
    sigma = span_s / max(float(np.median(np.diff(times))), 1e-3)

    def smooth(x: NDArray[np.float64]) -> NDArray[np.float64]:
        smoothed: NDArray[np.float64] = gaussian_filter1d(x, sigma, mode="nearest")
        return smoothed

    x, y = motion.astype(np.float64), np.maximum(level.astype(np.float64), -60.0)
    mean_x, mean_y = smooth(x), smooth(y)
    covariance = smooth(x * y) - mean_x * mean_y
    variances = (smooth(x * x) - mean_x**2) * (smooth(y * y) - mean_y**2)
    return np.clip(covariance / np.sqrt(np.maximum(variances, 1e-6)), -1, 1).astype(np.float32)
