"""Folders of faces that the organisers of a corpus have cut out: where they are, and what does not fit.

    ROOT/cropped_aligned*/<clip>/00001.jpg ...        line i of the annotation, frame i, counted from 1

Several such folders may lie side by side, as they were downloaded; a clip is in one of them.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from iaca.corpora.index import NOTED, problem
from iaca.errors import InputError
from iaca.faces.extract import crop_files

PATTERN = "cropped_aligned*"


def find_crops(root: Path) -> dict[str, Path]:
    """Clip -> its folder of crops, for those that have one.

    Raises:
        InputError: a clip has two.
    """
    found: dict[str, Path] = {}
    for folder in sorted(path for top in sorted(root.glob(PATTERN)) for path in top.iterdir() if path.is_dir()):
        if folder.name in found:
            other = found[folder.name].relative_to(root)
            raise InputError(f"the clip has crops in {other} as well", folder, remedy="remove one of the folders")
        found[folder.name] = folder
    return found


def crop_problems(root: Path, clips: pd.DataFrame) -> list[dict[str, object]]:
    """What does not fit between the crops and the decoded frames of `clips`; nothing where a corpus has no crops."""
    crops = find_crops(root)
    if not crops:
        return []
    problems = []
    for clip, frames in zip(clips["clip"], clips["frames"], strict=True):
        if clip not in crops:
            remedy = "none is needed: its faces are detected, unless faces.source is crops"
            problems.append(problem(clip, "", "no folder of crops, though other clips have one", remedy, effect=NOTED))
            continue
        beyond = sorted(frame + 1 for frame in crop_files(crops[clip]) if not 0 <= frame < frames)
        if beyond:
            what = f"{len(beyond)} crops beyond the {frames} decoded frames, numbers {beyond[0]} to {beyond[-1]}"
            remedy = "none for one or two, which are left out; for more, check that video and crops belong together"
            problems.append(problem(clip, crops[clip].relative_to(root), what, remedy, effect=NOTED))
    return problems
