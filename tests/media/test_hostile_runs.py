"""Whole runs over a folder of hostile files with two good ones in it: the good ones come through, the odd ones come
out right, every other one is told, and nothing is written beside the results."""

from __future__ import annotations

import json
import os
import re
import shutil
import unicodedata
from pathlib import Path
from typing import NamedTuple

import hostile
import numpy as np
import pandas as pd
import pytest
from media_case import ODD, REFUSED, Hostile, good

from iaca.errors import InputError
from iaca.inference import Predictor
from iaca.web.sessions import Sessions
from project import copy_project, runner

pytestmark = pytest.mark.slow

TAKEN = (
    "cut 50%.mkv", "list.mp4", "empty.mp4", "claims 100 years.mp4", "4100.mkv", "jumps 100 years.mkv",
    "sound in 100 years.mkv", "150 sounds.mkv", "1x1.mkv", "1x400.mkv", "one frame, one sample.mkv",
    "4500 fps.mp4", "few and far.mp4", "changes size.mkv", "all nan.mkv",
)  # fmt: skip
"""One of each kind; the others are read in test_hostile_media.py and in benchmarks/hostile_media.py."""
LIBRARIES = re.compile(r"home\d+/\.config|\.config/matplotlib|temporary\d+/torchinductor_\w+")
SAME_NAME = "caf\u00e9"  # of two files, in both Unicode forms: a corpus can't tell which one a table means
ODD_NAMES = [
    "two words", "caf\u00e9", "cafe\u0301", 'it\'s "quoted"', "-dash", "a..b", "100%d %s", "back\\slash",
    "semi;colon, comma",
]  # fmt: skip


class Ran(NamedTuple):
    """What there was, what one run made of it, and what else is new."""

    files: list[Hostile]
    root: Path
    data: Path
    out: Path
    beside: list[Path]


def listing(folder: Path) -> dict[Path, tuple[int, int]]:
    """Everything below a folder, with its size and time."""
    return {path: (path.lstat().st_size, path.lstat().st_mtime_ns) for path in sorted(folder.rglob("*"))}


def beside(before: dict[Path, tuple[int, int]], folder: Path, results: list[Path]) -> list[Path]:
    """What is new, gone or other below a folder, and not below one of those for results.

    The time of a folder changes with what is put into it, which is told by its own name.
    """
    after = listing(folder)
    changed = [path for path in before.keys() | after.keys() if before.get(path) != after.get(path)]
    own = [path for path in changed if not (path in before and path.is_dir())]
    return sorted(path for path in own if not any(path.is_relative_to(result) for result in results))


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Ingestion, preprocessing and inference of the folder, in one process that would hang or crash with any of it."""
    base, project = tmp_path_factory.mktemp("base"), copy_project(tmp_path_factory.mktemp("run") / "project")
    root, out = base / "videos", project.parent / "out"
    root.mkdir()
    every = hostile.everything(tmp_path_factory.mktemp("made from"), [0.5], range(0))
    files = [file for file in every if file.name in TAKEN]
    assert len(files) == len(TAKEN)
    for file in files:
        file.write(root / file.name)
    for name in ("good one.mp4", "good two.mkv"):
        good(root / name)
    hostile.names(root, root / "good one.mp4", good(base / "outside.mp4"))
    home, temporary = (tmp_path_factory.mktemp(name) for name in ("home", "temporary"))
    caches = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    surroundings = base.parent
    before = listing(surroundings)
    given = [f"ingestion.root={root}", f"inference.input={root}", f"inference.output={out}", "inference.plot=false"]
    words = ("kedro", "run", "--env", "folder", "--pipelines", "ingestion,preprocessing,inference", "--params")
    places = {"HOME": str(home), "TMPDIR": str(temporary), "XDG_CACHE_HOME": str(caches)}
    runner(project)(*words, ",".join([*given, "executor.kind=serial"]), **places)
    data = project / "data"
    return Ran(files, root, data, out, beside(before, surroundings, [data, out]))


def test_nothing_is_written_but_results(ran: Ran) -> None:
    """Neither beside the videos, nor in the project, nor at home, nor left where temporary files lie.

    Empty folders that matplotlib and torch make for themselves when they are imported are not of the data.
    """
    made = [path for path in ran.beside if not LIBRARIES.fullmatch("/".join(path.parts[-2:]))]
    assert made == []
    assert all(path.is_dir() for path in ran.beside)


def test_a_corpus_goes_through_with_all_that_is_sound_and_tells_the_rest(ran: Ran) -> None:
    clips = pd.read_csv(ran.data / "02_intermediate/folder/clips.csv", dtype={"clip": str}, keep_default_na=False)
    names = {name for name in ODD_NAMES if unicodedata.normalize("NFC", name) != SAME_NAME}
    assert {"good one", "good two", *names, "link", *(Path(f.name).stem for f in odd(ran.files))} <= set(clips["clip"])
    problems = pd.read_csv(ran.data / "02_intermediate/folder/problems.csv", dtype=str, keep_default_na=False)
    lost = set(problems.loc[problems["effect"] == "left out", "clip"])
    unnamed = {"no text \\udcff", "new\\nline"}
    assert {"pipe", "loop", "nowhere", "list", "empty", "4100", "jumps 100 years", SAME_NAME} | unnamed <= lost
    made = {path.stem for path in (ran.data / "03_primary/folder/timelines").glob("*.parquet")}
    assert {"good one", "good two", *names} <= made
    assert "sound in 100 years" not in made


def test_inference_gives_every_odd_file_a_row_per_frame_and_an_overlay_at_its_times(ran: Ran) -> None:
    for file in odd(ran.files):
        table = pd.read_csv(ran.out / f"{Path(file.name).stem}.csv")
        assert table["time_s"].to_numpy() == pytest.approx(np.array(file.times), abs=1e-3, rel=1e-5), file.name
        assert (ran.out / f"{Path(file.name).stem}.mp4").exists()
    for name in ("good one", "good two", *ODD_NAMES, "no text \\udcff", "new\\nline"):
        assert json.loads((ran.out / f"{name}.json").read_text(encoding="utf-8"))["frames"] == 12, name


def test_inference_tells_every_other_file_by_its_name_with_a_remedy(ran: Ran) -> None:
    failures = pd.read_csv(ran.out / "failures.csv").set_index("item")["reason"]
    for file in ran.files:
        if file.outcome == REFUSED:
            assert file.name in failures[Path(file.name).stem]
    assert failures.str.contains("Remedy").all()
    assert "too long" in failures["n" * 246]
    assert not {"pipe", "loop", "nowhere", "folder"} & {path.stem for path in ran.out.iterdir()}


def test_a_script_gets_an_error_that_names_the_file_or_the_rows(ran: Ran) -> None:
    predictor = Predictor.load("zero_shot")
    for name in ("pipe.mp4", "loop.mp4", "list.mp4", "150 sounds.mkv", "sound in 100 years.mkv"):
        with pytest.raises(InputError, match=f"{name}.*Remedy"):
            predictor.predict(ran.root / name)
    assert len(predictor.predict(ran.root / "new\nline.mp4")) == 12
    assert predictor.predict(ran.root / "all nan.mkv")[["valence", "arousal"]].notna().all(axis=None)


class Nobody:
    """In place of the worker of the page."""

    def stop(self) -> None:
        """Nothing is at work."""


def test_the_page_takes_what_can_be_analysed_and_says_of_the_rest_what_helps(ran: Ran, tmp_path: Path) -> None:
    sessions = Sessions(tmp_path, Nobody(), max_seconds=60)  # type: ignore[arg-type]
    refused = {
        "list.mp4": "not a readable video", "empty.mp4": "not a readable video", "4100.mkv": "not a readable video",
        "few and far.mp4": "3600 s long", "jumps 100 years.mkv": "s long", "150 sounds.mkv": "--limit max_streams=N",
    }  # fmt: skip
    for number, name in enumerate([*refused, "claims 100 years.mp4", "1x1.mkv", "all nan.mkv"]):
        upload = sessions.uploads / str(number) / name
        upload.parent.mkdir()
        shutil.copy(ran.root / name, upload)
        if name in refused:
            with pytest.raises(InputError, match=refused[name]):
                sessions.receive("page", upload)
        else:
            assert sessions.receive("page", upload).video.exists()
    sessions.end("page")


def odd(files: list[Hostile]) -> list[Hostile]:
    return [file for file in files if file.outcome == ODD]
