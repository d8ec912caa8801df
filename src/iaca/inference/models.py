"""Which model files a user means, and whether they can answer together."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from iaca.errors import InputError
from iaca.files import newest_version

SUFFIX = ".safetensors"
ZERO_SHOT = "zero_shot"
NAMED = {ZERO_SHOT: Path(__file__).parent / "zero_shot/zero_shot.json"}
"""Models that come with the project."""
_REMEDY = (
    f"give a model file, a list of them, a folder that holds some ({SUFFIX}), a pattern, or {ZERO_SHOT}; "
    "`kedro run` trains models into data/06_models"
)


def find_models(given: str | Path | Iterable[str | Path]) -> list[Path]:
    """The files behind a name, a path, a pattern or a list of these, in the order given and each once.

    A folder of versions (`NAME/<version>/NAME`, as the training pipeline writes) is its newest version; any other
    folder is all model files directly in it, by name.

    Raises:
        InputError: one of them is not there, or a folder holds no model.
    """
    several = [given] if isinstance(given, str | Path) else list(given)
    found = [path for one in several for path in _files(str(one))]
    if not found:
        raise InputError("no model is named", remedy=_REMEDY)
    return list(dict.fromkeys(found))


def _files(given: str) -> list[Path]:
    path = Path(given)
    if not path.exists() and given in NAMED:
        return [NAMED[given]]
    if path.is_file():
        return [path]
    if path.is_dir():
        newest = newest_version(path)
        found = [newest] if newest else sorted(p for p in path.glob(f"[!.]*{SUFFIX}") if p.is_file())
    else:
        found = sorted(Path(p) for p in glob.glob(given, recursive=True) if Path(p).is_file())  # noqa: PTH207 may be absolute
    if not found:
        raise InputError("there is no model", given, remedy=_REMEDY)
    return found


def check_alike(paths: Sequence[Path], metadata: Sequence[Mapping[str, str]]) -> None:
    """Refuse models that were trained on other encoders than the first: a video is embedded once for all.

    Raises:
        InputError: naming the file and what differs.
    """
    from iaca.encoders.config import mismatches  # after the command line has been checked

    for path, facts in zip(paths[1:], metadata[1:], strict=True):
        if differences := mismatches(metadata[0], facts):
            raise InputError(
                f"models that answer together need the same encoders, but beside {paths[0].name} this one has "
                f"{'; '.join(differences)}",
                path,
                remedy="leave it out, or train it on the same embeddings",
            )
