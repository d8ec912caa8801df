"""What a run wrote, in a few numbers per column: any difference from the committed ones is meant, or is a fault.

`describe` reads every file below a folder. Files of the same kind in a folder (one per clip) are one table, in the
order of their names. `check` compares with a JSON file and names the files and columns that differ.

A column of up to `FULL` rows stands there in full, a longer one as
    [kind, rows, missing, mean, ordered, waves, spread, least, greatest, first, last]
where `ordered` and `waves` are means weighted by row number (rising; a cosine), so that a changed order is seen, and as
    [kind, rows, missing, distinct, checksum, first, last]
if it holds words, truth values or whole numbers that no training touched. Text files are their lines without numbers,
versions, dates and hashes, as checksums, and their numbers as a column. Pictures are the brightness of a 4 x 4 grid.

Tolerances are shares of the largest absolute value of a column: processors of different makes add in different orders.
They were chosen by runs of the same code with other kernels (AVX2 or SSE instead of AVX-512 in torch, oneDNN, MKL,
OpenBLAS, numpy and OpenCV), each several times the difference that was found; see the tests.
"""

import io
import json
import os
import re
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import av
import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
import soundfile
from safetensors import safe_open
from safetensors.numpy import load_file

Facts = dict[str, dict[str, Any]]  # of each file or folder of files, by column

EXACT = 1e-5  # of what is computed from the corpus alone; sums of float32 in another order differ by some 1e-6
FULL = 8  # rows
SHOWN = 25  # lines
FACTS = ("kind", "rows", "missing", "mean", "ordered", "waves", "spread", "least", "greatest", "first", "last")
VERSION = re.compile(r"\d{4}-\d\d-\d\dT[\d.]+Z")
VARYING = re.compile(
    r"(?<![\w.<])/(?:[^\s/:,;<>'\"]+/)+"  # folders
    r"|data:[a-z]+/[a-z]+;base64,[\w+/=]+"  # pictures in a page
    r"|\d{4}-\d\d-\d\d([T ][\d:.]+Z?)?"  # dates
    r"|\b\d+\.\d+\.\d+[\w.+]*"  # versions
    r"|\b[0-9a-f]{12,}\b"  # hashes
)
NUMBER = re.compile(r"(?<![\w.])[-−+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
SKIPPED = (".manifest.jsonl", ".gitkeep", ".gitignore")


def describe(folder: Path, trained: tuple[str, ...] = (), without: tuple[str, ...] = ()) -> Facts:
    """Facts of all files below a folder.

    Args:
        folder: where they lie; versioned files are named without their version.
        trained: beginnings of the names, relative to `folder`, of what depends on trained weights.
        without: beginnings of the names of what is left out: of files, or of `FILE: COLUMN`.
    """
    groups: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name not in SKIPPED):
        parts = path.relative_to(folder).parts
        if path.relative_to(folder).as_posix().startswith(without):
            continue
        if any(VERSION.fullmatch(part) for part in parts):
            parts = tuple(part for part in parts if not VERSION.fullmatch(part))[:-1]
        groups["/".join(parts)].append(path)
    for name in [n for n in groups if Path(n).suffix in PER_CLIP and folder.joinpath(n).is_file()]:
        groups[Path(name).with_name(f"*{Path(name).suffix}").as_posix()].extend(groups.pop(name))
    facts = {}
    for file, paths in sorted(groups.items()):
        loose = file.startswith(trained)
        columns = _joined([READERS[paths[0].suffix](path) for path in paths])
        if "*" in file:
            columns = {"files": np.array([path.stem for path in paths]), **columns}
        kept = {name: values for name, values in columns.items() if not f"{file}: {name}".startswith(without)}
        facts[file] = {name: _column(values, loose) for name, values in kept.items()}
    return facts


def _joined(tables: list[dict[str, npt.NDArray[Any]]]) -> dict[str, npt.NDArray[Any]]:
    """The same columns of several files, one below the other; `(absent)` where a file lacks one of another file."""
    names = list(dict.fromkeys(name for table in tables for name in table))
    return {n: np.concatenate([np.atleast_1d(t.get(n, np.array(["(absent)"]))) for t in tables]) for n in names}


def _columns(table: pd.DataFrame) -> dict[str, npt.NDArray[Any]]:
    """Columns by name. What has no number is words; a picture is five numbers, see `_colours`."""
    columns: dict[str, npt.NDArray[Any]] = {}
    for name, values in table.items():
        if values.map(lambda x: isinstance(x, bytes)).any():
            pictures = [cv2.imdecode(np.frombuffer(x, np.uint8), cv2.IMREAD_COLOR_RGB) for x in values if x]
            columns |= {f"{name} {part}": column for part, column in _colours(pictures).items()}
        elif pd.api.types.is_numeric_dtype(values.dtype) and not isinstance(values.dtype, pd.Int64Dtype):
            columns[str(name)] = values.to_numpy()
        else:
            columns[str(name)] = np.array([None if pd.isna(x) else VARYING.sub("*", str(x)) for x in values], object)
    return columns


def _colours(pictures: Iterable[npt.NDArray[np.uint8]]) -> dict[str, npt.NDArray[Any]]:
    """Means of red, green and blue of each picture, and where it is bright: means weighted from left and from top."""
    rows = []
    for picture in pictures:
        across, down = picture.mean(axis=(0, 2)), picture.mean(axis=(1, 2))
        rows.append(
            [*picture.mean(axis=(0, 1)), across @ np.linspace(0, 1, len(across)) / len(across),
             down @ np.linspace(0, 1, len(down)) / len(down), *picture.shape[:2]]
        )  # fmt: skip
    names = ("red", "green", "blue", "right", "bottom", "height", "width")
    table = np.array(rows, np.float64).reshape(-1, len(names))
    return {name: table[:, i].astype(int if name in names[-2:] else float) for i, name in enumerate(names)}


def _csv(path: Path) -> dict[str, npt.NDArray[Any]]:
    kept = dict.fromkeys(("clip", "subject", "name", "file"), str)
    return {"(columns)": np.array([path.read_text().partition("\n")[0]]), **_columns(pd.read_csv(path, dtype=kept))}


def _parquet(path: Path) -> dict[str, npt.NDArray[Any]]:
    return _columns(pd.read_parquet(path))


def _safetensors(path: Path) -> dict[str, npt.NDArray[Any]]:
    """A column per tensor of a model; of an embedding, whose rows are steps, one per column of it."""
    with safe_open(path, "np") as file:
        about = {key: json.loads(value) if value[:1] in "{[" else value for key, value in file.metadata().items()}
    columns, steps = dict(_leaves(about)), "iaca_embedding" in about
    for name, tensor in sorted(load_file(path).items()):
        if steps and tensor.ndim == 2:
            columns |= {f"{name} {i}": tensor[:, i] for i in range(tensor.shape[1])}
        else:
            columns[name] = tensor.ravel()
            columns[f"{name} shape"] = np.array(["x".join(map(str, tensor.shape[int(steps) :]))])
    return columns


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """Values of nested JSON by their path; those of a list together. JSON inside a string counts as nested."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        value = json.loads(value)
    if isinstance(value, dict):
        yield f"{name} (keys)", np.array(["|".join(value)])
        for key, part in value.items():
            yield from _leaves(part, f"{name}.{key}" if name else key)
    elif isinstance(value, list) and any(isinstance(part, dict | list) for part in value):
        for i, part in enumerate(value):
            yield from _leaves(part, f"{name}[{i}]")
    elif isinstance(value, list):
        yield name, _columns(pd.DataFrame({"": value}))[""]
    else:
        yield name, _columns(pd.DataFrame({"": [value]}))[""]


def _json(path: Path) -> dict[str, npt.NDArray[Any]]:
    return dict(_leaves(json.loads(path.read_text())))


def _text(path: Path) -> dict[str, npt.NDArray[Any]]:
    plain = VARYING.sub("*", path.read_text())
    numbers = [float(x.replace("−", "-")) for x in NUMBER.findall(plain)]
    lines = [_letters(zlib.crc32(line.encode())) for line in NUMBER.sub("#", plain).splitlines()]
    return {"(lines)": np.array([" ".join(lines)]), "(numbers)": np.array(numbers, np.float64)}


def _letters(number: int) -> str:
    """Four letters, since numbers in words are left out where they depend on training."""
    return "".join(chr(ord("a") + number // 26**place % 26) for place in range(4))


def _sound(path: Path) -> dict[str, npt.NDArray[Any]]:
    samples, rate = soundfile.read(path, dtype="float32")
    return {"samples": samples, "rate": np.array([rate])}


def _video(path: Path) -> dict[str, npt.NDArray[Any]]:
    with av.open(str(path)) as file:
        frames = [(float(f.time), f.to_ndarray(format="rgb24")) for f in file.decode(video=0)]
    columns = {"time_s": np.array([time for time, _ in frames]), **_colours(picture for _, picture in frames)}
    with av.open(str(path)) as file:
        sound = [frame.to_ndarray().mean(axis=0) for frame in file.decode(audio=0)] if file.streams.audio else []
    return columns | {"sound": np.concatenate([np.empty(0, np.float32), *sound])}


def _picture(path: Path) -> dict[str, npt.NDArray[Any]]:
    grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    return {
        "size": np.array(grey.shape),
        "grid": cv2.resize(grey, (4, 4), interpolation=cv2.INTER_AREA).ravel() / 255.0,
    }


READERS = {
    ".csv": _csv, ".parquet": _parquet, ".safetensors": _safetensors, ".json": _json, ".flac": _sound, ".mp4": _video,
    ".png": _picture, **dict.fromkeys((".md", ".tex", ".html", ".txt"), _text),
}  # fmt: skip
PER_CLIP = (".parquet", ".safetensors", ".flac", ".mp4", ".txt")


def _column(values: npt.NDArray[Any], trained: bool) -> list[Any]:
    if values.dtype.kind in "OU":
        return _words([None if x is None else str(x) for x in values], "text", trained)
    if values.dtype.kind in "biu" and not trained and len(values) > FULL:
        return _words([str(int(x)) for x in values], str(values.dtype), trained)
    numbers = values.astype(np.float64)
    kind, found = str(values.dtype), numbers[~np.isnan(numbers)]
    if len(values) <= FULL:
        return [kind, *(None if np.isnan(x) else _short(x) for x in numbers)]
    start = [kind, len(values), len(values) - len(found)]
    if not len(found):
        return start
    place = np.flatnonzero(~np.isnan(numbers))
    weighted = [(found * place).mean() / len(values), (found * np.cos(0.7 * place)).mean()]
    spread = np.sqrt(((found - found.mean()) ** 2).mean())
    facts = (found.mean(), *weighted, spread, found.min(), found.max(), *found[[0, -1]])
    return start + [_short(x, 5 if trained else 7) for x in facts]


def _words(words: list[str | None], kind: str, trained: bool) -> list[Any]:
    if trained:  # numbers in a sentence
        words = [None if word is None else NUMBER.sub("#", word) for word in words]
    if len(words) <= FULL:
        return [kind, *words]
    told = [word for word in words if word is not None]
    checksum = zlib.crc32("\n".join("(none)" if word is None else word for word in words).encode())
    return [kind, len(words), len(words) - len(told), len(set(told)), f"{checksum:08x}", *(told[:1] + told[-1:])]


def _short(number: float, digits: int = 7) -> float:
    return float(f"{number:.{digits}g}")


class Loose(NamedTuple):
    """Tolerance of columns that depend on trained weights or on the rounding of pixels.

    Attributes:
        pattern: of `FILE: COLUMN`, from its beginning.
        mean: of means, as a share of the largest absolute value of the column.
        single: of single values, in the same way.
        floor: least absolute value that counts as the largest.
    """

    pattern: str
    mean: float
    single: float
    floor: float = 0.0


def check(path: Path, found: Facts, command: str, loose: Sequence[Loose] = ()) -> None:
    """Fail with the names of the files and columns that differ from those of a JSON file.

    Args:
        path: the JSON file; written if IACA_WRITE_GOLDEN is set.
        found: facts, see `describe`.
        command: which writes the file again.
        loose: tolerances in place of `EXACT`; the first one whose pattern fits counts.
    """
    if os.environ.get("IACA_WRITE_GOLDEN"):
        path.write_text(_written(found))
    told = list(differences(json.loads(path.read_text()), found, loose))
    more = [f"... and {len(told) - SHOWN} more"] if len(told) > SHOWN else []
    assert not told, "\n".join(
        ["columns that differ", *told[:SHOWN], *more, f"if all of this is meant: IACA_WRITE_GOLDEN=1 {command}"]
    )


def differences(expected: Facts, found: Facts, loose: Sequence[Loose] = ()) -> Iterator[str]:
    """A line per difference, in the order of the pipelines."""
    for name in sorted(expected.keys() | found.keys()):
        if name not in found or name not in expected:
            yield f"{name}: {'new file' if name not in expected else 'no longer written'}"
            continue
        old, new = expected[name], found[name]
        if list(old) != list(new):
            yield f"{name}: columns: gone {sorted(old.keys() - new)}, new {sorted(new.keys() - old)}, or another order"
        for column in (column for column in old if column in new):
            place = f"{name}: {column}"
            tolerance = next((one for one in loose if re.match(one.pattern, place)), Loose("", EXACT, EXACT))
            if told := _difference(old[column], new[column], tolerance):
                yield f"{place}: {told}"


def _difference(expected: list[Any], found: list[Any], tolerance: Loose) -> str:
    if len(expected) != len(found):
        return f"{expected} is now {found}"
    full = len(expected) <= FULL + 1
    numbers = [abs(x) for x in (expected if full else expected[3:]) if isinstance(x, int | float)]
    scale = max([tolerance.floor, *numbers])
    for i, (old, new) in enumerate(zip(expected, found, strict=True)):
        share = tolerance.single if full or i > 6 else tolerance.mean if i > 2 else 0.0
        both = isinstance(old, int | float) and isinstance(new, int | float)
        if not (abs(old - new) <= share * scale if both else old == new):
            return f"{'value' if full else FACTS[i]} {i if full else ''}: {old} is now {new}".replace(" :", ":")
    return ""


def _written(facts: Facts) -> str:
    """JSON with a line per column."""
    out = io.StringIO()
    for i, (name, columns) in enumerate(facts.items()):
        lines = [
            f"  {json.dumps(c)}: {json.dumps(v, ensure_ascii=False, separators=(',', ':'))}" for c, v in columns.items()
        ]
        out.write(("{\n" if not i else ",\n") + f"{json.dumps(name)}: {{\n" + ",\n".join(lines) + "\n}")
    return out.getvalue() + "\n}\n"
