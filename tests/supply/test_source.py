"""The source never executes what a file holds: no pickle, no eval, no shell."""

import ast
from collections.abc import Iterator

import pytest

from project import ROOT

SOURCES = [path for folder in ("src", "benchmarks", "docs") for path in sorted((ROOT / folder).rglob("*.py"))]
NEVER = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "tempfile.mktemp",
    "pickle.load", "pickle.loads", "pickle.Unpickler", "cloudpickle.load", "cloudpickle.loads", "dill.load",
    "joblib.load", "marshal.load", "marshal.loads", "shelve.open", "pd.read_pickle", "pandas.read_pickle",
    "yaml.load", "yaml.full_load", "yaml.unsafe_load", "torch.jit.load", "torch.package.PackageImporter",
    "torch.hub.load", "torch.hub.load_state_dict_from_url",
}  # fmt: skip
MODULES = {"cloudpickle", "dill", "joblib", "marshal", "shelve"}
FROM_PICKLE = {"UnpicklingError"}
SAFE = {"torch.load": "weights_only", "trainer.fit": "weights_only", "load_from_checkpoint": "weights_only"}
"""Calls that need this argument to be True, said and not left to a default."""
UNSAFE = {"shell": True, "allow_pickle": True, "trust_remote_code": True}


def faults(text: str) -> Iterator[str]:
    """Each dangerous call or import, by its line."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            given = {k.arg: k.value.value for k in node.keywords if k.arg and isinstance(k.value, ast.Constant)}
            if name in NEVER:
                yield f"line {node.lineno}: {name}"
            needed = SAFE.get(name) or SAFE.get(name.rpartition(".")[2])
            if needed and given.get(needed) is not True:
                yield f"line {node.lineno}: {name} without {needed}=True"
            yield from (f"line {node.lineno}: {k}={v}" for k, v in UNSAFE.items() if given.get(k) is v)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in {*MODULES, "pickle"}:
            names = {alias.name for alias in node.names}
            if node.module != "pickle" or names - FROM_PICKLE:
                yield f"line {node.lineno}: from {node.module} import {', '.join(sorted(names))}"
        elif isinstance(node, ast.Import):
            yield from (f"line {node.lineno}: import {a.name}" for a in node.names if a.name in {*MODULES, "pickle"})


def test_every_file_is_looked_at() -> None:
    packages = {path.parent for path in (ROOT / "src/iaca").rglob("__init__.py")}
    assert packages <= {path.parent for path in SOURCES}
    assert len(SOURCES) > 160


@pytest.mark.parametrize("folder", ["src", "benchmarks", "docs"])
def test_no_source_executes_what_it_reads(folder: str) -> None:
    found = {
        str(path.relative_to(ROOT)): told
        for path in SOURCES
        if path.is_relative_to(ROOT / folder) and (told := list(faults(path.read_text())))
    }
    assert found == {}


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from pickle import load",
        "from joblib import load",
        "pickle.load(file)",
        "eval(text)",
        "exec(text)",
        "yaml.load(text, Loader=yaml.Loader)",
        "subprocess.run(words, shell=True)",
        "np.load(path, allow_pickle=True)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "trainer.fit(module, ckpt_path=path)",
        "Module.load_from_checkpoint(path)",
        "pd.read_pickle(path)",
        "torch.hub.load('a/b', 'c')",
    ],
)
def test_what_would_is_found(text: str) -> None:
    assert len(list(faults(text))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "from pickle import UnpicklingError",
        "network.eval()",
        "yaml.safe_load(text)",
        "torch.load(path, map_location='cpu', weights_only=True)",
        "trainer.fit(module, ckpt_path=path, weights_only=True)",
        "np.load(path, allow_pickle=False)",
        "subprocess.run(words)",
        "re.compile(text)",
    ],
)
def test_what_would_not_is_left_alone(text: str) -> None:
    assert list(faults(text)) == []
