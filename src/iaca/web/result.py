"""What the page draws of an analysed video: read from the files that inference writes, and from nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd

from iaca.errors import InputError
from iaca.evaluation.events import has_modality_gates, modality_gate
from iaca.evaluation.style import stretches
from iaca.web.needed_routes import FILE

FILES = {".csv": "CSV, a row per frame", ".mp4": "Overlay video", ".png": "Picture", ".json": "Summary"}
ABSENT = {"face_found": "no face", "audio_present": "no sound"}


def read_result(folder: Path, name: str) -> dict[str, Any]:
    """The traces, the summary and the files of a video, as plain values.

    Returns:
        name; overlay (address); files (label, name, address); time_s (s) and traces valence, arousal in [-1, 1],
        audio, visual and confidence in [0, 1] where the table has them, one value per frame and None where undefined;
        absent (label, start_s, end_s); tiles (label, value); warnings.

    Raises:
        InputError: nothing was found in the video, so that there is nothing to show.
    """
    table = pd.read_csv(folder / f"{name}.csv")
    summary = json.loads((folder / f"{name}.json").read_text())
    if not summary["coverage"]["predicted"]:
        remedy = "drop a video in which a face can be seen or a voice can be heard"
        raise InputError("neither a face nor sound was found", name, remedy=remedy)
    return {
        "name": name,
        "overlay": _address(folder / f"{name}.mp4"),
        "files": [
            {"label": label, "name": name + suffix, "address": _address(folder / f"{name}{suffix}")}
            for suffix, label in FILES.items()
            if (folder / f"{name}{suffix}").exists()
        ],
        "time_s": _plain(table["time_s"]),
        "traces": {trace: _plain(table[column]) for trace, column in _columns(table).items()},
        "absent": _absent(table),
        "tiles": _tiles(summary),
        "warnings": _warnings(summary),
    }


def model_words(origin: dict[str, str]) -> tuple[str, str]:
    """What the model is called, with the corpus it learned from, and what its numbers are worth."""
    corpus = f", trained on {origin['corpus']}" if origin.get("corpus") else ""
    caveat = origin.get("caveat") or "A model knows the people and the recordings that it learned from."
    return f"{origin.get('preset') or 'a model of your own'}{corpus}", caveat[:1].upper() + caveat[1:]


def _columns(table: pd.DataFrame) -> dict[str, str]:
    columns = {"valence": "valence", "arousal": "arousal"}
    if has_modality_gates(table):
        columns |= {"audio": modality_gate("audio"), "visual": modality_gate("visual")}
    return columns | ({"confidence": "confidence"} if "confidence" in table else {})


def _plain(values: pd.Series, digits: int = 5) -> list[float | None]:
    return [None if np.isnan(value) else round(value, digits) for value in values.to_numpy(float).tolist()]


def _absent(table: pd.DataFrame) -> list[dict[str, Any]]:
    time_s = table["time_s"].to_numpy(float)
    return [
        {"label": label, "start_s": start, "end_s": end}
        for column, label in ABSENT.items()
        if column in table
        for start, end in stretches(~table[column].to_numpy(bool), time_s)
    ]


def _tiles(summary: dict[str, Any]) -> list[dict[str, str]]:
    voice, face = summary["mean_gates"].get("modalities_audio"), summary["coverage"].get("face")
    tiles = [(f"mean {name}", f"{summary[name]['mean']:+.2f}".replace("-", "−")) for name in ("valence", "arousal")]
    shares = {"relies on voice": voice, "frames with a face": face}
    tiles += [(label, _percent(share)) for label, share in shares.items() if share is not None]
    return [{"label": label, "value": value} for label, value in tiles]


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _warnings(summary: dict[str, Any]) -> list[str]:
    """Those about this video; what the model can't know stands at the top of the page all the time."""
    warnings = [words for words in summary["warnings"] if words != summary["model"].get("caveat")]
    if summary["coverage"].get("face") == 0:
        remedy = "a face is found when it is lit, and at least a tenth of the picture's shorter side in size"
        warnings.append(f"the values come from the sound alone: {remedy}")
    return [words[:1].upper() + words[1:] + "." for words in warnings]


def _address(path: Path) -> str:
    return FILE + quote(str(path))
