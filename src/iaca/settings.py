"""Kedro settings: where configuration lies and how it is read."""

import sys

from kedro.config import OmegaConfigLoader

from iaca.hooks import OneRunAtATime, ProjectContext, RunParameters, RunsThatCanSucceed, WhereResultsLie, show

sys.excepthook = show

CONTEXT_CLASS = ProjectContext
HOOKS = (RunParameters(), WhereResultsLie(), OneRunAtATime(), RunsThatCanSucceed())  # Kedro calls the last one first
# kedro-viz would note how each run ended and show it later, and what an error repeats of a file (a name, a cell) as
# HTML: scripts in it would run. Its graph, previews and lineage need none of these notes.
DISABLE_HOOKS_FOR_PLUGINS = ("kedro-viz",)
CONFIG_LOADER_CLASS = OmegaConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    # An environment that changes one field of a parameter group, or the path of a dataset, keeps the others.
    "merge_strategy": {"parameters": "soft", "catalog": "soft"},
}
