"""Every pipeline under its own name; `__default__` runs from the demo corpus to the report."""

from kedro.framework.project import find_pipelines
from kedro.pipeline import Pipeline

CHAIN = ("demo_corpus", "ingestion", "preprocessing", "embedding", "training", "evaluation")


def register_pipelines() -> dict[str, Pipeline]:
    """The pipelines that were asked for, by name: the same in every environment."""
    found = find_pipelines(raise_errors=True)
    if "__default__" in found:
        found["__default__"] = sum((found[name] for name in CHAIN), Pipeline([]))
    return found
