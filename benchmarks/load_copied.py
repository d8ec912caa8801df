"""`kedro run`, as its arguments say, with tasks that copy: the result of a clip is that of the first one with the same
movie, which has to be there. What it takes is what the driver takes; the files are those that the work would make, to
the byte, since nothing in them tells clips with one movie apart (`same` checks it on clips that were worked on)."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from kedro.framework.cli.cli import main
from load_corpus import MOVIES, clip_name

from iaca.engine import pool
from iaca.engine.task import Task
from iaca.files import replacing


def copy(_: Task, final: Path, __: str) -> None:
    """In the place of `iaca.engine.worker.work`."""
    with replacing(final) as partial:
        shutil.copyfile(origin(final), partial)


def origin(result: Path) -> Path:
    """The result of the first clip with the same movie."""
    name, suffix = result.name.split(".", 1)
    return result.with_name(f"{clip_name(int(name.removeprefix('clip')) % MOVIES)}.{suffix}")


def same(folder: Path) -> int:
    """How many results of a folder were compared with those they would be copied from.

    Raises:
        ValueError: one differs, so that copies would not stand for work.
    """
    results = [path for path in sorted(folder.glob("clip*")) if path != origin(path)]
    for path in results:
        if path.read_bytes() != origin(path).read_bytes():
            raise ValueError(f"{path} differs from {origin(path).name}")
    return len(results)


if __name__ == "__main__":
    pool.work = copy
    sys.argv[0] = "kedro"
    main()
