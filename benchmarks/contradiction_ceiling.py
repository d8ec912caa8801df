"""The ceiling for contradiction on synthetic corpora, as AUROC by modality, per step and smoothed.

    python benchmarks/contradiction_ceiling.py [--kinds s s2] [--clips 60] [--seeds 2]

Prints the table of docs/reference/synthetic.md; a clip of 60 s takes about 5 s of CPU.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from ceiling import contradiction_auroc, contradiction_ceiling

from iaca.corpora.synthetic import SyntheticConfig, write_corpus
from iaca.evaluation.events import event_mask
from iaca.formats.labels import read_event_table

SMOOTHING_S = (0.0, 1.0, 2.0)
BINS = (0.0, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 1.01)


def measure(kind: str, clips: int, seed: int) -> None:
    """Print the AUROC of one corpus, and how well both numbers are calibrated."""
    config = SyntheticConfig(kind=kind, clips=clips, seed=seed, event_share=0.2, event_kinds=("other",))  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "corpus"
        write_corpus(config, root, "parquet")
        ceiling, events = contradiction_ceiling(root), read_event_table(root / "events.csv")
    for smoothing_s in SMOOTHING_S:
        print(f"{kind}, seed {seed}, mean over {smoothing_s:g} s")
        print(contradiction_auroc(ceiling, events, smoothing_s).round(4).to_string(index=False))
    truth = event_mask(ceiling, events)
    for name in ("probability", "agreement"):
        said = ceiling[name].to_numpy()
        place = np.digitize(said, BINS)
        for i in np.unique(place):
            chosen = place == i
            print(f"{name}: said {said[chosen].mean():.4f}, true {truth[chosen].mean():.4f}, {chosen.sum()} steps")


def main() -> None:
    """Measure every kind and seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", default=["s", "s2"])
    parser.add_argument("--clips", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=2)
    given = parser.parse_args()
    for kind in given.kinds:
        for seed in range(given.seeds):
            measure(kind, given.clips, seed)


if __name__ == "__main__":
    main()
