"""The results of a folder, for whoever works on with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from iaca.engine.demand import OnDemand
from iaca.engine.failures import read_failures
from iaca.engine.manifest import AGAIN, NAME, UNFINISHED, Manifest, check_whole
from iaca.errors import InputError


class ClipPaths(Mapping[str, Path]):
    """Item -> file of its result, and beside it what failed: item -> reason.

    A file that has been lost or damaged since is still in it: a task that is given it fails by itself, with the
    remedy, and whoever reads it outside of a task asks for it by `whole`.
    """

    def __init__(self, paths: Mapping[str, Path], failures: dict[str, str]):
        self._paths, self.failures = paths, failures

    def __getitem__(self, item: str) -> Path:
        if item in self._paths:
            return self._paths[item]
        reason = f": {self.failures[item]}" if item in self.failures else ""
        raise InputError(f"there is no result for {item}{reason}", remedy="run the pipelines before this one again")

    def __contains__(self, item: object) -> bool:
        return item in self._paths

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)

    def whole(self, item: str) -> Path:
        """The file of an item.

        Raises:
            InputError: it is gone, or not as it was written.
        """
        check_whole(self[item])
        return self[item]


def results(folder: Path, suffix: str) -> ClipPaths:
    """What a folder of results holds, by name.

    Raises:
        InputError: its journal or its table of failures can't be read; or the last run that was to fill the folder has
            not come to its end. A clip that it has not reached can't be told from one that was never there, and a
            smaller corpus would silently be gone on with.
    """
    if (folder / UNFINISHED).exists():
        raise InputError(
            "the run that fills this folder has not come to its end",
            folder,
            remedy="wait for it, or run the pipeline that writes it once more: what is finished is kept; to do without "
            f"the rest, remove {UNFINISHED} from the folder",
        )
    manifest = Manifest(folder)
    if manifest.unreadable or (not manifest.items and any(folder.glob(f"[!.]*{suffix}"))):
        raise InputError("what this folder holds is no longer noted here in full", folder / NAME, remedy=AGAIN)
    paths = OnDemand(lambda item: folder / f"{item}{suffix}", sorted(manifest.items))
    return ClipPaths(paths, read_failures(folder))
