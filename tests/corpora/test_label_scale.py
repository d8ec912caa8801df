"""Labels that seem to be on another scale than [-1, 1] are reported, though each of them is a valid label."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from iaca.corpora.check import scale_problems
from iaca.corpora.index import DOUBTFUL
from iaca.corpora.timeline import read_label_ranges, write_timeline
from iaca.engine import ExecutorConfig, Task, results, run_tasks

NAN = float("nan")
REMEDY = "if they were rated from 0 to 1, write 2 * LABEL - 1: the scale is [-1, 1]"


def write(target: Path, labels: list[tuple[float, float]]) -> None:
    values = np.array(labels, np.float32).reshape(-1, 2)
    write_timeline(target, np.arange(len(values)) / 25, values, {"annotation_rows": None})


def told(folder: Path, **clips: list[tuple[float, float]]) -> dict[str, str]:
    """Problem -> remedy, of clips with these labels (valence, arousal)."""
    tasks = {clip: Task("write", write, parameters={"labels": labels}) for clip, labels in clips.items()}
    run_tasks(tasks, folder, ".parquet", ExecutorConfig(kind="serial"), bar=False)
    annotated = [int(np.isfinite(np.array(labels)).all(axis=1).sum()) for labels in clips.values()]
    table = pd.DataFrame({"clip": list(clips), "annotated": annotated})
    found = scale_problems(results(folder, ".parquet"), table)
    assert all((row["clip"], row["file"], row["effect"]) == ("", ".", DOUBTFUL) for row in found)
    return {str(row["problem"]): str(row["remedy"]) for row in found}


def test_ranges_are_those_of_annotated_frames(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", [(0.5, NAN), (NAN, NAN), (-0.25, NAN), (0.0, NAN)])
    assert read_label_ranges(tmp_path / "a.parquet") == {"valence": (-0.25, 0.5)}


def test_labels_from_0_to_1_are_told_by_dimension_over_all_clips(tmp_path: Path) -> None:
    zero_to_one = [(0.1, 0.9), (0.8, 0.3), (NAN, NAN)]
    both = {f"no label of {name} is below 0: they run from {span}": REMEDY for name, span in
            (("valence", "0.1 to 0.8"), ("arousal", "0.3 to 0.9"))}  # fmt: skip
    assert told(tmp_path, a=zero_to_one) == both
    one = told(tmp_path, a=zero_to_one, b=[(-0.4, 0.0)])
    assert list(one) == ["no label of arousal is below 0: they run from 0 to 0.9"]
    assert told(tmp_path, a=zero_to_one, b=[(-0.4, -0.1)]) == {}


def test_small_positive_labels_and_negative_ones_are_no_reason_for_doubt(tmp_path: Path) -> None:
    assert told(tmp_path, a=[(0.1, -0.9), (0.3, -0.2)]) == {}
    assert told(tmp_path, a=[(NAN, NAN)]) == {}


@pytest.mark.parametrize("value", [0.0, -1.0, 0.75])
def test_labels_that_are_all_the_same_are_told(tmp_path: Path, value: float) -> None:
    found = told(tmp_path, a=[(value, 0.1), (value, -0.3)], b=[(value, 0.2)])
    assert found == {f"every label of valence is {value:g}": "check the annotation: nothing can be learned from it"}
