"""The faces of a clip: their file, and how they are extracted from a video, or from the crops of a corpus.

The file has one row per decoded frame, of the person of a clip or of each person. A video is read once, in bounded
memory. The tasks that the engine runs per clip are `extract_faces_file` and `collect_crops`.

While a video is analysed, its faces are `KeptFaces`, without Parquet: inference does not install pyarrow, which is
imported by the functions that need it.
"""

from __future__ import annotations

import logging
import os
import re
import struct
import tempfile
import warnings
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from io import BytesIO
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import IO, TYPE_CHECKING, Any, NamedTuple, Protocol

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from iaca.errors import InputError, plain_name, unreadable
from iaca.faces.detect import Detection, FaceConfig, FaceDetector, PeopleRule, Side, align, make_detector, within
from iaca.faces.track import LOOK, CausalChoice, CausalTracker, FaceTracker, TrackSummary, choose, people
from iaca.files import make_folder
from iaca.media import MediaLimits, VideoFrame, prefetch, read_frames

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

# The faces file: Parquet with a row per frame, and in it the aligned face as JPEG

NUMBERS = ("score", "x0", "y0", "x1", "y1", *(f"lm{point}{axis}" for point in range(5) for axis in "xy"))
"""Columns of the float32 numbers of a face: score (0..1), box (px), landmarks (px)."""
COLUMNS = ("frame", "time_s", "face_found", *NUMBERS, "track", "jpeg")
BATCH = 512
"""Rows written and read at a time: a row group."""
HELD = 3
"""Row groups that `FaceImages` keeps: two for two threads that read side by side, and one that both look back at."""
CELL, CELLS_PER_ROW, BACKGROUND = 72, 10, 236
"""Side of a cell (px), cells in a row, and grey level of the contact sheet."""

_NOTHING = np.full(len(NUMBERS), np.nan, dtype=np.float32)


class FaceRow(NamedTuple):
    """One frame: its number and time (s); if it has a face, `NUMBERS`, track and JPEG."""

    frame: int
    time_s: float
    numbers: NDArray[np.float32] = _NOTHING
    track: int = -1
    jpeg: bytes = b""


def faces_frame(rows: Sequence[FaceRow]) -> pd.DataFrame:
    """The table of `extract_faces`, with the right types even for no rows."""
    numbers = np.stack([row.numbers for row in rows]) if rows else np.empty((0, len(NUMBERS)), np.float32)
    table: dict[str, Any] = {
        "frame": np.array([row.frame for row in rows], dtype=np.int32),
        "time_s": np.array([row.time_s for row in rows], dtype=np.float64),
        "face_found": np.array([row.track >= 0 for row in rows], dtype=bool),
        **dict(zip(NUMBERS, numbers.T, strict=True)),
        "track": np.array([row.track for row in rows], dtype=np.int32),
        "jpeg": pd.Series([row.jpeg for row in rows], dtype=object),
    }
    return pd.DataFrame(table)


def batches_of(rows: Iterable[FaceRow]) -> Iterator[list[FaceRow]]:
    """The rows, up to `BATCH` at a time."""
    iterator = iter(rows)
    while batch := list(islice(iterator, BATCH)):
        yield batch


@cache
def _schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        [
            ("frame", pa.int32()),
            ("time_s", pa.float64()),
            ("face_found", pa.bool_()),
            *((name, pa.float32()) for name in NUMBERS),
            ("track", pa.int32()),
            ("jpeg", pa.binary()),
        ]
    )


def write_faces(path: str | Path, faces: pd.DataFrame) -> None:
    """Write a faces table as Parquet."""
    import pyarrow.parquet as pq

    with pq.ParquetWriter(str(path), _schema(), compression="zstd") as writer:
        for start in range(0, max(len(faces), 1), BATCH):
            writer.write_table(_arrow(faces.iloc[start : start + BATCH]))


def write_batches(path: str | Path, rows: Iterable[FaceRow]) -> None:
    """Write rows as `write_faces` does, with `BATCH` of them in memory at a time."""
    import pyarrow.parquet as pq

    with pq.ParquetWriter(str(path), _schema(), compression="zstd") as writer:
        for batch in batches_of(rows):
            writer.write_table(_arrow(faces_frame(batch)))


def _arrow(faces: pd.DataFrame) -> pa.Table:
    import pyarrow as pa

    # NaN is a value here, not a missing one, so that a table reads back as it was written
    columns = [pa.array(faces[name].to_numpy(), type=_schema().field(name).type, from_pandas=False) for name in COLUMNS]
    return pa.Table.from_arrays(columns, schema=_schema())


def read_faces(path: str | Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a faces table, or some of its columns.

    Raises:
        InputError: the file is missing or is not a faces table.
    """
    parts = list(iter_faces(path, columns, BATCH))
    return pd.concat(parts, ignore_index=True)


def iter_faces(path: str | Path, columns: Sequence[str] | None = None, rows: int = BATCH) -> Iterator[pd.DataFrame]:
    """Read a faces table in pieces of `rows` rows, in constant memory. Yields at least one piece.

    Raises:
        InputError: the file is missing or is not a faces table.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = list(COLUMNS if columns is None else columns)
    try:
        with pq.ParquetFile(str(path)) as file:
            yield from _pieces(file, names, rows)
    except (OSError, pa.ArrowException, KeyError) as error:
        raise _not_faces(path) from error


def _pieces(file: pq.ParquetFile, names: list[str], rows: int) -> Iterator[pd.DataFrame]:
    empty = True
    for batch in file.iter_batches(batch_size=rows, columns=names):
        empty = False
        yield _frame(batch, names)
    if empty:
        yield _frame(file.schema_arrow.empty_table(), names)


def _frame(batch: Any, names: list[str]) -> pd.DataFrame:
    columns = {name: batch.column(batch.schema.names.index(name)) for name in names}
    bytes_column = {
        name: pd.Series(column.to_pylist(), dtype=object) for name, column in columns.items() if name == "jpeg"
    }
    return pd.DataFrame({n: bytes_column.get(n, c.to_numpy(zero_copy_only=False)) for n, c in columns.items()})


def _not_faces(path: str | Path) -> InputError:
    return InputError("not a faces table", file=path, remedy="run the preprocessing pipeline again to rebuild it")


class Jpegs(Protocol):
    """The JPEG of each frame, in memory or on disk: a list, `FaceImages` or `KeptFaces`."""

    def __getitem__(self, frame: int, /) -> bytes: ...


class FaceImages:
    """The JPEGs of a faces file by row; only `HELD` row groups of `BATCH` rows are in memory.

    Several threads may read from it. It is a context manager and keeps the file open until it exits.

    Args:
        path: Parquet, as `write_faces` wrote it. Kept as an attribute, for messages that name the file.

    Raises:
        InputError: the file is missing or is not a faces table; also from `[row]` if it is damaged further on.
    """

    def __init__(self, path: str | Path):
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.path, self._lock = path, Lock()
        self._unreadable = (OSError, pa.ArrowException, KeyError)
        self._held: OrderedDict[int, Any] = OrderedDict()
        try:
            self._file = pq.ParquetFile(str(path))
        except (OSError, pa.ArrowException) as error:
            raise _not_faces(path) from error
        groups = (self._file.metadata.row_group(i).num_rows for i in range(self._file.num_row_groups))
        self._starts = np.cumsum([0, *groups])

    def __enter__(self) -> FaceImages:
        return self

    def __exit__(self, *_: object) -> None:
        self._held.clear()
        self._file.close()

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, row: int) -> bytes:
        """The JPEG of a row; empty if the frame has no face."""
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        group = int(np.searchsorted(self._starts, row, "right")) - 1
        with self._lock:
            jpegs = self._held[group] if group in self._held else self._read(group)
            self._held.move_to_end(group)
        jpeg: bytes = jpegs[int(row - self._starts[group])].as_py()
        return jpeg

    def _read(self, group: int) -> Any:
        while len(self._held) >= HELD:
            self._held.popitem(last=False)
        try:
            self._held[group] = self._file.read_row_group(group, columns=["jpeg"], use_threads=False).column("jpeg")
        except self._unreadable as error:
            raise _not_faces(self.path) from error
        return self._held[group]


class KeptFaces:
    """The faces of one person while a video is analysed: numbers in memory, JPEGs in a file.

    It is a context manager, within which several threads may read JPEGs.

    Args:
        path: of the new file, which has the JPEGs one after the other. Kept as an attribute, for messages that name it.
        rows: one per frame, in order.

    Attributes:
        table: `faces_frame` of the rows, without the JPEGs.
    """

    def __init__(self, path: str | Path, rows: Iterable[FaceRow]):
        self.path, ends, tables = path, [0], []
        with Path(path).open("xb") as file:
            for batch in batches_of(rows):
                file.write(b"".join(row.jpeg for row in batch))
                ends += np.add(ends[-1], np.cumsum([len(row.jpeg) for row in batch])).tolist()
                tables.append(faces_frame(batch).drop(columns="jpeg"))
        self._ends = np.array(ends)
        self.table = pd.concat(tables, ignore_index=True) if tables else faces_frame([]).drop(columns="jpeg")

    def __enter__(self) -> KeptFaces:
        self._file = os.open(self.path, os.O_RDONLY)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, row: int) -> bytes:
        """The JPEG of a row; empty if the frame has no face."""
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        start, end = self._ends[row : row + 2].tolist()
        return os.pread(self._file, end - start, start)


def encode_face(face: NDArray[np.uint8], quality: int) -> bytes:
    """JPEG of an RGB face (size, size, 3)."""
    done, data = cv2.imencode(".jpg", cv2.cvtColor(face, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError(f"OpenCV can't encode an image of shape {face.shape}")
    return bytes(data)


def decode_face(jpeg: bytes) -> NDArray[np.uint8]:
    """RGB face (size, size, 3) uint8 of a row's JPEG.

    Raises:
        ValueError: the bytes are empty (a frame without a face) or not an image.
    """
    image: Any = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) if jpeg else None
    if image is None:
        raise ValueError("this row has no face" if not jpeg else "the stored face is not an image")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def contact_sheet(paths: Sequence[Path]) -> bytes:
    """PNG with a row per faces file: faces evenly spaced over the clip, an empty cell for a frame without a face."""
    sheet = np.full((max(len(paths), 1) * CELL, CELLS_PER_ROW * CELL, 3), BACKGROUND, np.uint8)
    for row, path in enumerate(paths):
        faces = read_faces(path, columns=["jpeg"])
        jpegs = faces["jpeg"].to_list()
        for column, i in enumerate(np.linspace(0, len(jpegs) - 1, CELLS_PER_ROW).astype(int)):
            if jpegs[i]:
                cell = np.s_[row * CELL : (row + 1) * CELL - 2, column * CELL : (column + 1) * CELL - 2]
                sheet[cell] = cv2.resize(decode_face(jpegs[i]), (CELL - 2, CELL - 2), interpolation=cv2.INTER_AREA)
    done, encoded = cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    if not done:
        raise RuntimeError("OpenCV can't encode the contact sheet as PNG")
    return encoded.tobytes()


# Extraction

log = logging.getLogger(__name__)
CROPS_VERSION = "1"
"""Raised by hand when `collect_crops` changes what it writes."""
MOST_BYTES, MOST_PIXELS = 2**26, 4096 * 4096
"""Crops beyond either are treated as unreadable."""
_CROP_NAME = re.compile(r"(\d+)\.(jpg|jpeg|png)", re.IGNORECASE)
_CROP_NUMBERS = np.array([1.0, *[np.nan] * (len(NUMBERS) - 1)], dtype=np.float32)  # score 1; box and landmarks unknown
_LENGTH = struct.Struct("<I")


def extract_faces(
    media_path: str | Path,
    config: FaceConfig,
    side: Side | None = None,
    detector: FaceDetector | None = None,
    limits: MediaLimits | None = None,
) -> pd.DataFrame:
    """Find, track and align the face of a video's person (`iaca.faces.track.choose` says which person).

    Args:
        media_path: a file with pictures.
        config: parameters.
        side: "left" or "right" where two people share the picture.
        detector: used instead of the configured one, e.g. because it is already loaded.
        limits: what the file may contain; None for the default limits.

    Returns:
        One row per decoded frame: frame int32, time_s float64, face_found bool, score float32, x0 y0 x1 y1 and
        lm0x lm0y .. lm4x lm4y float32 (px), track int32, jpeg bytes (aligned face). Frames without the face have
        NaN, track -1 and empty bytes; gaps are never filled.

    Raises:
        InputError: the file has no pictures that decode, exceeds a limit, or the detector lacks its weights.
    """
    if config.causal:
        return faces_frame(list(_causal_rows(media_path, config, side, detector, limits)))
    with _Spool() as spool:
        spool.fill(media_path, config, detector, limits)
        return faces_frame(list(spool.rows(spool.main(config, side))))


def extract_faces_file(
    media_path: str | Path,
    target: str | Path,
    config: FaceConfig,
    side: Side | None = None,
    detector: FaceDetector | None = None,
    limits: MediaLimits | None = None,
) -> None:
    """Like `write_faces(target, extract_faces(...))`, in memory that does not grow with the length of the video."""
    make_folder(Path(target).parent)
    if config.causal:
        write_batches(target, _causal_rows(media_path, config, side, detector, limits))
        return
    with _Spool(Path(target).parent) as spool:
        spool.fill(media_path, config, detector, limits)
        write_batches(target, spool.rows(spool.main(config, side)))


def keep_faces(
    media_path: str | Path,
    folder: Path,
    config: FaceConfig,
    rule: PeopleRule | None = None,
    detector: FaceDetector | None = None,
    limits: MediaLimits | None = None,
) -> list[KeptFaces]:
    """Extract the faces of a video in one pass, for the time of an analysis; their JPEGs are in `folder`.

    Without a rule they are those of `extract_faces`. With one, they are those of every person in the video
    (`iaca.faces.track.people`); person 1 has the largest sum of box areas over time, and a video without any face has
    one person without faces. Raises the same errors.
    """
    if config.causal:
        if rule is not None:
            remedy = "analyse the main person (inference.people=main), or use a model that is not causal"
            raise InputError("a causal model follows one person", media_path, remedy=remedy)
        return [KeptFaces(folder / "faces1.jpegs", _causal_rows(media_path, config, None, detector, limits))]
    with _Spool(folder, comparing=rule is not None) as spool:
        spool.fill(media_path, config, detector, limits)
        everyone = (spool.people(config, rule) or [[]]) if rule else [spool.main(config, None)]
        return [KeptFaces(folder / f"faces{i}.jpegs", spool.rows(tracks)) for i, tracks in enumerate(everyone, 1)]


class CausalFaces:
    """The face of the person of a stream, frame by frame (`CausalTracker`, `CausalChoice`).

    Args:
        config: parameters; `causal` is not looked at.
        side: as for `extract_faces`.
        detector: used instead of the configured one.
    """

    def __init__(self, config: FaceConfig, side: Side | None = None, detector: FaceDetector | None = None):
        self._config = config
        self._tracker = CausalTracker(detector or make_detector(config), config)
        self._choice = CausalChoice(config, side)

    def row(self, frame: VideoFrame) -> FaceRow:
        """The row of the next frame, with the aligned face as JPEG."""
        faces = self._tracker.step(frame)
        track = self._choice.step(faces, frame.time_s, frame.image.shape[:2], self._tracker.alive)
        if track < 0:
            return FaceRow(frame.index, frame.time_s)
        aligned = align(frame.image, faces[track].landmarks, self._config.size)
        jpeg = encode_face(aligned, self._config.jpeg_quality)
        return FaceRow(frame.index, frame.time_s, _numbers(faces[track]), track, jpeg)


def _causal_rows(
    media_path: str | Path,
    config: FaceConfig,
    side: Side | None,
    detector: FaceDetector | None,
    limits: MediaLimits | None,
) -> Iterator[FaceRow]:
    faces = CausalFaces(config, side, detector)
    return (faces.row(frame) for frame in prefetch(read_frames(media_path, limits)))


class _Spool:
    """All faces of one pass over a video, in a temporary file until the person is chosen; only offsets are in memory.

    The file has no name, so that nothing stays of a killed process. It is in `folder`, that of the result, or else in
    the system's folder for temporary files. A record is the length of the JPEG, the numbers of the face, and the JPEG.
    Only with `comparing` are tracks compared by their looks, as `people` does.
    """

    def __init__(self, folder: Path | None = None, comparing: bool = False) -> None:
        self._comparing = comparing
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by __exit__
        self._times: list[float] = []
        self._places: dict[int, dict[int, int]] = {}  # track -> frame -> offset of its record
        self._tracks: dict[int, TrackSummary] = {}

    def __enter__(self) -> _Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def fill(
        self, media_path: str | Path, config: FaceConfig, detector: FaceDetector | None, limits: MediaLimits | None
    ) -> None:
        """Read the video once."""
        tracker = FaceTracker(detector or make_detector(config), config)
        for frame, faces in tracker.run(read_frames(media_path, limits)):
            self._times.append(frame.time_s)
            for track, face in faces.items():
                summary = self._tracks.setdefault(track, TrackSummary(track, frame.time_s))
                summary.add(frame.index, frame.time_s, face, frame.image.shape[:2])
                aligned = align(frame.image, face.landmarks, config.size)
                if self._comparing:
                    reduced = np.asarray(cv2.resize(aligned, (LOOK, LOOK), interpolation=cv2.INTER_AREA), np.uint8)
                    summary.show(reduced, within(frame.image.shape, face.landmarks, LOOK))
                jpeg = encode_face(aligned, config.jpeg_quality)
                self._places.setdefault(track, {})[frame.index] = self._file.tell()
                self._file.write(_LENGTH.pack(len(jpeg)) + _numbers(face).tobytes() + jpeg)

    def main(self, config: FaceConfig, side: Side | None) -> list[int]:
        """Tracks of the clip's person."""
        return choose(list(self._tracks.values()), config, side)

    def people(self, config: FaceConfig, rule: PeopleRule) -> list[list[int]]:
        """Tracks of each person."""
        return people(list(self._tracks.values()), self._times, config, rule)

    def rows(self, chosen: list[int]) -> Iterator[FaceRow]:
        """One row per frame of the video, with the face of the chosen tracks."""
        for index, time_s in enumerate(self._times):
            track = next((t for t in chosen if index in self._places[t]), -1)
            if track < 0:
                yield FaceRow(index, time_s)
                continue
            self._file.seek(self._places[track][index])
            (length,) = _LENGTH.unpack(self._file.read(_LENGTH.size))
            numbers = np.frombuffer(self._file.read(4 * len(NUMBERS)), dtype=np.float32)
            yield FaceRow(index, time_s, numbers, track, self._file.read(length))


def _numbers(face: Detection) -> NDArray[np.float32]:
    return np.concatenate([[face.score], face.box, face.landmarks.reshape(-1)]).astype(np.float32)


def crop_files(folder: Path) -> dict[int, str]:
    """Image names of a crop folder by 0-based frame; its images are numbered from 1 (`00001.jpg`).

    `00000.jpg` gets frame -1, which does not exist. Other files are ignored.

    Raises:
        InputError: the folder can't be read.
    """
    try:
        matches = [(_CROP_NAME.fullmatch(path.name), path.name) for path in folder.iterdir()]
    except OSError as error:
        raise unreadable(error, folder) from error
    return {int(match[1]) - 1: name for match, name in matches if match}


def collect_crops(timeline: Path, folder: Path, *, target: Path, size: int, jpeg_quality: int) -> None:
    """The engine's task: write a clip's faces file from its timeline (Parquet) and the crop folder of the corpus.

    It has one row per decoded frame, like the one of `extract_faces_file`. A frame without a readable image has no
    face. A JPEG of `size` x `size` px is kept byte for byte; others are resized, and encoded with `jpeg_quality`
    (0..100). Box and landmarks are NaN, the score is 1, the track 0. Images beyond the last frame are left out;
    `iaca.corpora.affwild2` reports them.
    """
    times = pd.read_parquet(timeline, columns=["time_s"])["time_s"].to_numpy(np.float64)
    write_batches(target, _crop_rows(times, folder, crop_files(folder), size, jpeg_quality))


def _crop_rows(
    times: np.ndarray, folder: Path, files: Mapping[int, str], size: int, jpeg_quality: int
) -> Iterator[FaceRow]:
    unreadable = []
    for frame, time_s in enumerate(times):
        jpeg = _crop_jpeg(folder / files[frame], size, jpeg_quality) if frame in files else b""
        if frame in files and not jpeg:
            unreadable.append(files[frame])
        yield FaceRow(frame, time_s, _CROP_NUMBERS, 0, jpeg) if jpeg else FaceRow(frame, time_s)
    if unreadable:
        where, first = plain_name(str(folder)), plain_name(unreadable[0])
        log.warning("%s: %d unreadable crops, the first is %s", where, len(unreadable), first)


def _crop_jpeg(path: Path, size: int, jpeg_quality: int) -> bytes:
    """The JPEG to store; empty if the file is not an image, or far larger than any crop."""
    if not path.is_file() or path.stat().st_size > MOST_BYTES:  # reading a pipe would block
        return b""
    data = path.read_bytes()
    try:
        if _pixels(data) > MOST_PIXELS:
            return b""
        image = decode_face(data)
    except ValueError:
        return b""
    if image.shape == (size, size, 3) and data[:2] == b"\xff\xd8":
        return data
    shrinks = max(image.shape[:2]) > size
    resized = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return encode_face(np.asarray(resized, dtype=np.uint8), jpeg_quality)


def _pixels(data: bytes) -> int:
    """Number of pixels by the header of an image, without decoding it. Raises ValueError if it is not an image."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # nothing is decompressed here
            with Image.open(BytesIO(data), formats=("JPEG", "PNG")) as image:
                return image.width * image.height
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError("not a JPEG or PNG") from error
