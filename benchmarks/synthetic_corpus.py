"""Measure the synthetic corpus: how much its features reveal, how well synchrony detects a swap, the cost of writing.

    python benchmarks/synthetic_corpus.py [--clips 1000]

Prints the figures of docs/reference/synthetic.md.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter1d
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score

from iaca.corpora.synthetic import SyntheticConfig, draw_annotated, draw_corpus, write_corpus
from iaca.encoders.embedding import AnnotatedClip
from iaca.evaluation.metrics import ccc

SMOOTHING_S = 0.5
BOTH = ("audio", "visual")
SHIFTS = ({}, {"shift": "reversed"}, {"shift_learnt": 0.7})


def readable(config: SyntheticConfig, modalities: Sequence[str], partition: str = "validation") -> tuple[float, float]:
    """CCC of valence and arousal of a ridge regression on smoothed features, on people that it was not trained on."""
    parts = [draw_annotated(config, name) for name in ("train", partition)]
    x = [_smoothed(clips, modalities, SMOOTHING_S * config.rate) for clips in parts]
    y = [np.concatenate([clip.labels for clip in clips.values()]) for clips in parts]
    predicted = Ridge(100.0).fit(x[0], y[0]).predict(x[1])
    return ccc(predicted[:, 0], y[1][:, 0]), ccc(predicted[:, 1], y[1][:, 1])


def _smoothed(clips: Mapping[str, AnnotatedClip], modalities: Sequence[str], sigma: float) -> np.ndarray:
    rows = (np.concatenate([clip.embedding.features[m] for m in modalities], axis=1) for clip in clips.values())
    return np.concatenate([gaussian_filter1d(x, sigma, axis=0) for x in rows])


def swap_auroc(lip_sync: float) -> float:
    """AUROC of low synchrony for the steps at which one modality is another clip's."""
    config = SyntheticConfig(clips=40, event_share=0.4, event_kinds=("other",), lip_sync=lip_sync)
    truth, synchrony = [], []
    for clip in draw_corpus(config):
        mask = np.zeros(config.steps, bool)
        for event in clip.events:
            mask[event.start : event.end] = True
        truth.append(mask)
        embedding = clip.annotated.embedding
        synchrony.append(embedding.quality[:, embedding.quality_names.index("synchrony")])
    return float(roc_auc_score(np.concatenate(truth), -np.concatenate(synchrony)))


def written(clips: int, form: str) -> str:
    """CPU time, size and peak memory of writing clips of 60 s, as text."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.process_time()
        write_corpus(SyntheticConfig(clips=clips), Path(folder) / "corpus", form)  # type: ignore[arg-type]
        seconds = time.process_time() - started
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return f"{form:8} {clips} clips: {seconds:6.1f} s of CPU, {size / 1e6:6.0f} MB, peak memory so far {peak:.0f} MB"


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=1000)
    clips = parser.parse_args().clips
    for form in ("csv", "parquet"):
        for count in (clips // 10, clips):
            print(written(count, form))
    for kind in ("s", "s2"):
        config = SyntheticConfig(kind=kind, clips=120)  # type: ignore[arg-type]
        for modalities in (BOTH, ("audio",), ("visual",)):
            valence, arousal = readable(config, modalities)
            print(f"{kind:3} {' + '.join(modalities):15} valence {valence:.2f} arousal {arousal:.2f}")
    for shift in ({"kind": "s2"}, *({"kind": "s3"} | given for given in SHIFTS)):
        configs = [SyntheticConfig(clips=24, seed=seed, **shift) for seed in range(3)]  # type: ignore[arg-type]
        for modalities in (BOTH, ("audio",), ("visual",)):
            valence = np.mean([readable(config, modalities, "test")[0] for config in configs])
            print(f"{shift} {' + '.join(modalities):15} valence {valence:.2f}")
    for lip_sync in (0.0, 0.1, 0.2, 0.3, 0.5, 0.7):
        print(f"lip_sync {lip_sync}: AUROC of synchrony for a swapped modality {swap_auroc(lip_sync):.2f}")


if __name__ == "__main__":
    main()
