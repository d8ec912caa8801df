"""Tables of any origin: every reader refuses what it can't read by file, row and remedy, and asks for no more memory
than the file accounts for."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from iaca.corpora.features import index_features
from iaca.corpora.index import Problem, problem_table, read_partitions, read_subjects
from iaca.errors import InputError, brief
from iaca.formats.labels import parse_annotation, read_event_table
from iaca.formats.predictions import parse_predictions, read_parquet
from iaca.formats.tables import read_rows, read_table
from table_readers import READERS, Read, given

WORDS = ("=cmd|' /C calc'!A0", "@SUM(1)", "0,5", "0_1", "1e999", "-inf", "0x1", "\x1b[2J", "9" * 5000)
NUMBERS = ("annotation", "labels", "features", "predictions", "submission", "events")


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_marks_and_line_ends_do_not_matter(name: str, end: str, mark: str, tmp_path: Path) -> None:
    read, header, row = READERS[name]
    plain = read(given(tmp_path, f"{header}\n{row}\n".encode(), f"{name}.csv"))
    assert repr(read(given(tmp_path, f"{mark}{header}{end}{row}{end}".encode(), f"{name}.csv"))) == repr(plain)


@pytest.mark.parametrize(
    ("name", "code"),
    [(name, code) for name in READERS for code in ("utf-16-be", "utf-32")]
    + [(name, "utf-16") for name in ("annotation", "submission")],
)
def test_another_encoding_is_named(name: str, code: str, tmp_path: Path) -> None:
    read, header, row = READERS[name]
    with pytest.raises(InputError, match=r"line 1: .*(UTF-16|NUL bytes).* Remedy: save it again, as UTF-8"):
        read(given(tmp_path, f"{header}\n{row}\n".encode(code)))


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".safetensors"])
def test_a_pipe_is_not_waited_for(name: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / ("subjects.csv" if name == "subjects" else f"table{suffix}")
    os.mkfifo(path)
    signal.alarm(20)  # a reader that waits ends the tests, not their patience
    read = {"subjects": lambda path: read_subjects(path.parent)}.get(name, READERS[name][0])
    with pytest.raises(InputError):
        read(path)
    signal.alarm(0)


@pytest.mark.parametrize("name", [name for name in READERS if name not in ("rows", "recordings", "partitions")])
@pytest.mark.parametrize("content", ["", " \n\n", "{header}", "\x80\x04K\x01.", "<html>", '"{header}\n{row}'])
def test_what_holds_no_row_is_refused_or_gives_none(name: str, content: str, tmp_path: Path) -> None:
    read, header, row = READERS[name]
    path = given(tmp_path, content.format(header=header, row=row).encode("latin1"))
    if content == "{header}" and name in ("annotation", "subjects", "events"):
        assert not len(read(path))  # type: ignore[arg-type]
        return
    with pytest.raises(InputError, match="Remedy: ") as refusal:
        read(path)
    assert Path(str(refusal.value.file)).parent == tmp_path


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize(
    "cell", ["=cmd|' /C calc'!A0", "@SUM(1)", "0,5", "0_1", "1e999", "-inf", "0x1", "\x1b[2J", "9" * 5000, "\u0661"]
)
def test_a_cell_that_is_no_number_is_named_with_its_line(name: str, cell: str, tmp_path: Path) -> None:
    read, header, row = READERS[name]
    path = given(tmp_path, f"{header}\n{row.rsplit(',', 1)[0]},{cell}\n".encode())
    if name == "features" and cell in ("1e999", "-inf", "9" * 5000):
        assert np.isinf(read_table(path).values).all()  # refused where it is used, named with its row
        return
    with pytest.raises(InputError) as refusal:
        read(path)
    assert refusal.value.row in (2, None if name == "predictions" and cell == "0,5" else 2)
    assert "\x1b" not in str(refusal.value)
    assert len(str(refusal.value)) < 1000


def test_a_blank_that_the_fast_parser_does_not_take_is_named_with_its_line(tmp_path: Path) -> None:
    path = given(tmp_path, "time_s,f0\n0,1\n0.1,\u00a02\n".encode())
    with pytest.raises(InputError, match=r"line 3: .*'\\xa02' in column 'f0' is not a number"):
        read_table(path)


def test_a_form_feed_or_a_line_separator_shifts_no_label(tmp_path: Path) -> None:
    path = given(tmp_path, "valence,arousal\n0.1,0.2\x0c\n0.3,0.4\u2028\n0.5\x0c,0.6\n".encode())
    values, faults = parse_annotation(path)
    assert not faults
    np.testing.assert_array_equal(values, [[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]])
    path.write_text("valence,arousal\n0.1,0.2\u20280.3,0.4\n0.5,0.6\n")
    values, faults = parse_annotation(path)
    assert [fault.row for fault in faults] == [2]
    np.testing.assert_array_equal(values[1], [0.5, 0.6])


def test_a_faulty_row_costs_only_itself_also_in_a_large_file(tmp_path: Path) -> None:
    rows = [f"{i % 3 - 1},0.5" for i in range(140_000)]
    rows[70_000], rows[139_999] = "0,5,0,5", "0_1,0"
    values, faults = parse_annotation(given(tmp_path, ("valence,arousal\n" + "\n".join(rows)).encode()))
    assert [fault.row for fault in faults] == [70_002, 140_001]
    assert np.isnan(values).sum() == 4
    assert values[139_998].tolist() == [139_998 % 3 - 1, 0.5]


@pytest.mark.parametrize(("name", "suffix"), [("clip", "csv"), ("clip", "parquet"), ("image_location", "csv")])
def test_a_few_rows_with_large_frames_do_not_ask_for_gigabytes(name: str, suffix: str, tmp_path: Path) -> None:
    """Two hundred clips, of each the frame 9,999,999: 32 GB of NaN, were they laid out."""
    path, clips = tmp_path / f"predictions.{suffix}", range(200)
    table = pd.DataFrame({"valence": 0.0, "arousal": 0.0}, index=clips)
    if name == "clip":
        table = table.assign(clip=[f"c{i}" for i in clips], frame=9_999_999)
    else:
        table = table.assign(image_location=[f"c{i}/9999999.jpg" for i in clips])
    table.to_csv(path, index=False) if suffix == "csv" else table.to_parquet(path)
    with pytest.raises(InputError, match=r"where 200 frames of \d{10} are listed Remedy: count the frames"):
        parse_predictions(path)


@pytest.mark.parametrize("read", [read_table, read_parquet])
def test_a_parquet_file_that_would_become_gigabytes_is_refused_unread(
    read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("iaca.files.ALWAYS_ALLOWED", 2**24)
    path, rows = tmp_path / "table.parquet", 300
    bomb = pa.DictionaryArray.from_arrays(np.zeros(rows, np.int32), pa.array(["x" * 2**20]))
    names = pa.table({"clip": bomb, "frame": np.arange(rows), "valence": np.zeros(rows), "arousal": np.zeros(rows)})
    zeros = pa.table({"time_s": np.zeros(4_000_000, np.uint8), "f0": np.zeros(4_000_000, np.uint8)})
    parquet.write_table(names if read is read_parquet else zeros, path, compression="zstd")
    assert path.stat().st_size < 2**20
    with pytest.raises(InputError, match="MB in memory: probably damaged"):
        read(path)


def test_names_lead_nowhere(tmp_path: Path) -> None:
    """Clips are found by the names of files that are there: a path in a table opens and writes nothing."""
    root = tmp_path / "corpus"
    names = ["../../x", "/etc/passwd", "NUL", "a" * 300, "\u0430bc", "..", "=1+1", "\x1b[2J", "<script>"]
    for kind in ("audio", "visual"):
        (root / "features" / kind).mkdir(parents=True)
        (root / f"features/{kind}/abc.csv").write_text("time_s,f0\n0,1\n")
    (tmp_path / "x.csv").write_text("time_s,f0\n0,1\n")
    (root / "partition.csv").write_text("clip,partition\n" + "".join(f"{name},train\n" for name in ["abc", *names]))
    before = sorted(tmp_path.rglob("*"))
    index = index_features(root)
    assert index.clips["clip"].tolist() == ["abc"]
    told = problem_table(index.problems)
    assert {name.replace("\x1b", "\\x1b") for name in names} <= set(told["clip"])
    assert (told["remedy"].str.len() > 10).all()
    told.to_csv(root / "problems.csv", index=False)
    assert sorted(tmp_path.rglob("*")) == sorted([*before, root / "problems.csv"])


@pytest.mark.parametrize("modality", ["", "voice", "Audio", "<script>"])
def test_an_event_of_no_modality_is_refused_with_its_line(modality: str, tmp_path: Path) -> None:
    """It would end the evaluation, after all the training."""
    path = tmp_path / "events.csv"
    path.write_text(f"clip,modality,kind,start_s,end_s\na,audio,noisy,0,1\na,{modality},noisy,0,1\n")
    with pytest.raises(InputError, match=rf"events\.csv, line 3: '{modality}' is not a modality.* Remedy: write audio"):
        read_event_table(path)


def test_rows_without_a_clip_and_short_rows_are_problems_with_their_line(tmp_path: Path) -> None:
    problems: list[Problem] = []
    path = given(tmp_path, b"partition,clip,subject\n\ntrain\ntrain,a\n,b,c\ntrain,d,e,f\n")
    clips = read_partitions(path, problems)
    assert clips[["clip", "subject"]].to_numpy().tolist() == [["a", "a"], ["d", "e"]]
    assert [(row["row"], row["problem"]) for row in problems] == [
        (3, "no clip is named in this row"),
        (5, "'' is not a partition"),
    ]


@pytest.mark.parametrize(
    ("written", "partition"),
    [("Train", "train"), ("TRAINING", "train"), ("Devel", "validation"), ("val", "validation"), (" Test ", "test")],
)
def test_a_partition_has_any_of_its_usual_names(written: str, partition: str, tmp_path: Path) -> None:
    problems: list[Problem] = []
    clips = read_partitions(given(tmp_path, f"clip,partition\na,{written}\n".encode()), problems)
    assert clips["partition"].tolist() == [partition]
    assert problems == []


@pytest.mark.parametrize("time", ["inf", "1e300", "-1e9"])
def test_a_time_that_no_recording_has_is_refused_before_a_grid_is_laid_over_it(time: str, tmp_path: Path) -> None:
    path = given(tmp_path, f"name;time;f0\na;0;1\na;{time};1\n".encode())
    with pytest.raises(InputError, match=r"line 3: no time in this row"):
        read_rows(path)


def test_messages_can_be_printed_and_are_short() -> None:
    error = InputError("clip \x1b[2J\udc80\x00 \n is bad", "a\x07.csv", 3)
    assert str(error) == "a\\x07.csv, line 3: clip \\x1b[2J\\udc80\\x00 \n is bad"
    assert brief("x" * 10**6) == "x" * 200 + "… (1,000,000 characters)"
