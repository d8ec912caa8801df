"""Which videos a user means."""

from __future__ import annotations

import glob
from collections import Counter
from pathlib import Path

from iaca.errors import InputError

SUFFIXES = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp", ".ts")


def find_videos(given: str) -> dict[str, Path]:
    """Name of the results -> video, for a file, a folder (searched to its bottom) or a glob pattern.

    The name is the file's, without its ending where no other file shares it.

    Raises:
        InputError: nothing is there.
    """
    path = Path(given)
    if path.is_file():
        found = [path]
    elif path.is_dir():
        found = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
    else:
        found = sorted(Path(p) for p in glob.glob(given, recursive=True) if Path(p).is_file())  # noqa: PTH207 may be absolute
    if not found:
        raise InputError(
            "no video found",
            given,
            remedy=f"give a file, a folder or a pattern; endings looked for: {' '.join(SUFFIXES)}",
        )
    stems, names = Counter(p.stem for p in found), Counter(p.name for p in found)
    return {_name(p, path, stems, names): p for p in found}


def _name(video: Path, root: Path, stems: Counter[str], names: Counter[str]) -> str:
    if stems[video.stem] == 1:
        return video.stem
    if names[video.name] == 1:
        return video.name
    return "_".join(video.relative_to(root).parts) if video.is_relative_to(root) else "_".join(video.parts[-3:])
