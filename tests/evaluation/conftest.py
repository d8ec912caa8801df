"""Four clips of 300 steps at 25 Hz with a model that follows the annotation and gates that follow the truth."""

import numpy as np
import pandas as pd
import pytest

STEPS, RATE_HZ = 300, 25
EVENTS = [
    ("a", "audio", "silent", 2.0, 4.0),
    ("b", "audio", "noisy", 1.0, 5.0),
    ("c", "visual", "occluded", 6.0, 8.0),
    ("d", "visual", "absent", 3.0, 7.0),
    ("d", "audio", "noisy", 9.0, 9.5),
]


def _smooth(rng: np.random.Generator) -> np.ndarray:
    walk = np.cumsum(rng.normal(size=STEPS))
    return 0.7 * walk / np.abs(walk).max()


@pytest.fixture(scope="session")
def labels() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    clips = []
    for clip in "abcd":
        values = {name: _smooth(rng) for name in ("valence", "arousal")}
        values["valence"][:9] = np.nan
        partition = "train" if clip == "d" else "validation"
        clips.append(pd.DataFrame({"clip": clip, "frame": np.arange(STEPS), **values, "partition": partition}))
    return pd.concat(clips, ignore_index=True)


@pytest.fixture(scope="session")
def events() -> pd.DataFrame:
    return pd.DataFrame(EVENTS, columns=["clip", "modality", "kind", "start_s", "end_s"])


@pytest.fixture(scope="session")
def predictions(labels: pd.DataFrame, events: pd.DataFrame) -> pd.DataFrame:
    table = predict(labels, noise=0.1, seed=1)
    weight = np.random.default_rng(2).uniform(0.4, 0.6, len(table))
    for clip, modality, _, start, end in EVENTS:
        inside = (table["clip"] == clip) & (table["time_s"] >= start) & (table["time_s"] < end)
        weight[inside] = 0.9 if modality == "visual" else 0.1
    return table.assign(gate_modalities_audio=weight, gate_modalities_visual=1 - weight)


def predict(labels: pd.DataFrame, noise: float, seed: int) -> pd.DataFrame:
    """A model that is off by white noise."""
    rng = np.random.default_rng(seed)
    table = labels[["clip", "frame"]].assign(time_s=labels["frame"] / RATE_HZ)
    for name in ("valence", "arousal"):
        table[name] = labels[name].fillna(0) * 0.8 + rng.normal(0, noise, len(labels))
    return table.assign(face_found=True, audio_present=True)


@pytest.fixture(scope="session")
def models(labels: pd.DataFrame, predictions: pd.DataFrame) -> dict[str, pd.DataFrame]:
    others = {"concatenation": 0.2, "visual only": 0.4, "audio only": 0.6}
    return {"iaca": predictions} | {name: predict(labels, noise, 3) for name, noise in others.items()}
