"""Kedro settings: hooks, and where the configuration is read from."""

import sys

from kedro.config import OmegaConfigLoader

from iaca.hooks import OneRunAtATime, ProjectContext, RunParameters, show

sys.excepthook = show

CONTEXT_CLASS = ProjectContext
HOOKS = (RunParameters(), OneRunAtATime())
# The hook of kedro-viz records how each run ended, and kedro-viz later shows the error as HTML. A script in a file name
# or a cell that the error quotes would run. Graph, previews and lineage do not need these records.
DISABLE_HOOKS_FOR_PLUGINS = ("kedro-viz",)
CONFIG_LOADER_CLASS = OmegaConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    # An environment that changes one field of a parameter group, or the path of a dataset, keeps the others.
    "merge_strategy": {"parameters": "soft", "catalog": "soft"},
}
