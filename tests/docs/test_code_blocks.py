"""Python of the documentation compiles and names what there is; YAML of parameters validates."""

import ast
import importlib
import json
import textwrap
from typing import Any

import pytest
import yaml
from documented_params import check_file
from pages import Block, blocks

ALL = list(blocks())
PYTHON = [block for block in ALL if block.language in ("python", "py")]
SNIPPETS = [block for block in PYTHON if not block.lines[0].startswith("    ")]  # an indented one is a line of a table
STANDS_FOR = ("my_package", "timm")  # the reader's own modules


def text(block: Block) -> str:
    return textwrap.dedent("\n".join(block.lines))


def imported(tree: ast.Module) -> dict[str, Any]:
    """Name -> imported object. Fail if a module has no such name."""
    found: dict[str, Any] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                module = importlib.import_module(alias.name)
                found[alias.asname or alias.name] = module
        elif isinstance(node, ast.ImportFrom) and node.module and not node.module.startswith(STANDS_FOR):
            module = importlib.import_module(node.module)
            for alias in node.names:
                assert hasattr(module, alias.name), f"{node.module} has no {alias.name}"
                found[alias.asname or alias.name] = getattr(module, alias.name)
    return found


@pytest.mark.parametrize("block", SNIPPETS, ids=lambda block: block.place)
def test_imports_and_attributes_of_python_are_real(block: Block) -> None:
    tree = ast.parse(text(block), block.place)
    names = imported(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in names:
            assert hasattr(names[node.value.id], node.attr), f"{block.place}: {node.value.id}.{node.attr}"


@pytest.mark.usefixtures("default_pipelines")
@pytest.mark.parametrize("block", [b for b in ALL if b.language in ("yaml", "yml")], ids=lambda block: block.place)
def test_yaml_is_yaml_and_its_parameters_validate(block: Block) -> None:
    check_file(text(block))


def test_a_wrong_field_in_yaml_is_found() -> None:
    with pytest.raises(ValueError, match="epochz"):
        check_file("training: {epochz: 3}")


def test_json_is_json() -> None:
    for block in (block for block in ALL if block.language == "json"):
        json.loads(text(block))


def test_there_is_something_to_look_at() -> None:
    assert len(PYTHON) >= 5
    assert any(yaml.safe_load(text(block)) for block in ALL if block.language == "yaml")
