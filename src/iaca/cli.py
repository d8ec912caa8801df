"""The project's `kedro run`: Kedro's own, except that paths in `--params` arrive exactly as the shell passes them.

Kedro reads every value as YAML, which cuts `Session #3.mp4` to `Session` and turns `20240115` into a number. It looks
for commands in a project's `cli.py` first.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from copy import copy
from typing import Any

import click
from kedro.framework.cli.project import run as kedro_run

from iaca.errors import INTERRUPTED
from iaca.hooks import PATHS, WEIGHTS

AS_TYPED = frozenset(".".join(names) for names in (*PATHS, *WEIGHTS))
"""Names of the parameters whose values are not YAML."""
_NEXT = re.compile(r",(?=\s*[A-Za-z_][\w.\[\]-]*\s*=)")
"""A comma separates parameters where `NAME=` follows; any other comma is part of a value."""

Parse = Callable[[click.Context, click.Parameter, Any], Any]


def split_params(usual: Parse, context: click.Context, option: click.Parameter, value: Any) -> Any:
    """The parameters as a nested mapping: paths as they are, all others as Kedro reads them.

    Args:
        usual: how Kedro parses the option.
        context, option: of click.
        value: `NAME=VALUE,NAME=VALUE`, or what a file of `--config` contains.
    """
    if not isinstance(value, str):
        return usual(context, option, value)
    items = [(item.partition("=")[0].strip(), item) for item in _NEXT.split(value)]
    names = [name for name, _ in items]
    for group in names:
        if parts := [name for name in names if name.startswith(f"{group}.")]:
            context.fail(f"`{option.name}` sets {parts[0]}, and also {group} as a whole: leave one of them out")
    found = usual(context, option, ",".join(item for name, item in items if name not in AS_TYPED))
    for name, item in items:
        if name in AS_TYPED:
            *groups, last = name.split(".")
            inner = found
            for group in groups:
                inner = inner.setdefault(group, {})
            inner[last] = item.partition("=")[2]
    return found


def _with_paths(option: click.Parameter) -> click.Parameter:
    """Kedro's option; for `--params` a copy with another parser."""
    if option.name != "params" or option.callback is None:
        return option
    usual, changed = option.callback, copy(option)
    changed.callback = lambda context, own, value: split_params(usual, context, own, value)
    return changed


@click.group(name="iaca")
def cli() -> None:
    """Commands of this project."""


def _run(*words: Any, **options: Any) -> Any:
    """Kedro's `run`; an interrupt ends it with one line."""
    try:
        return usual_run(*words, **options)
    except KeyboardInterrupt:
        click.echo(f"\n{INTERRUPTED}", err=True)
        sys.exit(130)


usual_run = kedro_run.callback or kedro_run
run = copy(kedro_run)
run.callback = _run
run.params = [_with_paths(option) for option in kedro_run.params]
cli.add_command(run)
