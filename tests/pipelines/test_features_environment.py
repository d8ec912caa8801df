"""The environment `features`: from a folder of tables to the report, beside the demo's results."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from kedro.framework.project import pipelines
from kedro.io import DatasetError
from pydantic import ValidationError

from environments import catalog_of, check_that_results_lie_apart, location
from golden_facts import Loose, check, describe
from iaca.corpora.synthetic import SyntheticConfig, write_corpus
from iaca.datasets.files import NoClipFiles, SharedClipFiles
from iaca.engine import Task
from iaca.evaluation.submission import read_predictions, write_submission
from iaca.pipelines.ingestion.nodes import IngestionConfig
from project import copy_project, runner

CORPUS = SyntheticConfig(clips=16, seconds=8.0, audio_dim=6, visual_dim=8, event_share=0.3)
BROKEN = "clip00001"

GOLDEN = Path(__file__).parent / "golden"
COMMAND = "python -m pytest tests/pipelines/test_features_environment.py"
TRAINED = ("06_models", "07_model_output", "08_reporting")
BENCHMARK = ("08_reporting/features/benchmark", "08_reporting/features/paper")
RUNS = tuple(f"{TRAINED[i]}/features/{part}" for i, part in ((0, "runs"), (0, "benchmark"), (1, "benchmark")))
# Means of training that starts from the same numbers differ by some 1e-6 with other kernels, thresholds by a frame.
ALIKE = (
    Loose(r".*(benchmark|paper)", 1e-3, 5e-3, 0.1),
    Loose(r".*(_low|_high|coverage)", 3e-3, 5e-3, 0.1),
    Loose(r"0[678]_", 3e-4, 1e-3, 0.1),
)


@pytest.mark.usefixtures("default_pipelines")
def test_every_environment_has_the_same_pipelines() -> None:
    usual = {name: {node.name for node in pipeline.nodes} for name, pipeline in pipelines.items()}
    for env in ("features", "folder", "affwild2", "test", None):
        catalog_of(env)
        assert {name: {node.name for node in pipeline.nodes} for name, pipeline in pipelines.items()} == usual


@pytest.mark.usefixtures("default_pipelines")
def test_pipelines_that_are_one_command_begin_at_the_corpus_and_nowhere_else() -> None:
    for name in ("ingestion", "benchmark", "adaptation", "__default__"):
        begins = {name for name in pipelines[name].inputs() if not name.startswith("params:")}
        rendered = {"corpus"} & pipelines[name].all_outputs()
        assert begins - {"checkpoints", "benchmark_found"} | rendered == {"corpus"}, name


@pytest.mark.usefixtures("default_pipelines")
def test_the_root_of_the_command_line_reaches_the_corpus(tmp_path: Path) -> None:
    assert location(catalog_of("features", root=str(tmp_path)), "corpus") == tmp_path
    assert location(catalog_of("features"), "corpus") == Path("data/01_raw/features")
    assert location(catalog_of(None), "corpus") == Path("data/01_raw/demo")


@pytest.mark.usefixtures("default_pipelines")
def test_what_the_environment_makes_lies_beside_what_others_make() -> None:
    without = {"demo_videos", "faces", "audio", "spoilt_embeddings"}
    check_that_results_lie_apart("features", without, {"timelines": "frame_labels"})


def test_an_importer_that_is_none_is_named() -> None:
    for given in ({"importer": "featurez"}, {"importer": ["demo"]}, {"root": "/videos"}, "features", None):
        with pytest.raises(ValidationError, match="importer: unknown name"):
            IngestionConfig.model_validate(given)


def test_a_dataset_that_an_environment_does_without_takes_no_task(tmp_path: Path) -> None:
    for dataset in (NoClipFiles(path="x", suffix=".y"), SharedClipFiles(path=str(tmp_path / "x"), suffix=".y")):
        dataset.save({})
        assert not (tmp_path / "x").exists()
        with pytest.raises(DatasetError, match="never written here"):
            dataset.save({"clip": Task("print", print)})
    assert dict(NoClipFiles().load()) == {}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen clips, one of them with a word among its numbers."""
    root = tmp_path_factory.mktemp("corpus") / "S2"
    write_corpus(CORPUS, root)
    broken = root / f"features/audio/{BROKEN}.csv"
    lines = broken.read_text().splitlines()
    broken.write_text("\n".join([*lines[:4], "oops" + lines[4][1:], *lines[5:]]) + "\n")
    return root


@pytest.fixture(scope="module")
def made(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which the environment has run from the features to the report."""
    project = copy_project(tmp_path_factory.mktemp("features") / "project")
    for small in ("training", "benchmark"):
        shutil.copy(project / f"conf/test/parameters_{small}.yml", project / "conf/features")
    done = runner(project)("kedro", "run", "--env", "features", "--params", f"ingestion.root={corpus}")
    assert f"{BROKEN} (features/audio/{BROKEN}.csv, line 5): 'oops" in done.stdout + done.stderr
    return project


@pytest.mark.slow
def test_features_become_a_report_and_a_broken_clip_costs_only_itself(made: Path) -> None:
    data = made / "data"
    clips = pd.read_csv(data / "02_intermediate/features/clips.csv")
    assert sorted(clips["clip"]) == [f"clip{i:05d}" for i in range(16) if f"clip{i:05d}" != BROKEN]
    problems = pd.read_csv(data / "02_intermediate/features/problems.csv")
    assert set(problems["effect"]) == {"left out", "doubtful"}  # the corpus has events with zeros
    (problem,) = problems[problems["effect"] == "left out"].to_dict("records")
    assert (problem["clip"], problem["file"], problem["row"]) == (BROKEN, f"features/audio/{BROKEN}.csv", 5)
    page = (data / "08_reporting/features/report.html").read_text()
    assert "synthetic S2" in page
    assert "nothing about emotions of real people" in page
    comparison = pd.read_csv(data / "08_reporting/features/comparison.csv")
    assert set(comparison["model"]) == {"iaca", "concat"}
    assert comparison["ccc_mean"].notna().all()
    headline = json.loads((data / "08_reporting/features/headline.json").read_text())
    assert "validation_ccc_valence" in headline
    gates = pd.read_csv(data / "08_reporting/features/gate_scores.csv")
    assert {"absent", "zeros", "noise", "other"} & set(gates["kind"])


@pytest.mark.slow
def test_everything_from_the_features_to_the_report_has_its_numbers(made: Path, tmp_path: Path) -> None:
    """Nothing here depends on the rounding of pixels: weights, intervals and scores are those of any processor."""
    facts = describe(made / "data", TRAINED, (*RUNS, *BENCHMARK))
    (tmp_path / "list.txt").write_text(
        "".join(["image_location,valence,arousal\n", *(f"{clip}/{n:05d}.jpg,0,0\n" for n in range(202, 1, -7)
                                                      for clip in ("clip00012", "clip00004"))])
    )  # fmt: skip
    predictions = read_predictions(made / "data/07_model_output/features/predictions.parquet")
    write_submission(predictions, tmp_path / "list.txt", tmp_path / "08_reporting_submission.txt")
    facts |= describe(tmp_path, TRAINED, ("list",))
    check(GOLDEN / "features.json", facts, COMMAND, ALIKE)


@pytest.mark.slow
def test_nothing_is_written_where_the_demo_writes_and_nothing_into_the_corpus(made: Path, corpus: Path) -> None:
    assert {path.name for path in corpus.iterdir()} == {
        "corpus.json",
        "events.csv",
        "features",
        "labels",
        "partition.csv",
        "synthetic.json",
    }
    for path in (p for p in (made / "data").rglob("*") if p.is_file() and p.name not in (".gitkeep", ".gitignore")):
        assert path.relative_to(made / "data").parts[1] == "features", path


@pytest.mark.slow
def test_the_benchmark_begins_at_the_corpus_and_makes_only_what_is_missing(made: Path, corpus: Path) -> None:
    words = ("kedro", "run", "--env", "features", "--pipelines", "benchmark", "--params")
    done = runner(made)(*words, f"ingestion.root={corpus},executor.kind=serial")
    assert "embeddings: 0 made, 15 up to date" in done.stdout + done.stderr
    results = pd.read_csv(made / "data/08_reporting/features/benchmark.csv")
    assert list(results.columns)[:6] == ["model", "seed", "corruption", "level", "ccc_valence", "ccc_arousal"]
    assert results["ccc_valence"].notna().all()
    assert "synthetic S2" in (made / "data/08_reporting/features/benchmark_summary.md").read_text()
    facts = describe(made / "data", TRAINED, RUNS)
    check(
        GOLDEN / "benchmark.json", {name: facts[name] for name in facts if name.startswith(BENCHMARK)}, COMMAND, ALIKE
    )


@pytest.mark.slow
def test_a_second_run_reads_only_what_has_changed_and_a_typo_is_refused(made: Path, corpus: Path) -> None:
    run = ("kedro", "run", "--env", "features", "--pipelines", "ingestion,embedding", "--params")
    labels = corpus / "labels/clip00000.csv"
    labels.write_text(labels.read_text().replace("\n0.04,", "\n0.041,"))
    changed = runner(made)(*run, f"ingestion.root={corpus}")
    assert "frame_labels: 1 made, 14 up to date" in changed.stdout + changed.stderr
    assert "embeddings: 1 made, 14 up to date" in changed.stdout + changed.stderr
    refused = runner(made)(*run, f"ingestion.root={corpus},ingestion.tolerance=1", fails=True)
    assert "tolerance" in refused.stdout + refused.stderr


@pytest.mark.slow
def test_a_root_that_is_not_there_is_named(made: Path, tmp_path: Path) -> None:
    words = ("kedro", "run", "--env", "features", "--params", f"ingestion.root={tmp_path / 'nowhere'}")
    told = runner(made)(*words, fails=True)
    assert "There is no corpus at" in told.stdout + told.stderr


@pytest.mark.slow
def test_clips_named_by_numbers_keep_their_names_and_need_no_cues_events_or_subjects(tmp_path: Path) -> None:
    write_corpus(CORPUS.model_copy(update={"clips": 6, "quality": False, "event_share": 0.0}), tmp_path / "corpus")
    for path in (tmp_path / "corpus").glob("*/**/clip*"):
        path.rename(path.with_name(path.name.replace("clip0000", "0")))
    (tmp_path / "corpus/partition.csv").write_text("clip,partition\n00,train\n01,train\n02,validation\n03,test\n")
    project = copy_project(tmp_path / "project")
    given = f"ingestion.root={tmp_path / 'corpus'},executor.kind=serial"
    runner(project)("kedro", "run", "--env", "features", "--to-nodes", "collect_labels", "--params", given)
    labels = pd.read_parquet(project / "data/05_model_input/features/labels.parquet")
    assert labels.groupby("clip").size().to_dict() == dict.fromkeys(["00", "01", "02", "03"], CORPUS.steps)
    problems = pd.read_csv(project / "data/02_intermediate/features/problems.csv", dtype=str)
    assert problems[["clip", "problem"]].to_numpy().tolist() == [
        ["04", "the clip is in no partition"], ["05", "the clip is in no partition"],
    ]  # fmt: skip
