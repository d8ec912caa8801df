"""What a video gives its owner: tables, a plot, an overlay video and a summary, under one name."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

from iaca.errors import plain_name
from iaca.evaluation.style import png
from iaca.faces import FaceConfig
from iaca.files import is_name, remove, replacing, write_text
from iaca.inference.config import Drawing, People
from iaca.inference.members import TRAINED
from iaca.inference.overlay import OverlayPainter
from iaca.inference.plot import prediction_plot
from iaca.inference.predictor import BOX, Analysis, Predictor
from iaca.inference.summary import summarise, summarise_people
from iaca.media import MediaLimits, rewrite_movie
from iaca.text import parse_json

VERSION = "2"
FILES = "files"


def analyse_video(
    video: Path,
    *models: Path,
    target: Path,
    folder: Path,
    name: str,
    drawing: Drawing,
    faces: FaceConfig,
    whom: People | None = None,
    limits: MediaLimits | None = None,
) -> None:
    """The engine's task: write NAME.csv, NAME.png and NAME.mp4 into `folder`, and the summary to `target`.

    With everyone asked for, there is a NAME.person1.csv, NAME.person2.csv, ... in place of NAME.csv. The summary comes
    last: where it is, the other files are whole. It names them; those that an earlier summary of this name names, and
    that are no longer made, are removed.
    """
    whom = whom or People()
    predictor = _predictor(models, faces, limits or MediaLimits())
    analysis = predictor.analyse(video, whom)
    tables = table_names(name, len(analysis.tables), whom)
    for file, table in zip(tables, analysis.tables, strict=True):
        table["clip"] = name
        write_text(folder / file, table.drop(columns=BOX).to_csv(index=False, float_format="%.6g"))
    origin = predictor.origin()
    kind = "" if origin["kind"] == TRAINED else origin["kind"]
    drawn = _draw(video, analysis, folder, name, drawing, kind, predictor.limits)
    _remove_others(folder, name, {*tables, *drawn})
    caveats = [origin["caveat"]] if origin["caveat"] else []
    summary = {
        "name": name,
        "file": plain_name(video.name),
        FILES: [*tables, *drawn],
        "model": origin,
        **summarise(analysis.whole, analysis.facts, caveats),
        "people": summarise_people(analysis.tables, tables),
    }
    target.write_text(json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def files_beside(summary: Path) -> list[str]:
    """The other files of a video, as its summary names them."""
    named: list[str] = parse_json(summary.read_text(encoding="utf-8"))[FILES]
    return named


def table_names(name: str, people: int, whom: People) -> list[str]:
    """File of each person's table."""
    if whom.people == "main":
        return [f"{name}.csv"]
    return [f"{name}.person{number}.csv" for number in range(1, people + 1)]


def _draw(
    video: Path, analysis: Analysis, folder: Path, name: str, drawing: Drawing, kind: str, limits: MediaLimits
) -> list[str]:
    """What was asked for besides the tables, with the kind of a model that was not trained: names of the files."""
    drawn = []
    if drawing.plot:
        drawn.append(f"{name}.png")
        with replacing(folder / drawn[-1]) as partial:
            partial.write_bytes(png(prediction_plot(analysis.tables, f"{name} ({kind})" if kind else name)))
    if drawing.overlay:
        drawn.append(f"{name}.mp4")
        size = (analysis.media.width, analysis.media.height)
        painter = OverlayPainter(analysis.tables, *size, drawing.overlay_width, drawing.trail_s, kind)
        rewrite_movie(video, folder / drawn[-1], painter, limits)
    return drawn


def _remove_others(folder: Path, name: str, kept: set[str]) -> None:
    """Remove what an earlier run wrote under this name: a person too many, a plot that is no longer wanted."""
    summary = folder / f"{name}.json"
    try:
        earlier = parse_json(summary.read_text(encoding="utf-8")).get(FILES) if summary.is_file() else None
    except (OSError, ValueError, AttributeError):
        return
    for file in earlier if isinstance(earlier, list) else []:
        if isinstance(file, str) and is_name(file) and file.startswith(f"{name}.") and file not in kept:
            remove(folder / file)


@lru_cache(maxsize=1)
def _predictor(models: tuple[Path, ...], faces: FaceConfig, limits: MediaLimits) -> Predictor:
    """Kept: a worker analyses many videos with the same models."""
    return Predictor.load(models, faces=faces, limits=limits)
