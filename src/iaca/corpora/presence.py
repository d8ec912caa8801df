"""What was really observed of a clip, step by step."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from iaca.errors import InputError
from iaca.faces import read_faces
from iaca.media import present_at, read_audio_file


def complete_timeline(labels: Path, faces: Path, audio: Path, *, target: Path) -> None:
    """The engine's task: add `face_found` and `audio_present` to a clip's timeline.

    Raises:
        InputError: the faces were taken from another video than the timeline.
    """
    timeline, found = pd.read_parquet(labels), read_faces(faces, columns=["frame", "face_found"])
    if len(timeline) != len(found):
        raise InputError(
            f"{len(found)} frames of faces, but {len(timeline)} in the timeline", faces,
            remedy="the video changed in between: run ingestion and preprocessing again",
        )  # fmt: skip
    timeline["face_found"] = found["face_found"].to_numpy()
    timeline["audio_present"] = present_at(read_audio_file(audio).present, timeline["time_s"].to_numpy())
    timeline.to_parquet(target)
