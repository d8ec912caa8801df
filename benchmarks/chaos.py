"""Kill every pipeline at random moments, repeat the command, and compare the files with those of an undisturbed run.

    python benchmarks/chaos.py [--pipelines NAMES] [--rounds 4] [--seed 0] [--project FOLDER]

Prints the Markdown table of docs/engineering/faults.md. Each round starts from the same state: the pipeline's own files
are removed, or older ones are present and a parameter has changed. One to three runs in a row are killed by SIGKILL, at
a random time or when a file appears, as a process group or only the parent; then the same command runs to its end.
Every file below `data/` must have the bytes of an undisturbed run.

Each run uses a pool of two processes and its own hash seed, or no pool; neither may make a difference. A run without a
pool is forked from this process, which has imported everything, so that its kill hits the work and not the start.
`--project` names a project in which `kedro run --env test` has finished; otherwise that is done first. The project is
copied, never written to.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Literal

from killed_run import Event, Kill, Run, differences, environment, leftovers, run, warm_up

ROOT = Path(__file__).parents[1]
PARTS = ("conf", "src", "pyproject.toml", ".telemetry")
CHAIN = ("demo_corpus", "ingestion", "preprocessing", "embedding", "training", "evaluation")
POOL, SERIAL = "executor.workers=2", "executor.kind=serial"
WARM_SHARE = 0.7
"""Share of the runs that are forked."""
MAX_KILLS = 3
LOG_CHARACTERS = 1500


@dataclass(frozen=True)
class Target:
    """A pipeline.

    Attributes:
        outputs: what it writes, as patterns below `data/`.
        change: a parameter that makes it rebuild all outputs over an older state; "" if it has none.
        always: parameters that keep it small.
    """

    outputs: tuple[str, ...]
    change: str = ""
    always: str = ""

    def parameters(self, change: bool) -> str:
        """Value of --params."""
        return ",".join(part for part in (self.always, self.change if change else "") if part)


TARGETS = {
    "demo_corpus": Target(("01_raw/demo",), "demo_corpus.seed=1"),
    "ingestion": Target(("02_intermediate",)),
    "preprocessing": Target(("03_primary",), "faces.every=4"),
    "embedding": Target(("04_feature/embeddings",), "embedding.precision=bfloat16"),
    "training": Target(("05_model_input", "06_models/*"), "training.seed=1", "training.epochs=4"),
    "evaluation": Target(("07_model_output/*predictions*", "08_reporting/*"), "evaluation.seed=1"),
    "benchmark": Target(
        ("04_feature/spoilt", "06_models/benchmark", "07_model_output/benchmark_scores", "08_reporting/benchmark*"),
        "training.learning_rate=0.002",
    ),
    "adaptation": Target(("06_models/adapted.safetensors", "08_reporting/adaptation.csv"), "adaptation.seed=1"),
    "inference": Target(("07_model_output/inference*",), "inference.people=all"),
    "encoder_training": Target(
        ("06_models/encoders",),
        "encoder_training.seed=1",
        "encoder_training.start=random,encoder_training.epochs=2,encoder_training.every=10",
    ),
}


@dataclass
class Tally:
    """Results of the rounds of one pipeline."""

    rounds: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def kill_pipeline(name: str, rounds: int, seed: int, finished: Path, folder: Path) -> tuple[Tally, float]:
    """All rounds of one pipeline, and the seconds of its undisturbed run."""
    target, tally, rng = TARGETS[name], Tally(), Random(f"{name} {seed}")
    seconds = 0.0
    for over_older in (False, True) if target.change and rounds > 1 else (False,):
        scenario = Scenario(name, target, finished, folder / "project", folder, over_older)
        seconds = max(seconds, scenario.undisturbed.seconds)
        share = rounds if not target.change else (rounds + 1 - over_older) // 2
        for _ in range(share):
            scenario.round(rng, tally)
    return tally, seconds


class Scenario:
    """A pipeline in a project, started without its outputs or over older ones. The undisturbed run is made once."""

    def __init__(self, name: str, target: Target, finished: Path, project: Path, scratch: Path, over_older: bool):
        self.name, self.project, self.data = name, project, project / "data"
        self.parameters = target.parameters(over_older)
        self.before, self.after = scratch / "before", scratch / "after"
        self._restore(finished)
        if over_older:
            self._undisturbed(target.parameters(False), "the older state")
        else:
            for path in (path for pattern in target.outputs for path in self.data.glob(pattern)):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        self._save(self.before)
        self.undisturbed = self._undisturbed(self.parameters, "undisturbed")
        self._save(self.after)

    def round(self, rng: Random, tally: Tally) -> None:
        """Kill one to three runs, repeat the command, compare."""
        kills = draw(rng, self.undisturbed.seconds, self.undisturbed.events)
        self._restore(self.before)
        history = []
        for kill in kills:
            done = self._run(rng, kill)
            if done.status == -9:
                tally.kills["file" if kill.at_file else "time"] += 1
                tally.kills[kill.whom] += 1
                last = done.events[-1].name if done.events else "no file"
                history.append(f"{kill.whom} at {done.seconds:.1f} s, {last}")
            elif done.status:
                tally.faults.append(f"ended with {done.status} {history}: {done.output[-LOG_CHARACTERS:]}")
        done = self._run(rng)
        faults = [f"ended with {done.status}: {done.output[-LOG_CHARACTERS:]}"] if done.status else []
        faults += differences(self.data, self.after) + [f"left over: {name}" for name in leftovers(self.data)]
        tally.faults += [f"{line}  after kills of {'; '.join(history) or 'no run'}" for line in faults]
        tally.rounds += 1

    def _undisturbed(self, parameters: str, what: str) -> Run:
        words = command(self.name, parameters, SERIAL)
        return require_success(run(self.project, words, warm=True), f"{self.name}, {what}")

    def _run(self, rng: Random, kill: Kill | None = None) -> Run:
        if rng.random() < WARM_SHARE:
            return run(self.project, command(self.name, self.parameters, SERIAL), kill, warm=True)
        words = command(self.name, self.parameters, POOL)
        return run(self.project, words, kill, PYTHONHASHSEED=str(rng.randint(0, 999)))

    def _restore(self, state: Path) -> None:
        shutil.rmtree(self.data, ignore_errors=True)
        shutil.copytree(state, self.data)  # keeps the files' times, which the engine compares

    def _save(self, state: Path) -> None:
        shutil.rmtree(state, ignore_errors=True)
        shutil.copytree(self.data, state)


def draw(rng: Random, duration_s: float, events: Sequence[Event]) -> list[Kill]:
    """The kills of one round, one to three, given the duration (s) of an undisturbed run and the files it wrote.

    A quarter of the kills come at a random time of the duration, the others when a file appears or up to a second
    later. The first kill of a round waits for a certain file, drawn by folder, since otherwise folders with a file per
    clip would get nearly all kills. A resumed run may never write that file, so later kills count files.
    """
    kills = []
    for count in range(rng.randint(1, MAX_KILLS)):
        whom: Literal["group", "parent"] = rng.choice(("group", "parent"))
        after_s = rng.choice((0.0, rng.uniform(0, 1)))
        if rng.random() < 0.25:
            kills.append(Kill(whom, after_s=rng.uniform(0, duration_s)))
        elif count == 0:
            folder = rng.choice(sorted({_folder(event) for event in events}))
            kills.append(Kill(whom, rng.choice([event for event in events if _folder(event) == folder]), None, after_s))
        else:
            kills.append(Kill(whom, None, max(1, int(len(events) ** rng.random())), after_s))
    return kills


def _folder(event: Event) -> tuple[str, bool]:
    """Folder of a file, and whether the file is temporary."""
    folder, _, name = event.name.rpartition("/")
    return folder, name.startswith(".tmp-")


# Shared with same_answer.py


def command(pipeline: str, parameters: str, executor: str = POOL) -> list[str]:
    """The Kedro command of a run."""
    given = ",".join(part for part in (executor, parameters) if part)
    return ["kedro", "run", "--env", "test", "--pipelines", pipeline, "--params", given]


def require_success(done: Run, what: str) -> Run:
    """The run, if it succeeded.

    Raises:
        RuntimeError: with the end of its output.
    """
    if done.status:
        raise RuntimeError(f"{what} ended with {done.status}:\n{done.output[-2 * LOG_CHARACTERS :]}")
    return done


def copy_code(project: Path) -> None:
    """Copy the project without data."""
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, project / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / part, project / part)


def finished_data(given: Path | None, folder: Path, chain: Sequence[str] = CHAIN) -> Path:
    """`data/` of the given finished project, or of one that is made now."""
    if given is not None:
        return given / "data"
    (folder / "project/data").mkdir()
    for name in chain:
        require_success(run(folder / "project", command(name, "")), name)
    shutil.copytree(folder / "project/data", folder / "finished")
    return folder / "finished"


def main() -> int:
    """Print the table; exit status 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pipelines", default=",".join(TARGETS), help="names, separated by commas")
    parser.add_argument("--rounds", type=int, default=4, help="of each pipeline")
    parser.add_argument("--seed", type=int, default=0, help="of all random draws")
    parser.add_argument("--project", type=Path, help="a finished project")
    given = parser.parse_args()
    faults = []
    print("| pipeline | undisturbed | rounds | kills | at a time / at a file | group / parent | differences |")
    print("|---|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "project").mkdir()
        copy_code(folder / "project")
        warm_up(folder / "project", environment(folder / "project"))
        finished = finished_data(given.project, folder)
        for name in given.pipelines.split(","):
            tally, seconds = kill_pipeline(name, given.rounds, given.seed, finished, folder)
            kills = tally.kills
            print(
                f"| `{name}` | {seconds:.0f} s | {tally.rounds} | {kills['group'] + kills['parent']} "
                f"| {kills['time']} / {kills['file']} | {kills['group']} / {kills['parent']} | {len(tally.faults)} |",
                flush=True,
            )
            faults += [f"{name}: {line}" for line in tally.faults]
    for line in faults:
        print(line, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
