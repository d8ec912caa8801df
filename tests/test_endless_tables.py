"""Lines, rows and faults without end are refused before they take memory or time."""

from __future__ import annotations

from pathlib import Path

import pytest

from iaca.errors import MOST_FAULTS, InputError
from iaca.formats.labels import AnnotationFacts, inspect_labels, parse_annotation
from iaca.formats.predictions import parse_predictions
from iaca.text import LONGEST_LINE, MOST_CELLS
from table_readers import READERS, Read, given, submission_faults


@pytest.mark.parametrize(
    "name", [name for name in READERS if name not in ("rows", "annotation", "submission", "predictions")]
)
def test_a_cell_or_a_line_without_end_is_refused_with_its_line(name: str, tmp_path: Path) -> None:
    read, header, row = READERS[name]
    for content in (f"{header}\n{row}\n" + "1" * 200_000, f'{header}\n{row}\n"{"1," * 100_000}'):
        with pytest.raises(InputError, match=r"field larger than field limit|cells, but the header names") as refusal:
            read(given(tmp_path, content.encode()))
        assert refusal.value.row == 3


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("line", [1, 2, 3])
def test_a_line_of_many_megabytes_is_refused_before_it_is_cut_up(name: str, line: int, tmp_path: Path) -> None:
    read, header, row = READERS[name]
    before = "".join(f"{text}\n" for text in (header, row)[: line - 1])
    path = given(tmp_path, f"{before}{'1;,' * (LONGEST_LINE // 3 + 1)}".encode())
    with pytest.raises(InputError, match=r"more than 4 million characters|4 fields in line 3, saw") as refusal:
        read(path)
    assert refusal.value.row in (line, None)


@pytest.mark.parametrize("read", [parse_annotation, inspect_labels, parse_predictions, submission_faults])
def test_of_a_file_that_is_all_wrong_the_first_faults_are_told(read: Read, tmp_path: Path) -> None:
    """Telling every one of a million takes minutes and gigabytes."""
    header = {inspect_labels: "frame,valence,arousal", parse_annotation: "valence,arousal"}
    rows = "x,y,z\n" * (MOST_FAULTS + 10)
    path = given(tmp_path, f"{header.get(read, 'image_location,valence,arousal')}\n{rows}".encode())
    found = read(path)
    faults = found.faults if isinstance(found, AnnotationFacts) else found[1] if isinstance(found, tuple) else found
    assert len(faults) == MOST_FAULTS + 1
    assert [fault.row for fault in faults[:2]] == ([2, 2] if read is submission_faults else [2, 3])
    assert "more than 1000 faults: the rest of the file was not checked" in str(faults[-1])


@pytest.mark.parametrize("name", READERS)
def test_a_header_of_more_columns_than_any_table_has_is_refused(name: str, tmp_path: Path) -> None:
    read, header, row = READERS[name]
    more = "".join(f"{';' if ';' in header else ','}f{i}" for i in range(MOST_CELLS))
    with pytest.raises(InputError, match=r"more than 131072 cells|first line is not"):
        read(given(tmp_path, f"{header}{more}\n{row}\n".encode()))
