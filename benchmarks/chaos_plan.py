"""What is killed: every pipeline, the files it makes, what it is asked to make anew, and the moments of a kill."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

CHAIN = ("demo_corpus", "ingestion", "preprocessing", "embedding", "training", "evaluation")
MOST_KILLS = 3


@dataclass(frozen=True)
class Target:
    """A pipeline.

    Attributes:
        makes: what it writes, as patterns below `data/`.
        change: a parameter by which all of it is made anew over an older state; "" where it has none.
        always: parameters that keep it small.
    """

    makes: tuple[str, ...]
    change: str = ""
    always: str = ""

    def parameters(self, change: bool) -> str:
        """What stands behind --params."""
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


@dataclass(frozen=True)
class Event:
    """A file that an undisturbed run was seen to write: its name without what is random in it, and how often by then.

    `count` tells the second `clips.csv` of a run from the first.
    """

    name: str
    count: int


@dataclass(frozen=True)
class Kill:
    """One SIGKILL, to the whole process group or to the parent alone.

    Attributes:
        whom: who gets it.
        event: when this file is seen,
        nth: or when this many files have been seen, whichever they are; neither of them: after `after_s`.
        after_s: s after that moment; without one, after the start.
    """

    whom: Literal["group", "parent"]
    event: Event | None = None
    nth: int | None = None
    after_s: float = 0.0

    @property
    def at_file(self) -> bool:
        """Whether it waits for a file."""
        return self.event is not None or self.nth is not None


def draw(rng: Random, duration_s: float, events: Sequence[Event]) -> list[Kill]:
    """The kills of one round, one to three, given how long an undisturbed run took (s) and what it wrote.

    A quarter comes at any time of the duration, the others when a file is seen or up to a second later. The first one
    of a round waits for a certain file, drawn by folder: one with a file per clip would otherwise get nearly all of
    them. A run that resumes may never write that file again, so that later kills go by the number of files.
    """
    kills = []
    for count in range(rng.randint(1, MOST_KILLS)):
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
    """Where a file lies, and whether it is a temporary one."""
    folder, _, name = event.name.rpartition("/")
    return folder, name.startswith(".tmp-")
