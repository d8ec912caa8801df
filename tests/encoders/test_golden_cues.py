"""The cues and descriptors of a known face and a known voice, by their numbers."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import skimage.data
import torch

from golden_numbers import check
from iaca.audio.features import NAMES, functionals
from iaca.encoders.cues import BOX, LANDMARKS, FaceCues, head_pose, sound_cues, synchrony
from iaca.faces import align

RATE = 16_000
GOLDEN = Path(__file__).parent / "golden"
POINTS = np.array([[205.0, 101.7], [246.8, 103.7], [224.7, 129.0], [201.7, 139.2], [245.3, 141.9]])


def voice() -> np.ndarray:
    """Four seconds: syllables with a pause, quiet noise, and overload at the end."""
    clock = np.arange(4 * RATE) / RATE
    phase = 2 * np.pi * np.cumsum(140 + 30 * np.sin(1.7 * clock)) / RATE
    harmonics = sum(np.sin(k * phase) / k**1.3 for k in range(1, 30))
    syllables = np.maximum(np.sin(2 * np.pi * 3 * clock), 0) ** 0.5 * ~((clock > 1.2) & (clock < 2.0))
    sound = 0.12 * harmonics * syllables + np.random.default_rng(0).normal(0, 0.002, len(clock))
    sound[clock > 3.5] *= 8
    return np.clip(sound, -1, 1).astype(np.float32)


def test_a_known_voice_has_its_cues_and_descriptors() -> None:
    times = np.array([0.0, 0.4, 1.1, 1.62, 2.5, 3.3, 3.8, 4.5])
    cues = sound_cues(voice(), RATE, times, ((0.0, 0.3), (0.5, 4.0)))
    described = functionals(torch.from_numpy(voice()), torch.from_numpy(times)).numpy()
    check(GOLDEN / "voice.json", {**cues, **dict(zip(NAMES, described.T, strict=True))}, 2e-3)


def test_a_known_face_has_its_cues() -> None:
    picture = skimage.data.astronaut()
    turned = POINTS + np.array([[3, 1], [-4, 2], [5, -1], [2, 3], [-3, -2]])
    faces = [align(picture, points) for points in (POINTS, POINTS + 0.7, turned)]
    faces.append(cv2.GaussianBlur(faces[0], (0, 0), 1.5))
    places = [POINTS, POINTS + 0.7, turned, turned]
    boxes = [[180 + i, 70, 270, 180 + 2 * i] for i in range(4)]
    rows = [
        {"score": 0.9 + 0.02 * i, **dict(zip([*BOX, *LANDMARKS], [*box, *points.ravel()], strict=True))}
        for i, (box, points) in enumerate(zip(boxes, places, strict=True))
    ]
    cues = FaceCues(pd.DataFrame(rows))
    for index, face in enumerate(faces):
        cues.add(index, face)
    poses = head_pose(np.stack([*places, [[0, 0], [60, 20], [22, 45], [-5, 68], [42, 84]]]))
    check(GOLDEN / "face.json", {**cues.columns(), "poses": poses}, 5e-3)


def test_a_known_mouth_and_voice_have_their_synchrony() -> None:
    rng, times = np.random.default_rng(1), np.cumsum(np.random.default_rng(2).uniform(0.02, 0.06, 300))
    syllables = np.interp(times - 0.11, np.arange(0, 15, 0.09), rng.uniform(0, 1, 167))
    mouth = np.interp(times, np.arange(0, 15, 0.09), np.random.default_rng(1).uniform(0, 1, 167)) * 0.4
    mouth[200:] = rng.uniform(0, 0.4, 100)
    known = np.ones(300, bool)
    known[90:110] = False
    level = (20 * np.log10(0.01 + syllables)).astype(np.float32)
    check(
        GOLDEN / "synchrony.json",
        {n: x[::20] for n, x in synchrony(mouth.astype(np.float32), level, times, known).items()},
        5e-3,
    )
