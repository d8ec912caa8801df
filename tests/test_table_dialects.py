"""Tables that people write are read alike, however their spreadsheet has saved them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from iaca.corpora.index import Problem, read_partitions
from iaca.errors import InputError
from iaca.formats.labels import inspect_labels, read_event_table, read_labels
from iaca.formats.predictions import parse_predictions
from iaca.formats.tables import read_rows, read_table
from table_readers import READERS, given

WRITTEN = [name for name in READERS if name not in ("annotation", "submission")]  # those have a format of their own
DIALECTS = {
    "semicolons": (";", "", "utf-8"),
    "tabs": ("\t", "", "utf-8"),
    "Excel in Europe": (";", "", "utf-8-sig"),
    "Excel's Unicode text": ("\t", "", "utf-16"),
    "UTF-16 with commas": (",", "", "utf-16"),
    "a line sep=;": (";", "sep=;\n", "utf-8"),
    "a line sep=, in quotes": (",", '"sep=,"\n', "utf-8-sig"),
    "a line SEP= with a tab": ("\t", "SEP=\t\n", "utf-16"),
    "a delimiter that only the line names": ("|", "sep=|\n", "utf-8"),
}


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_every_dialect_is_read_as_the_plain_table(name: str, dialect: str, end: str, tmp_path: Path) -> None:
    read, header, row = READERS[name]
    header, row = header.replace(";", ","), row.replace(";", ",")
    delimiter, above, encoding = DIALECTS[dialect]
    blank = "\n" if above and name == "subjects" else ""  # they keep their lines, which must be the same
    plain = read(given(tmp_path, f"{header}\n{blank}{row}\n".encode(), f"{name}.csv"))
    text = above + f"{header}\n{row}\n".replace(",", delimiter) if delimiter != "," else above + f"{header}\n{row}\n"
    path = given(tmp_path, text.replace("\n", end).encode(encoding), f"{name}.csv")
    assert repr(read(path)) == repr(plain)


@pytest.mark.parametrize("name", ["labels", "features", "events", "rows", "predictions"])
@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_a_decimal_comma_is_read_where_it_is_not_the_delimiter(name: str, delimiter: str, tmp_path: Path) -> None:
    read, header, row = READERS[name]
    header, row = header.replace(";", ","), row.replace(";", ",").replace(",1", ",-0.125")
    row = "a,audio,silent,0.5,1.25" if name == "events" else row
    plain = read(given(tmp_path, f"{header}\n{row}\n".encode(), f"{name}.csv"))
    text = f"{header}\n{row}\n".replace(",", delimiter).replace(".", ",")
    assert repr(read(given(tmp_path, text.encode(), f"{name}.csv"))) == repr(plain)


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize(("delimiter", "comma"), [(";", True), ("\t", True), (",", False), (";", False)])
@pytest.mark.parametrize("header_too", [True, False])
def test_cells_in_quotes_are_the_cells_without(
    name: str, delimiter: str, comma: bool, header_too: bool, tmp_path: Path
) -> None:
    read, header, row = READERS[name]
    header, row = header.replace(";", ","), row.replace(";", ",")
    plain = read(given(tmp_path, f"{header}\n{row}\n".encode(), f"{name}.csv"))
    above = delimiter.join(f'"{cell}"' if header_too else cell for cell in header.split(","))
    below = delimiter.join(f'"{cell.replace(".", ",") if comma else cell}"' for cell in row.split(","))
    assert repr(read(given(tmp_path, f"{above}\n{below}\n".encode(), f"{name}.csv"))) == repr(plain)


@pytest.mark.parametrize("name", ["labels", "features", "rows", "predictions"])
def test_a_comma_in_quotes_between_commas_may_separate_thousands_and_is_no_number(name: str, tmp_path: Path) -> None:
    read, header, row = READERS[name]
    row = ",".join(f'"{cell.replace(".", ",")}"' for cell in row.replace(";", ",").split(","))
    with pytest.raises(InputError, match=r"line 2: .*not (a|two) number"):
        read(given(tmp_path, f"{header.replace(';', ',')}\n{row}\n".encode(), f"{name}.csv"))


def test_quotes_protect_delimiters_and_quotes_in_names_and_headers(tmp_path: Path) -> None:
    rows = read_rows(given(tmp_path, b'"name";"time";"a;b";"c"\n"x;y";"0,5";"1,25";"-2"\n"x;y";"1,5";"";"3"\n'))
    assert rows.names == ("a;b", "c")
    assert rows.times.tolist() == [0.5, 1.5]
    np.testing.assert_array_equal(rows.values, np.array([[1.25, -2], [np.nan, 3]], np.float32))
    single = read_rows(given(tmp_path, b"name;time;f0\n'say; \"x\"';0.5;1\n".replace(b'"', b"")))
    assert single.times.tolist() == [0.5]


def test_rows_without_a_header_and_with_decimal_commas(tmp_path: Path) -> None:
    rows = read_rows(given(tmp_path, b"'a';0,5;1,25;2,5\n'a';1,5;-3,5;1e-1\n"))
    assert rows.times.tolist() == [0.5, 1.5]
    np.testing.assert_array_equal(rows.values, np.array([[1.25, 2.5], [-3.5, 0.1]], np.float32))


@pytest.mark.parametrize("cell", ["1.234,5", "1,234,5", "0,1_0"])
def test_what_might_be_thousands_is_no_number(cell: str, tmp_path: Path) -> None:
    path = given(tmp_path, f"time_s;valence;arousal\n{cell};0,1;0,1\n".encode())
    assert [fault.row for fault in inspect_labels(path).faults] == [2]
    with pytest.raises(InputError, match=r"line 2: .* is not a number"):
        read_table(given(tmp_path, f"time_s;f0\n0,5;{cell}\n".encode()))


@pytest.mark.parametrize(
    ("above", "line"), [("", 3), ("name;time;f0\n", 4), ("sep=;\n", 4), ("sep=;\nname;time;f0\n", 5)]
)
def test_a_cell_that_is_no_number_is_named_with_its_line_with_and_without_a_header(
    above: str, line: int, tmp_path: Path
) -> None:
    path = given(tmp_path, f"{above}'a';0,5;1\n'a';1,5;2\n'a';2,5;word\n'a';word;word\n".encode())
    with pytest.raises(InputError, match=rf"line {line}: 'word' in column '?\w+'? is not a number"):
        read_rows(path)


def test_lines_are_counted_with_the_line_above_the_header(tmp_path: Path) -> None:
    path = given(tmp_path, b"sep=;\r\ntime_s;valence;arousal\r\n0,5;0,1;x\r\n")
    assert [fault.row for fault in inspect_labels(path).faults] == [3]
    with pytest.raises(InputError, match=r"line 4: time 0\.5 s occurs twice"):
        read_table(given(tmp_path, b"sep=;\r\ntime_s;f0\r\n0,5;1\r\n0,5;2\r\n"))
    problems: list[Problem] = []
    read_partitions(given(tmp_path, b"sep=;\nclip;partition\na;elsewhere\n"), problems)
    assert [row["row"] for row in problems] == [3]
    _, faults = parse_predictions(given(tmp_path, b"sep=;\nclip;frame;valence;arousal\na;0;x;0,5\n"))
    assert [fault.row for fault in faults] == [3]


def test_the_letters_of_a_header_may_be_capitals(tmp_path: Path) -> None:
    events = read_event_table(given(tmp_path, b"Clip;Modality;Kind;Start_s;End_s\na;audio;silent;0;1,5\n"))
    assert events.iloc[0].tolist() == ["a", "audio", "silent", 0.0, 1.5]


def test_a_name_with_a_semicolon_or_a_tab_in_it_does_not_change_the_delimiter(tmp_path: Path) -> None:
    path = given(tmp_path, b"time_s,valence,arousal,who;what\n0.5,0.1,0.2,me\n")
    assert read_labels(path).places.tolist() == [0.5]


@pytest.mark.parametrize("name", ["partitions", "subjects", "events"])
def test_a_name_in_the_encoding_of_a_windows_machine_is_refused_with_its_line(name: str, tmp_path: Path) -> None:
    read, header, row = READERS[name]
    rows = f"{header}\n{row}\n{row.replace('a,', 'Müller,', 1)}\n"
    assert len(read(given(tmp_path, rows.encode(), f"{name}.csv"))) == 2  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"line 3: 'M.ller' is not UTF-8 text Remedy: save the table as UTF-8"):
        read(given(tmp_path, rows.encode("cp1252"), f"{name}.csv"))


@pytest.mark.parametrize(
    ("name", "same", "other"), [("recordings", "a;train", "a;test"), ("subjects", "a;ann", "a;bob")]
)
def test_a_name_that_is_listed_twice_is_refused_unless_both_rows_are_the_same(
    name: str, same: str, other: str, tmp_path: Path
) -> None:
    read, header, _ = READERS[name]
    once = read(given(tmp_path, f"{header}\n{same}\n".replace(",", ";").encode(), f"{name}.csv"))
    twice = f"{header}\n{same}\n{same}\n".replace(",", ";")
    assert read(given(tmp_path, twice.encode(), f"{name}.csv")) == once
    with pytest.raises(InputError, match=r"line 4: .*\ba is .* Remedy: keep one"):
        read(given(tmp_path, f"{twice}{other}\n".encode(), f"{name}.csv"))
