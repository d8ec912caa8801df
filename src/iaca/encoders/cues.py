"""Cues of the sound: level, loudness, signal-to-noise estimate, voice activity and clipping at each step."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, minimum_filter1d, percentile_filter
from scipy.signal import sosfilt, sosfilt_zi

from iaca.media import Samples

FLOOR_DB = -100.0
GRAIN_S = 0.005
LEVEL_S, LOUDNESS_S, FLOOR_S, LOUD_S = 0.05, 0.4, 1.0, 1.0
QUIET_DB = -80.0  # digital silence between words is no better than a quiet room
FULL_SCALE = 0.985  # resampling and lossy codecs leave clipped samples a little under 1
SHELF = (1681.974450955533, 0.7071752369554196, 3.999843853973347)
HIGH_PASS = (38.13547087602444, 0.5003270373238773)
"""Corner (Hz), quality and gain (dB) of the two K-weighting filters: the analogue prototypes behind the coefficients
that ITU-R BS.1770-4 gives for 48 kHz."""
MINUTE = 60
FloatArray = NDArray[np.float32]
Array = NDArray[np.float64]


def sound_cues(samples: Samples, rate: int, times: Array) -> dict[str, FloatArray]:
    """All cues of the sound (t,) by name.

    The noise floor is the smoothed minimum of the level over 1 s, in which speech nearly always dips; the
    signal-to-noise estimate is the 90th percentile of the level over 1 s above that floor. Voice activity is how far
    the level stands above the floor, 0 at 3 dB, 1 at 15 dB. Loudness is the momentary one of ITU-R BS.1770-4 and EBU
    Tech 3341, of one channel.

    Args:
        samples: (n,) in [-1, 1], read a minute at a time; a sound shorter than 5 ms counts as silence.
        rate: Hz.
        times: (t,) s; each cue is centred on its time, and what lies outside the sound is silent.
    """
    grain = max(round(rate * GRAIN_S), 1)
    power, weighted, full = _grains(samples, rate, grain)
    grain_s = grain / rate
    level = _decibel(_mean_around(power, times / grain_s, LEVEL_S / grain_s))
    blocks = LEVEL_S * (0.5 + np.arange(max(int(len(power) * grain_s / LEVEL_S + 1e-6), 1)))  # whole ones
    snr, active = _above_floor(_decibel(_mean_around(power, blocks / grain_s, LEVEL_S / grain_s)), times / LEVEL_S)
    loudness = _decibel(10**-0.0691 * _mean_around(weighted, times / grain_s, LOUDNESS_S / grain_s))
    clipping = _mean_around(full, times / grain_s, LOUDNESS_S / grain_s)
    cues = {
        "sound_level": level, "loudness": loudness, "snr_estimate": snr, "voice_activity": active, "clipping": clipping,
    }  # fmt: skip
    return {name: cue.astype(np.float32) for name, cue in cues.items()}


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
    sections[1, 3:] /= sections[1, 3]  # the standard leaves this one unnormalised
    return sections


def _poles(k: float, q: float) -> tuple[float, float, float]:
    return 1 + k / q + k * k, 2 * (k * k - 1), 1 - k / q + k * k


def _grains(samples: Samples, rate: int, grain: int) -> tuple[Array, Array, Array]:
    """Of every 5 ms: mean square, K-weighted mean square, share at full scale. A minute at a time: hours fit."""
    sections = k_weighting(rate)
    state, parts = np.zeros_like(sosfilt_zi(sections)), []
    piece = grain * max(round(MINUTE * rate / grain), 1)
    for start in range(0, len(samples) - grain + 1, piece):
        part = samples[start : start + piece]
        part = part[: len(part) // grain * grain].astype(np.float64)
        weighted, state = sosfilt(sections, part, zi=state)
        clipped = np.abs(part) >= FULL_SCALE
        parts.append([x.reshape(-1, grain).mean(axis=1) for x in (part * part, weighted * weighted, clipped)])
    power, loud, full = (np.concatenate(x) for x in zip(*parts, strict=True)) if parts else (np.zeros(0),) * 3
    return power, loud, full


def _mean_around(values: Array, centres: NDArray[np.floating], width: float) -> Array:
    """Means over `width` grains around each centre, parts of grains counted as parts; zeros outside."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    edges = np.arange(len(total))
    upper, lower = (np.interp(centres + side * width / 2, edges, total) for side in (1, -1))
    return np.asarray(np.maximum(upper - lower, 0) / width)


def _decibel(power: Array) -> Array:
    return np.asarray(np.maximum(10 * np.log10(np.maximum(power, 1e-10)), FLOOR_DB))


def _above_floor(level: Array, places: Array) -> tuple[Array, Array]:
    """Levels of blocks (k,) -> signal-to-noise estimate and voice activity at each place (t,), in blocks."""
    level = np.maximum(level, QUIET_DB)
    floor = minimum_filter1d(level, round(FLOOR_S / LEVEL_S), mode="nearest")
    floor = gaussian_filter1d(floor, 0.5 / LEVEL_S, mode="nearest")
    snr = percentile_filter(level, 90, size=round(LOUD_S / LEVEL_S), mode="nearest") - floor
    index = np.clip(places.astype(int), 0, len(level) - 1)
    return snr[index], np.clip((level - floor - 3) / 12, 0, 1)[index]
