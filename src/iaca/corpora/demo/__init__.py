"""The demo corpus: a photo puppet with a synthetic voice, annotated like Aff-Wild2, with events whose truth is known.

It proves that the workflow works. It does not measure emotion recognition.

Names are imported when they are first used: whoever wants the parameters alone does not wait for image and signal code.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from iaca.corpora.demo.annotations import annotation_texts, event_table, subject_table
    from iaca.corpora.demo.config import DemoConfig
    from iaca.corpora.demo.plan import VideoPlan, plan_corpus
    from iaca.corpora.demo.render import render_frames, render_movie

__all__ = [
    "DemoConfig",
    "VideoPlan",
    "annotation_texts",
    "event_table",
    "plan_corpus",
    "render_frames",
    "render_movie",
    "subject_table",
]

_HOMES = {
    "DemoConfig": "config",
    "VideoPlan": "plan",
    "annotation_texts": "annotations",
    "event_table": "annotations",
    "plan_corpus": "plan",
    "render_frames": "render",
    "render_movie": "render",
    "subject_table": "annotations",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
