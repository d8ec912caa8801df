"""The table of CONTRIBUTING.md that sends a newcomer to a file and a name, and the files that pages name."""

import ast
import re
from itertools import product
from pathlib import Path

import pytest
from pages import PAGES

from project import ROOT

ROW = re.compile(r"\| (?P<question>[^|]+\?) \| `(?P<file>[^`]+)`[^|]* \| (?P<names>[^|]+) \|")
PATH = re.compile(r"`((?:src|tests|benchmarks|conf|docs|fuzz|notebooks)/[^`\s]*)`")
READERS = ("conf/local/", "conf/NAME/")  # files that a reader writes
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


def alternatives(path: str) -> list[str]:
    """`a/{b,c}.yml` -> `a/b.yml`, `a/c.yml`."""
    parts = re.split(r"\{([^}]*)\}", path)
    return [
        "".join(choice) for choice in product(*(part.split(",") if i % 2 else [part] for i, part in enumerate(parts)))
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    for number, line in enumerate(page.read_text().splitlines(), 1):
        for path in (one for named in PATH.findall(line) for one in alternatives(named)):
            if not path.startswith(READERS):
                assert list(ROOT.glob(path.split("::")[0].rstrip("/"))), f"{page.name}:{number}: there is no {path}"
