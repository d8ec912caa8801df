"""Reference material beside the project: tests that need it are skipped, by name, where it is missing."""

from pathlib import Path

import pytest

SHARED = Path(__file__).parents[2] / "shared"


def needs_shared(name: str) -> pytest.MarkDecorator:
    """Skip a test unless the file or folder `name` of the reference material is at hand."""
    return pytest.mark.skipif(not (SHARED / name).exists(), reason=f"needs ../shared/{name}")
