"""Additions to Kedro: versions in order despite a wrong clock, checked configuration, short errors, tracking in `--env
mlflow`, run locks, last lines that name the results."""

from __future__ import annotations

import atexit
import hashlib
import importlib
import logging
import math
import os
import re
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack
from difflib import get_close_matches
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml
from kedro.config import MissingConfigException, OmegaConfigLoader
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import AbstractDataset, CatalogProtocol, DataCatalog, DatasetError
from kedro.io.core import generate_timestamp
from kedro.pipeline import Pipeline
from kedro.validation import ParameterValidationError
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from iaca.datasets.files import CorpusFolder
from iaca.engine.results import locked
from iaca.errors import InputError, brief, message_of_machine, printable, unreadable
from iaca.files import make_folder, newest_version, version_after

log = logging.getLogger(__name__)


MOST_VALUES = 100_000
"""Values in a file of configuration, counted as often as aliases repeat them."""


class BoundedConfigLoader(OmegaConfigLoader):
    """Refuses YAML whose aliases expand without end: nine lines can make a billion values, for which OmegaConf would
    take hours and all memory. Names the environments where there is none of a name, and the values that can't be
    merged."""

    def __init__(self, conf_source: str | Path, env: str | None = None, **options: Any):
        if env is not None and Path(conf_source).is_dir() and not Path(conf_source, env).is_dir():
            known = sorted(folder.name for folder in Path(conf_source).iterdir() if folder.is_dir())
            raise InputError(
                f"there is no environment {env!r}",
                remedy=f"{_did_you_mean(env, known)}choose one of {', '.join(known)}",
            )
        usual = _parameter_groups(Path(conf_source, str(options.get("base_env"))))
        own = _parameter_groups(Path(conf_source, str(env or options.get("default_run_env"))))
        for group, (file, line) in own.items():
            if usual and group not in usual and not group.startswith("_"):  # Kedro's mark of names that are not for it
                raise unknown_group(group, usual, file, line)
        super().__init__(conf_source, env, **options)

    def __getitem__(self, key: str) -> Any:
        """The configuration of a kind, merged and resolved.

        Raises:
            InputError: a list and a group of values have the same name, `${...}` refers to what does not exist, or two
                files of a folder set the same value.
        """
        try:
            return super().__getitem__(key)
        except OmegaConfBaseException as error:
            raise self._explained(key, error) from error
        except ValueError as error:
            if not str(error).startswith("Duplicate keys found"):
                raise
            raise InputError(f"two files set one value ({brief(error, 600)})", remedy="keep one of them") from error

    def _explained(self, key: str, error: OmegaConfBaseException) -> InputError:
        """The values that OmegaConf, which names no file, could not merge or resolve."""
        base, own, *_ = self._read_raw_config(key)
        found = [(str(file), OmegaConf.to_container(values)) for file, values in [*base.items(), *own.items()]]
        found.append(("--params", self.runtime_params or {}))
        for place, (file, values) in enumerate(found):
            for usual_file, usual in found[:place]:
                if (clash := _clash(usual, values)) is not None:
                    return _unlike(*clash, file, usual_file)
        said, name = brief(str(error).partition("\n")[0]), getattr(error, "full_key", None) or key
        remedy = "write a value itself; `${NAME}` stands for the value of another name"
        return InputError(f"{name} has no value ({said})", remedy=remedy)


def _clash(usual: Any, given: Any, name: str = "") -> tuple[str, Mapping[str, Any] | None] | None:
    """The first name at which one has a list and the other a mapping; with the mapping if it is the usual one."""
    if isinstance(usual, Mapping) and isinstance(given, Mapping):
        inner = (_clash(usual[key], given[key], f"{name}.{key}") for key in given if key in usual)
        return next(filter(None, inner), None)
    if isinstance(usual, Mapping) and isinstance(given, list | tuple):
        return name.lstrip("."), usual
    if isinstance(usual, list | tuple) and isinstance(given, Mapping):
        return name.lstrip("."), None
    return None


def _unlike(name: str, group: Mapping[str, Any] | None, file: str, usual: str) -> InputError:
    """The error for what `_clash` has found."""
    if group is None:
        return InputError(f"{name} is a group of values, where {usual} has a list", file, remedy="give a list")
    remedy = f"set one of them by its name, such as {name}.{next(iter(group), 'NAME')}"
    return InputError(f"{name} is a list, where {usual} has a group of values", file, remedy=remedy)


def unknown_group(group: str, known: Collection[str], file: Path | None = None, line: int | None = None) -> InputError:
    remedy = f"{_did_you_mean(group, known)}choose one of {', '.join(sorted(known))}"
    return InputError(f"no pipeline takes a parameter {group!r}", file, line, remedy)


def _did_you_mean(name: str, known: Collection[str]) -> str:
    near = get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}? " if near else ""


def _parameter_groups(folder: Path) -> dict[str, tuple[Path, int]]:
    """Group of parameters -> its file and line, in a folder of configuration. All its files are checked."""
    groups: dict[str, tuple[Path, int]] = {}
    for file in configuration(folder):
        names = check_file(file)
        if any(part.startswith("parameters") for part in file.relative_to(folder).parts):
            groups |= {name: (file, line) for name, line in names.items()}
    return groups


def configuration(folder: Path) -> list[Path]:
    """The files of a folder of configuration, in order; as for Kedro, without hidden ones."""
    hidden = re.compile(r"(^|/)\.")
    files = (p for p in sorted(folder.rglob("*")) if not hidden.search(p.relative_to(folder).as_posix()))
    return [path for path in files if path.suffix in (".yml", ".yaml", ".json") and path.is_file()]


def check_file(file: Path) -> dict[str, int]:
    """The names at the top of a YAML file, with their lines; its aliases are counted without expanding them.

    Raises:
        InputError: it is not YAML or has no names, a name is there twice, there are more than `MOST_VALUES` values, or
            it contains itself.
    """
    try:
        root = yaml.compose(file.read_bytes().decode(), Loader=yaml.CSafeLoader)
    except UnicodeDecodeError as error:
        raise InputError("is not UTF-8 text", file, remedy="save it as UTF-8") from error
    except yaml.YAMLError as error:
        mark, said = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        line = None if mark is None else mark.line + 1
        remedy = "correct the line or the one above it: blanks (no tabs) before names, and brackets and quotes in pairs"
        raise InputError(f"can't be read as YAML ({brief(said or error)})", file, line, remedy) from error
    if root is None:
        return {}
    if not isinstance(root, yaml.MappingNode):
        raise InputError("has no names of values", file, 1, "write `NAME: VALUE`, as the files in conf/base")
    sizes: dict[int, float] = {}

    def size(node: yaml.Node) -> float:
        if id(node) not in sizes:
            sizes[id(node)] = math.inf  # while its parts are counted: a part that is the node itself has no end
            if isinstance(node, yaml.MappingNode):
                _check_names(node, file)
            parts = sum(node.value, ()) if isinstance(node, yaml.MappingNode) else node.value
            sizes[id(node)] = 1 + (0 if isinstance(node, yaml.ScalarNode) else sum(map(size, parts)))
        return sizes[id(node)]

    if size(root) > MOST_VALUES:
        what = f"aliases (`*name`) make more than {MOST_VALUES:,} values of this file"
        raise InputError(what, file, remedy="write the values themselves, or fewer aliases")
    return {str(name.value): name.start_mark.line + 1 for name, _ in root.value}


def _check_names(node: yaml.MappingNode, file: Path) -> None:
    """Refuse a name that is there twice."""
    lines: dict[str, int] = {}
    for name, _ in node.value:
        line = name.start_mark.line + 1
        if isinstance(name, yaml.ScalarNode) and lines.setdefault(name.value, line) != line:
            what = f"{brief(name.value)} is also on line {lines[name.value]}"
            raise InputError(what, file, line, "keep one of them")


MODEL, BASELINES = "model", "baseline_models"
"""Datasets that one training run saves together."""


class ProjectContext(KedroContext):
    """A catalog that saves under the newest version. Kedro documents `_get_catalog` as the place to change that."""

    def _get_catalog(
        self,
        catalog_class: type = DataCatalog,
        save_version: str | None = None,
        load_versions: dict[str, str] | None = None,
    ) -> CatalogProtocol[str, AbstractDataset[Any, Any]]:
        """The catalog, whose save version is newer than every existing one, even if the clock is wrong.

        Kedro proposes the time at which the session started; all versioned datasets share one version. A version of the
        model that is asked for is that of its baselines, too, unless another one is asked for.
        """
        if load_versions and MODEL in load_versions:
            load_versions = {BASELINES: load_versions[MODEL], **load_versions}
        proposed = save_version or generate_timestamp()
        entries = [entry for entry in self.config_loader["catalog"].values() if isinstance(entry, Mapping)]
        files = [self.project_path / entry["filepath"] for entry in entries if entry.get("versioned")]
        version = version_after(proposed, files)
        for newest in filter(None, map(newest_version, files)):
            if newest.parent.name >= proposed:
                log.warning(
                    "%s is a version from the future: this machine's clock says %s. Versions saved now are named %s, "
                    "so that they are the newest. Check the clock",
                    newest.parent, proposed, version,
                )  # fmt: skip
        return super()._get_catalog(catalog_class, version, load_versions)


STACK = "IACA_TRACEBACK"
"""Environment variable: if set, every error is shown with its traceback."""
FAILED = "Failed while "  # how Kedro's message begins for any error of a dataset
NO_PIPELINE = "Failed to find the pipeline"  # how the message of Kedro's ValueError begins


def keep_to_one_message() -> None:
    """Leave out what Kedro logs of a run that fails: the error, which `show` shows at the end, and the advice to repeat
    the command with other options, where the same command continues."""
    logging.getLogger("kedro.pipeline.node").addFilter(_is_no_failure)
    logging.getLogger("kedro.runner.sequential_runner").addFilter(_is_no_failure)
    logging.getLogger("kedro.validation.parameter_validator").addFilter(_is_no_failure)


def _is_no_failure(record: logging.LogRecord) -> bool:
    return record.levelno < logging.WARNING or not record.msg.startswith(OF_FAILURES)


OF_FAILURES = (
    "Node %s failed with error", "No nodes ran. Repeat the previous command", "There are ", "Parameter '"
)  # fmt: skip
"""How these messages begin."""


def show(kind: type[BaseException], error: BaseException, stack: TracebackType | None) -> None:
    """A `sys.excepthook` that shows an error a user can fix as its message alone, and an interrupt as one line."""
    message = message_of(error)
    shown = message_of_machine(error) if message is None else f"Error: {message}"
    if shown is None or os.environ.get(STACK):
        sys.__excepthook__(kind, error, stack)
    else:
        sys.stderr.write(f"{printable(shown)}\n")


class ShortErrors:
    """Shows errors by `show` even without `conf/logging.yml`: Kedro then logs by rich, which shows them itself."""

    @hook_impl
    def after_context_created(self) -> None:
        """Take the place of rich's `sys.excepthook`; the settings, which set ours, are read before Kedro sets that."""
        sys.excepthook = show


def message_of(error: BaseException) -> str | None:
    """The message for the user; None for an error that only its traceback explains."""
    chain = list(_chain(error))
    mine = [one for one in chain if isinstance(one, InputError)]
    if mine:
        wrapped = FAILED in str(error)  # Kedro's wrapper only adds the dataset's name; other wrappers add more
        return str(mine[-1] if wrapped else error)
    if denied := [one for one in chain if isinstance(one, PermissionError) and one.filename]:
        return str(unreadable(denied[0]))
    if isinstance(error, ParameterValidationError):
        return _of_parameters(str(error))
    of_kedro = isinstance(error, MissingConfigException) or (
        all(isinstance(one, DatasetError) for one in chain) or str(error).startswith(NO_PIPELINE)
    )
    return str(error) if of_kedro else None


_OF_GROUP = re.compile(r"^- Parameter '([^']*)': ", re.MULTILINE)
_OF_MODEL = re.compile(r"Failed to instantiate \w+ for parameter .*: \d+ validation errors? for .*\n")
_OF_FIELD = re.compile(r"(?:^(\S.*)\n)?^  (\S.*?)(?: \[type=.*)?$", re.MULTILINE)


def _of_parameters(text: str) -> str:
    """Kedro's message for invalid parameters without what only their models' author needs: one line per parameter."""
    _, *parts = _OF_GROUP.split(text)
    lines = []
    for group, part in zip(parts[::2], parts[1::2], strict=True):
        model = _OF_MODEL.match(part)
        fields = _OF_FIELD.findall(part[model.end() :]) if model else [("", part.strip())]
        lines += [f"{group}{f'.{name}' if name else ''}: {message}" for name, message in fields]
    if not lines:
        return text
    return str(
        InputError(f"invalid parameter: {'; '.join(lines)}", remedy="correct the value, or leave the parameter out")
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


MLFLOW, KEDRO_MLFLOW = "mlflow", ("kedro_mlflow", "kedro-mlflow")
"""The environment in which runs are tracked by kedro-mlflow, and the name of that plugin in both spellings."""
HEADLINE = "headline"


class MlflowRuns:
    """Tracks runs of `--env mlflow` by kedro-mlflow: parameters, and the headline of a run that scores a model.

    The plugin registers itself for every run of every environment; `settings.py` switches that off. Its hooks are
    registered here, for this environment alone.
    """

    def __init__(self) -> None:
        self._asked = self._tracks = False

    @hook_impl(tryfirst=True)
    def after_context_created(self, context: KedroContext) -> None:
        """Register the plugin's hooks, and call the first of them; a notebook may have had another environment."""
        self._asked, self._tracks = context.env == MLFLOW, False
        if not self._asked:
            return
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        try:
            found = importlib.import_module("kedro_mlflow.framework.hooks.mlflow_hook").MlflowHook()
        except ImportError:  # a run is refused below; the graph and the parameters can be looked at
            return
        (context.project_path / "data/06_models/tracking/mlflow").mkdir(parents=True, exist_ok=True)
        context._hook_manager.register(found)
        found.after_context_created(context)
        self._tracks = True

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self) -> None:
        """Refuse a run of the environment without the plugin.

        Raises:
            InputError: it is not installed.
        """
        if self._asked and not self._tracks:
            raise InputError(
                "the environment mlflow needs the package kedro-mlflow",
                remedy="pip install -e '.[kedro-mlflow]', or run without --env mlflow",
            )

    @hook_impl(tryfirst=True)
    def after_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Log the headline, before the plugin ends its run."""
        if self._tracks and HEADLINE in pipeline.all_outputs():
            importlib.import_module("mlflow").log_metrics(catalog[HEADLINE].load())


FIRST = (".html", ".md", ".json", ".safetensors", "", ".parquet", ".csv", ".png")
"""Endings of results in the order in which they are named."""
MOST_NAMES = 4


class WhereResultsLie:
    """Ends a run with the files that it has made, and with the scores if it has scored a model."""

    @hook_impl
    def after_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Log one line per folder, and one per scored partition."""
        made = pipeline.all_outputs()
        written = {dataset_path(catalog[name]) for name in made if not _is_the_users(catalog[name])}
        if lines := places({path for path in written if path is not None and path.exists()}):
            log.info("results, by folder:\n%s", printable("\n".join(lines)))
        if "metrics" in made:
            from iaca.evaluation.tables import score_lines  # only a run that has scored needs its libraries

            log.info("scores, with 95 %% intervals:\n%s", "\n".join(score_lines(catalog["metrics"].load())))


def _is_the_users(dataset: Any) -> bool:
    """Whether it is a corpus that no pipeline writes, though the chain of all pipelines begins with the demo corpus."""
    return isinstance(dataset, CorpusFolder) and bool(dataset.option)


def places(results: Collection[Path]) -> list[str]:
    """`FOLDER: a.html, b.csv and 20 more`, one line per folder, relative to the current one where it is inside.

    A folder of results that contains another result, as that of an inference, is shown with everything in it.
    """
    folders: dict[Path, list[str]] = {}
    for path in sorted(results, key=lambda p: (FIRST.index(p.suffix) if p.suffix in FIRST else len(FIRST), p)):
        named = folders.setdefault(path.parent, [])
        if any(other.parent == path for other in results):
            folders.setdefault(path, []).extend(sorted(p.name for p in path.glob("[!.]*") if p not in results))
        else:
            named.append(path.name + "/" * (path.is_dir() and path.suffix == ""))
    lines = []
    for folder, names in sorted((folder, names) for folder, names in folders.items() if names):
        more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
        here = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
        lines.append(f"  {here}: {', '.join(names[:MOST_NAMES])}{more}")
    return lines


LOCKS = Path("data/.runs")


class OneRunAtATime:
    """Locks every dataset on disk that a run both writes and reads, so that a second run of these fails at its start.

    Datasets that a run only writes (a report, a picture) are not locked: writes are atomic, and the last one wins. The
    kernel releases all locks when the run ends, however it ends. The engine also locks folders of per-clip files.
    """

    def __init__(self) -> None:
        self._held = ExitStack()
        atexit.register(self._held.close)  # after an interrupt: Kedro calls no hook then
        self._locks = LOCKS

    @hook_impl
    def after_context_created(self, context: Any) -> None:
        """Remember the project's folder."""
        self._locks = Path(context.project_path) / LOCKS

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Take all locks, sorted by path.

        Raises:
            InputError: another run holds one of them; the message names its process and host.
        """
        between = (pipeline.all_outputs() & pipeline.all_inputs()) & set(catalog.keys())
        paths = {path.absolute() for name in between if (path := dataset_path(catalog[name])) is not None}
        make_folder(self._locks)
        self._held.close()  # locks of an interrupted run in the same notebook
        try:
            for path in sorted(paths):
                name = f"{path.stem}-{hashlib.sha256(os.fsencode(path)).hexdigest()[:16]}"
                self._held.enter_context(locked(self._locks, name, path))
        except Exception:
            self._held.close()
            raise

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Release the locks."""
        self._held.close()

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Release the locks."""
        self._held.close()


def dataset_path(dataset: Any) -> Path | None:
    """The path of a dataset; None for one in memory."""
    place = getattr(dataset, "_filepath", None) or getattr(dataset, "_path", None)
    return None if place is None else Path(str(place))
