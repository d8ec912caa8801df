"""What a video gives its owner: a table, a plot, an overlay video and a summary, under one name."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

from iaca.evaluation.style import png
from iaca.faces import FaceConfig
from iaca.files import replacing, write_text
from iaca.inference.config import Drawing
from iaca.inference.overlay import OverlayPainter
from iaca.inference.plot import prediction_plot
from iaca.inference.predictor import BOX, Analysis, Predictor
from iaca.inference.summary import summarise
from iaca.media import rewrite_movie

VERSION = "1"


def analyse_video(
    video: Path, model: Path, *, target: Path, folder: Path, name: str, drawing: Drawing, faces: FaceConfig
) -> None:
    """The engine's task: write NAME.csv, NAME.png and NAME.mp4 into `folder`, and the summary to `target`.

    The summary comes last: where it is, the other files are whole.
    """
    predictor = _predictor(model, faces)
    analysis = predictor.analyse(video)
    analysis.table["clip"] = name
    write_text(folder / f"{name}.csv", analysis.table.drop(columns=BOX).to_csv(index=False, float_format="%.6g"))
    if drawing.plot:
        with replacing(folder / f"{name}.png") as partial:
            partial.write_bytes(png(prediction_plot(analysis.table, name)))
    if drawing.overlay:
        _overlay(video, folder / f"{name}.mp4", analysis, drawing)
    origin = predictor.origin()
    caveats = [origin["caveat"]] if origin["caveat"] else []
    summary = {"name": name, "file": video.name, "model": origin, **summarise(analysis.table, analysis.facts, caveats)}
    target.write_text(json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _overlay(video: Path, target: Path, analysis: Analysis, drawing: Drawing) -> None:
    size = (analysis.media.width, analysis.media.height)
    rewrite_movie(video, target, OverlayPainter(analysis.table, *size, drawing.overlay_width, drawing.trail_s))


@lru_cache(maxsize=1)
def _predictor(model: Path, faces: FaceConfig) -> Predictor:
    """Kept: a worker analyses many videos with one model."""
    return Predictor.load(model, faces=faces)
