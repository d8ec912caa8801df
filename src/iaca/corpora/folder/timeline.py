"""The timeline of a video from a folder: its annotation, by time or by frame, laid onto its decoded frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from iaca.corpora.folder.labels import Annotation, Places, Values, read_labels
from iaca.corpora.resample import ROUNDING_S, labels_at, median_step
from iaca.corpora.timeline import TOLERANCE, decode_clock, write_timeline
from iaca.errors import InputError
from iaca.media import MediaLimits

VERSION = "2"
INSIDE = 0.5  # of the annotation, at least, lies within its video

Notes = list[tuple[str, str]]


def build_timeline(
    media: Path,
    annotation: Path | None = None,
    *,
    target: Path,
    tolerance_s: float | None = None,
    limits: MediaLimits | None = None,
) -> None:
    """The engine's task: as `iaca.corpora.timeline.build_timeline`, for annotations by time or by frame.

    Raises:
        InputError: nothing decodes, the video is beyond a limit, the annotation is unreadable, or it can't be
            one of this video.
    """
    times, facts = decode_clock(media, limits)
    labels, notes = np.full((len(times), 2), np.nan, np.float32), Notes()
    if annotation is not None:
        given = read_labels(annotation)
        _check_belonging(given, times, annotation)
        labels, notes = _lay(given, times, tolerance_s)
    write_timeline(target, times, labels, facts | {"annotation_rows": None, "notes": notes})


def _check_belonging(given: Annotation, times: Places, path: Path) -> None:
    last = int(given.places[-1])
    if given.key == "frame" and last >= len(times) + TOLERANCE:
        what = f"frames up to {last} are annotated, but {len(times)} decode"
        raise InputError(what, path, remedy="check that annotation and video belong together, and count frames from 0")
    inside = float((given.places <= times[-1] + ROUNDING_S).mean())
    if given.key == "time_s" and inside < INSIDE:
        what = f"only {inside:.0%} of the rows lie within the video, which ends at {times[-1]:.2f} s"
        raise InputError(what, path, remedy="write times in seconds, and check that annotation and video fit")


def _lay(given: Annotation, times: Places, tolerance_s: float | None) -> tuple[Values, Notes]:
    if given.key == "time_s":
        late = int((given.places > times[-1] + median_step(times)).sum())
        what = f"{late} rows lie after the last frame at {times[-1]:.2f} s, and are not used"
        return labels_at(given.places, given.values, times, tolerance_s), [
            (what, "none, if the annotation ran on")
        ] if late else []
    labels = np.full((len(times), 2), np.nan, np.float32)
    frames = given.places.astype(np.int64)
    kept = frames < len(times)
    labels[frames[kept]] = given.values[kept]
    return labels, []
