"""The smallest parameters that run every stage, and what DVC says about stages."""

import re
from pathlib import Path
from typing import Any

import yaml

SMALL: dict[str, dict[str, Any]] = {
    "demo_corpus": {"demo_corpus": {"identities": 4, "clips_per_identity": 1, "seconds": 2.0, "variable_rate": 0}},
    "training": {
        "fusion": {"width": 16},
        "baselines": ["concat"],
        "training": {"length": 30, "hop": 30, "epochs": 2},
    },
    "evaluation": {"evaluation": {"replicates": 100}},
    "benchmark": {
        "benchmark": {
            "models": ["iaca", "concat"],
            "seeds": [0],
            "main": ["iaca"],
            "replicates": 100,
            "corruption": {"levels": {"missing_audio": [0.5]}},
        }
    },
    "inference": {"inference": {"overlay": False}},
}
PROTOCOLS = ("missing_audio", "missing_video", "frame_drop", "time_shift", "conflict", "feature_noise")


def shrink(project: Path) -> None:
    """Writes the small values into the project's own files: DVC reads no environment of Kedro's."""
    for name, groups in SMALL.items():
        file = project / f"conf/base/parameters_{name}.yml"
        values = yaml.safe_load(file.read_text())
        for group, given in groups.items():
            values[group] = {**values[group], **given} if isinstance(given, dict) else given
        if name == "benchmark":
            levels = values["benchmark"]["corruption"]["levels"]
            values["benchmark"]["corruption"]["levels"] = {name: levels.get(name, []) for name in PROTOCOLS}
        file.write_text(yaml.safe_dump(values))
    (project / "conf/base/globals.yml").write_text('executor: {kind: serial}\nat: ""\n')


def ran(output: str) -> list[str]:
    """The stages that `dvc repro` or `dvc exp run` has run, in their order."""
    return re.findall(r"Running stage '(\w+)'", output)
