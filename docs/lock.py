"""The contents of requirements.lock, and the metadata of the installed packages."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements.lock"
BY_HAND = {"fuzz", "mlflow", "kedro-mlflow"}
"""Extras that `make setup` does not install; they are not locked."""
PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([A-Za-z0-9][A-Za-z0-9.!+_-]*)")
"""The only form of a line of the lock: no address, path, option, range or marker."""


def locked(lock: Path = LOCK) -> dict[str, str]:
    """Package -> version as written, in file order.

    Raises:
        ValueError: a line is neither a comment nor NAME==VERSION, or repeats a package.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(lock.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        pin = PIN.fullmatch(line)
        if pin is None:
            raise ValueError(f"{lock.name}, line {number}: {line!r} is not NAME==VERSION")
        if canonicalize_name(pin[1]) in map(canonicalize_name, found):
            raise ValueError(f"{lock.name}, line {number}: {pin[1]} is named twice")
        found[pin[1]] = pin[2]
    return found


def differing(pins: dict[str, str]) -> list[str]:
    """The locked packages that are not installed in the locked version. A local part such as +cpu is ignored."""
    said = []
    for name, version in pins.items():
        try:
            there = metadata.version(name)
        except metadata.PackageNotFoundError:
            said.append(f"{name}=={version} is not installed")
            continue
        if there.partition("+")[0] != version.partition("+")[0]:
            said.append(f"{name}=={version} is locked, {there} is installed")
    return said


def wanted(project: Path = ROOT) -> dict[str, list[Requirement]]:
    """The requirements of pyproject.toml: those of inference under "inference", each locked extra's under its name."""
    table = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {name: lines for name, lines in table["optional-dependencies"].items() if name not in BY_HAND}
    groups = {"inference": table["dependencies"], **{name: lines for name, lines in extras.items() if lines}}
    return {name: [Requirement(line) for line in lines] for name, lines in groups.items()}


def closure(requirements: Iterable[Requirement]) -> dict[str, list[tuple[str, Requirement]]]:
    """All packages required on this platform (canonical names), each with who requires it and how."""
    asked: dict[str, list[tuple[str, Requirement]]] = {}
    seen, waiting = set[str](), [(requirement, "pyproject.toml") for requirement in requirements]
    while waiting:
        requirement, by = waiting.pop()
        name = canonicalize_name(requirement.name)
        asked.setdefault(name, []).append((by, requirement))
        for extra in ("", *sorted(requirement.extras)):
            if (key := f"{name}[{extra}]") not in seen:
                seen.add(key)
                waiting += [(inner, name) for inner in _requires(name, extra)]
    return asked


def _requires(name: str, extra: str) -> Iterator[Requirement]:
    for requirement in _every_requirement(name):
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            yield requirement


@cache
def _every_requirement(name: str) -> tuple[Requirement, ...]:
    try:
        return tuple(map(Requirement, metadata.requires(name) or []))
    except metadata.PackageNotFoundError:
        return ()
