"""Every parameter of every environment is set to what it can't be: refused, by its name, before anything runs."""

import math
from collections.abc import Iterator
from typing import Any

import pytest
from kedro.config import OmegaConfigLoader
from kedro.framework.cli.utils import _split_params as split_params
from kedro.framework.project import pipelines
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.validation import ModelInstantiationError, ParameterValidationError, instantiate_model
from kedro.validation.type_extractor import TypeExtractor

from iaca.cli import COMPUTING, everywhere
from iaca.errors import InputError
from project import ROOT

ENVIRONMENTS = ("base", "folder", "features")  # those whose importer has parameters of its own
ANY_TEXT = ("inference.input", "inference.output", "inference.model", "ingestion.root", "evaluation.title")
FRACTIONS = ("media.max_duration_s", "training.warmup_epochs")  # real numbers that the files write as whole ones
HUGE = 10**12
NEVER = {"not a value": 1}
WRONG: dict[type, list[Any]] = {
    bool: ["perhaps", "", [True], 2, 1.5, math.nan],
    int: ["many", "", [1], True, 1.5, math.nan, math.inf, -1, 10**400],
    float: ["much", "", [1.0], True, math.nan, math.inf, -math.inf, -1, 10**400],
    str: ["", True, 5, math.nan, ["", ""]],
    list: ["", 5.5, True, math.nan, [[1]], [True], [math.nan], [""], [-math.inf], [10**400]],
    dict: ["", 5, [1], {"no_such": 1}, {"width": True}, {"width": 10**400}, {"width": "wide"}],
    type(None): ["", True, -1, math.nan, [[1]], 10**400],
}


def unlimited(name: str) -> bool:
    """Numbers of which a huge one means something: limits that a user lifts, and seeds."""
    return name.startswith("media.") or name.endswith("seed")


def leaves(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every parameter that a file sets, also those inside a list of steps."""
    inner = list(value.items()) if isinstance(value, dict) else []
    inner += list(enumerate(value)) if isinstance(value, list) and value and isinstance(value[0], dict) else []
    for key, part in inner:
        yield from leaves(part, (*path, key))
    if not inner:
        yield path, value


def wrong(name: str, usual: Any) -> list[Any]:
    """Values that the parameter can't have, by the kind of the usual one."""
    kind = float if name in FRACTIONS else type(usual)
    values = [*WRONG[kind], *([NEVER] if kind is not dict else [])]
    if kind is int and not unlimited(name):
        values.append(HUGE)
    if kind is float and not unlimited(name):
        values.append(1e308)
    if kind is str and name not in ANY_TEXT:
        values.append("no such choice")
    return values


def changed(group: Any, path: tuple[Any, ...], value: Any) -> Any:
    """The group with one value of it replaced, or added."""
    if not path:
        return value
    copy = dict(group) if isinstance(group, dict) else list(group)
    copy[path[0]] = changed(copy[path[0]], path[1:], value) if len(path) > 1 else value
    return copy


def given(environment: str) -> dict[str, Any]:
    loader = OmegaConfigLoader(
        str(ROOT / "conf"), base_env="base", default_run_env=environment, merge_strategy={"parameters": "soft"}
    )
    return dict(loader["parameters"])


@pytest.fixture(scope="module", params=ENVIRONMENTS)
def checked(request: pytest.FixtureRequest) -> list[tuple[str, Any, Any]]:
    """(group, its values, its model) of an environment, as Kedro finds them on the nodes."""
    bootstrap_project(ROOT)
    found = TypeExtractor(dict(pipelines)).extract_types_from_pipelines()
    values = given(request.param)
    if request.param == "base":
        assert set(values) == set(found), "a group without a model is checked by nobody"
        return [(group, values[group], model) for group, model in found.items()]
    return [("ingestion", values["ingestion"], found["ingestion"])]


def test_what_a_parameter_cannot_be_is_refused_by_its_name(checked: list[tuple[str, Any, Any]]) -> None:
    accepted, unnamed, count = [], [], 0
    for group, values, model in checked:
        instantiate_model(group, values, model)  # as it is, it is right
        for path, usual in leaves(values, ()):
            name = ".".join(map(str, (group, *path)))
            for value in wrong(name, usual):
                count += 1
                try:
                    instantiate_model(group, changed(values, path, value), model)
                except ModelInstantiationError as error:
                    named = value if type(usual) is type(value) is dict else path
                    if not all(str(part) in str(error) for part in (group, *named)):
                        unnamed.append(f"{name} = {str(value)[:40]}: {error}")
                else:
                    accepted.append(f"{name} = {str(value)[:40]}")
    assert accepted == []
    assert unnamed == []
    assert count > 20


def test_a_name_that_is_no_parameter_is_refused_at_every_depth(checked: list[tuple[str, Any, Any]]) -> None:
    for group, values, model in checked:
        for place in {path[:-1] for path, _ in leaves(values, ())} - {()} if isinstance(values, dict) else ():
            with pytest.raises(ModelInstantiationError, match="no_such"):
                instantiate_model(group, changed(values, (*place, "no_such"), 1), model)
        if isinstance(values, dict):
            with pytest.raises(ModelInstantiationError, match="no_such"):
                instantiate_model(group, {**values, "no_such": 1}, model)


@pytest.mark.usefixtures("default_pipelines")
@pytest.mark.parametrize(
    ("env", "words", "told"),
    [
        (None, "faces.minface=3", r"minface[\s\S]*did you mean min_face"),
        (None, "fusion.tempertaure=0.1", r"fusion[\s\S]*tempertaure[\s\S]*did you mean temperature"),
        (None, "fusion.temperature=0", r"fusion[\s\S]*temperature[\s\S]*greater than 0"),
        (None, "training.loss.fom=window", r"loss\.fom[\s\S]*did you mean form"),
        (None, "benchmark.corruption.blok_s=2", r"corruption\.blok_s[\s\S]*did you mean block_s"),
        (None, "fases.every=3", "'fases'.*did you mean faces"),
        (None, "fases.every=3", "no pipeline takes a parameter 'fases'"),
        (None, "ingestion.root=/videos", r"ingestion[\s\S]*root: .*the demo corpus has a fixed place.*--env folder"),
        (None, "ingestion.importer=folder", "this environment reads with 'demo'"),
        ("folder", "ingestion.importer=features", "this environment reads with 'folder'"),
        (None, "baselines=concat+iacca", r"baselines[\s\S]*iacca"),
        (None, "baselines=true", "baselines"),
        (None, "executor.wrkers=2", r"executor\.wrkers.*did you mean workers"),
        (None, "executor.workers=1e9", r"executor\.workers"),
        (None, "executor.workers=0", r"executor\.workers"),
        (None, "executor=fast", "executor"),
        (None, "training.epochs=nan", "epochs"),
        (None, "training.epochs=", "epochs"),
        (None, "training.batch_size=1e12", "batch_size"),
        (None, "training=fast", "training"),
        ("affwild2", "ingestion.rot=/videos", r"ingestion\.rot"),
        ("affwild2", "ingestion=/videos", "ingestion"),
        ("folder", "ingestion.rot=/videos", r"ingestion[\s\S]*rot"),
        ("features", "inferense.input=video.mp4", "'inferense'.*did you mean inference"),
    ],
)
def test_the_command_line_is_checked_before_anything_runs(env: str | None, words: str, told: str) -> None:
    bootstrap_project(ROOT)
    with (
        KedroSession.create(ROOT, env=env, runtime_params=split_params(None, None, words)) as session,
        pytest.raises((InputError, ParameterValidationError), match=told),
    ):
        session.load_context().params  # noqa: B018  reading them checks them


@pytest.mark.usefixtures("default_pipelines")
def test_what_fits_is_taken() -> None:
    bootstrap_project(ROOT)
    words = "baselines=concat+audio,executor.kind=serial,faces.every=3,ingestion.root=/videos,fusion.temperature=0.1"
    with KedroSession.create(ROOT, env="affwild2", runtime_params=split_params(None, None, words)) as session:
        params = session.load_context().params
    assert params["baselines"].root == ("concat", "audio")
    assert params["faces"].every == 3
    assert params["fusion"].build(3, 5).temperature == 0.1


def test_one_parameter_places_every_step() -> None:
    placed = everywhere({"device": "cuda", "faces": {"device": "cpu", "every": 3}, "training": {"epochs": 2}})
    assert {group: values["device"] for group, values in placed.items()} == {
        **dict.fromkeys(COMPUTING, "cuda"), "faces": "cpu"
    }  # fmt: skip
    assert placed["faces"]["every"] == 3
    assert placed["training"]["epochs"] == 2
    assert everywhere({"training": {"epochs": 2}}) == {"training": {"epochs": 2}}
    with pytest.raises(InputError, match="device is 3"):
        everywhere({"device": 3})


def test_the_device_reaches_the_parameters() -> None:
    bootstrap_project(ROOT)
    with KedroSession.create(ROOT, runtime_params={"device": "cpu"}) as session:
        found = session.load_context().config_loader["parameters"]
    assert {found[group]["device"] for group in COMPUTING} == {"cpu"}
    assert "device" not in found
