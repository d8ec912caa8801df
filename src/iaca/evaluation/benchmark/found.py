"""Results of an earlier benchmark, where they lie on disk."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

HEADING = "# Benchmark: "
"""First line of the page, before the corpus's name: the one place where the files say what they are of."""


@dataclass(frozen=True)
class BenchmarkFound:
    """What a benchmark left.

    Attributes:
        corpus: its name; "" where nothing was found.
        summary: of `summary.summarise`.
        figure: PNG of `curves.robustness_curves`.
    """

    corpus: str = ""
    summary: pd.DataFrame = field(default_factory=pd.DataFrame)
    figure: bytes = b""

    def of(self, corpus: str) -> BenchmarkFound:
        """The same if it is of this corpus: its files lie in one place for all of them; else nothing."""
        return self if self.corpus == corpus else NO_BENCHMARK


NO_BENCHMARK = BenchmarkFound()


def find_benchmark(folder: Path) -> BenchmarkFound:
    """`benchmark_summary.csv`, `.md` and `.png` of a folder; nothing unless all three are there and hold something."""
    table, page, picture = (folder / f"benchmark_summary.{ending}" for ending in ("csv", "md", "png"))
    if not all(path.is_file() and path.stat().st_size for path in (table, page, picture)):
        return NO_BENCHMARK
    heading = page.read_text(encoding="utf-8").splitlines()[0]
    if not heading.startswith(HEADING):
        return NO_BENCHMARK
    return BenchmarkFound(heading.removeprefix(HEADING).strip(), pd.read_csv(table), picture.read_bytes())
