"""Kedro settings: hooks, and where the configuration is read from."""

import sys

from iaca.errors import show_early

sys.excepthook = show_early  # while the imports below run

from iaca.cli import RunParameters, read_alike  # noqa: E402
from iaca.hooks import (  # noqa: E402
    KEDRO_MLFLOW,
    BoundedConfigLoader,
    MlflowRuns,
    OneRunAtATime,
    ProjectContext,
    ShortErrors,
    WhereResultsLie,
    keep_to_one_message,
    show,
)
from iaca.refusals import RunsThatCanSucceed  # noqa: E402

sys.excepthook = show
read_alike()
keep_to_one_message()

CONTEXT_CLASS = ProjectContext
run_locks = OneRunAtATime()
HOOKS = (  # Kedro calls the last one first
    MlflowRuns(),
    RunParameters(),
    WhereResultsLie(),
    RunsThatCanSucceed(run_locks.on_pipeline_error),
    run_locks,
    ShortErrors(),
)
# The hook of kedro-viz records how each run ended, and kedro-viz later shows the error as HTML. A script in a file name
# or a cell that the error quotes would run. Graph, previews and lineage do not need these records.
DISABLE_HOOKS_FOR_PLUGINS = ("kedro-viz", *KEDRO_MLFLOW)  # see `MlflowRuns`
CONFIG_LOADER_CLASS = BoundedConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    # An environment that changes one field of a parameter group, or the path of a dataset, keeps the others.
    "merge_strategy": {"parameters": "soft", "catalog": "soft"},
}
