"""What a user can mend is one message on one screen; what is a fault of the program keeps its stack."""

import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from kedro.config import MissingConfigException
from kedro.io import DatasetError
from kedro.validation import ParameterValidationError
from kedro.validation.parameter_validator import ParameterValidator
from pydantic import ValidationError

from iaca.cli import RunParameters
from iaca.encoders.config import EmbeddingConfig
from iaca.errors import INTERRUPTED, InputError, show_early, unreadable
from iaca.files import PROJECT
from iaca.hooks import STACK, BoundedConfigLoader, keep_to_one_message, message_of, show
from iaca.parameters import Parameters, faults
from iaca.settings import CONFIG_LOADER_ARGS
from project import ROOT


def raised(*chain: Exception) -> Exception:
    """The last one, raised from the one before it, and so on."""
    for cause, error in pairwise(chain):
        error.__cause__ = cause
    return chain[-1]


UNKNOWN = "Failed to find the pipeline named 'x'."
BAD = InputError("no column `time_s`", "labels.csv", 1, "name the columns")

DENIED = PermissionError(13, "Permission denied", "conf/base/parameters.yml")
SAID = (
    "conf/base/parameters.yml: can't be opened (Permission denied) Remedy: fix its permissions and those of its "
    "folders, or leave it out, and run again"
)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (BAD, str(BAD)),
        (raised(KeyError("clip"), BAD, DatasetError("Failed while saving data to dataset x")), str(BAD)),
        (raised(BAD, DatasetError("There is no model: train one")), "There is no model: train one"),
        (raised(BAD, ValueError("it does not fit")), "it does not fit"),
        (DENIED, SAID),
        (raised(DENIED, DatasetError("Failed while saving data to dataset x"), DatasetError("clips: Failed")), SAID),
        (raised(PermissionError(1, "Operation not permitted"), DatasetError("Failed while loading x")), None),
        (DatasetError("There is no corpus at here"), "There is no corpus at here"),
        (raised(DatasetError("no corpus"), DatasetError("corpus: no corpus")), "corpus: no corpus"),
        (ParameterValidationError("training: epochz"), "training: epochz"),
        (MissingConfigException("conf/nowhere does not exist"), "conf/nowhere does not exist"),
        (raised(KeyError("x"), ValueError(UNKNOWN)), UNKNOWN),
        (raised(KeyError("clip"), DatasetError("Failed while saving data to dataset x")), None),
        (ValueError("a fault of the program"), None),
        (KeyboardInterrupt(), None),
    ],
)  # fmt: skip
def test_the_message_of_an_error_is_what_its_user_can_mend(error: BaseException, told: str | None) -> None:
    assert message_of(error) == told


OPENS = "Remedy: fix its permissions and those of its folders, or leave it out, and run again"
MISSES = "Remedy: restore it, or leave it out, and run again"


@pytest.mark.parametrize(
    ("error", "path", "told"),
    [
        (PermissionError(13, "Permission denied", "a"), None, f"a: can't be opened (Permission denied) {OPENS}"),
        (PermissionError(13, "Failed to open"), Path("b"), f"b: can't be opened (Permission denied) {OPENS}"),
        (PermissionError(1, "x", "/proc/self/c"), "c", f"c: can't be opened (Operation not permitted) {OPENS}"),
        (FileNotFoundError(2, "No such file", "d"), None, f"d: can't be opened (No such file) {MISSES}"),
        (OSError(22, "is a pipe", "e"), None, f"e: can't be opened (is a pipe) {MISSES}"),
        (OSError("no reply"), Path("f"), f"f: can't be opened (no reply) {MISSES}"),
    ],
)  # fmt: skip
def test_a_file_that_the_system_does_not_open_has_one_message(error: OSError, path: Path | None, told: str) -> None:
    assert str(unreadable(error, path)) == told


def test_the_stack_is_shown_where_it_is_asked_for_or_needed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    show(InputError, BAD, None)
    assert capsys.readouterr().err == f"Error: {BAD}\n"
    monkeypatch.setattr(sys, "__excepthook__", lambda _, error, __: sys.stderr.write(f"stack of {error}\n"))
    show(ValueError, ValueError("a fault"), None)
    assert capsys.readouterr().err == "stack of a fault\n"
    monkeypatch.setenv(STACK, "1")
    show(InputError, BAD, None)
    assert capsys.readouterr().err == f"stack of {BAD}\n"


def test_an_interrupt_is_one_line_and_names_what_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    show(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert capsys.readouterr().err == f"{INTERRUPTED}\n"


INTERRUPTS_KEDRO = """
import sys
class Interrupt:
    def find_spec(self, name, *_):
        if name == "kedro":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupt())
"""


def test_an_interrupt_of_the_imports_is_one_line_as_soon_as_code_of_the_project_runs() -> None:
    for module in ("iaca.settings", "iaca.__main__"):
        code = f"{INTERRUPTS_KEDRO}import {module}"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.stderr == f"{INTERRUPTED}\n", module


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        raised(OSError(12, "Cannot allocate memory"), ImportError("An error occurred while importing a pipeline")),
        RuntimeError("can't start new thread"),
    ],
)
def test_a_machine_without_memory_is_one_sentence_with_what_there_is(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    show(type(error), error, None)
    said = capsys.readouterr().err
    assert re.fullmatch(
        r"Error: there is not enough memory \(.+\): \d+\.\d of \d+\.\d GiB are free\. Remedy: raise the limit.*\n", said
    )


def test_the_imports_of_a_run_in_too_little_memory_end_in_that_sentence() -> None:
    code = "import resource; resource.setrlimit(resource.RLIMIT_AS, (600 << 20, 600 << 20)); import iaca.settings"
    one = os.environ | {
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }  # threads need stacks
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=one)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: there is not enough memory (")
    assert done.stderr.count("\n") == 1


def bomb(folder: Path, levels: int) -> Path:
    """Lists of ten aliases of the one before: 10 ** levels values."""
    lines = ["l0: &l0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, levels)]
    file = folder / "local/parameters_bomb.yml"
    file.write_text("\n".join(lines))
    return file


def loader(folder: Path) -> BoundedConfigLoader:
    return BoundedConfigLoader(str(folder), base_env="base", default_run_env="local")


def conf(folder: Path, **files: str) -> BoundedConfigLoader:
    """A loader of `parameters.yml` in `base` and `local`, with these texts."""
    for name in ("base", "local"):
        (folder / name).mkdir()
        (folder / name / "parameters.yml").write_text(files.get(name, ""))
    return BoundedConfigLoader(str(folder), **CONFIG_LOADER_ARGS)


@pytest.fixture(autouse=True)
def own_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hook names the project to worker processes; later tests have their own."""
    monkeypatch.setenv(PROJECT, str(tmp_path))


def context(folder: Path, env: str | None = None) -> Any:
    """What a hook gets of a project with this configuration."""
    found = BoundedConfigLoader(str(folder), env, **CONFIG_LOADER_ARGS)
    return SimpleNamespace(config_loader=found, project_path=folder, env=env)


BASE = "training: {loss: {form: pooled, mse: 0.0}, epochs: 30}\nbaselines: [audio, visual]\n"


@pytest.mark.parametrize("given", ["training: [1]", "training: {epochs: 2, loss: [pooled]}", "baselines: {audio: 1}"])
@pytest.mark.parametrize("there", ["local", "--params"])
def test_a_list_in_place_of_a_group_is_named_with_its_file(tmp_path: Path, given: str, there: str) -> None:
    found = conf(tmp_path, base=BASE, local=given if there == "local" else "")
    if there == "--params":
        found.runtime_params = yaml.safe_load(given)
    with pytest.raises(InputError) as refused:
        found["parameters"]
    name = {"t": "training", "b": "baselines"}[given[0]] + (".loss" if "loss" in given else "")
    kinds = ("a list", "a group of values") if name != "baselines" else ("a group of values", "a list")
    assert refused.value.problem == f"{name} is {kinds[0]}, where {tmp_path}/base/parameters.yml has {kinds[1]}"
    assert refused.value.file == (f"{tmp_path}/local/parameters.yml" if there == "local" else there)
    advice = {"training": "training.loss", "training.loss": "training.loss.form", "baselines": "give a list"}[name]
    assert str(refused.value.remedy).endswith(advice)


def test_a_reference_to_what_does_not_exist_is_one_sentence_with_its_parameter(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"training\.epochs has no value \(Interpolation key 'x' not found\) Remedy: write"
    ):
        conf(tmp_path, base=BASE, local="training: {epochs: '${x}'}")["parameters"]


def test_groups_and_lists_that_fit_are_merged(tmp_path: Path) -> None:
    found = conf(tmp_path, base=BASE, local="training: {loss: {mse: 0.5}}\nbaselines: [concat]")
    assert found["parameters"] == {
        "training": {"loss": {"form": "pooled", "mse": 0.5}, "epochs": 30}, "baselines": ["concat"]
    }  # fmt: skip


def test_an_environment_that_does_not_exist_is_refused_with_those_that_do(tmp_path: Path) -> None:
    for name in ("base", "local", "folder"):
        (tmp_path / name).mkdir()
    with pytest.raises(InputError, match=r"'foldr' Remedy: did you mean folder\? choose one of base, folder, local"):
        BoundedConfigLoader(str(tmp_path), env="foldr", base_env="base", default_run_env="local")


class Loss(Parameters):
    form: str = "pooled"


class Training(Parameters):
    epochs: int = 3
    loss: Loss = Loss()


def of_kedro(**given: object) -> str | None:
    """What is shown of Kedro's own error for these parameters."""
    validator = ParameterValidator({})
    with pytest.raises(ParameterValidationError) as refused:
        validator._apply_validation(given, dict.fromkeys(given, Training))
    return message_of(refused.value)


def test_invalid_parameters_are_named_with_their_groups_and_without_pydantics_own_words() -> None:
    advice = "Remedy: correct the value, or leave the parameter out"
    said = of_kedro(training={"epoch": 2, "loss": {"form": 3}}, fusion="fast", sweep=None)
    assert said == (
        "invalid parameter: training.loss.form: Input should be a valid string; "
        "training.epoch: Extra inputs are not permitted; did you mean epochs?; "
        "fusion: it is not a group of values; set one by its name, such as epochs; "
        f"sweep: value is None but type is not Optional {advice}"
    )
    assert str(of_kedro(training={"loss": [1]})).startswith("invalid parameter: training.loss: it is not a group")


@pytest.mark.parametrize("device", ["gpu", "CUDA", "cuda:x"])
def test_a_device_that_is_none_is_told_with_those_that_are(device: str) -> None:
    with pytest.raises(ValidationError) as refused:
        EmbeddingConfig(device=device)
    assert faults(refused.value) == "device: not the name of a device; use auto, cpu, cuda, cuda:N, mps or xpu"


def test_kedro_does_not_log_what_is_shown_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    keep_to_one_message()
    of_kedro(training={"epoch": 2})
    assert caplog.text == ""


def test_aliases_without_end_are_refused_in_a_moment_and_honest_ones_are_read(tmp_path: Path) -> None:
    for name in ("base", "local"):
        (tmp_path / name).mkdir()
    bomb(tmp_path, 3)
    assert len(loader(tmp_path)["parameters"]["l2"][0][0]) == 10
    file = bomb(tmp_path, 30)
    with pytest.raises(InputError, match=rf"{file}: aliases .* make more than 100,000 values .* Remedy: "):
        loader(tmp_path)
    file.write_text("a: &a [*a, *a]")
    with pytest.raises(InputError, match="make more than 100,000 values"):
        loader(tmp_path)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (b"a: & b: *", 1, "can't be read as YAML"),
        (b"training:\n\tepochs: 3\n", 2, "can't be read as YAML"),
        (b"training:\n  loss: {mse: 1\n", 3, "can't be read as YAML"),
        (b"training: 'x\n", 2, "can't be read as YAML"),
        ("# Müller\n".encode("cp1252"), None, "is not UTF-8 text"),
        (b"- training\n", 1, "has no names"),
        (b"hello\n", 1, "has no names"),
        (b"training: {epochs: 1}\nbaselines: [audio]\ntraining: {epochs: 2}\n", 3, "training is also on line 1"),
        (b"training:\n  epochs: 1\n  loss: {mse: 0.5}\n  epochs: 2\n", 4, "epochs is also on line 2"),
        (b"# a comment\ntrainig: {epochs: 1}\n", 2, "no pipeline takes a parameter 'trainig'"),
    ],
)
def test_a_faulty_file_of_configuration_is_named_with_its_line(
    tmp_path: Path, text: bytes, line: int | None, said: str
) -> None:
    conf(tmp_path, base=BASE)
    file = tmp_path / "local" / "parameters.yml"
    file.write_bytes(text)
    with pytest.raises(InputError, match=said) as refused:
        BoundedConfigLoader(str(tmp_path), **CONFIG_LOADER_ARGS)
    assert (refused.value.file, refused.value.row) == (file, line)
    assert refused.value.remedy
    if "trainig" in said:
        assert "did you mean training? choose one of baselines, training" in refused.value.remedy


def test_an_empty_file_and_names_that_are_not_for_kedro_are_taken(tmp_path: Path) -> None:
    found = conf(tmp_path, base=BASE, local="_few: &few 2\ntraining: {epochs: *few}\n")
    assert found["parameters"]["training"]["epochs"] == 2
    (tmp_path / "local" / "parameters.yml").write_text("# nothing yet\n")
    assert BoundedConfigLoader(str(tmp_path), **CONFIG_LOADER_ARGS)["parameters"]["training"]["epochs"] == 30


def test_hidden_files_are_as_good_as_absent(tmp_path: Path) -> None:
    conf(tmp_path, base=BASE)
    for name in ("._parameters.yml", ".backup/parameters.yml"):  # of a Mac, and of an editor
        (tmp_path / "local" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "local" / name).write_bytes(b"\x00\x05\x16\x07 trainig: {")
    assert BoundedConfigLoader(str(tmp_path), **CONFIG_LOADER_ARGS)["parameters"]["training"]["epochs"] == 30


@pytest.mark.parametrize(
    ("given", "line", "said"),
    [
        (
            "excutor: {kind: serial}",
            1,
            r"excutor: .*; did you mean executor\? Remedy: .*; conf/base reads executor and at",
        ),
        ("# mine\nAt: 'mine/'", 2, "At: Extra inputs are not permitted Remedy: correct the entry, or remove it"),
        ("executor: {wokers: 2}", 1, r"executor\.wokers: .*; did you mean workers\?"),
        ("executor: serial", 1, "executor: it is not a group of values; set one by its name, such as kind"),
        ("executor: {kind: serail}", 1, r"executor\.kind: Input should be 'processes', 'serial' or 'dask'"),
        ("at: mine", 1, "at: write the name of a folder with a slash at its end"),
        ("at: ../mine/", 1, "at: write the name of a folder"),
        ("at: /mine/", 1, "at: write the name of a folder"),
        ("at: null", 1, "at: Input should be a valid string"),
    ],
)
def test_a_faulty_entry_of_globals_is_named_with_file_line_and_what_was_meant(
    tmp_path: Path, given: str, line: int, said: str
) -> None:
    conf(tmp_path, base=BASE)
    (tmp_path / "base/globals.yml").write_text("executor: {kind: serial}\nat: ''\n")
    file = tmp_path / "local/globals.yml"
    file.write_text(given)
    with pytest.raises(InputError, match=said) as refused:
        RunParameters().after_context_created(context(tmp_path))
    assert (refused.value.file, refused.value.row) == (file, line)
    (tmp_path / "base/globals.yml").write_text(given)
    file.unlink()
    with pytest.raises(InputError, match=said) as refused:
        RunParameters().after_context_created(context(tmp_path))
    assert refused.value.file == tmp_path / "base/globals.yml"


def test_entries_of_globals_that_the_users_own_files_read_are_taken(tmp_path: Path) -> None:
    conf(tmp_path, local="training: {epochs: '${globals:few.really}', batch: '${globals: batch, 3}'}")
    (tmp_path / "local/globals.yml").write_text("few: {really: 2}\nat: a/b/\nexecutor: {workers: 3}\nbatch: 8\n")
    here = context(tmp_path)
    RunParameters().after_context_created(here)
    assert here.config_loader["parameters"]["training"] == {"epochs": 2, "batch": 8}


def test_files_that_kedro_does_not_read_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    conf(tmp_path, local="training: {epochs: 2}")
    (tmp_path / "folder").mkdir()
    for name in ("parameters_training.yml", "catalog/own.yml", "globals.yml", "sub/parameters.yml", "notes.txt"):
        (tmp_path / "folder" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "folder" / name).touch()
    RunParameters().after_context_created(context(tmp_path))
    assert caplog.messages == []
    RunParameters().after_context_created(context(tmp_path, "folder"))
    assert caplog.messages == [f"with --env folder, conf/local is not read: parameters.yml. Write to {tmp_path}/folder"]
    caplog.clear()
    (tmp_path / "local/parameters.yml").unlink()
    (tmp_path / "folder/trainig.yml").touch()
    (tmp_path / "folder/globals.yaml").touch()
    RunParameters().after_context_created(context(tmp_path, "folder"))
    assert [said.split(" is not read: begin its name with parameters")[0] for said in caplog.messages] == [
        f"{tmp_path}/folder/{name}" for name in ("globals.yaml", "trainig.yml")
    ]


def test_a_value_that_two_files_set_is_named_with_both(tmp_path: Path) -> None:
    found = conf(tmp_path, base=BASE, local="training: {epochs: 2}\n")
    (tmp_path / "local" / "parameters_more.yml").write_text("training: {epochs: 3}\n")
    with pytest.raises(InputError, match=r"parameters(_more)?\.yml and .*: training\.epochs\) Remedy: keep one"):
        found["parameters"]


@pytest.mark.slow
def test_errors_stay_short_without_a_configuration_of_logging(tmp_path: Path) -> None:
    """Kedro then installs rich's tracebacks, after the settings have been read."""
    code = """
import sys
from pathlib import Path
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from iaca.hooks import show

bootstrap_project(Path(sys.argv[1]))
with KedroSession.create(Path(sys.argv[1])) as session:
    before = sys.excepthook is show
    session.load_context()
    print(before, sys.excepthook is show)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(ROOT)], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.splitlines()[-1] == "False True"


def test_a_closed_configuration_of_logging_is_named_where_code_of_the_project_comes_first(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show_early(PermissionError, PermissionError(13, "Permission denied", "conf/logging.yml"), None)
    assert capsys.readouterr().err == f"conf/logging.yml: can't be opened (Permission denied) {OPENS}\n"
