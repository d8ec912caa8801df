"""What the heuristic says of a known clip, by its numbers."""

from pathlib import Path

import numpy as np
from zero_shot_clips import MODEL, clip

from golden_numbers import check


def test_a_known_clip_has_its_predictions() -> None:
    steps = np.arange(300)
    wave = np.sin(steps / 23)
    expression = {
        "happy": 0.4 + 0.35 * wave,
        "sad": 0.2 - 0.15 * wave,
        "neutral": 0.3 + 0 * wave,
        "angry": 0.1 - 0.1 * wave,
    }
    voice = {
        "alpha_ratio": -9 + 5 * np.cos(steps / 31),
        "hammarberg_index": 19 - 3 * wave,
        "pitch_median": 0.6 + 0.3 * wave,
    }
    cues = {"face_sharpness": 5 + wave, "snr_estimate": 18 + 9 * np.sin(steps / 11), "face_size": 60.0 + 50 * wave}
    one = clip(expression, voice, cues, steps=300, rate=30.0, face=(steps < 120) | (steps > 170), sound=steps > 40)
    said = MODEL.predict(one)
    heard, seen, mass = MODEL.readings(one)
    every = np.s_[::15]
    check(
        Path(__file__).parent / "golden" / "zero_shot.json",
        {
            "prediction": said.prediction[every], "gates": said.gates["modalities"][every], "heard": heard[every],
            "seen": seen[every], "mass": mass[every], "inconsistency": said.inconsistency[every],
            "cases": MODEL.cases(one)[::60],
        },
    )  # fmt: skip
