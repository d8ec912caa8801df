"""Parameters in the documentation, validated by the models of the pipelines' nodes."""

from __future__ import annotations

import inspect
import shlex
from typing import Annotated, Any, get_type_hints

import yaml
from kedro.framework.cli.utils import _split_params as split_params
from kedro.framework.project import pipelines
from kedro.framework.session import KedroSession
from pydantic import BaseModel, Field, TypeAdapter

from iaca.engine import ExecutorConfig
from iaca.parameters import DEVICE
from project import ROOT


def options(words: str) -> dict[str, str]:
    """`--name value` of a command line -> name -> value."""
    parts = shlex.split(words)
    pairs = zip(parts, [*parts[1:], ""], strict=True)
    return {name.removeprefix("--"): value for name, value in pairs if name.startswith("--")}


def check_run(words: str) -> None:
    """Fail if a `kedro run` names an unknown environment, pipeline or parameter."""
    given = options(words)
    unknown = set(given) - {"env", "pipelines", "pipeline", "params", "load-versions", "to-nodes", "nodes", "tags"}
    assert not unknown, f"options {unknown}"
    env = given.get("env")
    assert env is None or (ROOT / "conf" / env).is_dir(), f"there is no environment {env}"
    usual = parameters(env, {})
    params = split(given.get("params", ""))
    merged = parameters(env, params)
    for name in (given.get("pipelines") or given.get("pipeline") or "__default__").split(","):
        assert name in pipelines, f"there is no pipeline {name} in {env or 'base'}"
    check_groups({group: merged.get(group, params[group]) for group in params}, usual)


def split(params: str) -> dict[str, Any]:
    """Split as Kedro's command line does: every comma separates two parameters, so no list can be given there."""
    for item in params.split(",") if params else ():
        assert "=" in item, f"{item!r} has no value: --params takes no lists, put them into a file of conf/local"
    given: dict[str, Any] = split_params(None, None, params)
    return given


def parameters(env: str | None, params: dict[str, Any]) -> dict[str, Any]:
    """The parameters of an environment as plain values."""
    with KedroSession.create(ROOT, env=env, runtime_params=params) as session:
        return dict(session.load_context().config_loader["parameters"])


def check_groups(groups: dict[str, Any], usual: dict[str, Any]) -> None:
    """Fail if a group of parameters is unknown or invalid. One without a model must keep to the names in `usual`."""
    known = models()
    for group, values in groups.items():
        if group in known:
            known[group].validate_python(values)
        else:
            assert group in usual, f"{group} is a parameter of no pipeline"
            assert set(values) <= set(usual[group]), f"{group} has no {set(values) - set(usual[group])}"


def check_file(text: str) -> list[str]:
    """Fail if a parameters file, merged into the project's, does not validate. Return the groups it contains."""
    held, base = yaml.safe_load(text), parameters(None, {})
    if not isinstance(held, dict) or not set(held) & set(models()):
        return []
    check_groups({group: {**base[group], **v} if isinstance(v, dict) else v for group, v in held.items()}, base)
    return list(held)


def models() -> dict[str, TypeAdapter[Any]]:
    """Group of parameters -> its validator: the type on the node that takes it, in the registered pipelines."""
    device = TypeAdapter(Annotated[str, Field(pattern=DEVICE)])  # it is spread over the groups
    found: dict[str, TypeAdapter[Any]] = {"executor": TypeAdapter(ExecutorConfig), "device": device}
    for node in {node.name: node for pipeline in pipelines.values() for node in pipeline.nodes}.values():
        hints, names = get_type_hints(node.func), list(inspect.signature(node.func).parameters)
        for argument, dataset in zip(names, node.inputs, strict=False):
            hint = hints.get(argument)
            if dataset.startswith("params:") and isinstance(hint, type) and issubclass(hint, BaseModel):
                found[dataset.removeprefix("params:")] = TypeAdapter(hint)
    return found
