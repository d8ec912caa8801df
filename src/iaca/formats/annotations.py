"""Annotation files of other programs: ELAN, ANVIL, NOVA, CARMA and DARMA, read as traces over time and written.

A file holds one or more traces: a tier, a track, a scheme, a rating. Which of them is valence or arousal is the user's
to say where its name does not (`choose`). XML is read without a document type, so that no entity can expand.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from numpy.typing import NDArray

from iaca.errors import InputError, brief, counted
from iaca.files import require_file
from iaca.formats.labels import LABELS, read_labels
from iaca.text import EMPTY, XmlNode, csv_rows, number, read_text, read_xml

Array = NDArray[np.float64]

ROUNDING_S = 1e-6  # times of two programs that mean the same frame
MOST_BYTES = 2**26
"""Of one annotation file."""
SUFFIXES = {".eaf": "elan", ".anvil": "anvil", ".annotation": "nova"}
FORMATS = ("elan", "anvil", "nova", "nova_binary", "carma", "darma")
"""What `export` writes."""


@dataclass(frozen=True)
class Trace:
    """One rated quantity over time.

    Attributes:
        times: (n,) s, rising: of samples, or where intervals start.
        ends: (n,) s, where intervals end; None for samples.
        values: (n,) in [-1, 1]; NaN where there is none.
    """

    times: Array
    ends: Array | None
    values: Array

    def held(self, times: Array) -> Array:
        """(t,) value of the interval that each time is in: start <= time < end; NaN outside of all."""
        ends = self.times if self.ends is None else self.ends
        index = np.searchsorted(self.times, times + ROUNDING_S, "right") - 1
        inside = (index >= 0) & (times + ROUNDING_S < ends[index.clip(0)])
        return np.where(inside, self.values[index.clip(0)], np.nan)


def read_traces(path: Path, low: float | None = None, high: float | None = None) -> dict[str, Trace]:
    """Every numeric trace of a file by its name: ELAN (.eaf), ANVIL (.anvil), NOVA (.annotation, with its data in
    .annotation~), CARMA, DARMA, or `time_s` or `frame`, `valence`, `arousal` (all .csv).

    Args:
        path: of the file.
        low, high: the values that become -1 and 1. By default what the file states (CARMA, DARMA, NOVA), or -1 and 1.

    Raises:
        InputError: the file is none of these, is damaged, holds no numeric trace, or a value is beyond the range; with
            its line.
    """
    _require_there(path, "give an annotation file that exists")
    if path.stat().st_size > MOST_BYTES:
        raise InputError(f"the file is larger than {MOST_BYTES // 2**20} MiB", path, remedy="export only the traces")
    kind = SUFFIXES.get(path.suffix.lower(), "table")
    reader = {"elan": _read_elan, "anvil": _read_anvil, "nova": _read_nova, "table": _read_table}[kind]
    drafts = reader(path)
    if not drafts:
        remedy = "write numbers as the values of a tier or track, such as 0.25"
        raise InputError("there is no trace of numbers in the file", path, remedy=remedy)
    return {name: draft.trace(path, low, high) for name, draft in drafts.items()}


def choose(traces: Mapping[str, Trace], dimension: str, name: str | None = None, path: Path | None = None) -> Trace:
    """The trace of a dimension: the one that is named, else the one named like the dimension (`Valence`,
    `face.valence`, `valence.value`), else the only one.

    Raises:
        InputError: none or several could be meant; the message lists them.
    """
    meant = [each for each in traces if name is not None and each == name]
    if name is None:
        meant = [each for each in traces if dimension in each.lower().split(".")] or list(traces)
    if len(meant) != 1:
        what = f"no trace {name!r}" if name is not None else f"several traces could be {dimension}"
        listed = brief(", ".join(traces))
        raise InputError(f"{what}; the file has: {listed}", path, remedy="name the tier, track or column that is meant")
    return traces[meant[0]]


def _require_there(path: Path, remedy: str) -> None:
    require_file(path, remedy)
    if not path.exists():
        raise InputError("there is no such file", path, remedy=remedy)


@dataclass
class _Draft:
    """A trace while it is read: (line, start, end, value) of each row, and the range that the file states."""

    rows: list[tuple[int, float, float, float]] = field(default_factory=list)
    low: float = -1.0
    high: float = 1.0
    sampled: bool = False

    def trace(self, path: Path, low: float | None, high: float | None) -> Trace:
        low, high = self.low if low is None else low, self.high if high is None else high
        if not low < high:
            raise InputError(f"{low:g} to {high:g} is not a range", path, remedy="give a low end below the high end")
        rows = sorted(self.rows, key=lambda row: row[1])
        lines, starts, ends, values = (np.array(part) for part in zip(*rows, strict=True))
        beyond = np.flatnonzero(np.isfinite(values) & ((values < low - 1e-9) | (values > high + 1e-9)))
        if len(beyond):
            what = f"{values[beyond[0]]:g} is outside of {low:g} to {high:g}"
            raise InputError(what, path, int(lines[beyond[0]]), "give the range of the ratings, its low and high end")
        _check_times(path, lines, starts, ends, self.sampled)
        scaled = values if (low, high) == (-1, 1) else (values - low) / (high - low) * 2 - 1
        scaled = scaled.clip(-1, 1)
        return Trace(starts.astype(np.float64), None if self.sampled else ends.astype(np.float64), scaled)


def _check_times(path: Path, lines: Array, starts: Array, ends: Array, sampled: bool) -> None:
    wrong = np.flatnonzero(np.diff(starts) <= 0) + 1
    if len(wrong):
        what = f"two values start at {starts[wrong[0]]:g} s"
        raise InputError(what, path, int(lines[wrong[0]]), "remove one of them")
    wrong = np.array([], int) if sampled else np.flatnonzero(starts[1:] < ends[:-1] - 1e-9) + 1
    if len(wrong):
        what = f"the value at {starts[wrong[0]]:g} s starts before the one before it ends"
        raise InputError(what, path, int(lines[wrong[0]]), "let intervals follow each other")


def _value(text: str) -> float | None:
    """A number, NaN for an empty cell, None for words."""
    if text.strip().lower() in EMPTY:
        return math.nan
    try:
        found = number(text.strip())
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def _numeric(path: Path, cells: Mapping[str, list[tuple[int, float, float, str]]], what: str) -> dict[str, _Draft]:
    """The traces among tiers or tracks: those whose values are numbers. Tiers of words are left out.

    Raises:
        InputError: a tier mixes numbers and words, with the line of the first word.
    """
    drafts = {}
    for name, rows in cells.items():
        values = [_value(text) for *_, text in rows]
        if not any(value is not None and math.isfinite(value) for value in values):
            continue
        for (line, _, _, text), value in zip(rows, values, strict=True):
            if value is None:
                problem = f"{brief(repr(text), 40)} is not a number, but other values of {what} {brief(name, 60)} are"
                raise InputError(problem, path, line, "write a number, or leave it empty")
        drafts[name] = _Draft(
            [
                (line, start, end, value)
                for (line, start, end, _), value in zip(rows, values, strict=True)
                if value is not None
            ]
        )
    return drafts


def _seconds(node: XmlNode, name: str, path: Path, unit_s: float = 1.0) -> float:
    found = _value(node.attributes.get(name, ""))
    if found is None or not math.isfinite(found) or found < 0:
        what = f"{name} of {node.tag} is not a time: {brief(repr(node.attributes.get(name)), 40)}"
        raise InputError(what, path, node.line, "write a number that is not negative")
    return found * unit_s


# ELAN: EAF 2.6 to 3.0, https://www.mpi.nl/tools/elan/EAF_Annotation_Format_3.0_and_ELAN.pdf


def _read_elan(path: Path) -> dict[str, _Draft]:
    """The tiers whose values are numbers; an annotation holds from its start to its end."""
    root = read_xml(path, "ANNOTATION_DOCUMENT")
    header = next(root.all("HEADER"), None)
    units = header.attributes.get("TIME_UNITS", "milliseconds") if header else "milliseconds"
    if units != "milliseconds":
        raise InputError(
            f"times are in {brief(units, 40)}", path, header.line if header else None, "save it in milliseconds"
        )
    origin = next((_seconds(node, "TIME_ORIGIN", path, 1e-3) for node in root.all("MEDIA_DESCRIPTOR")
                   if node.attributes.get("TIME_ORIGIN")), 0.0)  # fmt: skip
    slots = _slots(root, path)
    cells: dict[str, list[tuple[int, float, float, str]]] = {}
    spans: dict[str, tuple[float, float]] = {}
    for tier in root.all("TIER"):
        rows = cells.setdefault(tier.attributes.get("TIER_ID", ""), [])
        for node in tier.all("ALIGNABLE_ANNOTATION"):
            start, end = (_slot(node, slots, name, path) + origin for name in ("TIME_SLOT_REF1", "TIME_SLOT_REF2"))
            spans[node.attributes.get("ANNOTATION_ID", "")] = start, end
            rows.append((node.line, start, end, node.text_of("ANNOTATION_VALUE")))
    for tier in root.all("TIER"):  # annotations of annotations have no times of their own, and may come first
        for node in tier.all("REF_ANNOTATION"):
            parent = spans.get(node.attributes.get("ANNOTATION_REF", ""))
            if parent is not None:
                rows = cells[tier.attributes.get("TIER_ID", "")]
                rows.append((node.line, *parent, node.text_of("ANNOTATION_VALUE")))
    return _numeric(path, cells, "tier")


def _slots(root: XmlNode, path: Path) -> dict[str, float]:
    """Time (s) of each slot. Slots without one lie evenly between their neighbours, as ELAN shows them."""
    nodes = list(root.all("TIME_SLOT"))
    times = [_seconds(n, "TIME_VALUE", path, 1e-3) if "TIME_VALUE" in n.attributes else math.nan for n in nodes]
    known = np.flatnonzero(np.isfinite(times))
    if len(known):
        times = np.interp(np.arange(len(times)), known, np.array(times)[known]).tolist()
    return {node.attributes.get("TIME_SLOT_ID", ""): time for node, time in zip(nodes, times, strict=True)}


def _slot(node: XmlNode, slots: Mapping[str, float], name: str, path: Path) -> float:
    reference = node.attributes.get(name, "")
    time = slots.get(reference, math.nan)
    if not math.isfinite(time):
        raise InputError(f"there is no time slot {brief(repr(reference), 40)}", path, node.line, "export it again")
    return time


# ANVIL: https://www.anvil-software.org


def _read_anvil(path: Path) -> dict[str, _Draft]:
    """The numeric attributes of primary tracks, as `track.attribute`; times are in seconds."""
    cells: dict[str, list[tuple[int, float, float, str]]] = {}
    for track in read_xml(path, "annotation").all("track"):
        if track.attributes.get("type", "primary") != "primary":  # refers to elements of another track
            continue
        for element in track.children:
            if element.tag != "el":
                continue
            start, end = (_seconds(element, name, path) for name in ("start", "end"))
            for each in element.children:
                if each.tag == "attribute":
                    name = f"{track.attributes.get('name', '')}.{each.attributes.get('name', '')}"
                    cells.setdefault(name, []).append((each.line, start, end, each.text.strip()))
    return _numeric(path, cells, "track")


# NOVA: https://rawgit.com/hcmlab/nova/master/docs/index.html, "File Format"


def _read_nova(path: Path) -> dict[str, _Draft]:
    """The continuous scheme of a header file; its data are in the file of the same name with `~`."""
    root = read_xml(path, "annotation")
    scheme, info = (next(root.all(tag), XmlNode(tag, {}, root.line)) for tag in ("scheme", "info"))
    kind = scheme.attributes.get("type", "")
    if kind != "CONTINUOUS":
        what = f"the scheme is {brief(repr(kind), 40)}, not CONTINUOUS"
        raise InputError(what, path, scheme.line, "export a continuous annotation")
    rate, low, high = (_nova_number(scheme, name, path) for name in ("sr", "min", "max"))
    if rate <= 0:
        raise InputError(f"the rate sr is {rate:g}", path, scheme.line, "give the samples per second")
    data = path.with_name(path.name + "~")
    _require_there(data, "give the data file, .annotation~, together with .annotation")
    binary = info.attributes.get("ftype", "ASCII").upper() == "BINARY"
    values = _nova_binary(data) if binary else _nova_text(data)
    stated = _value(info.attributes.get("size", "0")) or 0
    if len(values) < stated:
        what = f"{counted(len(values), 'value')}, but the header states {stated:.0f}"
        raise InputError(what, data, None, "copy the data file again: its end is missing")
    rows = [(i + 1, i / rate, (i + 1) / rate, value) for i, value in enumerate(values)]
    name = scheme.attributes.get("name", "") or "scheme"
    return {name: _Draft(rows, low, high, sampled=True)} if rows else {}


def _nova_number(scheme: XmlNode, name: str, path: Path) -> float:
    found = _value(scheme.attributes.get(name, ""))
    if found is None or not math.isfinite(found):
        what = f"{name} of the scheme is not a number: {brief(repr(scheme.attributes.get(name)), 40)}"
        raise InputError(what, path, scheme.line, "export it again as a continuous annotation")
    return found


def _nova_text(path: Path) -> list[float]:
    values = []
    for line, text in enumerate(read_text(path).splitlines(), 1):
        if not text.strip():
            continue
        found = _value(text.split(";")[0])
        if found is None:
            raise InputError(f"{brief(repr(text), 40)} is not value;confidence", path, line, "export it again")
        values.append(found)
    return values


def _nova_binary(path: Path) -> list[float]:
    """Value and confidence of each sample as little-endian float32."""
    data = path.read_bytes()
    if len(data) % 8:
        what = f"{len(data):,} bytes are not a whole number of samples of 8 bytes"
        raise InputError(what, path, None, "copy the data file again: a part is missing")
    values = np.frombuffer(data, "<f4").reshape(-1, 2)[:, 0].astype(np.float64)
    return [float(value) for value in np.where(np.isfinite(values), values, np.nan)]


# CARMA and DARMA: https://carma.jmgirard.com, https://darma.jmgirard.com; and our own tables


def _read_table(path: Path) -> dict[str, _Draft]:
    """CARMA or DARMA, whose header has a row that begins with `Second`; otherwise a table of labels.

    A rating is the mean over the bin that ends at its second, so it stands for the middle of the bin.
    """
    rows = list(csv_rows(path))
    if not rows or not any("second" in _lower(cells) for _, cells in rows[:20]):
        return _labels(path)
    facts, names, below = _table_header(path, rows)
    second = _lower(names).index("second")
    columns = [i for i, name in enumerate(names) if i > second and name.strip() and name.strip().lower() != "button"]
    low, high = _table_range(path, facts, rows, names)
    cells: dict[int, list[tuple[int, float, float, float]]] = {column: [] for column in columns}
    for line, row in below:
        time = _cell(row, second, path, line)
        if not math.isfinite(time):  # a bin without a sample
            continue
        for column in columns:
            cells[column].append((line, time, time, _cell(row, column, path, line)))
    drafts = {}
    for column, found in cells.items():
        steps = np.diff([time for _, time, *_ in found])
        half = float(np.median(steps)) / 2 if len(steps) else 0.5
        moved = [(line, time - half, time - half, value) for line, time, _, value in found]
        if moved:
            drafts[names[column].strip()] = _Draft(moved, low, high, sampled=True)
    return drafts


Rows = list[tuple[int, list[str]]]


def _lower(cells: list[str]) -> list[str]:
    return [cell.strip().lower() for cell in cells]


def _table_header(path: Path, rows: Rows) -> tuple[dict[str, list[str]], list[str], Rows]:
    """The facts above the header by name, the header, and the rows below it."""
    facts: dict[str, list[str]] = {}
    for place, (line, cells) in enumerate(rows):
        if "second" in _lower(cells):
            below = [row for row in rows[place + 1 :] if not row[1][0].startswith("%")]
            if len(cells) < 2:
                raise InputError("there is no rating next to Second", path, line, "export it again")
            return facts, cells, below
        facts[cells[0].strip().lower()] = [cell.strip() for cell in cells[1:]]
    raise InputError("no row begins with Second", path, 1, "export it from CARMA or DARMA again")


def _table_range(path: Path, facts: Mapping[str, list[str]], rows: Rows, names: list[str]) -> tuple[float, float]:
    """The range that the file states: DARMA's magnitude, CARMA's minimum and maximum above or next to the ratings."""

    def stated(name: str) -> float | None:
        if facts.get(name):
            return _value(facts[name][0])
        lower = _lower(names)
        first = next((cells for _, cells in rows if "second" not in _lower(cells) and len(cells) == len(names)), None)
        return _value(first[lower.index(name)]) if first and name in lower else None

    magnitude, low, high = (stated(name) for name in ("magnitude", "minimum value", "maximum value"))
    if magnitude:
        return -magnitude, magnitude
    if low is None or high is None or not math.isfinite(high - low):
        raise InputError("the range of the ratings is not stated", path, 1, "export it from CARMA or DARMA again")
    return low, high


def _cell(row: list[str], column: int, path: Path, line: int) -> float:
    found = _value(row[column]) if column < len(row) else None
    if found is None:
        what = f"{brief(repr(row[column]), 40)} is not a number" if column < len(row) else "a cell is missing"
        raise InputError(what, path, line, "export it again, or correct the row")
    return found


def _labels(path: Path) -> dict[str, _Draft]:
    given = read_labels(path)
    if given.key != "time_s":
        remedy = "write time_s in seconds; frame numbers belong to one video"
        raise InputError("the rows are numbered by frame, not by time", path, 1, remedy)
    return {
        name: _Draft(
            [(i + 2, t, t, v) for i, (t, v) in enumerate(zip(given.places, column, strict=True))], sampled=True
        )
        for name, column in zip(LABELS, given.values.T.astype(np.float64), strict=True)
        if len(given.places)
    }


# Writing

NOVA_RATE = 25.0
"""Samples per second of an exported NOVA annotation."""
BIN_S = 0.25
"""Of an exported CARMA or DARMA annotation, which holds means over bins; the smallest that CARMA offers."""
MAGNITUDE = 100


def export(form: str, name: str, times: Array, labels: NDArray[np.floating[Any]], rater: str = "") -> dict[str, bytes]:
    """The files of an annotation in another program's format, by name.

    Args:
        form: one of `FORMATS`.
        name: of the clip's video file.
        times: (t,) of its frames, s, rising.
        labels: (t, 2) valence and arousal in [-1, 1]; NaN where not annotated.
        rater: who annotated.
    """
    stem, labels = Path(name).stem, np.asarray(labels, np.float64)
    columns = dict(zip(LABELS, labels.T, strict=True))
    if form == "elan":
        return {f"{stem}.eaf": _elan(name, times, columns, rater)}
    if form == "anvil":
        return {f"{stem}.anvil": _anvil(name, times, columns, rater)}
    if form in ("nova", "nova_binary"):
        files = dict[str, bytes]()
        for dimension, values in columns.items():
            header, data = _nova(dimension, times, values, rater, binary=form == "nova_binary")
            files |= {f"{stem}.{dimension}.annotation": header, f"{stem}.{dimension}.annotation~": data}
        return files
    if form == "carma":
        return {f"{stem}.{dimension}.csv": _carma(name, times, values) for dimension, values in columns.items()}
    if form == "darma":
        return {f"{stem}.csv": _darma(name, times, labels)}
    raise InputError(f"there is no format {brief(repr(form), 40)}", remedy=f"choose one of: {', '.join(FORMATS)}")


def _intervals(times: Array, values: Array, digits: int) -> list[tuple[float, float, str]]:
    """(start, end, value) in units of 10^-digits s. Frames of one value are joined. Starts are rounded down, so that
    the frame is inside."""
    step = float(np.median(np.diff(times))) if len(times) > 1 else 0.04
    places = np.floor(np.append(times, times[-1] + step) * 10**digits + 1e-6)
    rows: list[tuple[float, float, str]] = []
    for i, value in enumerate(values):
        if not math.isfinite(value):
            continue
        text, start, end = f"{value:.6g}", float(places[i]), float(places[i + 1])
        if rows and rows[-1][2] == text and rows[-1][1] == start:
            rows[-1] = (rows[-1][0], end, text)
        elif start < end:
            rows.append((start, end, text))
    return rows


def _elan(name: str, times: Array, columns: Mapping[str, Array], rater: str) -> bytes:
    slots: list[float] = []
    tiers, count = io.StringIO(), 0
    for dimension, values in columns.items():
        tiers.write(f'    <TIER LINGUISTIC_TYPE_REF="rating" PARTICIPANT="" ANNOTATOR={quoteattr(rater)} '
                    f'TIER_ID="{dimension}">\n')  # fmt: skip
        for start, end, text in _intervals(times, values, 3):
            slots += [start, end]
            count += 1
            tiers.write(
                f'        <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a{count}" '
                f'TIME_SLOT_REF1="ts{len(slots) - 1}" TIME_SLOT_REF2="ts{len(slots)}">'
                f"<ANNOTATION_VALUE>{text}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>\n"
            )
        tiers.write("    </TIER>\n")
    order = "".join(
        f'        <TIME_SLOT TIME_SLOT_ID="ts{i}" TIME_VALUE="{slot:.0f}"/>\n' for i, slot in enumerate(slots, 1)
    )
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<ANNOTATION_DOCUMENT AUTHOR="" DATE="1970-01-01T00:00:00+00:00" FORMAT="3.0" VERSION="3.0" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        'xsi:noNamespaceSchemaLocation="http://www.mpi.nl/tools/elan/EAFv3.0.xsd">\n'
        '    <HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">\n'
        f'        <MEDIA_DESCRIPTOR MEDIA_URL={quoteattr(f"./{name}")} MIME_TYPE="video/mp4" '
        f"RELATIVE_MEDIA_URL={quoteattr(f'./{name}')}/>\n"
        "    </HEADER>\n"
        f"    <TIME_ORDER>\n{order}    </TIME_ORDER>\n{tiers.getvalue()}"
        '    <LINGUISTIC_TYPE GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="rating" TIME_ALIGNABLE="true"/>\n'
        "</ANNOTATION_DOCUMENT>\n"
    )
    return text.encode()


def _anvil(name: str, times: Array, columns: Mapping[str, Array], rater: str) -> bytes:
    tracks = io.StringIO()
    for dimension, values in columns.items():
        tracks.write(f'    <track name="{dimension}" type="primary">\n')
        for i, (start, end, text) in enumerate(_intervals(times, values, 6)):
            tracks.write(
                f'      <el index="{i}" start="{start / 1e6:.6f}" end="{end / 1e6:.6f}">'
                f'<attribute name="value">{text}</attribute></el>\n'
            )
        tracks.write("    </track>\n")
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<annotation>\n  <head>\n'
        f'    <specification src="iaca.xml"/>\n    <video src={quoteattr(name)}/>\n'
        f'    <info key="coder" type="String">{escape(rater)}</info>\n  </head>\n'
        f"  <body>\n{tracks.getvalue()}  </body>\n</annotation>\n"
    )
    return text.encode()


def _nova(dimension: str, times: Array, values: Array, rater: str, binary: bool) -> tuple[bytes, bytes]:
    """Header and data; a sample has the value of the frame on screen at its time."""
    count = int(np.floor(times[-1] * NOVA_RATE + 1e-6)) + 1
    index = np.searchsorted(times, np.arange(count) / NOVA_RATE + 1e-6, "right") - 1
    sampled = np.where(index >= 0, values[index.clip(0)], np.nan)
    header = (
        '<?xml version="1.0" ?>\n<annotation ssi-v="3">\n'
        f'    <info ftype="{"BINARY" if binary else "ASCII"}" size="{count}" />\n'
        f'    <meta annotator={quoteattr(rater)} role="" />\n'
        f'    <scheme name="{dimension}" type="CONTINUOUS" sr="{NOVA_RATE:g}" min="-1" max="1" />\n</annotation>\n'
    )
    confidence = np.isfinite(sampled).astype(np.float64)
    if binary:
        return header.encode(), np.column_stack([sampled, confidence]).astype("<f4").tobytes()
    rows = (f"{'NaN' if math.isnan(v) else f'{v:.6g}'};{c:g}\n" for v, c in zip(sampled, confidence, strict=True))
    return header.encode(), "".join(rows).encode()


def _bins(times: Array, values: NDArray[np.floating[Any]]) -> Iterator[tuple[float, list[str]]]:
    """End (s) and means of each bin; NaN where a bin has no annotated frame, as these programs write it."""
    place = np.floor(times / BIN_S + 1e-9).astype(int)
    for i in range(int(place[-1]) + 1):
        inside = values[place == i]
        known = np.isfinite(inside)
        means = np.where(known, inside, 0).sum(0) / np.maximum(known.sum(0), 1)
        cells = [f"{m * MAGNITUDE:.6g}" if k else "NaN" for m, k in zip(means, known.any(0), strict=True)]
        yield (i + 1) * BIN_S, cells


def _carma(name: str, times: Array, values: Array) -> bytes:
    facts = [("Time of Rating", ""), ("Multimedia File", _quoted(name)), ("Lower Label", "low"),
             ("Upper Label", "high"), ("Minimum Value", -MAGNITUDE), ("Maximum Value", MAGNITUDE),
             ("Number of Steps", 9), ("Second", "Rating"), ("%%%%%%", "%%%%%%")]  # fmt: skip
    rows = [f"{end:g},{cells[0]}" for end, cells in _bins(times, values[:, None])]
    return ("\n".join([*(f"{key},{fact}" for key, fact in facts), *rows]) + "\n").encode()


def _darma(name: str, times: Array, labels: NDArray[np.floating[Any]]) -> bytes:
    head = ["Time of Rating,,,", f"Multimedia File,{_quoted(name)},,", f"Magnitude,{MAGNITUDE},,",
            "Second,Valence,Arousal,Button", "%%%%%%,%%%%%%,%%%%%%,%%%%%%"]  # fmt: skip
    rows = [f"{end:g},{','.join(cells)},0" for end, cells in _bins(times, labels)]
    return ("\n".join([*head, *rows]) + "\n").encode()


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(sign in text for sign in ',"\n') else text
