"""A run in a process of its own, to be killed: `python -c "import driver; driver.main()" WORDS OUT EXECUTOR_AS_JSON`.

Imported, not run as a script: a task's function is known by the module that it is imported from.
"""

import json
import os
import sys
import time
from pathlib import Path

from iaca.engine import ExecutorConfig, Task, run_tasks


def slowly(source: Path, target: Path, mark: str = "!") -> None:
    """Write a word in capitals, after the time it asks for: `WORD SECONDS`; say in a file of its own who does it."""
    word, seconds = source.read_text().split()
    (source.parent.parent / f"{source.name}.pid").write_text(str(os.getpid()))
    time.sleep(float(seconds))
    target.write_text(word.upper() + mark)


def slow_tasks(words: Path, mark: str = "!") -> dict[str, Task]:
    """One task for each file of a folder."""
    return {path.name: Task("slowly", slowly, (path,), {"mark": mark}) for path in sorted(words.iterdir())}


def main() -> None:
    """Run, and tell what was done as JSON."""
    given, out, executor = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
    report = run_tasks(slow_tasks(given), out, ".txt", ExecutorConfig(**executor))
    sys.stdout.write(json.dumps({"made": sorted(report.made), "kept": sorted(report.kept), "failed": report.failed}))
