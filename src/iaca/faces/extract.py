"""Extract faces: one row per decoded frame for the person of a clip, for each person, or from the crops of a corpus.

A video is read once, in bounded memory. The tasks that the engine runs per clip are `extract_faces_file` and
`collect_crops`; both write a faces file (`iaca.faces.store`).
"""

from __future__ import annotations

import logging
import re
import struct
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import IO

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from iaca.errors import InputError, plain_name
from iaca.faces.detect import Detection, FaceConfig, FaceDetector, PeopleRule, Side, align, make_detector, within
from iaca.faces.store import NUMBERS, FaceRow, decode_face, encode_face, faces_frame, write_batches
from iaca.faces.track import LOOK, CausalChoice, CausalTracker, FaceTracker, TrackSummary, choose, people
from iaca.files import make_folder
from iaca.media import MediaLimits, VideoFrame, prefetch, read_frames

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


def extract_people_files(
    media_path: str | Path,
    folder: Path,
    config: FaceConfig,
    rule: PeopleRule,
    detector: FaceDetector | None = None,
    limits: MediaLimits | None = None,
) -> list[Path]:
    """Extract the faces of every person in a video (`iaca.faces.track.people`) in one pass.

    Writes `person1.parquet`, `person2.parquet`, ... into `folder`, as `extract_faces_file` does; person 1 has the
    largest sum of box areas over time. A video without any face gets one file without faces. Raises the same errors.
    """
    if config.causal:
        remedy = "analyse the main person (inference.people=main), or use a model that is not causal"
        raise InputError("a causal model follows one person", media_path, remedy=remedy)
    with _Spool(folder, comparing=True) as spool:
        spool.fill(media_path, config, detector, limits)
        files = []
        for number, tracks in enumerate(spool.people(config, rule) or [[]], start=1):
            files.append(folder / f"person{number}.parquet")
            write_batches(files[-1], spool.rows(tracks))
        return files


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
    """
    matches = ((_CROP_NAME.fullmatch(path.name), path.name) for path in folder.iterdir())
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
