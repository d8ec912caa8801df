"""The scores of a run on disk: a row per condition, with what lies behind it nested in two of its columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from iaca.evaluation.benchmark.sums import EXTREMES, SUMS
from iaca.evaluation.bootstrap import SCORES

ScoreRow = dict[str, Any]
GATE_KEYS = ("gate", "modality", "kind")
GATE_VALUES = ("auroc", "weight_event", "weight_clean", "event_frames", "clean_frames")
_CLIP = pa.struct([("clip", pa.string()), ("dimension", pa.string()), *((n, pa.float64()) for n in (*SUMS, *EXTREMES))])
_GATE = pa.struct([*((name, pa.string()) for name in GATE_KEYS), *((name, pa.float64()) for name in GATE_VALUES)])
SCHEMA = pa.schema(
    [
        ("corruption", pa.string()),
        ("level", pa.float64()),
        *((score, pa.float64()) for score in SCORES),
        ("corrupted_audio", pa.float64()),  # share of the timeline that the corruption held
        ("corrupted_visual", pa.float64()),
        ("clips", pa.list_(_CLIP)),
        ("gates", pa.list_(_GATE)),
    ]
)


def write_scores(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write the rows to `path` itself; the caller renames."""
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows], SCHEMA), path)


def read_scores(path: Path) -> list[ScoreRow]:
    """What `write_scores` wrote."""
    rows: list[ScoreRow] = pq.read_table(path).to_pylist()
    return rows
