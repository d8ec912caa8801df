"""The timeline of a clip: one row per decoded video frame, on the container's clock, with its annotation and presence.

`labels_at`, `nearest_rows` and `mean_rows` bring rows at some times to other times.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from iaca.errors import InputError, counted
from iaca.faces import read_faces
from iaca.formats.labels import (
    LABELS,
    TASK_COLUMNS,
    WIDTH,
    parse_expressions,
    parse_units,
    read_annotation,
    read_multitask,
)
from iaca.media import MediaLimits, frame_times, present_at, probe, read_audio_file

VERSION = "3"
CUT_OFF = 0.5  # a video whose pictures end before this share of the declared length is probably cut off
CUT_REMEDY = "play the video: if it is cut off, copy it again"
TOLERANCE = 2  # rows: annotation files are often a line or two longer or shorter than their video
STEPS = 1.5  # median steps of the rows: the default distance up to which a labelled row counts for a time
ROUNDING_S = 1e-6  # times written with few decimals still match
HARDLY = 1 / 8  # share of the rows, or of the steps if there are fewer, that must be used
LONGEST_STEP_S = 10.0  # steps that are further apart are not a trace over time
UNITS = {1e3: "milliseconds", 1e6: "microseconds", 1e9: "nanoseconds", 100: "hundredths of a second", 1 / 60: "minutes"}
UNIX_S = 1e8  # times from here on are counted from 1970

Times = NDArray[np.float64]
Values = NDArray[np.float32]


def build_timeline(
    media: Path,
    *annotations: Path,
    target: Path,
    limits: MediaLimits | None = None,
    kinds: tuple[str, ...] = ("valence_arousal",),
    clip: str = "",
) -> None:
    """Engine task: decode the frame times of a video, add its annotation, write a timeline.

    Row i of an annotation belongs to decoded frame i. Columns: see `write_timeline`.

    Args:
        media: the video.
        annotations: at most one file per kind, in their order.
        target: the timeline.
        limits: on the video.
        kinds: of the annotations: `valence_arousal`, `expression`, `action_units`; or `multitask` alone, a file with
            rows of many clips.
        clip: its name, for `multitask`.

    Raises:
        InputError: nothing decodes, the video is beyond a limit, an annotation is unreadable, or a second one has
            another length than the video.
    """
    times, facts = decode_clock(media, limits)
    labels = np.full((len(times), 2), np.nan, np.float32)
    tasks = np.full((len(times), WIDTH), np.nan, np.float32)
    rows = None
    for kind, path in zip(kinds, annotations, strict=False):  # a video without annotation has none of them
        if kind == "multitask":
            rows = _add_multitask(path, clip, labels, tasks)
            continue
        given = rows_of(kind, path)
        if rows is not None and (wrong := length_problem(len(times), len(given))):
            raise InputError(
                f"the length differs from the video's: {wrong}",
                path,
                remedy="check that annotation and video belong together, or remove the file; the clip is left out",
            )
        rows = len(given) if rows is None else rows
        shared = min(len(given), len(times))
        columns = labels if kind == "valence_arousal" else tasks[:, :1] if kind == "expression" else tasks[:, 1:]
        columns[:shared] = given[:shared]
    known = tasks if kinds != ("valence_arousal",) else None
    write_timeline(target, times, labels, facts | {"annotation_rows": rows}, tasks=known)


def rows_of(kind: str, path: Path) -> Values:
    """The annotation of each frame.

    Raises:
        InputError: the first fault of the file.
    """
    if kind == "valence_arousal":
        return read_annotation(path)
    values, faults = (parse_expressions if kind == "expression" else parse_units)(path)
    if faults:
        raise faults[0]
    return values.astype(np.float32)


def _add_multitask(path: Path, clip: str, labels: Values, tasks: Values) -> int | None:
    """Fill in the rows of a clip. Returns the last row's number if it is beyond the frames."""
    rows = read_multitask(path, clip)[clip]
    if rows.faults:
        raise rows.faults[0]
    inside = rows.frames < len(labels)
    labels[rows.frames[inside]], tasks[rows.frames[inside]] = rows.valence_arousal[inside], rows.tasks[inside]
    last = int(rows.frames.max()) + 1
    return last if last > len(labels) else None


def decode_clock(media: Path, limits: MediaLimits | None = None) -> tuple[NDArray[np.float64], dict[str, object]]:
    """Times (n,) of all frames that decode (s), and what the file declares.

    Raises:
        InputError: there is no video stream, nothing of it decodes, or it is beyond a limit.
    """
    facts = asdict(probe(media, limits=limits))
    if not facts["has_video"]:
        raise InputError("there is no video stream", media, remedy="remove the file from the corpus")
    return frame_times(media, limits), _facts(facts)


def cut_off(last_s: float, declared_s: object) -> str | None:
    """That the pictures end long before the length that the file declares, as in a download that broke off."""
    if not isinstance(declared_s, float) or last_s >= CUT_OFF * declared_s or declared_s - last_s < 1:
        return None
    return f"the pictures end at {last_s:.3g} s, but the file declares {declared_s:.3g} s"


def write_timeline(
    target: Path,
    times: NDArray[np.float64],
    labels: NDArray[np.float32],
    facts: dict[str, object],
    presence: Mapping[str, NDArray[np.bool_]] | None = None,
    tasks: NDArray[np.float32] | None = None,
) -> None:
    """Write columns `frame`, `time_s`, `valence`, `arousal` as Parquet, with `facts` in the table's `attrs`.

    The facts include `annotation_rows`, the length of an annotation with one row per frame, otherwise None; `counts`
    are added. `tasks` (t, 13) gives the columns `TASK_COLUMNS`, of a clip that is annotated with any of them;
    `presence` gives further columns, if it is already known.
    """
    table = pd.DataFrame({"frame": np.arange(len(times), dtype=np.int32), "time_s": times})
    table["valence"], table["arousal"] = labels[:, 0], labels[:, 1]
    if tasks is not None:
        table[list(TASK_COLUMNS)] = tasks
    table = table.assign(**(presence or {}))
    table.attrs.update(facts | counts(times, labels))
    table.to_parquet(target)


def counts(times: NDArray[np.float64], labels: NDArray[np.float32]) -> dict[str, object]:
    """Numbers of `frames` and of `annotated` ones, and the times of the first and the last, `first_s` and `last_s`."""
    annotated = int(np.isfinite(labels).all(axis=1).sum())
    return {"frames": len(times), "annotated": annotated, "first_s": float(times[0]), "last_s": float(times[-1])}


def read_timeline_facts(path: Path) -> dict[str, Any]:
    """The facts that `write_timeline` stored, without reading the table."""
    import pyarrow.parquet as pq  # inference writes no timelines and does not install it

    facts: dict[str, Any] = json.loads(pq.read_schema(path).metadata[b"pandas"])["attributes"]
    return facts


def read_label_ranges(path: Path) -> dict[str, tuple[float, float]]:
    """Lowest and highest label of each dimension that is annotated, from the statistics of the file, without reading
    the table."""
    import pyarrow.parquet as pq

    metadata, found = pq.read_metadata(path), dict[str, tuple[float, float]]()
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        for column in map(group.column, range(group.num_columns)):
            name, known = column.path_in_schema, column.statistics
            if name in LABELS and known is not None and known.has_min_max:  # NaN does not count
                low, high = found.get(name, (known.min, known.max))
                found[name] = min(low, known.min), max(high, known.max)
    return found


def _facts(facts: dict[str, object]) -> dict[str, object]:
    """Facts that JSON can hold: without the path on this machine, NaN as None."""
    plain = {name: value for name, value in facts.items() if name != "path"}
    return {name: None if isinstance(value, float) and np.isnan(value) else value for name, value in plain.items()}


def length_problem(frames: int, annotation_rows: int | None) -> str | None:
    """The mismatch of two lengths; None if they agree within `TOLERANCE`, or there is no annotation."""
    if annotation_rows is None or abs(annotation_rows - frames) <= TOLERANCE:
        return None
    return f"{annotation_rows} annotated rows for {frames} decoded frames"


def complete_timeline(labels: Path, faces: Path, audio: Path, *, target: Path) -> None:
    """Engine task: add `face_found` and `audio_present` to the timeline of a clip.

    Raises:
        InputError: the faces belong to another video than the timeline.
    """
    timeline, found = pd.read_parquet(labels), read_faces(faces, columns=["frame", "face_found"])
    if len(timeline) != len(found):
        raise InputError(
            f"{counted(len(found), 'frame')} of faces, but {len(timeline)} in the timeline", faces,
            remedy="the video has changed in the meantime: run ingestion and preprocessing again",
        )  # fmt: skip
    timeline["face_found"] = found["face_found"].to_numpy()
    timeline["audio_present"] = present_at(read_audio_file(audio).present, timeline["time_s"].to_numpy())
    timeline.to_parquet(target)


# Rows at other times


def labels_at(places: Times, values: Values, times: Times, tolerance_s: float | None = None) -> Values:
    """Labels (t, k) at times (t,) from rows (n, k) at rising places (n,), s; NaN where not annotated.

    Labels are interpolated linearly between two rows that are both within the tolerance; if only one is, its labels
    are used. Nothing is interpolated across a NaN. The default tolerance is one and a half median steps of the
    rows.
    """
    rows = values.astype(np.float64)
    reach = (STEPS * median_step(places) if tolerance_s is None else tolerance_s) + ROUNDING_S
    after = np.searchsorted(places, times - ROUNDING_S).clip(0, len(places) - 1)
    before = np.where(places[after] <= times + ROUNDING_S, after, (after - 1).clip(0))
    near_before, near_after = (np.abs(places[i] - times) <= reach for i in (before, after))
    span = np.where(after > before, places[after] - places[before], 1.0)
    share = np.where(near_before & near_after, ((times - places[before]) / span).clip(0, 1), near_after)[:, None]
    share = np.where((after == before)[:, None], 0.0, share)
    mixed = np.where(share == 0, rows[before], (1 - share) * rows[before] + share * rows[after])
    mixed = np.where(share == 1, rows[after], mixed)
    return np.where((near_before | near_after)[:, None], mixed, np.nan).astype(np.float32)


def grid(first: float, last: float, rate: float) -> Times:
    """Multiples of 1 / rate (s) from `first` to `last`, both included where they are multiples."""
    slack = ROUNDING_S * rate
    return np.arange(np.ceil(first * rate - slack), np.floor(last * rate + slack) + 1) / rate


def nearest_rows(places: Times, values: Values, times: Times) -> tuple[Times, Values]:
    """The nearest row to each time, if it is within half the longer of the two median steps; otherwise no row."""
    index, near = nearest(places, times)
    return times[near], values[index[near]]


def nearest(
    places: Times, times: Times, tolerance_s: float | None = None
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """(t,) index of the row at places (n,) that is nearest to each time, and whether it is within the tolerance (s).

    Of two rows at equal distance the earlier is taken. The default tolerance is half the longer of the median steps of
    rows and times.
    """
    after = np.searchsorted(places, times).clip(0, len(places) - 1)
    before = (after - 1).clip(0)
    index = np.where(np.abs(times - places[before]) <= np.abs(places[after] - times), before, after)
    reach = max(median_step(places), median_step(times)) / 2 if tolerance_s is None else tolerance_s
    return index, np.abs(places[index] - times) <= reach + ROUNDING_S


def mean_rows(places: Times, values: Values, times: Times) -> tuple[Times, Values]:
    """The mean of the rows around each time: less than half a median step before it, or up to half a step after it.

    A row midway between two times belongs to the earlier. A time without rows is dropped.
    """
    half = median_step(times) / 2
    low, high = (np.searchsorted(places, times + shift + ROUNDING_S, "right") for shift in (-half, half))
    kept = high > low
    sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0, dtype=np.float64)])
    means = (sums[high[kept]] - sums[low[kept]]) / (high - low)[kept, None]
    return times[kept], means.astype(np.float32)


def median_step(places: Times) -> float:
    """The median distance of neighbours (s); 0 if there is only one place."""
    return float(np.median(np.diff(places))) if len(places) > 1 else 0.0


# Units of time


def mismatch(rows: Times, steps: Times, tolerance_s: float | None = None) -> str | None:
    """Why rows at times (n,) can't belong to a clip with steps at times (t,), both in s; None if they can.

    Rows of another unit hardly meet the steps: in milliseconds, one row serves the whole clip. Streams of another rate
    and streams that cover a part of the clip use all of their rows, or have one for every step they cover.

    A row is used if it is the nearest to a step, within the tolerance (s) of `nearest`.
    """
    index, near = nearest(rows, steps, tolerance_s)
    count = len(np.unique(index[near]))
    if count >= HARDLY * min(len(rows), len(steps)):
        return None
    return f"only {count} of {counted(len(rows), 'row')} are used: {spans(rows, steps)}"


def spans(rows: Times, steps: Times) -> str:
    """The spans of the rows of a table and of the steps of a clip, and their units, where one is likely to be wrong."""
    first, last, start, end = (f"{t:.0f}" if abs(t) >= 1e5 else f"{t:g}" for t in (*rows[[0, -1]], *steps[[0, -1]]))
    text = f"the rows run from {first} to {last} s, the clip from {start} to {end} s"
    for times, other, name in ((rows, steps, "the rows"), (steps, rows, "the times of the clip")):
        if unit := _likely_unit(times, other):
            return f"{text}; {name} are probably in {unit}"
    return text


def _likely_unit(times: Times, other: Times) -> str | None:
    """The unit of times (n,), if other times (m,) of the same clip are in seconds."""
    if times[0] >= UNIX_S * (1e3 if times[0] >= 1e3 * UNIX_S else 1) and other[0] < UNIX_S:
        return "seconds or milliseconds since 1970"
    length, expected = times[-1] - times[0], other[-1] - other[0]
    if length <= 0 or expected <= 0:
        return None
    for unit, name in UNITS.items():
        if 0.8 < length / expected / unit < 1.25:
            return name
    counted = bool((np.abs(times - np.round(times)) < ROUNDING_S).all())
    return "frame or row numbers" if counted and length / expected > 1 / HARDLY else None


def unit_problem(steps: Times) -> str | None:
    """Why the times (t,) of a trace can't be in seconds; None if they can."""
    if len(steps) < 1 / HARDLY or median_step(steps) < LONGEST_STEP_S:
        return None
    return f"steps are {median_step(steps):g} s apart: the times are probably in milliseconds"
