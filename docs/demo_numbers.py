"""Write the numbers of the demo corpus into the pages that quote them, from docs/demo_numbers.json.

python docs/demo_numbers.py           write the pages again, with a note on what has changed since the run
python docs/demo_numbers.py --read    read the results of `kedro run` and `kedro run --pipelines adaptation` first

A page marks the place of a block by `<!-- numbers: NAME -->` and `<!-- end -->`. A test fails when a page differs from
what this script writes, so numbers of an older code or of another run cannot stay unnoticed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from iaca.corpora import timeline
from iaca.encoders.config import EMBEDDING_VERSION, ENCODERS, EmbeddingConfig
from iaca.evaluation.style import signed
from iaca.inference import write
from iaca.inference.config import NAMED
from iaca.training import config as training

ROOT = Path(__file__).parents[1]
FILE, RESULTS = ROOT / "docs/demo_numbers.json", ROOT / "data/08_reporting"
PICTURES = ROOT / "docs/images/made.json"
PARAMETERS = ("demo_corpus", "preprocessing", "embedding", "training", "evaluation", "adaptation")
BLOCK = re.compile(r"(<!-- numbers: (\w+) -->)\n.*?(<!-- end -->)", re.DOTALL)
MODELS = {
    "iaca": "`iaca`",
    "late": "`late` (two ridges)",
    "concat": "`concat` (plain concatenation)",
    "visual": "`visual` (face alone)",
    "audio": "`audio` (voice alone)",
}
DIFFERENCE = ("difference_ccc_mean", "difference_ccc_mean_low", "difference_ccc_mean_high")
ADAPTED = [f"ccc_{model}_{dimension}" for dimension in ("valence", "arousal") for model in ("zero_shot", "adapted")]
Row = dict[str, Any]


def made_with() -> dict[str, str]:
    """What the numbers depend on, as far as code and parameters say: versions of tasks and encoders, and parameters."""
    encoders = [
        f"{choice.name} {choice.entry(modality).version}"
        for modality in ENCODERS
        for choice in EmbeddingConfig().choices(modality)
    ]
    return {
        "timelines": timeline.VERSION,
        "encoders": ", ".join(encoders),
        "embedding": EMBEDDING_VERSION,
        "training": training.VERSION,
        "inference": write.VERSION,
        "zero-shot model": _digest(NAMED["zero_shot"]),
        **{f"parameters of {name}": _digest(ROOT / f"conf/base/parameters_{name}.yml") for name in PARAMETERS},
    }


def _digest(path: Path) -> str:
    """Of the values in a YAML or JSON file, whatever its comments."""
    values = yaml.safe_load(path.read_text())
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


def read() -> dict[str, Any]:
    """The numbers in `data/08_reporting`."""
    tables = {
        "comparison": ["model", "partition", "clips", "ccc_mean", "ccc_mean_low", "ccc_mean_high", *DIFFERENCE],
        "gate_scores": ["modality", "kind", "auroc"],
        "event_scores": ["modality", "kind", "model", "clips", "ccc_mean"],
        "postprocessing": ["partition", "step", "ccc_valence", "ccc_arousal", "ccc_mean", "difference", "low", "high"],
    }
    found = {name: _rows(pd.read_csv(RESULTS / f"{name}.csv")[columns]) for name, columns in tables.items()}
    pooled = _rows(pd.read_csv(RESULTS / "adaptation.csv")[["held_out", "clips", *ADAPTED]])[-1]
    return {**stamp(), **found, "adaptation": pooled}


def stamp() -> dict[str, Any]:
    """Today's date, and what the results depend on."""
    return {"date": datetime.now(UTC).date().isoformat(), "made_with": made_with()}


def _rows(table: pd.DataFrame) -> list[Row]:
    rows: list[Row] = json.loads(table.to_json(orient="records", double_precision=6))
    return rows


def blocks(numbers: dict[str, Any], now: dict[str, str]) -> dict[str, str]:
    """Name -> text of every block."""
    changed = _changed(numbers["made_with"], now)
    note = f"(Run of {numbers['date']}, seed 0{f'; changed since: {changed}' if changed else ''}.)"
    parts = (_comparison, _events, _smoothing, _adaptation)
    texts = {part.__name__.removeprefix("_"): "\n".join([*part(numbers), "", note]) for part in parts}
    texts["gates"] = "\n".join(_gates(numbers))  # on a page with `comparison`, which has the note
    return {**texts, "pictures": "\n".join(_pictures(json.loads(PICTURES.read_text()), now))}


def _changed(before: dict[str, str] | None, now: dict[str, str]) -> str:
    """What differs from the state in which numbers or a picture were made."""
    if before is None:
        return "unknown"
    return ", ".join(name for name in {**before, **now} if before.get(name) != now.get(name))


def _pictures(made: dict[str, dict[str, Any]], now: dict[str, str]) -> Iterator[str]:
    yield "| picture | made | changed since |"
    yield "|---|---|---|"
    for name, facts in sorted(made.items()):
        yield f"| `{name}.png` | {facts['date']} | {_changed(facts['made_with'], now)} |"


def _comparison(numbers: dict[str, Any]) -> Iterator[str]:
    rows = {(row["model"], row["partition"]): row for row in numbers["comparison"]}
    yield "| model | validation | test | test, `iaca` minus it |"
    yield "|---|---|---|---|"
    for model, title in MODELS.items():
        scores = [_interval(rows[model, partition]) for partition in ("validation", "test")]
        difference, low, high = (-rows[model, "test"][name] for name in (DIFFERENCE[0], DIFFERENCE[2], DIFFERENCE[1]))
        lead = "" if model == "iaca" else f"{difference:.3f} [{low:.3f}, {high:.3f}]"
        yield f"| {title} | {scores[0]} | {scores[1]} | {lead} |"


def _interval(row: Row) -> str:
    return f"{row['ccc_mean']:.3f} [{row['ccc_mean_low']:.3f}, {row['ccc_mean_high']:.3f}]"


def _gates(numbers: dict[str, Any]) -> Iterator[str]:
    rows = {(row["modality"], row["kind"]): f"{row['auroc']:.2f}" for row in numbers["gate_scores"]}
    kinds = {"audio": ("silent", "noisy", "contradictory"), "visual": ("occluded", "absent", "contradictory")}
    yield "| voice silent | noisy | contradictory | face hidden | absent | contradictory |"
    yield "|---|---|---|---|---|---|"
    yield "| " + " | ".join(rows[modality, kind] for modality, named in kinds.items() for kind in named) + " |"


def _events(numbers: dict[str, Any]) -> Iterator[str]:
    rows = {(row["modality"], row["kind"], row["model"]): row for row in numbers["event_scores"]}
    gates = {(row["modality"], row["kind"]): row["auroc"] for row in numbers["gate_scores"]}
    yield "| contradictory | clips | `iaca` | voice alone | face alone | AUROC of the gate |"
    yield "|---|---|---|---|---|---|"
    for modality, title in (("audio", "voice"), ("visual", "face")):
        of_models = [rows[modality, "contradictory", model] for model in ("iaca", "audio", "visual")]
        scores = " | ".join(f"{row['ccc_mean']:.2f}" for row in of_models)
        yield f"| {title} | {of_models[0]['clips']} | {scores} | {gates[modality, 'contradictory']:.2f} |"


def _smoothing(numbers: dict[str, Any]) -> Iterator[str]:
    yield "| partition | filter | CCC V | CCC A | P | difference of P |"
    yield "|---|---|---|---|---|---|"
    for row in numbers["postprocessing"]:
        plain = row["step"] == "none"
        scores = " | ".join(f"{row[f'ccc_{name}']:.3f}" for name in ("valence", "arousal", "mean"))
        change = "" if plain else f"{signed(row['difference'])} ({signed(row['low'])} to {signed(row['high'])})"
        yield f"| {row['partition'] if plain else ''} | {row['step']} | {scores} | {change} |"


def _adaptation(numbers: dict[str, Any]) -> Iterator[str]:
    row = numbers["adaptation"]
    yield "| clips | valence, zero-shot | adapted | arousal, zero-shot | adapted |"
    yield "|---|---|---|---|---|"
    yield f"| {row['clips']} | " + " | ".join(f"{row[name]:.2f}" for name in ADAPTED) + " |"


def pages() -> list[Path]:
    """Pages with a block."""
    every = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))
    return [page for page in every if BLOCK.search(page.read_text())]


def written(page: Path, texts: dict[str, str]) -> str:
    """The text of a page with its blocks as they should be."""
    return BLOCK.sub(lambda match: f"{match[1]}\n{texts[match[2]]}\n{match[3]}", page.read_text())


def main() -> None:
    """Read if asked to, then write the pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--read", action="store_true", help="read data/08_reporting first")
    if parser.parse_args().read:
        FILE.write_text(json.dumps(read(), indent=1) + "\n")
    write_pages()


def write_pages() -> None:
    """Write every block as it should be."""
    texts = blocks(json.loads(FILE.read_text()), made_with())
    for page in pages():
        page.write_text(written(page, texts))


if __name__ == "__main__":
    main()
