"""Fit the correction of the zero-shot model, and score it on held-out subjects."""

from __future__ import annotations

import logging

import pandas as pd

from iaca.encoders import read_annotated
from iaca.engine import ClipPaths
from iaca.inference.adaptation import AdaptationConfig, adapt, verdict
from iaca.inference.config import NAMED
from iaca.inference.members import AdaptedModel
from iaca.inference.zero_shot import ZeroShot

log = logging.getLogger(__name__)


def adapt_model(
    clips: pd.DataFrame,
    embeddings: ClipPaths,
    timelines: ClipPaths,
    corpus_card: dict[str, str],
    config: AdaptationConfig,
) -> tuple[AdaptedModel, pd.DataFrame]:
    """The zero-shot model corrected by the annotated clips, and its scores on held-out subjects, which are logged."""
    known = clips[clips["clip"].isin(set(embeddings) & set(timelines))]
    read = (
        (str(subject), clip, read_annotated(embeddings.whole(clip), timelines.whole(clip)))
        for clip, subject in zip(known["clip"], known["subject"], strict=True)
    )
    model, scores = adapt(ZeroShot.read(NAMED["zero_shot"]), read, corpus_card, config)
    shown = scores[
        [name for name in scores if not str(name).startswith(("difference", "low", "high", "better", "chance"))]
    ]
    log.info("each subject predicted by a model fitted to the others:\n%s", shown.round(3).to_string(index=False))
    for sentence in verdict(scores):
        log.info("%s", sentence)
    return model, scores
