"""The faces of one person in a video, or of each: one row per decoded frame, from a single pass in bounded memory."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from iaca.faces.alignment import align
from iaca.faces.choose import TrackSummary, choose
from iaca.faces.config import FaceConfig, PeopleRule, Side
from iaca.faces.detector import Detection, FaceDetector, make_detector
from iaca.faces.people import LOOK, people
from iaca.faces.store import COLUMNS, NUMBERS, FaceRow, faces_frame, write_batches
from iaca.faces.track import FaceTracker
from iaca.media import MediaLimits, read_frames

_LENGTH = struct.Struct("<I")


def extract_faces(
    media_path: str | Path,
    config: FaceConfig,
    side: Side | None = None,
    detector: FaceDetector | None = None,
    limits: MediaLimits | None = None,
) -> pd.DataFrame:
    """Find, follow and align the face of a video's person (the rule is `choose`'s).

    Args:
        media_path: a file with pictures.
        config: parameters.
        side: "left" or "right" where two people share the picture.
        detector: used instead of the configured one, e.g. one that is already loaded.
        limits: what the file may hold; None for the usual ones.

    Returns:
        One row per decoded frame: frame int32, time_s float64, face_found bool, score float32, x0 y0 x1 y1 and
        lm0x lm0y .. lm4x lm4y float32 (px), track int32, jpeg bytes (aligned face). Frames without the face have
        NaN, track -1 and empty bytes; gaps are never filled.

    Raises:
        InputError: the file has no pictures that decode, is beyond a limit, or the detector is unknown or lacks its
            weights.
    """
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
    """As `write_faces(target, extract_faces(...))`, in a memory that does not grow with the video's length."""
    with _Spool() as spool:
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
    """The faces of every person in a video (the rule is `people`'s), from the same single pass.

    Writes `person1.parquet`, `person2.parquet`, ... into `folder`, as `extract_faces_file` does; 1 is the person with
    the largest sum of box areas over time. A video without any face gets one file without any. Errors as there.
    """
    with _Spool() as spool:
        spool.fill(media_path, config, detector, limits)
        files = []
        for number, tracks in enumerate(spool.people(config, rule) or [[]], start=1):
            files.append(folder / f"person{number}.parquet")
            write_batches(files[-1], spool.rows(tracks))
        return files


class _Spool:
    """All faces of a pass over the video in a temporary file, until the person is chosen; in memory are their places.

    A record is the length of the JPEG, the face's numbers, the JPEG.
    """

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self._times: list[float] = []
        self._places: dict[int, dict[int, int]] = {}  # track -> frame -> where its record begins
        self._tracks: dict[int, TrackSummary] = {}

    def __enter__(self) -> _Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def fill(
        self, media_path: str | Path, config: FaceConfig, detector: FaceDetector | None, limits: MediaLimits | None
    ) -> None:
        """Pass once over the video."""
        tracker = FaceTracker(detector or make_detector(config), config)
        for frame, faces in tracker.run(read_frames(media_path, limits)):
            self._times.append(frame.time_s)
            for track, face in faces.items():
                summary = self._tracks.setdefault(track, TrackSummary(track, frame.time_s))
                summary.add(frame.index, frame.time_s, face)
                aligned = align(frame.image, face.landmarks, config.size)
                summary.show(np.asarray(cv2.resize(aligned, LOOK, interpolation=cv2.INTER_AREA), np.uint8))
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
        """One row per frame of the video for the person of the chosen tracks."""
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


def encode_face(face: NDArray[np.uint8], quality: int) -> bytes:
    """JPEG of an RGB face (size, size, 3)."""
    done, data = cv2.imencode(".jpg", cv2.cvtColor(face, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError(f"OpenCV can't encode an image of shape {face.shape}")
    return bytes(data)


def decode_face(jpeg: bytes) -> NDArray[np.uint8]:
    """RGB face (size, size, 3) uint8 of a row's JPEG.

    Raises:
        ValueError: the bytes are empty (a frame without a face) or no image.
    """
    image: Any = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) if jpeg else None
    if image is None:
        raise ValueError("no face is stored in this row" if not jpeg else "the stored face is no image")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)


__all__ = ["COLUMNS", "decode_face", "encode_face", "extract_faces", "extract_faces_file", "extract_people_files"]
