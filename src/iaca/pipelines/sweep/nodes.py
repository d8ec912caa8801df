"""A resumable search by Optuna: each trial trains the main model and is scored on the validation partition.

Every trial is stored in SQLite when it ends. A trial that was killed is trained again with the same settings, from its
last checkpoint: the search draws from a generator that depends on the number of finished trials alone.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from pydantic import ValidationError
from scipy.special import stdtrit

from iaca.encoders.embedding import embeddings_of, read_annotated
from iaca.engine import ClipPaths
from iaca.errors import InputError, counted
from iaca.fusion.config import ModelChoice
from iaca.parameters import faults
from iaca.pipelines.training.nodes import learned_from, untracked
from iaca.training.config import MACHINE, VERSION, SweepConfig, TrainingConfig
from iaca.training.data import Clips
from iaca.training.sample import shared_cues
from iaca.training.tracking import Tracking
from iaca.training.train import TrainingRun, train

log = logging.getLogger(__name__)
STORE = "sweep.db"
PRESENT, BEST, TRIAL = "present", "best", "trial"
COMPLETE = "complete"
COLUMNS = ("kind", "trial", "seed", "state", "score", "epoch")
Values = dict[str, Any]


def run_sweep(
    embeddings: ClipPaths,
    timelines: ClipPaths,
    training_index: pd.DataFrame,
    checkpoints: Path,
    store: Path,
    fusion: ModelChoice,
    training: TrainingConfig,
    sweep: SweepConfig,
) -> tuple[pd.DataFrame, str]:
    """Search, then train the best and the present settings again with other seeds.

    Returns:
        One row per trial and per repetition: `kind` (`trial`, `best`, `present`), `trial`, `seed`, `state`
        (`complete`; `refused`: settings that do not fit each other), `score` (of the best epoch on validation),
        `epoch`, and a column per parameter of the space; and all settings, with the best values, as YAML:
        a whole file `parameters_training.yml` of an environment.

    Raises:
        InputError: Optuna is not installed, a parameter of the space does not exist or takes no such value, or no
            trial could be trained.
    """
    optuna = imported_optuna()
    check_space(fusion, training, sweep)
    alone, tracking = untracked(training.model_copy(update={"folds": 0}), checkpoints)
    data = read_partitions(embeddings, timelines, training_index, bool(fusion.build(1, 1).tasks))
    runs = Runs(data, checkpoints.absolute() / "sweep", fusion, alone, tracking.get("tracking"))
    study = open_study(optuna, store, runs.fingerprint(sweep))
    search(optuna, study, runs, sweep)
    rows = trial_rows(optuna, study, training.seed)
    number, values = best_of(rows, sweep)
    settings = ((BEST, number, values), (PRESENT, None, present(fusion, training, sweep)))
    repeated = [
        {"kind": kind, "trial": trial, "seed": seed, "state": COMPLETE, **scores, **own}
        for kind, trial, own in settings
        for seed, scores in repetitions(study, runs, kind, trial, own, sweep)
    ]
    trials = pd.DataFrame([*rows, *repeated], columns=[*COLUMNS, *sweep.space])
    trials["trial"] = trials["trial"].astype("Int64")
    text = best_text(number, settings_with(fusion, training, values), trials)
    log.info("%s", text)
    return trials, text


def imported_optuna() -> Any:
    """The package, which is imported only here.

    Raises:
        InputError: it is not installed.
    """
    try:
        optuna = importlib.import_module("optuna")
    except ImportError as error:
        raise InputError("a sweep needs the package optuna", remedy="pip install -e '.[sweep]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


# The settings of a trial


def settings_with(fusion: ModelChoice, training: TrainingConfig, values: Values) -> tuple[ModelChoice, TrainingConfig]:
    """The settings with some parameters replaced.

    Raises:
        pydantic.ValidationError: a parameter does not exist, or the values do not fit each other.
    """
    groups: dict[str, Any] = {
        "fusion": {"preset": fusion.preset, **fusion.changes},
        "training": training.model_dump(mode="json"),
    }
    for name, value in values.items():
        *path, last = name.split(".")
        place = groups
        for part in path:
            place = place.setdefault(part, {})
        place[last] = value
    return ModelChoice.model_validate(groups["fusion"]), TrainingConfig.model_validate(groups["training"])


def check_space(fusion: ModelChoice, training: TrainingConfig, sweep: SweepConfig) -> None:
    """Check the ends and choices of every parameter, before anything is trained.

    Raises:
        InputError: a parameter does not exist, or none of its values is allowed with the present settings.
    """
    for name, dimension in sweep.space.items():
        wrong = []
        for value in dimension.ends:
            try:
                settings_with(fusion, training, {name: value})
            except ValidationError as error:
                wrong.append(faults(error, f"{name.partition('.')[0]}."))
        if len(wrong) == len(dimension.ends) or (wrong and dimension.choices is None):
            raise InputError(f"sweep.space: {name} takes no such value: {wrong[0]}", remedy="correct name or values")


def present(fusion: ModelChoice, training: TrainingConfig, sweep: SweepConfig) -> Values:
    """The present values of the parameters of the space."""
    groups = {"fusion": fusion.build(1, 1).model_dump(mode="json"), "training": training.model_dump(mode="json")}
    values: Values = {}
    for name in sweep.space:
        value: Any = groups
        for part in name.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        values[name] = value
    return values


# What is trained


@dataclass(frozen=True)
class Partitions:
    """The clips that a sweep reads: no others exist for it."""

    train: Clips
    validation: Clips
    subjects: Mapping[str, str]


def read_partitions(
    embeddings: ClipPaths, timelines: ClipPaths, training_index: pd.DataFrame, tasks: bool
) -> Partitions:
    """The train and validation clips, mapped from their files. No file of a test clip is opened."""
    _, named = learned_from(embeddings, timelines, training_index)
    parts = [
        {clip: read_annotated(embeddings.whole(clip), timelines.whole(clip), tasks) for clip in named[f"{part}_clips"]}
        for part in ("train", "validation")
    ]
    return Partitions(parts[0], parts[1], named["subjects"])


@dataclass(frozen=True)
class Runs:
    """Trains the main model with given settings."""

    data: Partitions
    checkpoints: Path
    fusion: ModelChoice
    training: TrainingConfig
    tracking: Tracking | None

    def fingerprint(self, sweep: SweepConfig) -> str:
        """Of everything that a search depends on except its length: another corpus or space begins another search."""
        run = self._run({}, self.training.seed, "fingerprint")
        parts = {
            "version": VERSION,
            "run": run.fingerprint,
            "fusion": self.fusion.model_dump(mode="json"),
            "training": self.training.model_dump(mode="json", exclude=MACHINE),
            "sweep": sweep.model_dump(mode="json", exclude={"trials", "seeds"}),
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def score(self, values: Values, seed: int, name: str) -> dict[str, float]:
        """`score` and `epoch` of the best epoch."""
        _, history = train(self._run(values, seed, name))
        best = int(history["score"].fillna(-np.inf).to_numpy().argmax())
        return {"score": float(history["score"].iloc[best]), "epoch": int(history["epoch"].iloc[best])}

    def _run(self, values: Values, seed: int, name: str) -> TrainingRun:
        choice, training = settings_with(self.fusion, self.training, values)
        clips = embeddings_of(self.data.train)
        dims = next((clip.dims for clip in clips.values()), {"audio": 1, "visual": 1})
        model = choice.build(dims["audio"], dims["visual"], shared_cues(clips))
        config, place = training.model_copy(update={"seed": seed}), self.checkpoints / name
        data = self.data
        return TrainingRun(
            model, config, data.train, data.validation, place, subjects=data.subjects, tracking=self.tracking
        )


# The search


def open_study(optuna: Any, store: Path, fingerprint: str) -> Any:
    """The study of a fingerprint in the store; trials that a killed process left behind are marked as failed."""
    study = optuna.create_study(
        storage=f"sqlite:///{(store / STORE).absolute()}",
        study_name=f"sweep-{fingerprint[:16]}",
        direction="maximize",
        load_if_exists=True,
    )
    for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
    return study


def search(optuna: Any, study: Any, runs: Runs, sweep: SweepConfig) -> None:
    """Ask, train, tell, until there are enough trials."""
    states = optuna.trial.TrialState
    spaces = {name: _distribution(optuna, dimension) for name, dimension in sweep.space.items()}
    while (done := len(study.get_trials(deepcopy=False, states=(states.COMPLETE, states.PRUNED)))) < sweep.trials:
        study.sampler = optuna.samplers.TPESampler(seed=sweep.seed + done, n_startup_trials=sweep.startup)
        trial = study.ask(spaces)
        try:
            settings_with(runs.fusion, runs.training, trial.params)
        except ValidationError as error:
            trial.set_user_attr("refused", faults(error))
            study.tell(trial, state=states.PRUNED)
            log.info("trial %d of %d refused: %s", done + 1, sweep.trials, faults(error))
            continue
        found = runs.score(trial.params, runs.training.seed, f"trial{done}")
        trial.set_user_attr("epoch", found["epoch"])
        study.tell(trial, found["score"])
        log.info("trial %d of %d: %.4f, best %.4f", done + 1, sweep.trials, found["score"], study.best_value)


def _distribution(optuna: Any, dimension: Any) -> Any:
    kinds = optuna.distributions
    if dimension.choices is not None:
        return kinds.CategoricalDistribution(dimension.choices)
    kind: Callable[..., Any] = kinds.IntDistribution if dimension.is_integer else kinds.FloatDistribution
    return kind(dimension.low, dimension.high, log=dimension.log)


def best_of(rows: list[dict[str, Any]], sweep: SweepConfig) -> tuple[int, Values]:
    """Number and settings of the best trial, the first of equal ones.

    Raises:
        InputError: none could be trained.
    """
    complete = [row for row in rows if row["state"] == COMPLETE]
    if not complete:
        raise InputError(
            "no trial of the sweep could be trained: all settings were refused",
            remedy="correct sweep.space; the log names what does not fit",
        )
    best = max(complete, key=lambda row: row["score"])
    return best["trial"], {name: best[name] for name in sweep.space}


def repetitions(
    study: Any, runs: Runs, kind: str, number: int | None, values: Values, sweep: SweepConfig
) -> list[tuple[int, dict[str, float]]]:
    """Seed and scores of the settings with other seeds; those that an earlier run has trained are read."""
    found = []
    for seed in range(runs.training.seed + 1, runs.training.seed + 1 + sweep.seeds):
        key = f"{kind}.{'' if number is None else number}.{seed}"
        if (scores := study.user_attrs.get(key)) is None:
            name = f"{kind}{'' if number is None else number}-seed{seed}"
            scores = runs.score(values if kind == BEST else {}, seed, name)
            study.set_user_attr(key, scores)
            log.info("%s settings, seed %d: %.4f", kind, seed, scores["score"])
        found.append((seed, scores))
    return found


# The result


def trial_rows(optuna: Any, study: Any, seed: int) -> list[dict[str, Any]]:
    """A row per finished trial, in their order, numbered without those that were killed."""
    states = {optuna.trial.TrialState.COMPLETE: COMPLETE, optuna.trial.TrialState.PRUNED: "refused"}
    finished = study.get_trials(deepcopy=False, states=tuple(states))
    return [
        {"kind": TRIAL, "trial": number, "seed": seed, "state": states[trial.state], "score": trial.value}
        | {"epoch": trial.user_attrs.get("epoch"), **trial.params}
        for number, trial in enumerate(finished)
    ]


def best_text(number: int, best: tuple[ModelChoice, TrainingConfig], trials: pd.DataFrame) -> str:
    """The best settings as a whole file of parameters, with what their score is worth as a comment."""
    fusion, training = best
    groups = {
        "fusion": {"preset": fusion.preset, **fusion.changes},
        "training": training.model_dump(mode="json", exclude=MACHINE),
    }
    tried = trials[trials["kind"] == TRIAL].set_index("trial")["score"]
    lines = [
        f"The best of {counted(len(tried), 'trial')} (trial {number}): validation score {tried[number]:.4f}.",
        "It is the best of many on the partition that chose it: too good an estimate, also of the same settings.",
        *_remarks(trials),
        "All settings of the model, the searched ones among them. To use them: conf/local/parameters_training.yml, or,",
        "with --env NAME, which does not read conf/local, in place of conf/NAME/parameters_training.yml.",
    ]
    return "".join(f"# {line}\n" for line in lines) + yaml.safe_dump(groups, sort_keys=False)


def _remarks(trials: pd.DataFrame) -> list[str]:
    """What other seeds say about the best settings, and how they differ from the present ones."""
    scores = {kind: trials[trials["kind"] == kind].set_index("seed")["score"] for kind in (BEST, PRESENT)}
    if scores[BEST].empty:
        return ["It was not trained with other seeds: sweep.seeds=0."]
    means = f"{scores[BEST].mean():.4f}, of the present settings {scores[PRESENT].mean():.4f}"
    text = f"Trained again with {counted(len(scores[BEST]), 'other seed')} the mean score is {means}."
    difference = scores[BEST] - scores[PRESENT]
    if len(difference) < 2:
        return [text]
    half = stdtrit(len(difference) - 1, 0.975) * difference.std() / np.sqrt(len(difference))
    low, high = difference.mean() - half, difference.mean() + half
    verdict = "above 0" if low > 0 else "not to be distinguished from 0 with so few seeds" if high > 0 else "below 0"
    return [text, f"Difference over paired seeds {difference.mean():+.4f} [{low:+.4f}, {high:+.4f}]: {verdict}."]
