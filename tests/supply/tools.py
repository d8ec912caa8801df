"""The scripts of docs/ as modules: they import each other by name, as when they are run."""

import sys
from importlib import import_module
from types import ModuleType

from project import ROOT


def script(name: str) -> ModuleType:
    """A module of docs/, once for all tests."""
    folder = str(ROOT / "docs")
    if folder not in sys.path:
        sys.path.append(folder)
    return import_module(name)


LOCK = script("lock")
DIFFERENT = LOCK.differing(LOCK.locked())
"""What is installed otherwise than locked; nothing in an environment that `make setup` has made."""
