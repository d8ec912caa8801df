"""Render the demo corpus in Aff-Wild2's own layout."""

from __future__ import annotations

import logging
from pathlib import Path

from kedro.pipeline import Node, Pipeline

from iaca.corpora.demo.plan import DemoConfig, annotation_texts, event_table, plan_corpus, subject_table
from iaca.corpora.demo.render import VERSION, render_movie
from iaca.corpora.index import CARD_FILE, NOT_ABOUT_PEOPLE, CorpusCard, card_text
from iaca.engine import Task
from iaca.pipelines.ingestion.nodes import DemoImport, IngestionConfig

log = logging.getLogger(__name__)
CARD = CorpusCard(
    name="demo corpus",
    caveat=(
        "Trained on rendered clips: one portrait, warped into different people, with a synthesised voice. It shows "
        f"that the workflow runs and that the model learns; {NOT_ABOUT_PEOPLE}."
    ),
)


def plan_videos(config: DemoConfig, ingestion: IngestionConfig) -> dict[str, Task]:
    """One rendering task per video; none if another corpus is read."""
    if not isinstance(ingestion.root, DemoImport):
        log.info("no demo corpus is rendered: this environment reads another corpus")
        return {}
    return {
        plan.name: Task("render_movie", render_movie, (), {"plan": plan, "config": config}, version=VERSION)
        for plan in plan_corpus(config)
    }


def write_corpus(config: DemoConfig, videos: dict[str, Path], ingestion: IngestionConfig) -> dict[str, str]:
    """Annotations in the challenge's format, subjects, known events, and the card, by relative file name;
    nothing if another corpus is read.

    Raises:
        RuntimeError: a video was not rendered. An incomplete corpus is never written.
    """
    if not isinstance(ingestion.root, DemoImport):
        return {}
    plans = plan_corpus(config)
    if missing := [plan.name for plan in plans if plan.name not in videos]:
        raise RuntimeError(f"these demo videos were not rendered: {', '.join(missing)}")
    labels = {f"VA_Estimation_Challenge/{name}.txt": text for name, text in annotation_texts(plans).items()}
    return {
        CARD_FILE: card_text(CARD),
        **labels,
        "subjects.csv": subject_table(plans).to_csv(index=False),
        "events.csv": event_table(plans).to_csv(index=False),
    }


def create_pipeline() -> Pipeline:
    """From parameters to a corpus on disk. An environment that reads another corpus renders and writes nothing.

    parameters -> [plan videos] -> demo_videos -> [annotate] -> corpus

    Run when a dataset is saved: `demo_videos` renders each video that is new or has changed.
    """
    demo, ingestion = "params:demo_corpus", "params:ingestion"
    return Pipeline(
        [
            Node(plan_videos, [demo, ingestion], "demo_videos", name="plan_demo_videos-rendered_on_save"),
            Node(write_corpus, [demo, "demo_videos", ingestion], "corpus", name="annotate_demo_corpus"),
        ],
        tags="data",
    )
