"""Kills every pipeline at random moments, runs it again, and compares what is left with an undisturbed run.

    python benchmarks/chaos.py [--pipelines NAMES] [--rounds 4] [--seed 0] [--project FOLDER]

Prints the Markdown table of docs/engineering/faults.md. Each round starts from the same state: the pipeline's
own files are away, or older ones are there and a parameter has changed. One to three runs in a row are killed by
SIGKILL, at a random time or when a file appears, as a whole process group or only the parent; then the same command
runs to its end. Every file below `data/` has to have the bytes of an undisturbed run.

A run, killed or not, works on a pool of two processes, with a hash seed of its own, or by itself: neither may show. One
without a pool is forked off this process, which has imported everything: its kill falls into the work, not the start.
`--project` names a project in which `kedro run --env test` has made everything, which otherwise happens first; it is
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

from chaos_compare import differences, leftovers
from chaos_kill import Run, environment, run
from chaos_plan import CHAIN, TARGETS, Kill, Target, draw
from chaos_warm import warm_up

ROOT = Path(__file__).parents[1]
POOL, SERIAL = "executor.workers=2", "executor.kind=serial"
WARM = 0.7
"""Share of the runs that are forked."""
PARTS = ("conf", "src", "pyproject.toml", ".telemetry")


@dataclass
class Tally:
    """What came of the rounds of one pipeline."""

    rounds: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def copy_code(project: Path) -> None:
    """The project without data."""
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, project / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / part, project / part)


def command(pipeline: str, parameters: str, executor: str = POOL) -> list[str]:
    """What is run, and run again."""
    given = ",".join(part for part in (executor, parameters) if part)
    return ["kedro", "run", "--env", "test", "--pipelines", pipeline, "--params", given]


def checked(done: Run, what: str) -> Run:
    """The run, if it went well.

    Raises:
        RuntimeError: with what it said.
    """
    if done.status:
        raise RuntimeError(f"{what} ended with {done.status}:\n{done.said[-3000:]}")
    return done


class Scenario:
    """A pipeline in a project, from nothing or over an older state; the undisturbed run is made once."""

    def __init__(self, name: str, target: Target, finished: Path, project: Path, scratch: Path, over_older: bool):
        self.name, self.project, self.data = name, project, project / "data"
        self.parameters = target.parameters(over_older)
        self.before, self.after = scratch / "before", scratch / "after"
        self._reset(finished)
        if over_older:
            self._do(target.parameters(False), "the older state")
        else:
            for path in (path for pattern in target.makes for path in self.data.glob(pattern)):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        self._keep(self.before)
        self.undisturbed = self._do(self.parameters, "undisturbed")
        self._keep(self.after)

    def round(self, rng: Random, tally: Tally) -> None:
        """Kill, run again, compare."""
        kills = draw(rng, self.undisturbed.seconds, self.undisturbed.events)
        self._reset(self.before)
        told = []
        for kill in kills:
            done = self._run(rng, kill)
            if done.status == -9:
                tally.kills["file" if kill.at_file else "time"] += 1
                tally.kills[kill.whom] += 1
                told.append(
                    f"{kill.whom} at {done.seconds:.1f} s, {done.events[-1].name if done.events else 'no file'}"
                )
            elif done.status:
                tally.wrong.append(f"ended with {done.status} {told}: {done.said[-1500:]}")
        done = self._run(rng)
        wrong = [f"ended with {done.status}: {done.said[-1500:]}"] if done.status else []
        wrong += differences(self.data, self.after) + [f"left over: {name}" for name in leftovers(self.data)]
        tally.wrong += [f"{line}  after kills of {'; '.join(told) or 'nobody'}" for line in wrong]
        tally.rounds += 1

    def _do(self, parameters: str, what: str) -> Run:
        words = command(self.name, parameters, SERIAL)
        return checked(run(self.project, words, warm=True), f"{self.name}, {what}")

    def _run(self, rng: Random, kill: Kill | None = None) -> Run:
        if rng.random() < WARM:
            return run(self.project, command(self.name, self.parameters, SERIAL), kill, warm=True)
        words = command(self.name, self.parameters, POOL)
        return run(self.project, words, kill, PYTHONHASHSEED=str(rng.randint(0, 999)))

    def _reset(self, state: Path) -> None:
        shutil.rmtree(self.data, ignore_errors=True)
        shutil.copytree(state, self.data)  # with the times of files: they are part of what the engine compares

    def _keep(self, state: Path) -> None:
        shutil.rmtree(state, ignore_errors=True)
        shutil.copytree(self.data, state)


def kill_pipeline(name: str, rounds: int, seed: int, finished: Path, folder: Path) -> tuple[Tally, float]:
    """All rounds of one pipeline; what came of them, and the seconds of its undisturbed run."""
    target, tally, rng = TARGETS[name], Tally(), Random(f"{name} {seed}")
    seconds = 0.0
    for over_older in (False, True) if target.change and rounds > 1 else (False,):
        scenario = Scenario(name, target, finished, folder / "project", folder, over_older)
        seconds = max(seconds, scenario.undisturbed.seconds)
        share = rounds if not target.change else (rounds + 1 - over_older) // 2
        for _ in range(share):
            scenario.round(rng, tally)
    return tally, seconds


def finished_data(given: Path | None, folder: Path, chain: Sequence[str] = CHAIN) -> Path:
    """`data/` of a finished project: the one named, or one made now."""
    if given is not None:
        return given / "data"
    (folder / "project/data").mkdir()
    for name in chain:
        checked(run(folder / "project", command(name, "")), name)
    shutil.copytree(folder / "project/data", folder / "finished")
    return folder / "finished"


def main() -> int:
    """Kill, compare, print the table; 1 where anything differed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pipelines", default=",".join(TARGETS), help="names, with commas between them")
    parser.add_argument("--rounds", type=int, default=4, help="of each pipeline")
    parser.add_argument("--seed", type=int, default=0, help="of everything that is drawn")
    parser.add_argument("--project", type=Path, help="a finished project")
    given = parser.parse_args()
    wrong = []
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
                f"| {kills['time']} / {kills['file']} | {kills['group']} / {kills['parent']} | {len(tally.wrong)} |",
                flush=True,
            )
            wrong += [f"{name}: {line}" for line in tally.wrong]
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
