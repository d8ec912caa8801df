"""What holds for any labels: what is written is read again, rows stay in their places, and times stay in order."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from iaca.corpora.index import PROBLEM_COLUMNS, problem, problem_table
from iaca.corpora.timeline import grid, labels_at, mean_rows, nearest_rows
from iaca.evaluation.score import fit_length
from iaca.formats.labels import UNANNOTATED, parse_annotation, read_labels
from iaca.formats.tables import read_table, write_table

Values = NDArray[np.float32]
FEW = settings(max_examples=30)
score = st.floats(-1, 1, width=32)
cell = score | st.just(UNANNOTATED)
steps = st.lists(st.integers(1, 10**6), min_size=1, max_size=30)


def times_of(gaps: list[int]) -> NDArray[np.float64]:
    return np.cumsum(gaps) / 1000


def values_of(gaps: list[int]) -> Values:
    return np.random.default_rng(len(gaps)).uniform(-1, 1, (len(gaps), 2)).astype(np.float32)


@FEW
@given(st.lists(st.tuples(cell, cell), max_size=40), st.sampled_from(["\n", "\r\n"]), st.integers(0, 3))
def test_n_rows_are_n_labels_and_minus_five_ends_both(
    tmp_path_factory, rows: list[tuple[float, float]], end: str, blanks: int
) -> None:
    path = tmp_path_factory.mktemp("labels") / "a.txt"
    text = end.join(["valence,arousal", *(f"{v!r},{' ' * blanks}{a!r}" for v, a in rows)])
    path.write_text(text + end * blanks, newline="")
    values, faults = parse_annotation(path)
    assert not faults
    assert len(values) == len(rows)
    for (valence, arousal), read in zip(rows, values, strict=True):
        if UNANNOTATED in (valence, arousal):
            assert np.isnan(read).all()
        else:
            assert read.tolist() == [valence, arousal]


@FEW
@given(st.lists(st.tuples(cell, cell), min_size=1, max_size=20), st.data())
def test_a_faulty_row_is_the_only_one_that_is_lost(tmp_path_factory, rows: list[tuple[float, float]], data) -> None:
    at = data.draw(st.integers(0, len(rows) - 1))
    bad = data.draw(st.sampled_from(["", "1.5,0", "nan,0", "0,0,0", "a,b", "-5.0001,0", "0_1,0", "\0,0"]))
    lines = [f"{v!r},{a!r}" for v, a in rows]
    lines[at] = bad
    path = tmp_path_factory.mktemp("labels") / "a.txt"
    path.write_text("\n".join(["valence,arousal", *lines, "0.0,0.0"]))
    values, faults = parse_annotation(path)
    if "\0" in bad:
        assert len(values) == 0 or [fault.row for fault in faults] == [at + 2]
        return
    assert [fault.row for fault in faults] == [at + 2]
    assert len(values) == len(rows) + 1
    assert np.isnan(values[at]).all()


@FEW
@given(steps, st.sampled_from(["csv", "parquet", "safetensors"]))
def test_tables_of_features_come_back_bit_for_bit(tmp_path_factory, gaps: list[int], suffix: str) -> None:
    path = tmp_path_factory.mktemp("features") / f"a.{suffix}"
    names = ("0", "1") if suffix == "safetensors" else ("f,0", "f 1") if suffix == "parquet" else ("f0", "f 1")
    times, values = times_of(gaps), values_of(gaps)
    write_table(path, times, names, values)
    table = read_table(path)
    assert table.names == names
    np.testing.assert_array_equal(table.times, times)
    np.testing.assert_array_equal(table.values, values)
    assert (np.diff(table.times) > 0).all()


@FEW
@given(steps, st.sampled_from([",", ";"]))
def test_labels_of_a_folder_come_back_in_rising_order(tmp_path_factory, gaps: list[int], comma: str) -> None:
    path, times, values = tmp_path_factory.mktemp("folder") / "a.csv", times_of(gaps), values_of(gaps)
    lines = [f"{t!r}{comma}{v!r}{comma}{a!r}" for t, (v, a) in zip(times.tolist(), values.tolist(), strict=True)]
    path.write_text("\n".join([comma.join(("time_s", "valence", "arousal")), *lines]))
    given_ = read_labels(path)
    np.testing.assert_array_equal(given_.places, times)
    np.testing.assert_array_equal(given_.values, values)


@FEW
@given(steps, st.lists(st.floats(0, 2000), max_size=30).map(sorted))
def test_labels_at_other_times_lie_between_those_that_are_there(gaps: list[int], times: list[float]) -> None:
    places, values = times_of(gaps), values_of(gaps)
    at = labels_at(places, values, np.array(times, np.float64))
    assert at.shape == (len(times), 2)
    known = at[np.isfinite(at)]
    assert known.size == 0 or (known.min() >= values.min() - 1e-6 and known.max() <= values.max() + 1e-6)
    np.testing.assert_allclose(labels_at(places, values, places), values, atol=1e-6)


@FEW
@given(steps, st.floats(0.1, 50), st.floats(0, 100), st.floats(0, 20))
def test_rows_brought_to_a_grid_keep_its_times_in_order(
    gaps: list[int], rate: float, first: float, span: float
) -> None:
    places, values, times = times_of(gaps), values_of(gaps), grid(first, first + span, rate)
    assert (np.diff(times) > 0).all()
    for bring in (nearest_rows, mean_rows):
        if not len(times):
            continue
        kept, rows = bring(places, values, times)
        assert len(kept) == len(rows)
        assert set(kept) <= set(times)
        assert rows.size == 0 or (rows.min() >= values.min() - 1e-4 and rows.max() <= values.max() + 1e-4)


@FEW
@given(st.integers(0, 30), st.integers(0, 30))
def test_predictions_have_a_row_for_each_of_the_annotation(given_rows: int, wanted: int) -> None:
    values = np.arange(2.0 * given_rows).reshape(-1, 2) / 100
    fitted, length = fit_length(values, wanted)
    assert len(fitted) == wanted
    assert len(values) + length["repeated"] - length["cut"] == (wanted if given_rows else 0)
    np.testing.assert_array_equal(fitted[: min(given_rows, wanted)], values[:wanted])


@FEW
@given(st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8), st.none() | st.integers(1, 10**9)), max_size=8))
def test_every_problem_can_be_written(tmp_path_factory, rows: list[tuple[str, str, int | None]]) -> None:
    table = problem_table([problem(clip, file, clip, "mend it", row) for clip, file, row in rows])
    assert list(table) == list(PROBLEM_COLUMNS)
    assert len(table) == len(rows)
    table.to_csv(tmp_path_factory.mktemp("problems") / "problems.csv", index=False)
