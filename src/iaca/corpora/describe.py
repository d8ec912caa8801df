"""Facts about the clips of a corpus, gathered from their timelines."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import pandas as pd

from iaca.corpora.index import problem
from iaca.corpora.timeline import length_problem
from iaca.engine import ClipPaths

FACTS = (
    "duration_s", "nominal_fps", "declared_frames", "width", "height", "rotation", "video_codec", "has_audio",
    "audio_codec", "audio_rate", "audio_channels", "video_start_s", "audio_start_s",
)  # fmt: skip


def clip_table(clip_index: pd.DataFrame, timelines: ClipPaths) -> tuple[pd.DataFrame, list[dict[str, object]]]:
    """Clips that have a timeline, with frames, annotated frames and media facts; and the problems of the others.

    A clip whose video can't be decoded, or whose annotation differs from it by more than the tolerance, is left out
    and reported: labels are never guessed onto frames.
    """
    rows, problems = [], []
    for row in clip_index.to_dict("records"):
        clip = row["clip"]
        if clip not in timelines:
            reason = timelines.failures.get(clip, "its timeline is missing")
            problems.append(problem(clip, row["media"], reason, "mend or remove the file, then run ingestion again"))
            continue
        timeline = pd.read_parquet(timelines[clip])
        wrong = length_problem(len(timeline), timeline.attrs["annotation_rows"])
        if wrong:
            remedy = "check that annotation and video belong together; the clip is left out until they agree"
            problems.append(problem(clip, row["annotation"], wrong, remedy))
            continue
        rows.append(row | _counts(timeline) | {name: timeline.attrs[name] for name in FACTS})
    columns = [*clip_index.columns, "frames", "annotated", "first_s", "last_s", *FACTS]
    return pd.DataFrame(rows, columns=columns), problems


def _counts(timeline: pd.DataFrame) -> dict[Hashable, object]:
    annotated = timeline[["valence", "arousal"]].notna().all(axis=1)
    times = timeline["time_s"].to_numpy(np.float64)
    return {"frames": len(timeline), "annotated": int(annotated.sum()), "first_s": times[0], "last_s": times[-1]}


def partition_summary(clips: pd.DataFrame) -> pd.DataFrame:
    """Per partition: clips, subjects, frames, annotated frames, minutes, clips with sound."""
    groups = clips.groupby("partition", sort=False)
    summary = groups.agg(
        clips=("clip", "size"), subjects=("subject", "nunique"), frames=("frames", "sum"),
        annotated=("annotated", "sum"), with_sound=("has_audio", "sum"),
    )  # fmt: skip
    summary["minutes"] = (clips["last_s"] - clips["first_s"]).groupby(clips["partition"]).sum() / 60
    order = [name for name in ("train", "validation", "test") if name in summary.index]
    return summary.loc[order].reset_index()
