"""The engine of all per-video work: a mapping of item -> task, run once, resumed, kept up to date."""

from iaca.engine.executors import ExecutorConfig
from iaca.engine.results import ClipPaths, OnDemand, results
from iaca.engine.run import Report, run_tasks
from iaca.engine.task import Task

__all__ = ["ClipPaths", "ExecutorConfig", "OnDemand", "Report", "Task", "results", "run_tasks"]
