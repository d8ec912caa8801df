"""The whole workflow on a tiny corpus: everything is made, fits together, and is made again the same."""

import json
import subprocess
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from kedro.framework.project import pipelines
from kedro.framework.startup import bootstrap_project
from pydantic import BaseModel

from iaca.evaluation.metrics import ccc, join_labels
from project import Command

pytestmark = pytest.mark.slow


def versions(finished: Path, name: str) -> list[Path]:
    return sorted((finished / "data" / name).iterdir())


def metrics(finished: Path, version: Path) -> dict[str, object]:
    path = finished / "data/08_reporting/metrics.json" / version.name / "metrics.json"
    return dict(json.loads(path.read_text()))


def predictions(finished: Path) -> pd.DataFrame:
    newest = versions(finished, "07_model_output/predictions.parquet")[-1]
    return pd.read_parquet(newest / "predictions.parquet")


def test_a_run_changes_no_tracked_file(finished: Path) -> None:
    status = subprocess.run(["git", "status", "--porcelain"], cwd=finished, capture_output=True, text=True, check=True)
    assert status.stdout == ""


def test_every_clip_of_the_corpus_arrives_at_the_end(finished: Path) -> None:
    clips = pd.read_csv(finished / "data/02_intermediate/clips.csv", dtype={"clip": str})
    annotated = [p.stem for p in (finished / "data/01_raw/demo").rglob("*.txt")]
    assert sorted(clips["clip"]) == sorted(annotated)
    for folder in ("02_intermediate/frame_labels", "03_primary/faces", "03_primary/timelines", "04_feature/embeddings"):
        assert sorted(p.stem for p in (finished / "data" / folder).glob("[!.]*[!v]")) == sorted(annotated), folder
    assert pd.read_csv(finished / "data/02_intermediate/problems.csv").empty


def test_subjects_stay_in_one_partition(finished: Path) -> None:
    clips = pd.read_csv(finished / "data/02_intermediate/clips.csv")
    assert clips.groupby("subject")["partition"].nunique().max() == 1
    assert set(clips["partition"]) == {"train", "validation", "test"}


def test_faces_are_found_outside_the_events(finished: Path) -> None:
    events = pd.read_csv(finished / "data/02_intermediate/events.csv", dtype={"clip": str})
    hidden = events[events["kind"].isin(["occluded", "absent"])]
    found = []
    for path in (finished / "data/03_primary/timelines").glob("*.parquet"):
        timeline = pd.read_parquet(path)
        seen = np.ones(len(timeline), bool)
        for event in hidden[hidden["clip"] == path.stem].itertuples():
            seen &= ~timeline["time_s"].between(event.start_s - 0.1, event.end_s + 0.1)
        found.append(timeline["face_found"][seen])
    assert pd.concat(found).mean() >= 0.99


def test_predictions_have_one_row_per_decoded_frame_and_no_holes(finished: Path) -> None:
    table = predictions(finished)
    clips = pd.read_csv(finished / "data/02_intermediate/clips.csv", dtype={"clip": str}).set_index("clip")
    evaluated = clips[clips["partition"] != "train"]
    assert table.groupby("clip").size().to_dict() == evaluated["frames"].to_dict()
    observed = table["face_found"] | table["audio_present"]
    assert (table[["valence", "arousal"]].notna().all(axis=1) == observed).all()
    assert table.loc[observed, ["valence", "arousal"]].abs().max().max() <= 1
    gates = table.loc[observed, ["gate_modalities_audio", "gate_modalities_visual"]]
    np.testing.assert_allclose(gates.sum(axis=1), 1, atol=1e-5)


def test_the_metrics_on_disk_are_those_of_the_predictions_on_disk(finished: Path) -> None:
    labels = pd.read_parquet(finished / "data/05_model_input/labels.parquet")
    for names in (labels["clip"], labels["partition"], predictions(finished)["clip"]):
        assert names.dtype == "category"  # millions of rows have a name each
        assert list(names.cat.categories) == sorted(names.unique())
    gold = labels[labels["partition"] == "validation"]
    joined = join_labels(predictions(finished), gold).dropna(subset=["arousal", "arousal_gold"])
    stored = metrics(finished, versions(finished, "08_reporting/metrics.json")[-1])
    assert ccc(joined["arousal"], joined["arousal_gold"]) == pytest.approx(stored["validation_ccc_arousal"], abs=1e-12)
    compared = pd.read_csv(finished / "data/08_reporting/comparison.csv")
    assert set(compared["model"]) == {"iaca", "concat"}


def test_the_report_is_one_file_that_needs_nothing_else(finished: Path) -> None:
    page = (finished / "data/08_reporting/report.html").read_text()
    assert "What this does not prove" in page
    assert 'src="http' not in page
    assert page.count("data:image/png;base64,") >= 5


def test_every_number_of_the_report_stands_in_the_file_it_names(finished: Path) -> None:
    data = finished / "data"
    page = BeautifulSoup((data / "08_reporting/report.html").read_text(), "html.parser")
    named = page.select("[data-from]")
    assert {"comparison.csv", "per_video.csv", "calibration.csv", "regions.csv", "quadrants.csv", "event_scores.csv",
            "gate_scores.csv", "summary.csv"} <= {element["data-from"] for element in named}  # fmt: skip
    for element in named:
        (path,) = data.glob(f"0*/{element['data-from']}")
        held = set(pd.read_csv(path).select_dtypes("number").to_numpy().ravel().tolist())
        shown = {float(number["value"]) for number in element.find_all("data") if number["value"]}
        assert shown <= held, path
        assert shown, path
    told = [line.text for line in page.select('[data-text-from="failures_found.csv"] li')]
    assert told == pd.read_csv(data / "08_reporting/failures_found.csv")["sentence"].tolist()


def test_the_model_card_has_the_numbers_of_the_comparison(finished: Path) -> None:
    card = (finished / "data/08_reporting/model_card.md").read_text()
    compared = pd.read_csv(finished / "data/08_reporting/comparison.csv")
    for row in compared[compared["main"]].to_dict("records"):
        assert f"| {row['partition']} | {row['clips']} | {row['frames_valence']} | " in card
        assert f"{row['ccc_valence']:.3f}".replace("-", "−") in card
    assert "emotion_model.hdf5" in card


def test_report_and_card_say_how_the_model_was_trained(finished: Path) -> None:
    card = (finished / "data/08_reporting/model_card.md").read_text()
    page = BeautifulSoup((finished / "data/08_reporting/report.html").read_text(), "html.parser")
    facts = {line.find("dt").text: line.find("dd").text for line in page.select("#model dl div")}
    assert facts["training.learning rate"] == "0.001"
    assert "| training.learning_rate | 0.001 |" in card
    assert "| training.corruption.kinds | " in card


def test_an_up_to_date_corpus_is_not_made_again(finished: Path, kedro: Command) -> None:
    folder = finished / "data/04_feature/embeddings"
    before = {p: p.stat().st_mtime_ns for p in folder.glob("*.safetensors")}
    started = time.monotonic()
    done = kedro("kedro", "run", "--env", "test", "--pipelines", "embedding")
    assert f"0 made, {len(before)} up to date" in done.stdout + done.stderr
    assert {p: p.stat().st_mtime_ns for p in folder.glob("*.safetensors")} == before
    assert time.monotonic() - started < 60  # a hang, not a timing: the budgets are measured in benchmarks/


def test_a_corrected_label_embeds_no_clip_again(finished: Path, kedro: Command) -> None:
    annotation = next((finished / "data/01_raw/demo").rglob("Train_Set/*.txt"))
    before, words = annotation.read_text(), ("kedro", "run", "--env", "test", "--pipelines")
    timeline = finished / f"data/03_primary/timelines/{annotation.stem}.parquet"
    header, _, *rest = before.splitlines()
    annotation.write_text("\n".join([header, "0.125,-0.25", *rest]) + "\n")
    try:
        done = kedro(*words, "ingestion,preprocessing,embedding")
        assert pd.read_parquet(timeline).loc[0, ["valence", "arousal"]].tolist() == [0.125, -0.25]
        for name, made in (("timelines", 1), ("faces", 0), ("audio", 0), ("embeddings", 0)):
            assert f"{name}: {made} made," in done.stdout + done.stderr
    finally:
        annotation.write_text(before)
        kedro(*words, "ingestion,preprocessing")


def test_training_again_gives_the_same_bits_and_old_models_come_back(finished: Path, kedro: Command) -> None:
    first = versions(finished, "06_models/iaca.safetensors")[-1]
    compared = (finished / "data/08_reporting/comparison.csv").read_bytes()
    curve = (finished / "data/08_reporting/learning_curve.png").read_bytes()
    run = ("kedro", "run", "--env", "test")
    kedro(*run, "--pipeline", "training")
    again = versions(finished, "06_models/iaca.safetensors")[-1]
    assert again == first  # nothing was trained: no version of the same bytes is added

    kedro(*run, "--pipelines", "training,evaluation", "--params", "training.seed=1")
    other = versions(finished, "08_reporting/metrics.json")[-1]
    assert (finished / "data/08_reporting/comparison.csv").read_bytes() != compared
    kedro(*run, "--pipelines", "evaluation", "--load-versions", f"model:{first.name}")
    back = versions(finished, "08_reporting/metrics.json")[-1]
    assert (finished / "data/08_reporting/comparison.csv").read_bytes() == compared  # with the baselines of its run
    assert (finished / "data/08_reporting/learning_curve.png").read_bytes() == curve
    refused = kedro(*run, "--from-nodes", "score_models", fails=True)  # the newest model, and predictions of the first
    assert "stored predictions are not those of the model" in refused.stdout + refused.stderr
    original = versions(finished, "08_reporting/metrics.json")[0]
    names = [name for name in metrics(finished, back) if "difference" not in name]
    assert [metrics(finished, back)[n] for n in names] == [metrics(finished, original)[n] for n in names]
    assert [metrics(finished, other)[n] for n in names] != [metrics(finished, original)[n] for n in names]


@pytest.mark.parametrize(
    ("parameter", "told"),
    [("training.epochz=3", "epochz"), ("fusion.preset=iacca", "iacca"), ("faces.every=0", "every")],
)
def test_a_typo_in_a_parameter_is_refused_before_anything_runs(kedro: Command, parameter: str, told: str) -> None:
    done = kedro("kedro", "run", "--env", "test", "--params", parameter, fails=True)
    assert told in done.stdout + done.stderr
    assert "Running node" not in done.stdout + done.stderr


def test_every_parameter_a_node_takes_is_typed(finished: Path) -> None:
    from typing import get_type_hints

    bootstrap_project(finished)
    for node in (node for pipeline in pipelines.values() for node in pipeline.nodes):
        hints = get_type_hints(node.func)
        typed = [hint for hint in hints.values() if isinstance(hint, type) and issubclass(hint, BaseModel)]
        wanted = {name for name in node.inputs if name.startswith("params:")}
        assert len(typed) >= len(wanted), node.name


def test_ingestion_imports_no_torch(kedro: Command) -> None:
    script = """
import sys
from pathlib import Path
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

if __name__ == "__main__":
    bootstrap_project(Path.cwd())
    with KedroSession.create(Path.cwd(), env="test") as session:
        session.run(pipeline_names=["ingestion"])
    print("torch" in sys.modules)
"""
    assert kedro("python", "-c", script).stdout.strip().endswith("False")


def test_planning_embeddings_imports_no_torch(kedro: Command) -> None:
    script = """
import sys
from pathlib import Path
import pandas as pd
from iaca.pipelines.ingestion.nodes import IngestionConfig
from iaca.encoders.config import EmbeddingConfig
from iaca.engine import ClipPaths
from iaca.pipelines.embedding.pipeline import plan_embeddings

clips = ClipPaths({}, {})
demo = IngestionConfig.model_validate({"importer": "demo"})
assert plan_embeddings(clips, clips, clips, EmbeddingConfig(), demo, Path(), pd.DataFrame()) == {}
print("torch" in sys.modules)
"""
    assert kedro("python", "-c", script).stdout.strip().endswith("False")


def test_lightning_is_imported_only_where_a_model_is_trained(kedro: Command) -> None:
    names = ["training", "evaluation", "benchmark", "adaptation", "inference"]
    script = f"""
import importlib, sys
for name in {names}:
    importlib.import_module(f"iaca.pipelines.{{name}}.pipeline")
print("lightning" in sys.modules)
"""
    assert kedro("python", "-c", script).stdout.strip().endswith("False")
