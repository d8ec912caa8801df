"""One analysis per video; the dataset runs them."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd

from iaca.engine import ClipPaths, Task
from iaca.errors import counted
from iaca.faces.config import FaceConfig
from iaca.inference.config import NAMED, InferenceConfig, announcement, find_models, find_videos
from iaca.inference.predictor import stamp
from iaca.inference.write import VERSION, analyse_video, listed_files
from iaca.media.container import MediaLimits
from iaca.text import parse_json

log = logging.getLogger(__name__)


def plan_inference(
    config: InferenceConfig, faces: FaceConfig, models: list[Path], limits: MediaLimits
) -> dict[str, Task]:
    """One task per video of the input, with the models that the parameters name, by default the zero-shot model."""
    output, chosen = Path(config.output), models if config.model is None else find_models(config.model)
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
            {"name": name, "drawing": config.drawing(), "whom": config.whom(), "faces": faces},
            settings={"folder": output, "limits": limits, "device": config.device},
            version=VERSION,
            extra_files=listed_files,
        )
        for name, video in videos.items()
    }


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
