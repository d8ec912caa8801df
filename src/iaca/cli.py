"""The project's `kedro run`: Kedro's own, except that paths in `--params` arrive exactly as the shell passes them.

Kedro reads every value as YAML, which cuts `Session #3.mp4` to `Session` and turns `20240115` into a number. It looks
for commands in a project's `cli.py` first. `kedro viz run` and notebooks read `--params` in the same way.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from copy import copy
from typing import Any

import click
from kedro.framework.cli import utils
from kedro.framework.cli.project import run as kedro_run

from iaca.errors import INTERRUPTED
from iaca.hooks import PATHS, WEIGHTS

AS_TYPED = frozenset(".".join(names) for names in (*PATHS, *WEIGHTS))
"""Names of the parameters whose values are not YAML."""
_NEXT = re.compile(r",(?=\s*[A-Za-z_][\w.\[\]-]*\s*=)")
"""A comma separates parameters where `NAME=` follows; any other comma is part of a value."""

Parse = Callable[..., Any]


def split_params(usual: Parse, context: click.Context | None, option: click.Parameter | None, value: Any) -> Any:
    """The parameters as a nested mapping: paths as they are, all others as Kedro reads them.

    Args:
        usual: how Kedro parses the option.
        context, option: of click; None in a notebook.
        value: `NAME=VALUE,NAME=VALUE`, or what a file of `--config` contains.
    """
    if not isinstance(value, str):
        return usual(context, option, value)
    items = [(item.partition("=")[0].strip(), item) for item in _NEXT.split(value)]
    names = [name for name, _ in items]
    for group in names:
        if parts := [name for name in names if name.startswith(f"{group}.")]:
            what = f"`params` sets {parts[0]}, and also {group} as a whole: leave one of them out"
            raise click.UsageError(what, context)
    try:
        found = usual(context, option, ",".join(item for name, item in items if name not in AS_TYPED))
    except click.UsageError as error:
        what = f"{error.message} A comma separates parameters; join several values by a plus: NAME=A+B"
        raise click.UsageError(what, context) from error
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
    changed.help = f"{getattr(option, 'help', '')} Paths are taken as they are, not as YAML."  # type: ignore[attr-defined]
    changed.callback = lambda context, own, value: split_params(usual, context, own, value)
    return changed


def read_alike() -> None:
    """Have `kedro viz run` and `%reload_kedro` read `--params` as `kedro run` does.

    They share a function of Kedro, which is replaced where they look it up: in Kedro's module, from which kedro-viz
    imports it later, and in its IPython extension if a notebook has loaded that.
    """
    usual = getattr(utils._split_params, USUAL, utils._split_params)

    def split(context: click.Context | None, option: click.Parameter | None, value: Any) -> Any:
        return split_params(usual, context, option, value)

    setattr(split, USUAL, usual)
    for name in (utils.__name__, "kedro.ipython"):
        if name in sys.modules:
            sys.modules[name]._split_params = split  # type: ignore[attr-defined]


USUAL = "usual"  # attribute of the replacement: Kedro's own function


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
