"""Annotation files of other programs, written by hand after their public descriptions, and what is exported."""

import math
import struct
from pathlib import Path

import numpy as np
import pytest

from iaca.errors import InputError
from iaca.formats.annotations import FORMATS, choose, export, read_traces

ELAN = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="me" DATE="2020-01-01T00:00:00+01:00" FORMAT="3.0" VERSION="3.0">
  <HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">
    <MEDIA_DESCRIPTOR MEDIA_URL="file:///clip.mp4" MIME_TYPE="video/mp4"/>
  </HEADER>
  <TIME_ORDER>
    <TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="0"/>
    <TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="1500"/>
    <TIME_SLOT TIME_SLOT_ID="ts3"/>
    <TIME_SLOT TIME_SLOT_ID="ts4" TIME_VALUE="4500"/>
    <TIME_SLOT TIME_SLOT_ID="ts5" TIME_VALUE="5000"/>
  </TIME_ORDER>
  <TIER LINGUISTIC_TYPE_REF="default" TIER_ID="Valence">
    <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">
      <ANNOTATION_VALUE>0.5</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
    <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a2" TIME_SLOT_REF1="ts2" TIME_SLOT_REF2="ts3">
      <ANNOTATION_VALUE>-0.25</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
    <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a3" TIME_SLOT_REF1="ts4" TIME_SLOT_REF2="ts5">
      <ANNOTATION_VALUE></ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
  </TIER>
  <TIER LINGUISTIC_TYPE_REF="of" TIER_ID="Arousal" PARENT_REF="Valence">
    <ANNOTATION><REF_ANNOTATION ANNOTATION_ID="a4" ANNOTATION_REF="a2">
      <ANNOTATION_VALUE>1</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION>
  </TIER>
  <TIER LINGUISTIC_TYPE_REF="default" TIER_ID="Words">
    <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a5" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">
      <ANNOTATION_VALUE>hello</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
  </TIER>
</ANNOTATION_DOCUMENT>
"""
ANVIL = """<?xml version="1.0" encoding="ISO-8859-1"?>
<annotation>
  <head><specification src="spec.xml" /><video src="clip.avi" /></head>
  <body>
    <track name="face" type="primary">
      <el index="0" start="0.5" end="1.25"><attribute name="valence">40</attribute><attribute name="a">b</attribute>
      </el>
      <el index="1" start="1.25" end="3.0"><attribute name="valence">-100</attribute></el>
    </track>
    <track name="comment" type="span" ref="face"><el index="0" start="0" end="1" /></track>
  </body>
</annotation>
"""
NOVA = """<?xml version="1.0" ?>
<annotation ssi-v="3">
  <info ftype="{kind}" size="3" />
  <meta annotator="me" role="expert" />
  <scheme name="arousal" type="CONTINUOUS" sr="5" min="0" max="1" mincolor="#FFFFFFFF" maxcolor="#FF4F81BD" />
</annotation>
"""
CARMA = """Time of Rating,01-Jan-2020 10:00:00
Multimedia File,clip.mp4
Lower Label,very negative
Upper Label,very positive
Minimum Value,-100
Maximum Value,100
Number of Steps,9
Second,Rating
%%%%%%,%%%%%%
1,50
2,-20
3,NaN
NaN,NaN
"""
CARMA_OLD = """Filename,Lower Label,Upper Label,Minimum Value,Midpoint Value,Maximum Value,Number of Steps,Second,Rating
C:\\clip.avi,low,high,0,4,8,9,1,6
C:\\clip.avi,low,high,0,4,8,9,2,1
"""
DARMA = """Time of Rating,01-Jan-2020 10:00:00,,
Multimedia File,clip.mp4,,
Magnitude,1000,,
Second,Arousal,Valence,Button
%%%%%%,%%%%%%,%%%%%%,%%%%%%
0.5,250,-500,0
1,1000,0,1
"""


def write(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_elan_intervals_hold_from_their_start_to_their_end_and_words_are_left_out(tmp_path: Path) -> None:
    traces = read_traces(write(tmp_path, "clip.eaf", ELAN))
    assert set(traces) == {"Valence", "Arousal"}
    valence = choose(traces, "valence")
    times = np.array([0.0, 1.499, 1.5, 2.999, 3.0, 4.6])  # the slot without a time lies halfway, at 3 s
    np.testing.assert_array_equal(valence.held(times), [0.5, 0.5, -0.25, -0.25, np.nan, np.nan])
    arousal = choose(traces, "arousal")  # of the annotation that it refers to
    np.testing.assert_array_equal(arousal.held(times), [np.nan, np.nan, 1, 1, np.nan, np.nan])


def test_elan_times_are_those_of_the_media(tmp_path: Path) -> None:
    moved = ELAN.replace('MIME_TYPE="video/mp4"', 'MIME_TYPE="video/mp4" TIME_ORIGIN="2000"')
    valence = choose(read_traces(write(tmp_path, "clip.eaf", moved)), "valence")
    np.testing.assert_array_equal(valence.held(np.array([1.9, 2.0])), [np.nan, 0.5])


def test_anvil_attributes_of_primary_tracks_are_scaled_from_the_range_that_is_given(tmp_path: Path) -> None:
    traces = read_traces(write(tmp_path, "clip.anvil", ANVIL), -100, 100)
    assert set(traces) == {"face.valence"}
    held = choose(traces, "valence").held(np.array([0.4, 0.5, 1.2, 1.25, 3.0]))
    np.testing.assert_allclose(held, [np.nan, 0.4, 0.4, -1, np.nan])
    with pytest.raises(InputError, match=r"clip.anvil, line 6: 40 is outside of -1 to 1.*range of the ratings"):
        read_traces(tmp_path / "clip.anvil")


@pytest.mark.parametrize("kind", ["ASCII", "BINARY"])
def test_nova_samples_have_the_rate_and_range_of_the_header(tmp_path: Path, kind: str) -> None:
    header = write(tmp_path, "clip.annotation", NOVA.format(kind=kind))
    data = b"0.75;1\nNaN;0\n0;0.6\n"
    if kind == "BINARY":
        data = struct.pack("<6f", 0.75, 1, math.nan, 0, 0, 0.6)
    write(tmp_path, "clip.annotation~", data)
    traces = read_traces(header)
    trace = choose(traces, "arousal")
    assert trace.ends is None
    np.testing.assert_allclose(trace.times, [0, 0.2, 0.4])
    np.testing.assert_allclose(trace.values, [0.5, np.nan, -1])


def test_carma_ratings_stand_for_the_middle_of_their_bin(tmp_path: Path) -> None:
    trace = choose(read_traces(write(tmp_path, "clip.csv", CARMA)), "valence")
    np.testing.assert_allclose(trace.times, [0.5, 1.5, 2.5])
    np.testing.assert_allclose(trace.values, [0.5, -0.2, np.nan])
    trace = choose(read_traces(write(tmp_path, "old.csv", CARMA_OLD)), "arousal")
    np.testing.assert_allclose(trace.times, [0.5, 1.5])
    np.testing.assert_allclose(trace.values, [0.5, -0.75])


def test_darma_has_two_ratings_named_by_its_axes(tmp_path: Path) -> None:
    traces = read_traces(write(tmp_path, "clip.csv", DARMA))
    assert set(traces) == {"Arousal", "Valence"}
    np.testing.assert_allclose(choose(traces, "valence").values, [-0.5, 0])
    np.testing.assert_allclose(choose(traces, "arousal").values, [0.25, 1])
    np.testing.assert_allclose(choose(traces, "arousal").times, [0.25, 0.75])


def test_tables_of_labels_are_traces_too(tmp_path: Path) -> None:
    table = write(tmp_path, "clip.csv", "time_s,valence,arousal\n0,0.1,-0.2\n0.5,,1\n")
    np.testing.assert_allclose(choose(read_traces(table), "valence").values, np.float32([0.1, np.nan]))
    frames = write(tmp_path, "frames.csv", "frame,valence,arousal\n0,0.1,-0.2\n")
    with pytest.raises(InputError, match="numbered by frame"):
        read_traces(frames)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("clip.eaf", "-0.25", "rather low", r"line 16: 'rather low' is not a number.*tier Valence"),
        ("clip.eaf", "-0.25", "-1.5", r"line 16: -1.5 is outside of -1 to 1"),
        (
            "clip.eaf",
            'TIME_VALUE="1500"',
            'TIME_VALUE="late"',
            r"line 8: TIME_VALUE of TIME_SLOT is not a time: 'late'",
        ),
        ("clip.eaf", 'TIME_SLOT_REF1="ts1"', 'TIME_SLOT_REF1="ts9"', r"line 14: there is no time slot 'ts9'"),
        ("clip.eaf", 'TIME_UNITS="milliseconds"', 'TIME_UNITS="PAL-frames"', r"line 3: times are in PAL-frames"),
        ("clip.eaf", "</HEADER>", "</HEAD>", r"line 5: not an XML file \(mismatched tag\)"),
        ("clip.eaf", "ANNOTATION_DOCUMENT", "DOCUMENT", r"line 2: the root element is DOCUMENT"),
        ("clip.eaf", 'TIME_SLOT_REF1="ts2"', 'TIME_SLOT_REF1="ts1"', r"two values start at 0 s"),
        ("clip.anvil", 'start="1.25"', 'start="1.0"', r"line 8: the value at 1 s starts before the one before it ends"),
        ("clip.anvil", 'end="1.25"', 'end="soon"', r"line 6: end of el is not a time: 'soon'"),
        ("clip.annotation", "CONTINUOUS", "DISCRETE", r"line 5: the scheme is 'DISCRETE', not CONTINUOUS"),
        ("clip.annotation", 'sr="5"', 'sr="0"', r"line 5: the rate sr is 0"),
        ("clip.annotation", 'sr="5"', "", r"line 5: sr of the scheme is not a number: None"),
        ("clip.annotation", 'size="3"', 'size="9"', r"annotation~: 3 values, but the header states 9"),
        ("carma.csv", "2,-20", "2,much", r"line 11: 'much' is not a number"),
        ("carma.csv", "2,-20", "2", r"line 11: a cell is missing"),
        ("carma.csv", "2,-20", "2,-120", r"line 11: -120 is outside of -100 to 100"),
        ("carma.csv", "Minimum Value,-100", "Minimum Value,", r"range of the ratings is not stated"),
    ],
)
def test_a_fault_names_file_and_line(tmp_path: Path, name: str, old: str, new: str, message: str) -> None:
    texts = {"clip.eaf": ELAN, "clip.anvil": ANVIL, "clip.annotation": NOVA.format(kind="ASCII"), "carma.csv": CARMA}
    text = texts[name]
    assert old in text
    write(tmp_path, "clip.annotation~", "0.75;1\nNaN;0\n0;0.6\n")
    replaced = text.replace(old, new) if old == "ANNOTATION_DOCUMENT" else text.replace(old, new, 1)
    scale = (-100, 100) if name == "clip.anvil" else ()
    with pytest.raises(InputError, match=rf"{name.split('.')[0]}.*{message}.*Remedy: "):
        read_traces(write(tmp_path, name, replaced), *scale)


def test_data_of_nova_that_are_damaged_are_refused(tmp_path: Path) -> None:
    header = write(tmp_path, "clip.annotation", NOVA.format(kind="ASCII"))
    with pytest.raises(InputError, match=r"clip.annotation~: there is no such file.*together with"):
        read_traces(header)
    write(tmp_path, "clip.annotation~", "0.75;1\nyes;1\n0;1\n")
    with pytest.raises(InputError, match=r"clip.annotation~, line 2: 'yes;1' is not value;confidence"):
        read_traces(header)
    write(tmp_path, "clip.annotation", NOVA.format(kind="BINARY"))
    write(tmp_path, "clip.annotation~", bytes(23))
    with pytest.raises(InputError, match="23 bytes are not a whole number of samples"):
        read_traces(header)


BOMB = """<?xml version="1.0"?>
<!DOCTYPE a [<!ENTITY b "bbbbbbbbbb"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>
<ANNOTATION_DOCUMENT>&c;</ANNOTATION_DOCUMENT>"""
OUTSIDE = """<?xml version="1.0"?>
<!DOCTYPE a SYSTEM "http://192.0.2.1/a.dtd">
<ANNOTATION_DOCUMENT/>"""


@pytest.mark.parametrize("text", [BOMB, OUTSIDE])
@pytest.mark.parametrize("name", ["clip.eaf", "clip.anvil", "clip.annotation"])
def test_a_document_type_is_refused_before_any_entity_expands(tmp_path: Path, text: str, name: str) -> None:
    with pytest.raises(InputError, match="line 2: the file has a document type"):
        read_traces(write(tmp_path, name, text))


def test_xml_that_is_nested_without_end_is_refused(tmp_path: Path) -> None:
    text = "<ANNOTATION_DOCUMENT>" + "<a>" * 10_000 + "</a>" * 10_000 + "</ANNOTATION_DOCUMENT>"
    with pytest.raises(InputError, match="nested too deeply"):
        read_traces(write(tmp_path, "clip.eaf", text))


def test_files_without_a_trace_and_missing_files_are_refused(tmp_path: Path) -> None:
    words = ELAN.replace("0.5<", "high<").replace("-0.25<", "low<").replace(">1<", ">odd<")
    with pytest.raises(InputError, match="there is no trace of numbers"):
        read_traces(write(tmp_path, "clip.eaf", words))
    with pytest.raises(InputError, match="there is no such file"):
        read_traces(tmp_path / "none.eaf")
    with pytest.raises(InputError, match="1 to -1 is not a range"):
        read_traces(write(tmp_path, "clip.eaf", ELAN), 1, -1)


def test_which_trace_is_meant_is_asked_and_not_guessed(tmp_path: Path) -> None:
    other = ELAN.replace('TIER_ID="Valence"', 'TIER_ID="A"').replace('TIER_ID="Arousal"', 'TIER_ID="B"')
    traces = read_traces(write(tmp_path, "clip.eaf", other))
    with pytest.raises(InputError, match=r"several traces could be valence; the file has: A, B"):
        choose(traces, "valence")
    with pytest.raises(InputError, match=r"no trace 'C'; the file has: A, B"):
        choose(traces, "valence", "C")
    assert choose(traces, "valence", "B") is traces["B"]


@pytest.fixture
def annotated() -> tuple[np.ndarray, np.ndarray]:
    """Frames at an uneven rate, with a gap in each dimension, and equal values in a row."""
    times = np.cumsum(np.concatenate([[0.013], np.resize([1 / 30, 1 / 25, 1 / 24], 160)]))
    labels = np.column_stack([np.sin(2 * times), np.cos(3 * times) / 2]).round(4)
    labels[20:31, 0] = labels[100:, 1] = np.nan
    labels[40:50, 0] = 0.125
    return times, labels


@pytest.mark.parametrize("form", ["elan", "anvil"])
def test_exported_intervals_come_back_exact_to_a_frame(tmp_path: Path, annotated, form: str) -> None:
    times, labels = annotated
    ((name, data),) = export(form, "my <clip>.mp4", times, labels, 'A & "B"').items()
    traces = read_traces(write(tmp_path, "clip" + Path(name).suffix, data))
    for dimension, column in zip(("valence", "arousal"), labels.T, strict=True):
        np.testing.assert_array_equal(choose(traces, dimension).held(times), column)


@pytest.mark.parametrize("form", ["nova", "nova_binary", "carma", "darma"])
def test_exported_samples_are_the_frame_on_screen_or_the_mean_of_a_bin(tmp_path: Path, annotated, form: str) -> None:
    times, labels = annotated
    files = {name: write(tmp_path, name, data) for name, data in export(form, "clip.mp4", times, labels).items()}
    for dimension, column in zip(("valence", "arousal"), labels.T, strict=True):
        path = next(p for name, p in files.items() if not name.endswith("~") and (form == "darma" or dimension in name))
        trace = choose(read_traces(path), dimension)
        if form.startswith("nova"):
            frames = np.searchsorted(times, trace.times, "right") - 1
            expected = np.where(frames >= 0, column[frames.clip(0)], np.nan)
        else:
            inside = [column[(times >= t - 0.125) & (times < t + 0.125)] for t in trace.times]
            expected = np.array([np.nanmean(bin_) if np.isfinite(bin_).any() else np.nan for bin_ in inside])
        assert np.isfinite(expected).sum() > 10
        assert np.isnan(expected).any()
        np.testing.assert_allclose(trace.values, expected, atol=1e-5)


def test_an_unknown_format_is_refused(annotated) -> None:
    with pytest.raises(InputError, match=r"no format 'praat'.*elan, anvil"):
        export("praat", "clip.mp4", *annotated)
    assert {name for form in FORMATS for name in export(form, "c.mp4", *annotated)} == {
        "c.eaf", "c.anvil", "c.csv", *(f"c.{d}.annotation{end}" for d in ("valence", "arousal") for end in ("", "~")),
        "c.valence.csv", "c.arousal.csv",
    }  # fmt: skip


def test_elans_own_reader_finds_the_same(tmp_path: Path, annotated) -> None:
    pympi = pytest.importorskip("pympi")
    times, labels = annotated
    path = write(tmp_path, "clip.eaf", export("elan", "clip.mp4", times, labels)["clip.eaf"])
    document = pympi.Elan.Eaf(str(path))
    assert set(document.get_tier_names()) == {"valence", "arousal"}
    ours = read_traces(path)["valence"]
    theirs = sorted(document.get_annotation_data_for_tier("valence"))
    assert [(start / 1000, end / 1000, float(value)) for start, end, value in theirs] == list(
        zip(ours.times.round(3), ours.ends.round(3), ours.values, strict=True)
    )
    document.add_annotation("arousal", 60_000, 61_000, "-0.75")
    document.to_file(str(tmp_path / "theirs.eaf"))
    assert choose(read_traces(tmp_path / "theirs.eaf"), "arousal").held(np.array([60.5]))[0] == -0.75
