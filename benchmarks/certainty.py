"""How often intervals hold the truth, and whether inconsistency finds the time in which voice and face disagree.

    python benchmarks/certainty.py FOLDER [--preset iaca] [--seeds 0 1 2 3 4] [--clips 60] [--seconds 24]
    python benchmarks/certainty.py --demo [--data data]

The first command draws the synthetic corpus S2 with events in 30 % of the time, trains a model for each seed and scores
it on people that it has never seen. The seed is that of the corpus and of the training. Trained models are kept in
FOLDER, so a rerun resumes where it was stopped. One process with one thread; start it with `nice` on a shared machine.

The second command scores the predictions of a finished `kedro run` on the demo corpus, in seconds.

Both print Markdown tables for docs/reference/certainty.md: validation and test partitions of S2, over seeds with their
95 % interval; the demo corpus with 95 % intervals over clips.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from iaca.corpora.synthetic import SyntheticClip, SyntheticConfig, draw_corpus, event_rows
from iaca.errors import counted
from iaca.evaluation.benchmark_page import markdown
from iaca.evaluation.benchmark_summary import over_seeds
from iaca.evaluation.certainty import ALL, CERTAINTY_COLUMNS, CLEAN, coverage, inconsistency_auroc
from iaca.evaluation.style import plain
from iaca.files import newest_version, replacing
from iaca.formats.labels import EVENT_COLUMNS, read_event_table
from iaca.fusion.config import PRESETS, preset
from iaca.training.config import TrainingConfig
from iaca.training.model_file import TrainedModel, load_model, save_model
from iaca.training.predict import BuiltModel, predict_clip, prediction_table
from iaca.training.train import TrainingRun, calibrated

TRAINING = TrainingConfig(learning_rate=3e-3, epochs=15, folds=3, threads=1)
WIDTH = 32
EVENT_SHARE = 0.3
UNSEEN = ("validation", "test")
PLACE = ["partition", "modality", "kind", "dimension"]
COVERAGE = ("coverage", "width", "width_error_correlation", "constant_coverage", "constant_width")
AUROC = ("auroc", "gate_auroc")

# The synthetic corpus


def trained(
    corpus: SyntheticConfig, clips: Sequence[SyntheticClip], name: str, seed: int, folder: Path
) -> TrainedModel:
    """The model of a seed: from the folder if it was trained on the same corpus in the same way."""
    config = TRAINING.model_copy(update={"seed": seed})
    settings = f"{corpus.model_dump_json()} {config.model_dump_json()} {WIDTH}"
    run_name = f"{name}-seed{seed}-{hashlib.sha256(settings.encode()).hexdigest()[:12]}"
    file = folder / f"{run_name}.safetensors"
    if not file.is_file():
        parts = {p: {c.name: c.annotated for c in clips if c.partition == p} for p in ("train", "validation")}
        fusion = preset(name, corpus.audio_dim, corpus.visual_dim, width=WIDTH)
        subjects = {clip.name: clip.subject for clip in clips}
        checkpoints = folder / f"{run_name}.checkpoints"
        run = TrainingRun(fusion, config, parts["train"], parts["validation"], checkpoints, subjects=subjects)
        model, _ = calibrated(run)
        with replacing(file) as partial:
            save_model(model, partial)
    return load_model(file)


def synthetic_tables(corpus: SyntheticConfig, name: str, seed: int, folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Coverage on both unseen partitions, each with its events, and AUROC of inconsistency over both together."""
    drawn = list(draw_corpus(corpus))
    built = BuiltModel.of(trained(corpus, drawn, name, seed, folder))
    unseen = [clip for clip in drawn if clip.partition in UNSEEN]
    predictions = pd.concat([_predicted(built, clip) for clip in unseen], ignore_index=True)
    labels = pd.concat([_labels(clip) for clip in unseen], ignore_index=True)
    rows = [row for clip in unseen for row in event_rows(clip.name, clip.events, corpus.rate)]
    events = pd.DataFrame(rows, columns=list(EVENT_COLUMNS))
    parts = [coverage(predictions, labels, events, shown=name, replicates=0) for name in UNSEEN]
    covered = pd.concat([part[part["partition"] == name] for name, part in zip(UNSEEN, parts, strict=True)])
    return covered.assign(seed=seed), inconsistency_auroc(predictions, events, replicates=0).assign(seed=seed)


def _predicted(built: BuiltModel, clip: SyntheticClip) -> pd.DataFrame:
    embedding = clip.annotated.embedding
    return prediction_table(clip.name, embedding, predict_clip(built, embedding), built.model.gate_labels)


def _labels(clip: SyntheticClip) -> pd.DataFrame:
    labels = pd.DataFrame(clip.annotated.labels, columns=["valence", "arousal"])
    return labels.assign(clip=clip.name, frame=range(len(labels)), partition=clip.partition)


def print_synthetic(name: str, seeds: Sequence[int], clips: int, seconds: float, folder: Path) -> None:
    """Train what is missing, and print the tables over seeds."""
    found = []
    for seed in seeds:
        corpus = SyntheticConfig(clips=clips, seconds=seconds, event_share=EVENT_SHARE, seed=seed)
        found.append(synthetic_tables(corpus, name, seed, folder))
        rows = found[-1][0][(found[-1][0]["kind"] == ALL)]
        print(f"seed {seed}: {_listed(rows)}", flush=True)
    covered, scores = (pd.concat(tables, ignore_index=True) for tables in zip(*found, strict=True))
    how = f"{counted(len(seeds), 'seed')}, events in {EVENT_SHARE:.0%} of the time"
    print(f"\n{name} on S2, {clips} clips of {seconds:g} s, {how}\n")
    print(markdown(["frames of", "dimension", *map(_title, COVERAGE)], list(_over_seeds(covered, PLACE, COVERAGE))))
    print()
    print(markdown(["event", *map(_title, AUROC)], list(_over_seeds(scores, ["modality", "kind"], AUROC))))


def _listed(rows: pd.DataFrame) -> str:
    return ", ".join(f"{row['partition']} {row['dimension']} {row['coverage']:.3f}" for row in rows.to_dict("records"))


def _over_seeds(table: pd.DataFrame, by: list[str], measures: Sequence[str]) -> Iterator[list[str]]:
    """Rows of cells: names, then mean and interval over seeds of every measure."""
    means = {name: over_seeds(table, by, name).set_index(by) for name in measures}
    for key in table[by].drop_duplicates().itertuples(index=False, name=None):
        rows = [means[name].loc[key] if key in means[name].index else None for name in measures]
        cells = ["n/a" if row is None else f"{plain(row['mean'])} {_range(row['low'], row['high'])}" for row in rows]
        yield [*_names(dict(zip(by, key, strict=True))), *cells]


# The demo corpus


def print_demo(data: Path) -> None:
    """Print the tables of a finished run."""
    file = newest_version(data / "07_model_output" / "predictions.parquet")
    labels = data / "05_model_input" / "labels.parquet"
    if file is None or not labels.is_file():
        raise SystemExit(f"there are no predictions in {data}: run `kedro run` first")
    predictions, gold = pd.read_parquet(file), pd.read_parquet(labels)
    if not set(CERTAINTY_COLUMNS) <= set(predictions):
        raise SystemExit(f"{file} is of an older version, without intervals: run `kedro run` again")
    gold = gold[gold["clip"].isin(predictions["clip"].unique())]
    index = pd.read_csv(data / "05_model_input" / "training_index.csv", dtype={"clip": str, "subject": str})
    subjects = dict(zip(index["clip"], index["subject"], strict=True))
    events = read_event_table(data / "02_intermediate" / "events.csv")
    parts = {name: coverage(predictions, gold, events, name, subjects) for name in gold["partition"].unique()}
    covered = pd.concat([part[part["partition"] == name] for name, part in parts.items()])
    print(f"The demo corpus, {gold['clip'].nunique()} clips\n")
    print(markdown(["frames of", "dimension", *map(_title, COVERAGE)], list(_over_clips(covered, PLACE, COVERAGE))))
    print()
    scores = inconsistency_auroc(predictions, events)
    header = ["event", *map(_title, AUROC), "frames", "unknown"]
    cells = zip(_over_clips(scores, ["modality", "kind"], AUROC), scores.to_dict("records"), strict=True)
    print(markdown(header, [[*row, str(of["event_frames"]), str(of["unknown_event"])] for row, of in cells]))


def _over_clips(table: pd.DataFrame, by: list[str], measures: Sequence[str]) -> Iterator[list[str]]:
    """Rows of cells: names, then every measure with its interval over clips where it has one."""
    for row in table.to_dict("records"):
        cells = [
            plain(row[name]) + (f" {_range(row[f'{name}_low'], row[f'{name}_high'])}" if f"{name}_low" in row else "")
            for name in measures
        ]
        yield [*_names({name: row[name] for name in by}), *cells]


def _range(low: float, high: float) -> str:
    return f"[{plain(low)}, {plain(high)}]" if low == low else ""


def _names(place: dict[str, str]) -> list[str]:
    """What the frames of a row are, and its dimension if it has one."""
    partition = f"{place['partition']}, " if "partition" in place else ""
    what = {ALL: "all", CLEAN: "no event"}.get(place["kind"], "") if place["modality"] == ALL else ""
    name = partition + (what or f"{place['modality']} {place['kind']}")
    return [name, place["dimension"]] if "dimension" in place else [name]


def _title(name: str) -> str:
    return name.replace("_", " ").replace("auroc", "AUROC")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="of the trained models")
    parser.add_argument("--preset", choices=list(PRESETS), default="iaca", help="of the model")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--clips", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=24.0, help="length of every clip")
    parser.add_argument("--demo", action="store_true", help="score the finished run on the demo corpus instead")
    parser.add_argument("--data", type=Path, default=Path("data"), help="of that run")
    options = parser.parse_args()
    if not options.demo and options.folder is None:
        parser.error("give a folder for the trained models, or --demo")
    if options.demo:
        print_demo(options.data)
    else:
        options.folder.mkdir(parents=True, exist_ok=True)
        print_synthetic(options.preset, options.seeds, options.clips, options.seconds, options.folder)


if __name__ == "__main__":
    main()
