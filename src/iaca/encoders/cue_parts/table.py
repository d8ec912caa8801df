"""The cues by name: of which modality each speaks, its unit, its range and what it says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

INFINITE = float("inf")


class Cue(NamedTuple):
    """One cue.

    Attributes:
        modality: whom it speaks of.
        unit: of its values; a share and a correlation have none.
        low, high: no value lies outside.
        grain: the least difference that means something: normalisation takes no smaller deviation, or a cue that hardly
            moved in training, as clipping, would drown all others where it does.
        noisy: which way training takes it to go with noise on its modality: -1 down, 1 up, 0 neither.
        dead: the same for a modality that is there and shows nothing.
        says: what it measures.
    """

    modality: Literal["audio", "visual", "both"]
    unit: str
    low: float
    high: float
    grain: float
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
"""NaN anywhere is an unknown value."""

NAMES = tuple(TABLE)
OF = {name: cue.modality for name, cue in TABLE.items()}
"""Which modality each cue speaks of."""
LAG = "synchrony_lag"
"""The cue that is not known where the two modalities do not agree."""


def stacked(cues: Mapping[str, NDArray[np.floating]]) -> NDArray[np.float32]:
    """Cues (t,) by name -> (t, q) float32 in the order of `NAMES`."""
    return np.stack([cues[name] for name in NAMES], axis=1).astype(np.float32)
