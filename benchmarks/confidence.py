"""Does the confidence of inference reflect errors and known events? On the finished demo corpus.

    python benchmarks/confidence.py [--models FILE_FOLDER_OR_PATTERN ...] [--partitions validation test]

Run `kedro run` first. Prints the tables of docs/reference/confidence.md. The default is the model trained last; several
models predict jointly.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr

from iaca.encoders import AnnotatedClip, read_annotated
from iaca.inference.config import find_models
from iaca.inference.members import Member, join, load_member
from iaca.inference.predictor import confidence

DATA = Path("data")
BINS = (0.0, 0.5, 0.7, 0.85, 0.95, 1.0)


def rows_of(name: str, annotated: AnnotatedClip, members: list[Member]) -> pd.DataFrame:
    """Per step: confidence, error (distance in the valence-arousal plane), spread, observed modalities."""
    clip = annotated.embedding
    joint = join(members, [member.predict(clip) for member in members])
    confident = confidence(clip, joint.modalities, joint.weights, joint.spread, joint.evidence)
    error = np.linalg.norm(joint.prediction.prediction - annotated.labels, axis=1)
    observed = np.where(clip.audio_present & clip.face_found, "both", np.where(clip.face_found, "face", "voice"))
    spread = np.zeros(len(clip)) if joint.spread is None else joint.spread
    columns = {
        "clip": name,
        "time_s": clip.time_s,
        "confidence": confident,
        "error": error,
        "observed": observed,
        "spread": spread,
    }
    return pd.DataFrame(columns)[np.isfinite(error) & joint.prediction.observed]


def events_of(rows: pd.DataFrame, events: pd.DataFrame) -> pd.Series:
    """The kind of event at each row; "nothing" outside events."""
    kinds = pd.Series("nothing", index=rows.index)
    for event in events.to_dict("records"):
        inside = (rows["clip"] == event["clip"]) & rows["time_s"].between(event["start_s"], event["end_s"])
        kinds[inside] = f"{event['modality']} {event['kind']}"
    return kinds


def table(rows: pd.DataFrame, by: pd.Series, name: str) -> None:
    """Print mean confidence and root mean square error per group."""
    print(f"\n| {name} | steps | mean confidence | RMSE |\n|---|---|---|---|")
    for group, some in rows.groupby(by, observed=True):
        print(
            f"| {group} | {len(some)} | {some['confidence'].mean():.2f} | {np.sqrt((some['error'] ** 2).mean()):.3f} |"
        )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=[str(DATA / "06_models/iaca.safetensors")])
    parser.add_argument("--partitions", nargs="+", default=["validation", "test"])
    given = parser.parse_args()
    torch.set_num_threads(1)
    members = [load_member(path, torch.device("cpu")) for path in find_models(given.models)]
    clips = pd.read_csv(DATA / "02_intermediate/clips.csv")
    names = clips["clip"][clips["partition"].isin(given.partitions)]
    folders = (DATA / "04_feature/embeddings", DATA / "03_primary/timelines")
    files = {str(n): (folders[0] / f"{n}.safetensors", folders[1] / f"{n}.parquet") for n in names}
    rows = pd.concat([rows_of(n, read_annotated(*pair), members) for n, pair in files.items()], ignore_index=True)
    kinds = events_of(rows, pd.read_csv(DATA / "02_intermediate/events.csv", dtype={"clip": str}))
    print(f"{len(members)} model(s), {names.size} clips, {len(rows)} steps; rank correlation with the error:")
    for subset, some in (("all steps", rows), ("no contradiction", rows[~kinds.str.contains("contradictory")])):
        print(f"{subset}: {spearmanr(some['confidence'], some['error']).statistic:+.2f}", end="")
        print(f", minus spread {spearmanr(-some['spread'], some['error']).statistic:+.2f}" if len(members) > 1 else "")
    table(rows, pd.cut(rows["confidence"], BINS, include_lowest=True), "confidence")
    table(rows, rows["observed"], "observed")
    table(rows, kinds, "event")


if __name__ == "__main__":
    main()
