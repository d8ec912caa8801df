"""The targets of `fuzz/run.py` on arbitrary bytes for seconds, and on every input that once broke a reader."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from project import ROOT

sys.path.insert(0, str(ROOT / "fuzz"))
from targets import SEEDS, TARGETS, run

# (target, bytes): each once raised another error than InputError, or one with a message as long as the file
FINDINGS = [
    ("manifest", b"clip,subject\n\xff,b\n"),
    ("manifest", b'clip,subject\n"a,b\n'),
    ("manifest", b""),
    ("manifest", b"clip,subject\na,b,c\n"),
    ("manifest", b"clip,partition\n" + b"1" * 200_000),
    ("manifest", b"clip,modality,kind,start_s,end_s\na,audio,silent,x,1\n"),
    ("features", b"time_s," + b"a" * 200_000 + b"\n0,1\n"),
    ("features", b"name;time;f0\na;1e999;1\n"),
    ("features", b"time_s,f0\r0,1\r,2\r"),
    ("predictions", b"clip,\x1cframe,frame,valence,arousal\na,0,1,0,0\n"),
    ("predictions", b"clip,frame,valence,valence ,arousal\na,0,0,0,0\n"),
    ("model", b'{"version": ' + b"9" * 5000 + b"}"),
    ("model", b"[" * 100_000),
    ("model", b'{"version": "' + b"x" * 100_000 + b'"}'),
    ("model", b'[{"name": "mini_xception", "weights": "' + b"a" * 5000 + b'"}]'),
    ("labels", b"time_s,valence,arousal\n" + b"9" * 5000 + b",0,0\n"),
]


@pytest.mark.parametrize(("target", "content"), FINDINGS, ids=lambda value: str(value)[:40])
def test_inputs_that_once_broke_a_reader_are_refused(target: str, content: bytes, tmp_path: Path) -> None:
    run(target, content, tmp_path)


def mutated(seed: bytes) -> st.SearchStrategy[bytes]:
    """A seed with a part replaced by random bytes, or repeated."""
    place = st.integers(0, len(seed))
    text = st.text(alphabet=",;\"'\n\r\0.-+eE0123456789nai_\ufeff\u2028=@", max_size=12).map(str.encode)

    def put(one: int, other: int, new: bytes) -> bytes:
        return seed[: min(one, other)] + new + seed[max(one, other) :]

    return st.builds(put, place, place, text | st.binary(max_size=8))


@pytest.mark.parametrize("target", TARGETS)
def test_any_bytes_are_read_or_refused(target: str, tmp_path: Path) -> None:
    @settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
    @given(st.one_of(*map(mutated, SEEDS[target])) | st.binary(max_size=200))
    def check(content: bytes) -> None:
        run(target, content, tmp_path)

    check()
