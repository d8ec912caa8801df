"""The table of CONTRIBUTING.md that sends a newcomer to a file and a name."""

import ast
import re

import pytest

from project import ROOT

ROW = re.compile(r"\| (?P<question>[^|]+\?) \| `(?P<file>[^`]+)`[^|]* \| (?P<names>[^|]+) \|")
ROWS = [match.groups() for match in ROW.finditer((ROOT / "CONTRIBUTING.md").read_text())]


def test_the_table_has_its_rows() -> None:
    assert len(ROWS) >= 25


@pytest.mark.parametrize(("question", "file", "names"), ROWS)
def test_the_file_defines_the_name(question: str, file: str, names: str) -> None:
    defined = set()
    for node in ast.parse((ROOT / file).read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            defined.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            defined |= {target.id for target in targets if isinstance(target, ast.Name)}
    assert set(re.findall(r"`([^`]+)`", names)) <= defined, question
