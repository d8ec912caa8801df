"""What `--params` may set, and how it is read. The project's `kedro run` is Kedro's own, except that paths arrive
exactly as the shell passes them.

Kedro reads every value as YAML, which cuts `Session #3.mp4` to `Session` and turns `20240115` into a number. It looks
for commands in a project's `cli.py` first. `kedro viz run` and notebooks read `--params` in the same way.
"""

from __future__ import annotations

import glob
import logging
import os
import re
import sys
from collections.abc import Callable, Mapping
from copy import copy
from pathlib import Path
from typing import Any

import click
from kedro.config import OmegaConfigLoader
from kedro.framework.cli import utils
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from pydantic import BaseModel, ValidationError, field_validator

from iaca.engine import ExecutorConfig
from iaca.errors import INTERRUPTED, InputError, is_text
from iaca.files import PROJECT
from iaca.hooks import check_file, configuration, unknown_group
from iaca.inference.config import NAMED, named_repository
from iaca.parameters import Parameters, faults
from iaca.pipelines.ingestion.nodes import IMPORTERS

log = logging.getLogger(__name__)

INGESTION, IMPORTER = "ingestion", "importer"
DEVICE = "device"
COMPUTING = ("faces", "embedding", "encoder_training", "training", "evaluation", "benchmark", "inference")
"""Groups of parameters with a device."""
PATHS = (("inference", "input"), ("inference", "output"), ("inference", "model"), (INGESTION, "root"))
"""Parameters that are paths, or patterns or lists of paths. They are made absolute; a model may also be on the hub."""
WEIGHTS = (
    ("faces", "weights"),
    ("embedding", "visual", "weights"),
    ("embedding", "audio", "weights"),
    ("encoder_training", "encoder", "weights"),
)
"""Parameters that are paths or names of published files. They are part of fingerprints, hence relative to the project
(`iaca.files.in_project`), from wherever the command is run."""
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


class RunParameters:
    """Before anything runs, makes path parameters absolute and rejects parameters that no pipeline reads."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Make the paths of `--params` absolute, and check its groups and `globals.yml`.

        Raises:
            InputError: an entry of `globals.yml` or a group is unknown, a value of these, of `executor` or of
                `ingestion` is invalid, or `ingestion` names another importer than the environment.
        """
        loader: Any = context.config_loader  # of `settings.py`
        _check_globals(loader)
        _name_unread(loader)
        given: dict[str, Any] = loader.runtime_params or {}
        loader.runtime_params = {}
        usual = loader["parameters"]
        os.environ[PROJECT] = str(context.project_path)  # worker processes inherit it
        _check_groups(given, {*usual, "executor", DEVICE})
        if "executor" in given:
            _check("executor", ExecutorConfig, given["executor"])
        loader.runtime_params = with_absolute_paths(everywhere(given), usual, context.project_path)
        if INGESTION in given:
            importer = usual[INGESTION][IMPORTER]
            _check_importer(given[INGESTION], importer)
            _check(INGESTION, IMPORTERS[importer], loader["parameters"][INGESTION])


def everywhere(given: Mapping[str, Any]) -> dict[str, Any]:
    """The given parameters with `device=cuda` in every group that has a device and is not given its own.

    Raises:
        InputError: `device` is not a name.
    """
    device = given.get(DEVICE)
    if device is None:
        return dict(given)
    if not isinstance(device, str):
        raise InputError(f"device is {device!r}", remedy="use auto, cpu, cuda or cuda:N")
    groups = {group: given.get(group, {}) for group in COMPUTING}
    own = {g: {DEVICE: device, **values} for g, values in groups.items() if isinstance(values, Mapping)}
    return {name: value for name, value in given.items() if name != DEVICE} | own


def with_absolute_paths(given: Mapping[str, Any], usual: Mapping[str, Any], project: Path) -> dict[str, Any]:
    """The given parameters, with every path absolute, so that nodes, datasets and workers agree on it.

    A relative path on the command line is relative to the current folder, one in the configuration to the project.

    Raises:
        InputError: a path is a number, a date or a mapping, which YAML made of it.
    """
    located = {group: _copied(values, project) for group, values in given.items()}
    for group, name in PATHS:
        own, default = located.get(group, {}), usual.get(group, {})
        if isinstance(own, dict) and name in own:
            own[name] = _located(_text(own[name], ".".join((group, name))), name, Path.cwd())
        elif isinstance(own, dict) and default.get(name):
            located[group] = own | {name: _located(default[name], name, project)}
    for *groups, name in WEIGHTS:
        inner: Any = located
        for group in groups:
            inner = inner.get(group) if isinstance(inner, dict) else None
        if isinstance(inner, dict) and name in inner:
            inner[name] = _verbatim(_text(inner[name], ".".join((*groups, name))))
    return located


def _located(value: Any, name: str, base: Path) -> Any:
    """A path, pattern or list of these, absolute, or the repository that a model is named by; for OmegaConf."""
    repository = named_repository(value, base) if name == "model" and isinstance(value, str) else None
    return _verbatim(repository or _absolute(value, base))


def _copied(values: Any, project: Path) -> Any:
    """A copy, in which files of weights that are relative to the current folder are relative to the project."""
    if isinstance(values, list | tuple):
        return [_copied(value, project) for value in values]
    if not isinstance(values, Mapping):
        return values
    copied = {name: _copied(value, project) for name, value in values.items()}
    weights = copied.get("weights")
    # unlike Path, os.path takes a name that is too long for a file system
    if isinstance(weights, str) and not Path(weights).is_absolute() and os.path.isfile(weights):  # noqa: PTH113
        copied["weights"] = os.path.relpath(weights, project)
    return copied


def _text(value: Any, name: str) -> Any:
    """A path or several, as given.

    Raises:
        InputError: it is empty or no text; YAML (of a file, or of a notebook's parameters) may have changed it.
    """
    for one in value if isinstance(value, list | tuple) else [value]:
        if one is not None and not isinstance(one, str):
            remedy = "write the path in quotes, or else YAML changes it"
            raise InputError(f"{name} is {one!r}, which is not a path", remedy=remedy)
        if one == "":
            raise InputError(f"{name} is empty", remedy="give a path, or leave the parameter out")
        if one and not is_text(one):
            raise InputError(f"{name} is not valid UTF-8: {one}", remedy="rename it, or name its folder")
    return value


def _verbatim(value: Any) -> Any:
    """A path that OmegaConf reads as it is: `${x}` would be a reference, and `???` a missing value."""
    if isinstance(value, list | tuple):
        return [_verbatim(one) for one in value]
    if not isinstance(value, str):
        return value
    return "./???" if value == "???" else _REFERENCE.sub(lambda found: 2 * found[1] + "\\${", value)


_DRIVE = re.compile(r"([A-Za-z]):[\\/]")
_REFERENCE = re.compile(r"(\\*)\$\{")


def _absolute(value: Any, base: Path) -> Any:
    """A path, pattern or list of these, absolute; names of models that come with the project are unchanged. A shell
    leaves `~/` as it is after a `=`.

    Raises:
        InputError: it is a path of Windows, and this is another system.
    """
    if isinstance(value, list | tuple):
        return [_absolute(one, base) for one in value]
    if not isinstance(value, str) or not value or (value in NAMED and not (base / value).exists()):
        return value
    if os.name != "nt" and (drive := _DRIVE.match(value)) and not os.path.lexists(base / value):
        there = f"/mnt/{drive[1].lower()}/{value[drive.end() :]}".replace("\\", "/")
        remedy = f"write the path that it has here, such as {there} in WSL"
        raise InputError(f"{value} is a path of Windows", remedy=remedy)
    if value.startswith("~/") and not os.path.lexists(base / value):
        value = str(Path(value).expanduser())
    if glob.has_magic(value) and not os.path.lexists(base / value):  # the base folder is not a pattern
        return str(Path(glob.escape(str(base))) / value)
    return str(base / value)


def _check_groups(given: Mapping[str, Any], known: set[str]) -> None:
    for group in given:
        if group not in known:
            raise unknown_group(group, known)


def _check_importer(given: object, usual: str) -> None:
    """Reject an importer other than the environment's, because results of both would be mixed."""
    if isinstance(given, Mapping) and given.get(IMPORTER, usual) != usual:
        raise InputError(
            f"ingestion.importer is {given[IMPORTER]!r}, but this environment reads with {usual!r}",
            remedy="choose the environment of the importer, such as --env folder, and leave the parameter out",
        )


class Globals(Parameters):
    """The entries of `globals.yml` that `conf/base` reads.

    Attributes:
        executor: where per-video work runs.
        at: folder, in each layer of `data`, of the results of an environment.
    """

    executor: ExecutorConfig = ExecutorConfig()
    at: str = ""

    @field_validator("at")
    @classmethod
    def _is_a_folder_inside(cls, given: str) -> str:
        if not re.fullmatch("([^/.][^/]*/)*", given):
            raise ValueError('write the name of a folder with a slash at its end, as in at: "mine/"')
        return given


def _check_globals(loader: OmegaConfigLoader) -> None:
    """Reject an entry of `globals.yml` that is invalid, or that is unknown and that no file of configuration reads."""
    folders = [Path(loader.conf_source, env) for env in (loader.env or loader.default_run_env, loader.base_env)]
    text = "".join(file.read_text(encoding="utf-8") for folder in folders for file in configuration(folder))
    others = set(re.findall(r"\$\{globals:\s*(\w+)", text)) - set(Globals.model_fields)
    found: dict[str, tuple[Path, int]] = {}  # Kedro takes an entry from the first of these folders that has it
    for file in (folder / "globals.yml" for folder in folders):
        found = {name: (file, line) for name, line in check_file(file).items()} | found if file.is_file() else found
    for name, (file, line) in found.items():
        if name in others:
            continue
        try:
            Globals.model_validate({name: loader["globals"][name]})
        except ValidationError as error:
            remedy = f"correct the entry, or remove it; conf/base reads {' and '.join(Globals.model_fields)}"
            raise InputError(f"invalid entry: {faults(error)}", file, line, remedy) from error


def _name_unread(loader: OmegaConfigLoader) -> None:
    """Warn of files that Kedro does not read: those of `conf/local` with another `--env`, and those of other names."""
    local, own = (Path(loader.conf_source, env or loader.default_run_env) for env in (None, loader.env))
    if own != local and (names := [str(file.relative_to(local)) for file in configuration(local)]):
        log.warning("with --env %s, conf/local is not read: %s. Write to %s", own.name, ", ".join(names), own)
    for file in configuration(own):
        if not any(part.startswith(READ) for part in file.relative_to(own).parts):
            log.warning("%s is not read: begin its name with parameters or catalog, or name it globals.yml", file)


READ = ("parameters", "catalog", "credentials", "globals.yml", "logging.yml", "mlflow.yml")
"""Beginnings of the names of files and folders of configuration."""


def _check(group: str, model: type[BaseModel], values: object) -> None:
    try:
        model.model_validate(values)
    except ValidationError as error:
        raise InputError(
            f"invalid parameter: {faults(error, f'{group}.')}",
            remedy="correct the value, or leave the parameter out",
        ) from error


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
