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
    """One SIGKILL: after `after_s` seconds, or when a file is seen; to the whole process group or to the parent alone.

    `after_s` bounds the wait for a file too, since a run that resumes may never write it again.
    """

    after_s: float
    event: Event | None
    whom: Literal["group", "parent"]


def draw(rng: Random, duration_s: float, events: Sequence[Event]) -> list[Kill]:
    """The kills of one round, one to three: half of them at any time of the duration, half at any event.

    Events are drawn by the kind of file first: a folder with a file per clip would otherwise get nearly all of them.
    """
    kills = []
    for _ in range(rng.randint(1, MOST_KILLS)):
        whom: Literal["group", "parent"] = "group" if rng.random() < 0.5 else "parent"
        if events and rng.random() < 0.5:
            folders = sorted({_folder(event) for event in events})
            folder = rng.choice(folders)
            event = rng.choice([event for event in events if _folder(event) == folder])
            kills.append(Kill(3 * duration_s, event, whom))
        else:
            kills.append(Kill(rng.uniform(0, duration_s), None, whom))
    return kills


def _folder(event: Event) -> tuple[str, bool]:
    """Where a file lies, and whether it is a temporary one."""
    folder, _, name = event.name.rpartition("/")
    return folder, name.startswith(".tmp-")
