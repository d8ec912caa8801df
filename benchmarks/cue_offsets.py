"""Late sound and swapped voices, as `synchrony` sees them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from cue_clips import CueClip
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from iaca.encoders.cues import Pair, sound_cues, synchrony

OFFSETS_S = (-0.4, -0.3, -0.2, -0.1, -0.04, 0.0, 0.04, 0.1, 0.2, 0.3, 0.4)
STRANGERS = 4


def level(clip: CueClip, of: CueClip, late_s: float = 0.0) -> NDArray[np.float32]:
    """Level (t,) at the steps of a clip of a sound that comes `late_s` too late."""
    return sound_cues(of.sound.samples, of.sound.rate, clip.times - late_s)["sound_level"]


def offset_rows(clips: Sequence[CueClip], name: str) -> list[list[str]]:
    """How often an offset of the sound is found within one frame: per clip, by the median of its known lags, and per
    step."""
    clip_errors, step_errors, frames, lengths, known = [], [], [], [], []
    for clip in clips:
        for offset in OFFSETS_S:
            cues = synchrony(clip.cues["mouth_opening"], level(clip, clip, offset), clip.times, clip.found)
            lag = cues["synchrony_lag"]
            fine = np.isfinite(lag)
            clip_errors.append(abs(float(np.median(lag[fine])) - offset) if fine.any() else np.inf)
            step_errors.append(np.abs(lag[fine] - offset))
            lengths.append(clip.frame_s)
            frames.append(np.full(int(fine.sum()), clip.frame_s))
            known.append(fine)
    per_clip, per_step = np.array(clip_errors), np.concatenate(step_errors)
    head = [
        "clips",
        "clips x offsets",
        "found within one frame",
        "median error",
        "steps with a lag",
        "within one frame",
    ]
    return [head, [
        name, str(len(per_clip)), f"{np.mean(per_clip <= lengths):.1%}", f"{1e3 * np.median(per_clip):.1f} ms",
        f"{np.concatenate(known).mean():.0%}", f"{np.mean(per_step <= np.concatenate(frames)):.1%}",
    ]]  # fmt: skip


def swap_rows(clips: Sequence[CueClip], spans: Sequence[float]) -> list[list[str]]:
    """AUROC of one's own voice against those of other clips, over windows of each length that overlap by half."""
    rows = [["window", "windows of own / other voices", "correlation at lag 0", "peak over lags"]]
    for span in spans:
        own, other = [], []
        for i, clip in enumerate(clips):
            own += _scores(clip, clip, span)
            for step in range(1, STRANGERS + 1):
                stranger = clips[(i + step * max(len(clips) // (STRANGERS + 1), 1)) % len(clips)]
                other += _scores(clip, stranger, span) if stranger is not clip else []
        truth = np.repeat([1, 0], [len(own), len(other)])
        scores = np.array(own + other).reshape(-1, 2)
        figures = [f"{roc_auc_score(truth, scores[:, k]):.3f}" for k in (0, 1)] if own and other else ["-", "-"]
        rows.append([f"{span:g} s", f"{len(own)} / {len(other)}", *figures])
    return rows


def _scores(clip: CueClip, voice: CueClip, span: float) -> list[tuple[float, float]]:
    """Correlation at lag 0 and peak over lags of each window that lies within both clips."""
    sound, known = level(clip, voice), clip.found & np.isfinite(clip.cues["mouth_opening"])
    pair = Pair.of(clip.cues["mouth_opening"], sound, clip.times, known)
    end = min(clip.times[-1], len(voice.sound.samples) / voice.sound.rate)
    centres = np.arange(clip.times[0] + span / 2, end - span / 2 + 1e-6, span / 2)
    at = pair.places(centres)
    straight, peak = pair.agreement(0, span)[at], pair.without_drift().best(span)[0][at]
    return [(float(a), float(b)) for a, b in zip(straight, peak, strict=True)]
