"""From annotated clips to an adapted model and the estimate of what it is worth."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

import pandas as pd

from iaca.encoders.config import EmbeddingConfig, describe, mismatches
from iaca.encoders.embedding import AnnotatedClip, ClipEmbedding
from iaca.errors import InputError
from iaca.inference.adaptation.config import AdaptationConfig
from iaca.inference.adaptation.leave_out import Fitter, leave_one_out, score_table, verdict
from iaca.inference.adaptation.model import AdaptedModel
from iaca.inference.adaptation.rows import Rows, annotated_rows, widths
from iaca.inference.zero_shot.model import ZeroShot

Clip = tuple[str, str, AnnotatedClip]
"""Subject, name, embeddings and annotation."""


def adapt(
    model: ZeroShot, clips: Iterable[Clip], card: Mapping[str, str], config: AdaptationConfig
) -> tuple[AdaptedModel, pd.DataFrame]:
    """Fit the correction to all annotated clips, and score it on each subject by a fit to the others.

    Args:
        model: what is corrected.
        clips: read one after the other; those without annotation are left out.
        card: name and caveat of the corpus.
        config: candidates, folds, resamples.

    Returns:
        The model, and the table of `score_table`.

    Raises:
        InputError: fewer than two subjects are annotated, or clips are embedded with other than the default encoders.
    """
    defaults = EmbeddingConfig()
    encoders, groups = describe(defaults), dict[str, list[Rows]]()
    for subject, name, clip in clips:
        _check_encoders(name, clip.embedding, encoders)
        rows = annotated_rows(subject, name, model, clip, config.every_s)
        if rows is not None:
            groups.setdefault(subject, []).append(rows)
    if len(groups) < 2:
        raise InputError(
            f"{len(groups)} annotated subject: an adapted model could not be scored on anybody it was not fitted to",
            remedy="annotate videos of two subjects at least; ten or more give an estimate to rely on",
        )
    fitter = Fitter(
        {name: groups[name] for name in sorted(groups)}, widths(defaults.dim("audio"), defaults.dim("visual")), config
    )
    scores = score_table(leave_one_out(fitter), config)
    weights, choices = fitter.weights(list(fitter.groups))
    facts = {
        **encoders,
        "corpus": card.get("name", ""),
        "caveat": _caveat(fitter, scores, card),
        "data_fingerprint": "",
        "choices": json.dumps(choices),
        "scores": scores.iloc[-1].to_json(),
    }
    return AdaptedModel(model.config, weights, facts), scores


def _check_encoders(name: str, clip: ClipEmbedding, encoders: Mapping[str, str]) -> None:
    if differences := mismatches(encoders, clip.metadata):
        raise InputError(
            f"clip {name} is embedded with other encoders than the zero-shot model reads: {'; '.join(differences)}",
            remedy="set embedding.visual and embedding.audio back to their defaults and embed again",
        )


def _caveat(fitter: Fitter, scores: pd.DataFrame, card: Mapping[str, str]) -> str:
    own = f"ADAPTED HEURISTIC: the zero-shot model, corrected by {int(scores.iloc[-1]['clips'])} annotated videos of "
    own += f"{len(fitter.groups)} subjects ({card.get('name', '')}). {'; '.join(verdict(scores))}"
    return f"{own}. {card['caveat']}" if card.get("caveat") else own
