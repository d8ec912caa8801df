"""Does a mouth measured by the blendshape `jawOpen` find contradictions better than one measured in the picture?

    python benchmarks/jaw_opening.py [--clips 8]

Synchrony of mouth and sound by either measure, on clips of the demo corpus (its seed, rendered here) that have another
voice or another face for a while: AUROC of those steps against the steps without any event, pooled over the clips, and
the difference with its 95 % interval over clips. Needs the weights and the package of `blendshapes`.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from cue_validity import CueClip, cue_clip
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from iaca.corpora.demo.plan import DemoConfig, event_table, plan_corpus
from iaca.corpora.demo.render import render_movie
from iaca.encoders.config import EmbeddingConfig
from iaca.encoders.cues import synchrony
from iaca.encoders.embed import jaw_opening
from iaca.encoders.networks import build_encoders
from iaca.faces import FaceConfig, decode_face, extract_faces
from iaca.media import read_audio

KIND, RESAMPLES, BLENDSHAPES = "contradictory", 1000, EmbeddingConfig(visual="blendshapes", device="cpu")
Steps = tuple[NDArray[np.float64], NDArray[np.bool_]]
"""Disagreement (t, 2) by picture and by jaw, and whether each step is in the event."""


def clips(count: int) -> Iterator[tuple[CueClip, NDArray[np.float32]]]:
    """Clips with a contradiction, and the opening of their mouths by `jawOpen` (t,)."""
    config, (encoder, _) = DemoConfig(), build_encoders(BLENDSHAPES)
    for video in plan_corpus(config):
        speaker, events = video.speaker, event_table([video])
        own = events[events["clip"] == speaker.clip]
        if not (own["kind"] == KIND).any() or count == 0:
            continue
        count -= 1
        with tempfile.TemporaryDirectory() as folder:
            movie = Path(folder) / "video.mp4"
            render_movie(video, config, movie)
            faces, sound = extract_faces(movie, FaceConfig(), speaker.side), read_audio(movie)
        clip = cue_clip(speaker.clip, faces, sound, own)
        rows = np.zeros((len(faces), encoder.dim), np.float32)
        for index in np.flatnonzero(clip.found):
            rows[index] = encoder.encode(decode_face(faces["jpeg"].iloc[index])[None])[0]
        yield clip, jaw_opening(rows, clip.found, BLENDSHAPES)["mouth_opening"]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=8)
    given = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, list[Steps]] = {"audio": [], "visual": []}
    for clip, opening in clips(given.clips):
        known = clip.complete()
        jaw = synchrony(opening, clip.cues["sound_level"], clip.times, known)["synchrony"]
        both = -np.stack([clip.cues["synchrony"], jaw], axis=1).astype(np.float64)
        for modality, steps in found.items():
            during = clip.during[modality, KIND]
            used = known & (during | clip.eventless())
            steps.append((both[used], during[used]))
    print("| event | steps in it | by the picture | by the jaw | difference |\n|---|---|---|---|---|")
    for modality, steps in found.items():
        picture, jaw = scores(steps)
        random, draws = np.random.default_rng(0), []
        for _ in range(RESAMPLES):
            drawn = [steps[i] for i in random.integers(0, len(steps), len(steps))]
            if any(during.any() for _, during in drawn):
                one, other = scores(drawn)
                draws.append(other - one)
        low, high = np.quantile(draws, [0.025, 0.975])
        count = sum(int(during.sum()) for _, during in steps)
        difference = f"{jaw - picture:+.3f} [{low:+.3f}, {high:+.3f}]"
        print(f"| {modality} {KIND} | {count} | {picture:.3f} | {jaw:.3f} | {difference} |")


def scores(steps: list[Steps]) -> tuple[float, float]:
    """AUROC of disagreement by the picture and by the jaw."""
    both, during = (np.concatenate(part) for part in zip(*steps, strict=True))
    picture, jaw = (float(roc_auc_score(during, both[:, i])) for i in range(2))
    return picture, jaw


if __name__ == "__main__":
    main()
