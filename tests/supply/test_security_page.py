"""SECURITY.md claims what can be looked up."""

import re

import pytest
import yaml

from iaca.encoders.weights import WEIGHTS
from project import ROOT

PAGE = (ROOT / "SECURITY.md").read_text()
NAMED = sorted(set(re.findall(r"`((?:tests|src)/[\w/.]+)`", PAGE)))


@pytest.mark.parametrize("path", NAMED)
def test_tests_and_sources_that_it_names_are_there(path: str) -> None:
    assert (ROOT / path).exists()


def test_it_names_the_tests_of_its_main_claims() -> None:
    assert {
        "tests/web/test_access.py",
        "tests/web/test_routes.py",
        "tests/supply/test_source.py",
        "tests/supply/test_lock.py",
    } <= set(NAMED)


def test_what_it_says_of_checksums_is_so() -> None:
    said = PAGE[PAGE.index("## Weights") :]
    by_git, rest = said.partition("in the publisher's git repository")[2].split("8 of its 64 digits")
    partly, none = rest.split("Those of")
    assert set(re.findall(r"`(\w+)`", by_git)) == {name for name, file in WEIGHTS.items() if file.blob}
    digits = {name: len(file.sha256) for name, file in WEIGHTS.items() if not file.blob}
    assert set(re.findall(r"`(\w+)`", partly)) == {name for name, count in digits.items() if count == 8}
    assert set(re.findall(r"`(\w+)`", none)) == {name for name, count in digits.items() if count == 0}
    assert set(digits.values()) <= {0, 8, 64}


def test_what_it_says_is_off_is_off() -> None:
    assert yaml.safe_load((ROOT / ".telemetry").read_text()) == {"consent": False}
    switches = dict(re.findall(r"^\s*(\w+) = (\w+)$", (ROOT / ".dvc/config").read_text(), re.MULTILINE))
    assert (switches["analytics"], switches["check_update"]) == ("false", "false")
