"""What the log says about a corpus: clips are counted, one line each, those with the same problem together."""

import logging

import pandas as pd
import pytest

from iaca.corpora.check import SHOWN_PROBLEMS, log_corpus
from iaca.corpora.index import NOTED, OPEN, STOPS, Problem, problem, problem_table

CLIPS = pd.DataFrame(
    [("n0", "s", "train", 10, 0, 0.0, 1.0, True)],
    columns=["clip", "subject", "partition", "frames", "annotated", "first_s", "last_s", "has_audio"],
)


def logged(caplog: pytest.LogCaptureFixture, problems: list[Problem]) -> list[str]:
    """The lines after the summary, without their level."""
    caplog.clear()
    with caplog.at_level(logging.INFO, "iaca.corpora.check"):
        log_corpus("the corpus", CLIPS, problem_table(problems))
    return [record.getMessage() for record in caplog.records[1:]]


def faulty(clip: str, rows: int = 1) -> list[Problem]:
    """A clip that is left out for its annotation, with a note besides."""
    found = [problem(clip, f"{clip}.txt", f"valence {row}.5 is outside [-1, 1]", "rescale", row) for row in range(rows)]
    return [*found, problem(clip, f"{clip}.mp4", "no sound", "none is needed", effect=NOTED)]


def test_eleven_faulty_rows_of_46_clips_are_46_clips_on_one_line(caplog: pytest.LogCaptureFixture) -> None:
    count, line = logged(caplog, [row for i in range(46) for row in faulty(f"clip{i:02d}", 11)])
    assert count == "problems: 46 clips left out"
    assert line == (
        "clip00 (clip00.txt, line 0), clip01 (clip01.txt, line 0), clip02 (clip02.txt, line 0), "
        "clip03 (clip03.txt, line 0), clip04 (clip04.txt, line 0) and 41 more: valence 0.5 is outside [-1, 1] "
        "(and 506 other problems); these clips are left out. Remedy: rescale"
    )


def test_a_clip_with_several_problems_has_one_line_that_names_the_first(caplog: pytest.LogCaptureFixture) -> None:
    count, line = logged(caplog, faulty("a", 3))
    assert count == "problems: 1 clip left out"
    assert line == (
        "a (a.txt, line 0): valence 0.5 is outside [-1, 1] (and 3 other problems); the clip is left out. "
        "Remedy: rescale"
    )


def test_problems_that_differ_in_numbers_and_the_name_of_the_clip_share_a_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    problems = [
        problem("a", "a.txt", "34 rows, but 30 frames", "look at a.txt", effect=OPEN),
        problem("b", "b.txt", "12 rows, but 17 frames", "look at b.txt", effect=OPEN),
        problem("c", "c.txt", "no video of this name", "add it"),
    ]
    assert logged(caplog, problems) == [
        "problems: 1 clip left out, 2 clips decided by decoding",
        "c (c.txt): no video of this name; the clip is left out. Remedy: add it",
        "a (a.txt), b (b.txt): 34 rows, but 30 frames (the first; the others are alike); decided by decoding. "
        "Remedy: look at a.txt",
    ]


def test_notes_are_grouped_by_kind_and_what_stops_the_run_is_first(caplog: pytest.LogCaptureFixture) -> None:
    problems = [
        *[problem(f"n{i}", "labels", "no labels", "add some", effect=NOTED) for i in range(3)],
        problem("n1", "n1.mp4", "no sound", "none", effect=NOTED),
        problem("", ".", "no annotated clip in validation", "annotate", effect=NOTED),
        problem("x", "partition.csv", "subject x is in two partitions", "move", 3, STOPS),
    ]
    assert logged(caplog, problems) == [
        "problems: 1 problem for which the run stops, 3 clips noted, 1 other problem noted",
        "x (partition.csv, line 3): subject x is in two partitions; the run stops. Remedy: move",
        "no annotated clip in validation; noted. Remedy: annotate",
        "n0, n1, n2: no labels; noted. Remedy: add some",
        "n1 (n1.mp4): no sound; noted. Remedy: none",
    ]


def test_the_screen_has_room_for_so_many_kinds(caplog: pytest.LogCaptureFixture) -> None:
    kinds = [problem("a" * n, "x", f"problem {'z' * n}", "fix it") for n in range(1, SHOWN_PROBLEMS + 8)]
    lines = logged(caplog, kinds)
    assert lines[0] == f"problems: {SHOWN_PROBLEMS + 7} clips left out"
    assert len(lines) == SHOWN_PROBLEMS + 2
    assert lines[-1] == "and 7 more, in the table of problems"
    all_shown = logged(caplog, kinds[:SHOWN_PROBLEMS])
    assert len(all_shown) == SHOWN_PROBLEMS + 1
    assert "more" not in all_shown[-1]
    assert logged(caplog, []) == ["problems: none"]
