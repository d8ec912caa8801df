"""What the readings of a face are worth: AUROC of valence and arousal on photographs with one expression word each.

python benchmarks/facial_affect.py FOLDER [--each 160]

FOLDER is a copy of github.com/muxspace/facial_expressions: `data/legend.csv` (user.id, image, emotion) and `images/`.
Up to `each` pictures of each word are drawn at random, of those with a single word. A face is found by MTCNN, aligned,
and read on its own: without a voice, without smoothing, and without the ramps of trust. Positive is happiness,
negative are sadness, anger, disgust and fear; high are happiness, anger, fear and surprise, low neutral and sadness.
Nothing is fitted. It needs the weights of `blendshapes`.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from iaca.encoders.config import ENCODERS, EmbeddingConfig
from iaca.encoders.networks import build_encoders
from iaca.faces import FaceConfig
from iaca.faces.detect import align, make_detector
from iaca.inference.config import NAMED
from iaca.inference.zero_shot import read_config, read_face

SIGNS = {"happiness": (1, 1), "sadness": (-1, -1), "anger": (-1, 1), "disgust": (-1, 0), "fear": (-1, 1),
         "surprise": (0, 1), "neutral": (0, -1)}  # fmt: skip
"""Of valence and arousal by word; 0 is left out."""
LARGEST = 400
"""Larger pictures are reduced to this side, px."""
RESAMPLES = 1000
Array = NDArray[np.float64]


def drawn(folder: Path, each: int) -> pd.DataFrame:
    """Image and word of the pictures, in random order that is always the same."""
    legend = pd.read_csv(folder / "data/legend.csv", usecols=["image", "emotion"])
    legend["emotion"] = legend["emotion"].str.lower().str.strip()
    legend = legend.drop_duplicates()
    single = legend[~legend["image"].duplicated(keep=False) & legend["emotion"].isin(SIGNS)]
    shuffled = single.sort_values("image").sample(frac=1, random_state=0)
    return shuffled.groupby("emotion").head(each)


def faces_of(folder: Path, pictures: pd.DataFrame) -> tuple[list[NDArray[np.uint8]], list[str]]:
    """Aligned faces, and the word of each; pictures without a face are counted on screen."""
    detector = make_detector(FaceConfig(min_face=0.2))
    faces, words, without = [], [], Counter[str]()
    for image, word in pictures[["image", "emotion"]].itertuples(index=False):
        picture = cv2.imread(str(folder / "images" / image))
        if picture is None:
            continue
        picture = np.asarray(picture[..., ::-1], np.uint8)
        scale = LARGEST / max(picture.shape)
        if scale < 1:
            picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        found = detector.detect([np.ascontiguousarray(picture)])[0]
        if not found:
            without[word] += 1
            continue
        faces.append(align(picture, found[0].landmarks))
        words.append(word)
    print(f"{len(faces)} faces; without a face: {dict(without)}")
    return faces, words


def readings(faces: list[NDArray[np.uint8]]) -> tuple[dict[str, Array], NDArray[np.bool_]]:
    """(n, 2) by reading, and where the landmarker sees a face."""
    rules = read_config(NAMED["zero_shot_blendshapes"]).face
    encoder, _ = build_encoders(EmbeddingConfig(visual=list(rules.encoders), device="cpu"))
    rows = np.concatenate([encoder.encode(face[None]) for face in faces])
    parts = np.split(rows, [ENCODERS["visual"]["mini_xception"].dim], axis=1)
    classes, shapes = (read_face(name, part, rules) for name, part in zip(rules.encoders, parts, strict=True))
    mean = (classes.value + shapes.value * shapes.trust[:, None]) / (1 + shapes.trust[:, None])
    return {"posteriors": classes.value, "blendshapes": shapes.value, "mean of both": mean}, shapes.trust > 0.5


def scores(values: Array, signs: NDArray[np.int_]) -> list[float]:
    """AUROC of valence and of arousal."""
    used = [signs[:, d] != 0 for d in range(2)]
    return [float(roc_auc_score(signs[use, d] > 0, values[use, d])) for d, use in enumerate(used)]


def report(read: dict[str, Array], signs: NDArray[np.int_]) -> None:
    """Print scores with 95 % intervals over pictures, and the difference of the last reading to the first."""
    draws = np.random.default_rng(0).integers(0, len(signs), (RESAMPLES, len(signs)))
    resampled = {name: np.array([scores(values[i], signs[i]) for i in draws]) for name, values in read.items()}
    for name, values in read.items():
        low, high = np.percentile(resampled[name], [2.5, 97.5], axis=0)
        texts = [f"{s:.3f} ({a:.3f} to {b:.3f})" for s, a, b in zip(scores(values, signs), low, high, strict=True)]
        print(f"  {name:14} valence {texts[0]}   arousal {texts[1]}")
    first, *_, last = resampled
    low, high = np.percentile(resampled[last] - resampled[first], [2.5, 97.5], axis=0)
    print(f"  {last} - {first}: valence {low[0]:+.3f} to {high[0]:+.3f}, arousal {low[1]:+.3f} to {high[1]:+.3f}")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--each", type=int, default=160)
    given = parser.parse_args()
    faces, words = faces_of(given.folder, drawn(given.folder, given.each))
    read, seen = readings(faces)
    signs = np.array([SIGNS[word] for word in words])
    print("all")
    report(read, signs)
    print(f"the {seen.sum()} in which the landmarker sees a face")
    report({name: values[seen] for name, values in read.items()}, signs[seen])


if __name__ == "__main__":
    main()
