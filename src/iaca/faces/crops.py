"""Faces that a corpus brings along, cut out and aligned: one image for each frame in which its organisers saw one."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from PIL import Image

from iaca.errors import plain_name
from iaca.faces.extract import decode_face, encode_face
from iaca.faces.store import NUMBERS, FaceRow, write_batches

log = logging.getLogger(__name__)
VERSION = "1"
MOST_BYTES, MOST_PIXELS = 2**26, 4096 * 4096
_NAME = re.compile(r"(\d+)\.(jpg|jpeg|png)", re.IGNORECASE)
_SEEN = np.array([1.0, *[np.nan] * (len(NUMBERS) - 1)], dtype=np.float32)  # a score of 1; box and landmarks unknown


def crop_files(folder: Path) -> dict[int, str]:
    """0-based frame -> name of its image, for a folder whose images are numbered from 1 (`00001.jpg`).

    `00000.jpg` is frame -1: no frame at all. Other files are none of ours.
    """
    matches = ((_NAME.fullmatch(path.name), path.name) for path in folder.iterdir())
    return {int(match[1]) - 1: name for match, name in matches if match}


def collect_crops(timeline: Path, folder: Path, *, target: Path, size: int, jpeg_quality: int) -> None:
    """The engine's task: a clip's faces file from its timeline (Parquet) and its folder of crops.

    One row per decoded frame, as `iaca.faces.extract_faces_file` writes it. A frame without an image, or with one that
    is not readable, has no face. A JPEG of `size` x `size` px is kept as it is; others are resized, and encoded with
    `jpeg_quality` (0..100). Box and landmarks are NaN, the score is 1, the track 0. Images beyond the frames are left
    out; `iaca.corpora.crops` reports them.
    """
    times = pd.read_parquet(timeline, columns=["time_s"])["time_s"].to_numpy(np.float64)
    write_batches(target, _rows(times, folder, crop_files(folder), size, jpeg_quality))


def _rows(times: np.ndarray, folder: Path, files: Mapping[int, str], size: int, jpeg_quality: int) -> Iterator[FaceRow]:
    unreadable = []
    for frame, time_s in enumerate(times):
        jpeg = _face(folder / files[frame], size, jpeg_quality) if frame in files else b""
        if frame in files and not jpeg:
            unreadable.append(files[frame])
        yield FaceRow(frame, time_s, _SEEN, 0, jpeg) if jpeg else FaceRow(frame, time_s)
    if unreadable:
        where, first = plain_name(str(folder)), plain_name(unreadable[0])
        log.warning("%s: %d crops can't be read, the first is %s", where, len(unreadable), first)


def _face(path: Path, size: int, jpeg_quality: int) -> bytes:
    """The JPEG to store; empty where the file is no image, or one far larger than any crop."""
    if not path.is_file() or path.stat().st_size > MOST_BYTES:  # a pipe would be waited for
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
    """As many as the image's head says, without decoding it. Raises ValueError where it is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # nothing is decompressed here
            with Image.open(BytesIO(data), formats=("JPEG", "PNG")) as image:
                return image.width * image.height
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError("no image that is read here") from error
