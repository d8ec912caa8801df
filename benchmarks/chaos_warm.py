"""A command of the project in a forked process that has imported everything already: most of a short run is imports."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import TextIO

HEAVY = (
    "kedro.framework.cli.cli", "kedro.framework.session", "kedro_datasets.pandas", "matplotlib.pyplot", "pandas",
    "torch", "lightning", "iaca.training.train", "iaca.inference.write", "iaca.faces.extract", "iaca.corpora.demo",
    "iaca.encoders.embed", "iaca.evaluation.figures", "iaca.evaluation.report", "iaca.evaluation.benchmark_scores",
    "iaca.evaluation.metrics",
)  # fmt: skip


def warm_up(project: Path, variables: dict[str, str]) -> None:
    """Import what runs need, of the project's own code, under the environment that runs have."""
    os.environ.update(variables)
    sys.path.insert(0, str(project / "src"))
    for name in HEAVY:
        importlib.import_module(name)
    found = Path(str(sys.modules["iaca"].__file__))
    assert found.is_relative_to(project), f"{found} is not the project's own code"


class Forked:
    """A child of this process that runs a command of Kedro as the leader of a process group; used like a `Popen`."""

    def __init__(self, words: list[str], project: Path, out: TextIO):
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            _become(words, project, out)

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        if self.returncode is None and (ended := os.waitpid(self.pid, os.WNOHANG))[0]:
            self.returncode = os.waitstatus_to_exitcode(ended[1])
        return self.returncode

    def wait(self) -> int:
        """Wait for its end."""
        if self.returncode is None:
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.returncode


def _become(words: list[str], project: Path, out: TextIO) -> None:
    status = 1
    try:
        os.setsid()
        os.chdir(project)
        for descriptor in (1, 2):
            os.dup2(out.fileno(), descriptor)
        from kedro.framework.cli.cli import main

        sys.argv = words
        main()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:  # nothing of the parent's own is to be run here
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
