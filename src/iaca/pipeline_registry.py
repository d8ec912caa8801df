"""Every pipeline under its own name; `__default__` runs from the demo corpus to the report."""

import re
from difflib import get_close_matches
from pathlib import Path

from kedro.framework.project import find_pipelines
from kedro.pipeline import Pipeline

from iaca.errors import InputError

CHAIN = ("demo_corpus", "ingestion", "preprocessing", "embedding", "training", "evaluation")


def register_pipelines() -> dict[str, Pipeline]:
    """The pipelines that were asked for, by name: the same in every environment.

    Raises:
        InputError: there is no pipeline of a name.
    """
    try:
        found = find_pipelines(raise_errors=True)
    except ImportError as error:
        known = sorted(path.parent.name for path in Path(__file__).parent.glob("pipelines/*/pipeline.py"))
        module = re.search(r"iaca\.pipelines\.([^']+)'", str(error))
        if error.__cause__ is not None or module is None or module[1] in known:  # it exists, but can't be imported
            raise
        near = get_close_matches(module[1], known, n=1)
        raise InputError(
            f"there is no pipeline named {module[1]!r}",
            remedy=f"{f'did you mean {near[0]}? ' if near else ''}choose one of {', '.join(known)}",
        ) from error
    if "__default__" in found:
        found["__default__"] = sum((found[name] for name in CHAIN), Pipeline([]))
    return found
