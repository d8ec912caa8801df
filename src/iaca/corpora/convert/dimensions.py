"""Labels that lie in a folder per dimension."""

from __future__ import annotations

from pathlib import Path

from iaca.corpora.convert.config import ConvertConfig
from iaca.corpora.convert.recordings import tables
from iaca.errors import InputError


def labels_by_dimension(
    source: Path, folder: str, config: ConvertConfig
) -> dict[str, dict[str, tuple[Path, str | None]]]:
    """Recording -> file and column by `valence` and `arousal`, of recordings that have both.

    Raises:
        InputError: the folder of a dimension is missing; those that are there are named.
    """
    found: dict[str, dict[str, Path]] = {}
    for dimension, name in (("valence", config.valence), ("arousal", config.arousal)):
        if not (source / folder / name).is_dir():
            held = sorted(path.name for path in (source / folder).glob("*") if path.is_dir())
            remedy = f"give --{dimension} one of: {', '.join(held) or 'none is there; give --labels another folder'}"
            raise InputError(f"no dimension {name!r}", source / folder, remedy=remedy)
        found[dimension] = tables(source, f"{folder}/{name}", "labels")
    both = set(found["valence"]) & set(found["arousal"])
    return {clip: {kind: (paths[clip], config.column) for kind, paths in found.items()} for clip in sorted(both)}
