"""Which tracks are the same person, and which of the people in a video are worth a table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from iaca.faces.choose import TrackSummary
from iaca.faces.config import FaceConfig, PeopleRule

LOOK = (8, 8)
"""Width and height (px) to which aligned faces are reduced to be compared."""
ALIKE = 0.85
"""Two tracks whose mean reduced faces correlate less than this are two people. Measured on the demo corpus: halves of a
clip correlate at 0.96 or more, clips of others at 0.74 in the median; its people are one portrait in many variants."""
AWAY = 1.0
"""A track begins at most this many sides of the face away from where the other one ended ..."""
GROWN = 1.6
"""... and its box is at most this many times as wide and high, or as small."""
SHORT = 0.5
"""Who is seen in this share of all frames is a person, however short the video."""


def people(
    tracks: Sequence[TrackSummary], times: Sequence[float], config: FaceConfig, rule: PeopleRule
) -> list[list[int]]:
    """Tracks of every person in a video, the largest person first; empty without a face.

    * Tracks shorter than `config.min_track_s` are false alarms.
    * A track continues a person whose last track ended before it began and at most `rule.rejoin_s` ago, within `AWAY`
      and `GROWN` of where it ended, if both look `ALIKE`; of several such people, the one that looks most alike.
    * People seen for less than `rule.min_person_s` in all, and in less than `SHORT` of the frames, are left out.
    * The order is that of the sums of box areas over time.

    Args:
        tracks: of a whole video.
        times: (n,) s, of all its frames.
        config, rule: parameters.
    """
    found: list[list[TrackSummary]] = []
    for track in sorted(tracks, key=lambda t: (t.first_s, t.track)):
        if track.last_s - track.first_s < config.min_track_s:
            continue
        before = [person for person in found if _continues(person[-1], track, rule)]
        if before:
            max(before, key=lambda person: alike(person[-1], track)).append(track)
        else:
            found.append([track])
    kept = [person for person in found if _counts(person, times, rule)]
    kept.sort(key=lambda person: (-sum(t.area for t in person), person[0].track))
    return [[t.track for t in person] for person in kept]


def alike(a: TrackSummary, b: TrackSummary) -> float:
    """Correlation (-1..1) of the mean reduced faces of two tracks, all pixels and colours; 0 where one is unknown."""
    if a.look is None or b.look is None:
        return 0.0
    x, y = (track.look.ravel() - track.look.mean() for track in (a, b) if track.look is not None)
    norm = float(np.sqrt((x * x).sum() * (y * y).sum()))
    return float((x * y).sum()) / norm if norm > 0 else 0.0


def _continues(last: TrackSummary, track: TrackSummary, rule: PeopleRule) -> bool:
    """Whether a track begins soon after, near and as another one ended."""
    if not 0 < track.first_s - last.last_s <= rule.rejoin_s or last.last_box is None or track.first_box is None:
        return False
    sides = np.stack([box[2:] - box[:2] for box in (last.last_box, track.first_box)])
    middles = np.stack([(box[2:] + box[:2]) / 2 for box in (last.last_box, track.first_box)])
    ratio = np.maximum(sides[0] / sides[1], sides[1] / sides[0])
    near = np.linalg.norm(middles[1] - middles[0]) <= AWAY * float(sides.mean())
    return bool(near) and float(ratio.max()) <= GROWN and alike(last, track) >= ALIKE


def _counts(person: Sequence[TrackSummary], times: Sequence[float], rule: PeopleRule) -> bool:
    share = sum(len(track.frames) for track in person) / len(times)  # not first to last: false alarms come and go
    return share >= SHORT or share * (times[-1] - times[0]) >= rule.min_person_s
