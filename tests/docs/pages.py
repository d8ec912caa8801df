"""Commands, Python and YAML that the documentation tells a reader to type, with page and line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from project import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
PROGRAMS = ("kedro", "dvc", "python", "make", "git", "pip", "dask", "source", ".venv/bin/", "torchrun", "npx")
FENCE = re.compile(r"^( *)```([a-z]*).*$")
NEEDS = re.compile(r"<!-- needs: (.+?) -->")


@dataclass(frozen=True)
class Block:
    """A fenced block: language, lines, page, number of the first line, and what it is marked as needing."""

    language: str
    lines: tuple[str, ...]
    page: str
    line: int
    needs: str | None

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Typed:
    """One command as typed, without its comment."""

    words: str
    place: str
    needs: str | None = None


def blocks() -> Iterator[Block]:
    """Every fenced block of every page."""
    for page in PAGES:
        opened: tuple[str, int, list[str]] | None = None
        marked: str | None = None
        for number, line in enumerate(page.read_text().splitlines(), 1):
            if opened is None and (found := FENCE.match(line)):
                opened = (found[2], number + 1, [])
            elif opened is not None and line.strip() == "```":
                yield Block(opened[0], tuple(opened[2]), str(page.relative_to(ROOT)), opened[1], marked)
                opened = marked = None
            elif opened is not None:
                opened[2].append(line)
            elif line.strip():
                mark = NEEDS.fullmatch(line.strip())
                marked = mark[1] if mark else None


def commands() -> Iterator[Typed]:
    """Every command in a block without a language or in a shell block. Blocks marked `text` contain no commands."""
    for block in blocks():
        if block.language in ("", "bash", "sh", "console"):
            for number, line in enumerate(block.lines, block.line):
                for words in uncommented(line.removeprefix("$ ")).split(" && "):
                    if words.startswith(PROGRAMS):
                        yield Typed(words, f"{block.page}:{number}", block.needs)


def spans() -> Iterator[Typed]:
    """Every command in running text."""
    for page in PAGES:
        prose = re.sub(r"^ *```.*?^ *```$", lambda m: "\n" * m[0].count("\n"), page.read_text(), flags=re.M | re.S)
        for number, line in enumerate(prose.splitlines(), 1):
            for words in re.findall(r"`([^`]+)`", line):
                if words.startswith(("kedro run", "kedro viz", "dvc exp run", "python ", "make ")):
                    yield Typed(words, f"{page.relative_to(ROOT)}:{number}")


def uncommented(line: str) -> str:
    """Remove a trailing comment and alignment spaces."""
    return re.sub(r" {2,}", " ", re.sub(r"\s+#.*$", "", line)).strip()
