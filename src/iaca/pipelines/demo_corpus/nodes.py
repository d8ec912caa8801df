"""What to render, and the text files beside the videos."""

from __future__ import annotations

from pathlib import Path

from iaca.corpora.card import FILE, CorpusCard, card_text
from iaca.corpora.demo.config import DemoConfig
from iaca.engine import Task

CARD = CorpusCard(
    name="demo corpus",
    caveat=(
        "Trained on rendered clips: one portrait, warped into different people, with a synthesised voice. It shows "
        "that the workflow runs and that the model learns; it says nothing about emotions of real people."
    ),
)


def plan_videos(config: DemoConfig) -> dict[str, Task]:
    """One rendering task per video."""
    from iaca.corpora.demo import plan_corpus, render_movie  # brings OpenCV: only the run that renders pays for it

    plans = plan_corpus(config)
    return {plan.name: Task("render_movie", render_movie, (), {"plan": plan, "config": config}) for plan in plans}


def write_corpus(config: DemoConfig, videos: dict[str, Path]) -> dict[str, str]:
    """Annotations in the challenge's format, subjects, events with their truth, and the card, by relative file name.

    Raises:
        RuntimeError: a video was not rendered; a corpus with holes is not published.
    """
    from iaca.corpora.demo import annotation_texts, event_table, plan_corpus, subject_table

    plans = plan_corpus(config)
    if missing := [plan.name for plan in plans if plan.name not in videos]:
        raise RuntimeError(f"these demo videos were not rendered: {', '.join(missing)}")
    labels = {f"VA_Estimation_Challenge/{name}.txt": text for name, text in annotation_texts(plans, config).items()}
    return {
        FILE: card_text(CARD),
        **labels,
        "subjects.csv": subject_table(plans).to_csv(index=False),
        "events.csv": event_table(plans).to_csv(index=False),
    }
