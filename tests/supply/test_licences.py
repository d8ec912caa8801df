"""docs/reference/licences.md names every locked package with a licence that somebody has told."""

import re
from importlib import metadata
from os import PathLike
from pathlib import Path

import av
import pytest
from packaging.utils import canonicalize_name
from tools import DIFFERENT, LOCK, script

from project import ROOT

TABLE = (ROOT / "docs/reference/licences.md").read_text().partition("## Every package")[2]
ROWS = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in TABLE.splitlines() if " | " in line][1:]
locked_environment = pytest.mark.skipif(bool(DIFFERENT), reason=f"needs the locked packages: {DIFFERENT[:3]}")
SPDX = re.compile(r"[A-Za-z0-9.+()-]+( (AND|OR|WITH) [A-Za-z0-9.+()-]+)*")


def test_the_table_and_the_lock_are_the_same_packages_in_the_same_versions() -> None:
    assert {row[0]: row[1] for row in ROWS} == LOCK.locked(), "run: python docs/generate_licences.py"


def test_every_package_has_a_licence_and_what_tells_it() -> None:
    for package, _, licence, _, _, whence in ROWS:
        told = f"{package}: look its licence up, and add it to BY_HAND of docs/licence_names.py with the source"
        assert SPDX.fullmatch(licence), told
        assert whence in ("License-Expression", "License", "classifier", "licence file") or len(whence) > 20, told


@locked_environment
def test_the_page_is_the_one_that_the_metadata_give() -> None:
    written = script("generate_licences").page()
    assert (ROOT / "docs/reference/licences.md").read_text() == written, "run: python docs/generate_licences.py"


def test_entries_by_hand_are_of_locked_packages_and_name_their_source() -> None:
    pins = {canonicalize_name(name) for name in LOCK.locked()}
    for package, (licence, source) in script("licence_names").BY_HAND.items():
        assert canonicalize_name(package) in pins, f"{package} is locked no more"
        assert SPDX.fullmatch(licence)
        assert source.startswith("by hand: ")


class Told(metadata.Distribution):
    """A package that says of itself what a test wants."""

    def __init__(self, folder: Path, facts: str, licence: str):
        self._folder, self._facts = folder, f"Metadata-Version: 2.4\nName: some\n{facts}\n"
        self._record = "some-1.dist-info/LICENSE,,\n" if licence else ""
        (folder / "some-1.dist-info").mkdir()
        (folder / "some-1.dist-info/LICENSE").write_text(licence)

    def read_text(self, filename: str) -> str | None:
        return {"METADATA": self._facts, "RECORD": self._record}.get(filename)

    def locate_file(self, path: str | PathLike[str]) -> Path:
        return self._folder / path


BSD = "Redistribution and use in source and binary forms, with or without modification, are permitted provided"


@pytest.mark.parametrize(
    ("facts", "text", "told"),
    [
        ("License-Expression: MIT\nLicense: Apache 2.0", "", ("MIT", "License-Expression")),
        ("License: Apache License, Version 2.0", "", ("Apache-2.0", "License")),
        ("Classifier: License :: OSI Approved :: MIT License", "", ("MIT", "classifier")),
        ("License: BSD\nClassifier: License :: OSI Approved :: BSD License", BSD, ("BSD-2-Clause", "licence file")),
        ("License: BSD", f"{BSD}\nNeither the name of the author", ("BSD-3-Clause", "licence file")),
        ("License: BSD", "", ("", "")),
        ("License: do as you please", "All rights reserved.", ("", "")),
        ("Classifier: License :: OSI Approved :: MIT License\nClassifier: License :: OSI Approved :: GNU General "
         "Public License (GPL)", "", ("", "")),
    ],
)  # fmt: skip
def test_a_licence_is_taken_from_what_tells_it_best_and_never_guessed(
    tmp_path: Path, facts: str, text: str, told: tuple[str, str]
) -> None:
    assert script("generate_licences").licence_of(Told(tmp_path, facts, text)) == told


@pytest.mark.parametrize(
    ("licence", "mark"),
    [
        ("MIT", ""),
        ("MPL-2.0", "copyleft"),
        ("MPL-2.0 AND (Apache-2.0 OR MIT)", "copyleft"),
        ("GPL-2.0-only OR EPL-1.0", "copyleft"),
        ("Apache-2.0 OR GPL-2.0-or-later", "copyleft, unless the other is chosen"),
        ("AGPL-3.0-only", "copyleft"),
        ("LicenseRef-NVIDIA-Proprietary", "proprietary"),
    ],
)
def test_what_a_redistributor_should_look_at_is_marked(licence: str, mark: str) -> None:
    assert script("generate_licences").Licence("some", "1", licence, "License", "project").mark == mark


def test_what_the_page_says_of_ffmpeg_is_what_its_wheel_says() -> None:
    from av._core import library_meta

    page = " ".join((ROOT / "docs/reference/licences.md").read_text().split())
    assert f'calls itself "{library_meta["libavcodec"]["license"]}"' in page
    assert "--enable-libx264" in library_meta["libavcodec"]["configuration"]
    assert "| av | libx264 | GPL-2.0-or-later |" in page
    assert av.codec.Codec("libx264", "w").name == "libx264"
