"""What goes with the videos: annotation files in the form of Aff-Wild2, and the tables of events and subjects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from iaca.corpora.demo.config import DemoConfig
from iaca.corpora.demo.plan import ClipPlan, VideoPlan
from iaca.corpora.demo.schedule import Event

FOLDERS = {"train": "Train_Set", "validation": "Validation_Set", "test": "Test_Set"}
NOT_ANNOTATED = -5
EVENT_COLUMNS = ("clip", "modality", "kind", "start_s", "end_s")


def annotation_texts(plans: Sequence[VideoPlan], config: DemoConfig) -> dict[str, str]:
    """Annotation files by "<folder of the partition>/<clip>": header, then `valence,arousal` per video frame.

    The labels follow what the person feels, whatever happens to picture or sound. Unannotated stretches have -5 in one
    column or both; some files are one or two lines longer than the video, as in the real corpus.
    """
    del config  # part of the interface: other corpora of this form depend on it
    return {f"{FOLDERS[plan.partition]}/{clip.clip}": _text(clip, plan) for plan in plans for clip in plan.people}


def event_table(plans: Sequence[VideoPlan]) -> pd.DataFrame:
    """Corrupted stretches, one row each: clip, modality, kind, start_s, end_s; sorted by clip and start.

    Silence and noise reach both people of a two-person video. A contradictory voice contradicts only the speaker.
    """
    rows = [(clip.clip, e.modality, e.kind, e.start_s, e.end_s)
            for plan in plans for clip in plan.people for e in _events_of(clip, plan)]  # fmt: skip
    table = pd.DataFrame(rows, columns=list(EVENT_COLUMNS)).astype({"start_s": np.float64, "end_s": np.float64})
    return table.sort_values(["clip", "start_s", "modality"], ignore_index=True)


def subject_table(plans: Sequence[VideoPlan]) -> pd.DataFrame:
    """Who is seen in which clip: columns clip and subject, sorted by clip."""
    rows = [(clip.clip, clip.identity.subject) for plan in plans for clip in plan.people]
    return pd.DataFrame(rows, columns=["clip", "subject"]).sort_values("clip", ignore_index=True)


def _events_of(clip: ClipPlan, plan: VideoPlan) -> Iterator[Event]:
    yield from (event for event in plan.events if clip.speaks or event.kind != "contradictory")
    yield from clip.events


def _text(clip: ClipPlan, plan: VideoPlan) -> str:
    times = plan.frame_times()
    values = np.stack([clip.valence.at(times), clip.arousal.at(times)], axis=1)
    rows = [[f"{x:.3f}" for x in row] for row in values]
    for start_s, end_s, column in clip.unannotated:
        for i in np.flatnonzero((times >= start_s) & (times < end_s)):
            rows[i] = [str(NOT_ANNOTATED) if column in ("both", name) else text
                       for name, text in zip(("valence", "arousal"), rows[i], strict=True)]  # fmt: skip
    rows += [rows[-1]] * clip.extra_rows
    return "\n".join(["valence,arousal", *(",".join(row) for row in rows)]) + "\n"
