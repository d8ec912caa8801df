"""Quality cues of a clean stream: a mouth that moves with the sound, a picture and a sound that are as they should be.

A choice of those that `iaca.encoders.cues` measures on recorded clips, with their orders of magnitude.
"""

from __future__ import annotations

import numpy as np

from iaca.corpora.synthetic.config import SyntheticConfig
from iaca.corpora.synthetic.noise import Array, smooth

Cues = dict[str, Array]

NAMES = (
    "face_score", "face_sharpness", "sound_level", "snr_estimate", "voice_activity", "synchrony", "mouth_motion",
    "mouth_opening",
)  # fmt: skip

TALK_S, PAUSE_S, ONSET_S, SYLLABLES_HZ = 2.5, 1.0, 0.1, 4.0
SILENT_SOUND: dict[str, float] = {"sound_level": -100.0, "snr_estimate": 0.0, "voice_activity": 0.0}
NO_FACE: dict[str, float] = {"face_score": 0.0, "face_sharpness": 0.0, "mouth_motion": 0.0, "mouth_opening": 0.0}


def draw_cues(config: SyntheticConfig, rng: np.random.Generator) -> dict[str, Cues]:
    """Cues (t,) of each modality by name; `synchrony`, which belongs to both, is not among them."""
    speech, own = speech_envelope(config, rng), speech_envelope(config, rng)
    slow = smooth(rng, config.steps, config.correlation_s * config.rate, 3)
    white = rng.standard_normal((config.steps, 5))
    room, gain, focus = rng.standard_normal(3)
    shape = rng.standard_normal(config.steps)  # drawn last: the other cues stay those of earlier versions
    mouth = config.lip_sync * speech + (1 - config.lip_sync) * own
    return {
        "audio": {
            "sound_level": -45 + 3 * gain + 22 * speech + 1.5 * white[:, 0],
            "snr_estimate": 22 + 3 * room + 2 * slow[:, 0] + white[:, 1],
            "voice_activity": np.clip(1.2 * speech + 0.05 * white[:, 2], 0, 1),
        },
        "visual": {
            "face_score": np.clip(0.98 + 0.01 * slow[:, 1] + 0.005 * white[:, 3], 0, 1),
            "face_sharpness": 6 + 0.4 * focus + 0.2 * slow[:, 2],
            "mouth_motion": np.abs(1 + 6 * mouth + 0.8 * white[:, 4]),
            "mouth_opening": 0.1 * focus + 0.4 * mouth + 0.04 * shape,
        },
    }


def speech_envelope(config: SyntheticConfig, rng: np.random.Generator) -> Array:
    """(t,) how loud someone speaks, in [0, 1]: stretches of talk and pause, and syllables in the talk."""
    steps, rate = config.steps, config.rate
    lengths = rng.exponential(1.0, size=2 * int(config.seconds / (TALK_S + PAUSE_S) * 3 + 8)).reshape(-1, 2)
    edges = np.cumsum(lengths * [TALK_S, PAUSE_S]) - rng.uniform(0, TALK_S)
    time_s = np.arange(steps) / rate
    talks = (np.searchsorted(edges, time_s, side="right") % 2 == 0).astype(np.float64)
    smear = max(1, round(2 * ONSET_S * rate))
    talks = np.convolve(np.pad(talks, smear, mode="edge"), np.ones(smear) / smear, "same")[smear:-smear]
    wander = smooth(rng, steps, 0.5 * rate, 1)[:, 0]
    syllables = 0.5 + 0.5 * np.sin(2 * np.pi * SYLLABLES_HZ * time_s + 2 * wander)
    envelope: Array = talks * (0.4 + 0.6 * syllables)
    return envelope
