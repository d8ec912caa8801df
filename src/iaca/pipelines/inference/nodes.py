"""One analysis per video; the dataset runs them."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from iaca.engine import ClipPaths, Task
from iaca.faces.config import FaceConfig
from iaca.inference.config import InferenceConfig


def plan_inference(config: InferenceConfig, faces: FaceConfig, model: Path) -> dict[str, Task]:
    """One task per video of the input."""
    from iaca.inference.find import find_videos
    from iaca.inference.write import VERSION, analyse_video

    output = Path(config.output)
    return {
        name: Task(
            analyse_video,
            (video.absolute(), model.absolute()),
            {"name": name, "drawing": config.drawing(), "faces": faces},
            settings={"folder": output},
            version=VERSION,
        )
        for name, video in find_videos(config.input).items()
    }


def summarise_inference(results: ClipPaths) -> pd.DataFrame:
    """One row per video: frames, duration, means, coverage and warnings; a failed video has its reason."""
    rows: list[dict[str, object]] = []
    for name, path in results.items():
        summary = json.loads(path.read_text())
        rows.append(
            {
                "name": name,
                "frames": summary["frames"],
                "duration_s": summary["duration_s"],
                "valence_mean": summary["valence"]["mean"],
                "arousal_mean": summary["arousal"]["mean"],
                **{f"{key}_coverage": value for key, value in summary["coverage"].items()},
                "warnings": "; ".join(summary["warnings"]),
            }
        )
    rows += [{"name": name, "frames": 0, "warnings": f"failed: {reason}"} for name, reason in results.failures.items()]
    return pd.DataFrame(rows)
