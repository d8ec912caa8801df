"""requirements.lock: exact versions and nothing else, whole for pyproject.toml, and what is installed."""

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tools import DIFFERENT, LOCK

from project import ROOT

PINS = {canonicalize_name(name): version for name, version in LOCK.locked().items()}
locked_environment = pytest.mark.skipif(bool(DIFFERENT), reason=f"needs the locked packages: {DIFFERENT[:3]}")


def test_every_line_is_an_exact_version() -> None:
    assert len(PINS) > 300


@pytest.mark.parametrize(
    "line",
    [
        "numpy>=2",
        "numpy",
        "numpy==2.*",
        "numpy==2.0 ; python_version < '3'",
        "numpy @ https://example.org/numpy.whl",
        "git+https://example.org/numpy.git",
        "-e .",
        "--index-url https://example.org/simple",
        "--extra-index-url=https://example.org/simple",
        "-r other.txt",
        "./numpy.whl",
        "kept==1.0",
    ],
)
def test_anything_else_in_the_lock_is_refused_with_its_line(tmp_path: Path, line: str) -> None:
    (tmp_path / "some.lock").write_text(f"# pinned\nkept==1.0\n{line}\n")
    with pytest.raises(ValueError, match=r"some\.lock, line 3: "):
        LOCK.locked(tmp_path / "some.lock")


@pytest.mark.parametrize("group", LOCK.wanted())
def test_what_the_project_asks_for_is_locked_within_its_ranges(group: str) -> None:
    for requirement in LOCK.wanted()[group]:
        assert canonicalize_name(requirement.name) in PINS, f"{group}: {requirement} is not locked: make lock"
        assert PINS[canonicalize_name(requirement.name)] in requirement.specifier, f"{group}: {requirement}"


@pytest.mark.parametrize("version", ["2.6.2", "2.6.3"])
def test_the_malicious_releases_of_lightning_are_neither_in_the_range_nor_in_the_lock(version: str) -> None:
    """An attacker uploaded both on 2026-04-30. A mirror of the index may still have them."""
    asked = [each for group in LOCK.wanted().values() for each in group if each.name == "lightning"]
    assert asked
    assert all(version not in requirement.specifier for requirement in asked)
    assert version not in {PINS["lightning"], PINS["pytorch-lightning"]}


@locked_environment
@pytest.mark.parametrize("group", LOCK.wanted())
def test_what_those_ask_for_in_turn_is_locked_too_in_versions_that_fit_each_other(group: str) -> None:
    for name, asking in LOCK.closure(LOCK.wanted()[group]).items():
        for by, requirement in asking:
            assert name in PINS, f"{by} asks for {requirement}, which is not locked: make lock"
            assert requirement.specifier.contains(PINS[name], prereleases=True), f"{by} asks for {requirement}"


@locked_environment
def test_nothing_is_locked_that_nobody_asks_for() -> None:
    asked = {name for requirements in LOCK.wanted().values() for name in LOCK.closure(requirements)}
    kept = {"pip", "setuptools", "wheel"}  # what builds the project
    assert set(PINS) - asked - kept == set()


def test_inference_alone_asks_for_nothing_of_the_pipelines_and_for_no_package_that_only_fitting_needs() -> None:
    needless = {"kedro", "dvc", "lightning", "pyarrow", "scipy", "scikit-learn", "pyyaml", "scikit-image"}
    assert needless <= set(PINS)
    assert not needless & set(LOCK.closure(LOCK.wanted()["inference"]))


def test_an_extra_that_is_left_to_the_reader_is_there_and_its_packages_are_not_locked() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for name in LOCK.BY_HAND:
        assert not {canonicalize_name(Requirement(line).name) for line in extras[name]} & set(PINS)


def test_a_chain_of_requirements_is_followed_with_its_extras() -> None:
    found = LOCK.closure([Requirement("kedro[pydantic]"), Requirement("there-is-no-such-package")])
    assert "pydantic-core" in found
    assert found["pydantic-core"][0][0] == "pydantic"
    assert [by for by, _ in found["there-is-no-such-package"]] == ["pyproject.toml"]


def test_other_versions_than_the_locked_are_told() -> None:
    assert (
        LOCK.differing({"numpy": "0.1", "there-is-no-such-package": "1"})
        == [
            f"numpy==0.1 is locked, {PINS['numpy']} is installed",
            "there-is-no-such-package==1 is not installed",
        ]
        or DIFFERENT
    )


def test_setup_installs_the_lock_and_resolves_nothing_beside_it() -> None:
    lines = [line for line in (ROOT / "Makefile").read_text().splitlines() if "pip install" in line]
    setup = [line for line in lines if ".audit" not in line]
    assert len(setup) == 2
    assert all("--no-deps" in line for line in setup)
