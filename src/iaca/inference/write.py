"""The files of each video under one name: tables, a plot, an overlay video, a summary; and the plan for many videos."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from iaca.encoders.config import NOTHING, Fetching, get_missing
from iaca.engine import ClipPaths, Task
from iaca.errors import counted, plain_name
from iaca.faces import FaceConfig
from iaca.files import is_name, remove, replacing, write_text
from iaca.inference.config import (
    HUB,
    NAMED,
    Drawing,
    InferenceConfig,
    People,
    announcement,
    find_models,
    find_videos,
    named_repository,
)
from iaca.inference.predictor import BOX, Predictor, encoders_of, stamp
from iaca.inference.summary import Sources, as_drawn, summarise, summarise_people, with_words
from iaca.media import MediaInfo, MediaLimits, rewrite_movie
from iaca.text import parse_json

log = logging.getLogger(__name__)
VERSION = "6"
FILES = "files"
"""Key of the summary: names of the other files."""


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
    device: str = "auto",
    repository: str = "",
) -> None:
    """The engine's task: write NAME.csv, NAME.png and NAME.mp4 into `folder`, and the summary to `target`.

    If everyone is asked for, NAME.person1.csv, NAME.person2.csv, ... are written instead of NAME.csv. The summary is
    written last and lists the other files: where it exists, they are complete. Files that an earlier summary of this
    name lists and that are no longer written are removed. `repository` is that of the hub which the models were fetched
    from, `owner/name@commit`.
    """
    people = whom or People()
    predictor = _predictor(models, faces, limits or MediaLimits(), device, repository)
    analysis = predictor.analyse(video, people, folder)
    tables = table_names(name, len(analysis.tables), people)
    origin = predictor.origin()
    sources = predictor.sources()
    shown = [as_drawn(table, sources) for table in analysis.tables]
    for file, table, drawn_table in zip(tables, analysis.tables, shown, strict=True):
        written = with_words(table, drawn_table) if drawing.words else table
        write_text(folder / file, _csv(written.assign(clip=name)))
    drawn = _draw(video, analysis.media, shown, sources, folder, name, drawing, stamp(origin), predictor.limits)
    _remove_outdated(folder, name, {*tables, *drawn})
    caveats = [origin["caveat"]] if origin["caveat"] else []
    summary = {
        "name": name,
        "file": plain_name(video.name),
        FILES: [*tables, *drawn],
        "model": origin,
        "sources": sources,
        **summarise(analysis.summary_table, analysis.facts, caveats, sources),
        "people": summarise_people(analysis.tables, tables, sources),
    }
    target.write_text(json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def listed_files(summary: Path) -> list[str]:
    """The other files of a video, as its summary lists them."""
    files: list[str] = parse_json(summary.read_text(encoding="utf-8"))[FILES]
    return files


@lru_cache(maxsize=1)
def _predictor(
    models: tuple[Path, ...], faces: FaceConfig, limits: MediaLimits, device: str, repository: str
) -> Predictor:
    """Cached: a worker analyses many videos with the same models."""
    if repository:  # its commit is in the cache since the work was planned
        return Predictor.from_pretrained(f"{HUB}{repository}", None, device, faces, limits)
    return Predictor.load(models, device, faces, limits)


def table_names(name: str, people: int, whom: People) -> list[str]:
    """File name of each person's table."""
    if whom.people == "main":
        return [f"{name}.csv"]
    return [f"{name}.person{number}.csv" for number in range(1, people + 1)]


def _csv(table: pd.DataFrame) -> str:
    """The table as CSV: times with microseconds however long the video, other numbers with six significant digits."""
    written = table.drop(columns=BOX).assign(time_s=table["time_s"].map("{:.6f}".format))
    return written.to_csv(index=False, float_format="%.6g")


def _draw(
    video: Path,
    media: MediaInfo,
    tables: Sequence[pd.DataFrame],
    sources: Sources,
    folder: Path,
    name: str,
    drawing: Drawing,
    mark: str,
    limits: MediaLimits,
) -> list[str]:
    """Draw the plot and the overlay if asked for, with the stamp `mark` unless it is empty; return the file names."""
    drawn = []
    if drawing.plot:
        from iaca.evaluation.style import png  # torch, by way of the models' names
        from iaca.inference.plot import prediction_plot

        drawn.append(f"{name}.png")
        figure = prediction_plot(tables, f"{name} ({mark})" if mark else name, sources=sources)
        with replacing(folder / drawn[-1]) as partial:
            partial.write_bytes(png(figure))
    if drawing.overlay:
        from iaca.inference.overlay import OverlayPainter  # torch, by way of the gates' names

        drawn.append(f"{name}.mp4")
        painter = OverlayPainter(tables, media.width, media.height, drawing.overlay_width, drawing.trail_s, mark)
        rewrite_movie(video, folder / drawn[-1], painter, limits)
    return drawn


def _remove_outdated(folder: Path, name: str, kept: set[str]) -> None:
    """Remove files of an earlier run under this name, such as a table of a further person or a plot not asked for."""
    summary = folder / f"{name}.json"
    try:
        earlier = parse_json(summary.read_text(encoding="utf-8")).get(FILES) if summary.is_file() else None
    except (OSError, ValueError, AttributeError):
        return
    for file in earlier if isinstance(earlier, list) else []:
        if isinstance(file, str) and is_name(file) and file.startswith(f"{name}.") and file not in kept:
            remove(folder / file)


# --- many videos ---


def plan_inference(
    config: InferenceConfig,
    faces: FaceConfig,
    models: list[Path],
    limits: MediaLimits,
    fetching: Fetching = NOTHING,
) -> dict[str, Task]:
    """One task per video of the input, with the models that the parameters name, by default the zero-shot model.

    Models of a repository of the hub are fetched here, once, and never by a worker.
    """
    output = Path(config.output)
    chosen, repository = (models, "") if config.model is None else _chosen(config.model)
    fetched_from = {"repository": repository} if repository else {}
    if fetching.download:
        get_missing(encoders_of(chosen), fetching)
    if set(chosen) & set(NAMED.values()):
        log.warning("using the zero-shot heuristic (docs/guide/zero_shot.md); a trained model: inference.model=FILE")
    videos = find_videos(config.named_input(), output)
    if many := announcement(videos.values(), config.overlay, limits):
        log.warning("%s", many)
    return {
        name: Task(
            "analyse_video",
            analyse_video,
            (video.absolute(), *(model.absolute() for model in chosen)),
            {"name": name, "drawing": config.drawing(), "whom": config.whom(), "faces": faces, **fetched_from},
            settings={"folder": output, "limits": limits, "device": config.device},
            version=VERSION,
            extra_files=listed_files,
        )
        for name, video in videos.items()
    }


def _chosen(given: str | Sequence[str]) -> tuple[list[Path], str]:
    """The model files, and the repository and commit that they were fetched from."""
    repository = named_repository(given)
    if repository is None:
        return find_models(given), ""
    from iaca.inference.hub import fetched

    log.info("no file or folder is given as the model, but a repository: %s", repository)
    found = fetched(repository)
    return found.models, found.origin


def summarise_inference(results: ClipPaths) -> pd.DataFrame:
    """One row per person of each video: frames, means, coverage and warnings; a failed video has its reason.

    What must not be taken for the word of a trained model is stamped in the log, as on plots and overlays.
    """
    rows: list[dict[str, object]] = []
    stamps: Counter[str] = Counter()
    for name, path in results.items():
        if not path.is_file():  # of an earlier run, deleted by the user
            continue
        try:
            summary = parse_json(path.read_text(encoding="utf-8"))
            rows += [_row(name, summary, person) for person in summary["people"]]
            stamps[stamp(summary.get("model", {}))] += 1
        except (
            OSError,
            ValueError,
            LookupError,
            TypeError,
            AttributeError,
        ):  # one damaged file must not stop the others
            rows.append(_failed(name, f"{path} was changed or damaged: analyse the video again"))
    for words, count in stamps.items():
        if words:
            log.warning("%s predicted by this model: %s", counted(count, "video"), words)
    rows += [_failed(name, reason) for name, reason in results.failures.items()]
    return pd.DataFrame(rows)


def _failed(name: str, reason: str) -> dict[str, object]:
    return {"name": name, "frames": 0, "warnings": f"failed: {reason}"}


def _row(name: str, summary: dict[str, Any], person: dict[str, Any]) -> dict[str, object]:
    return {
        "name": name,
        "person": person["person"],
        "frames": summary["frames"],
        "duration_s": summary["duration_s"],
        "valence_mean": person["valence"]["mean"],
        "arousal_mean": person["arousal"]["mean"],
        "valence_observed": person["valence"].get("observed"),  # unknown to summaries of earlier versions
        "arousal_observed": person["arousal"].get("observed"),
        **{f"{name}_interval": width for name, width in person["mean_interval"].items()},
        "inconsistency_mean": person["inconsistency"]["mean"],
        **{f"{key}_coverage": value for key, value in person["coverage"].items()},
        "warnings": "; ".join(summary["warnings"]),
    }
