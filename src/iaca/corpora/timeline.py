"""The timeline of a clip: one row per decoded video frame, on the container's clock, with its annotation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray

from iaca.errors import InputError
from iaca.evaluation.annotations import read_annotation
from iaca.media import MediaLimits, frame_times, probe

TOLERANCE = 2  # annotation files are often a line or two longer or shorter than their video
VERSION = "3"


def build_timeline(
    media: Path, annotation: Path | None = None, *, target: Path, limits: MediaLimits | None = None
) -> None:
    """The engine's task: decode a video for its frame times, lay the annotation beside them, write Parquet.

    Row i of the annotation belongs to decoded frame i. What the table holds: see `write_timeline`.

    Raises:
        InputError: nothing decodes, the video is beyond a limit, or the annotation is unreadable.
    """
    times, facts = decode_clock(media, limits)
    labels = np.full((len(times), 2), np.nan, np.float32)
    rows = None
    if annotation is not None:
        given = read_annotation(annotation)
        rows = len(given)
        shared = min(rows, len(times))
        labels[:shared] = given[:shared]
    write_timeline(target, times, labels, facts | {"annotation_rows": rows})


def decode_clock(media: Path, limits: MediaLimits | None = None) -> tuple[NDArray[np.float64], dict[str, object]]:
    """Times (n,) of all frames that decode (s), and what the file says about itself.

    Raises:
        InputError: there is no video, nothing of it decodes, or it is beyond a limit.
    """
    facts = asdict(probe(media, limits=limits))
    if not facts["has_video"]:
        raise InputError("there is no video stream", media, remedy="remove the file from the corpus")
    return frame_times(media, limits), _facts(facts)


def write_timeline(
    target: Path,
    times: NDArray[np.float64],
    labels: NDArray[np.float32],
    facts: dict[str, object],
    presence: Mapping[str, NDArray[np.bool_]] | None = None,
) -> None:
    """Write columns `frame`, `time_s`, `valence`, `arousal` as Parquet; `facts` travel in the table's `attrs`.

    Among them is `annotation_rows`, the length of an annotation that has a row per frame, else None. The `counts` of
    the table itself are added to them. `presence` gives further columns, where it is known already.
    """
    table = pd.DataFrame({"frame": np.arange(len(times), dtype=np.int32), "time_s": times})
    table["valence"], table["arousal"] = labels[:, 0], labels[:, 1]
    table = table.assign(**(presence or {}))
    table.attrs.update(facts | counts(times, labels))
    table.to_parquet(target)


def counts(times: NDArray[np.float64], labels: NDArray[np.float32]) -> dict[str, object]:
    """Numbers of `frames` and of `annotated` ones, and the times of the first and the last, `first_s` and `last_s`."""
    annotated = int(np.isfinite(labels).all(axis=1).sum())
    return {"frames": len(times), "annotated": annotated, "first_s": float(times[0]), "last_s": float(times[-1])}


def read_timeline_facts(path: Path) -> dict[str, Any]:
    """The facts that `write_timeline` put beside the table, without reading the table."""
    facts: dict[str, Any] = json.loads(pq.read_schema(path).metadata[b"pandas"])["attributes"]
    return facts


def _facts(facts: dict[str, object]) -> dict[str, object]:
    """Facts as JSON has them: no path of this machine, no NaN."""
    plain = {name: value for name, value in facts.items() if name != "path"}
    return {name: None if isinstance(value, float) and np.isnan(value) else value for name, value in plain.items()}


def length_problem(frames: int, annotation_rows: int | None) -> str | None:
    """What is wrong with the lengths; None where they agree within `TOLERANCE`, or there is no annotation."""
    if annotation_rows is None or abs(annotation_rows - frames) <= TOLERANCE:
        return None
    return f"{annotation_rows} annotated rows for {frames} decoded frames"
