"""A run that can't succeed is refused before anything is decoded: labels, models and earlier results are looked at."""

import os
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from kedro.io import DataCatalog, DatasetError, MemoryDataset
from kedro.io.core import Version
from kedro.pipeline import Node, Pipeline

from affwild2_tree import annotate, movie
from environments import catalog_of
from iaca.corpora.features import index_features
from iaca.corpora.synthetic import SyntheticConfig, write_corpus
from iaca.datasets.files import BenchmarkOutput, ClipFiles, CorpusFolder, CSVDataset, NotMadeError
from iaca.datasets.model import ModelDataset
from iaca.encoders.config import EmbeddingConfig, EncoderChoice, Fetching, weights_of
from iaca.engine import ClipPaths, ExecutorConfig, Task, run_tasks
from iaca.engine.results import UNFINISHED
from iaca.errors import InputError
from iaca.evaluation.config import BenchmarkConfig, EvaluationConfig
from iaca.faces.detect import FaceConfig
from iaca.fusion.config import ModelChoice
from iaca.hooks import message_of
from iaca.media.container import MediaLimits
from iaca.pipelines.ingestion.nodes import IngestionConfig, index_corpus
from iaca.refusals import RunsThatCanSucceed, pipelines_for
from iaca.training.config import EncoderTrainingConfig, TrainingConfig
from project import copy_project, runner


def clips(**annotated: int) -> pd.DataFrame:
    """Two clips of two subjects in each partition, with so many annotated rows each."""
    rows = [(f"{p}{i}", f"s{p}{i}", p, n) for p, n in annotated.items() for i in range(2)]
    return pd.DataFrame(rows, columns=["clip", "subject", "partition", "annotated"])


def checked(made: str, table: pd.DataFrame, name: str = "clips", importer: str = "demo") -> None:
    """What the hook does in a run that makes `made`, at the first node that takes the table."""
    catalog = DataCatalog(
        {
            "params:evaluation": MemoryDataset(EvaluationConfig()),
            "params:benchmark": MemoryDataset(BenchmarkConfig(models=("iaca", "concat"), main=("iaca",), seeds=(0,))),
            "params:ingestion": MemoryDataset(IngestionConfig.model_validate({"importer": importer})),
        }
    )
    hook = RunsThatCanSucceed()
    hook.before_pipeline_run(Pipeline([Node(lambda: None, None, made, name="n")]), catalog)
    hook.before_node_run({name: table})


ALL = clips(train=3, validation=1, test=2)


@pytest.mark.parametrize("made", ["training_runs", "benchmark_runs", "tuned_encoders", "adapted_model", "embeddings"])
@pytest.mark.parametrize("name", ["clip_index", "clips", "training_index"])
def test_annotated_partitions_pass(made: str, name: str) -> None:
    checked(made, ALL, name)
    checked(made, ALL.astype({"annotated": str}), name)  # as the index is read back


@pytest.mark.parametrize(
    ("made", "table", "said"),
    [
        ("training_runs", clips(train=0, validation=1), r"no clip of the train partition is annotated \(2 clips\)"),
        (
            "training_runs",
            clips(train=9),
            r"validation partition is annotated \(0 clips\), but training needs one Remedy: as",
        ),
        ("benchmark_runs", clips(train=9, validation=0, test=1), "annotated are: train, test"),
        ("tuned_encoders", clips(train=0, validation=0), "annotated are: none"),
        (
            "comparison",
            clips(train=9, validation=0),
            r"shown=validation needs one .* evaluation.shown=train;",
        ),
        ("benchmark_scores", clips(train=9, validation=2, test=0), "as in benchmark.partition=validation; annotated"),
        ("adapted_model", clips(train=0, validation=0).head(1), "0 annotated subjects"),
        ("adapted_model", clips(train=2).head(1), "1 annotated subject:"),
    ],
)
def test_a_partition_without_labels_is_named_before_anything_is_decoded(
    made: str, table: pd.DataFrame, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        checked(made, table, "clip_index")


def test_a_run_that_needs_no_labels_is_not_refused() -> None:
    checked("embeddings", clips(train=0))


def test_features_are_not_adapted() -> None:
    with pytest.raises(InputError, match="this environment reads features alone"):
        checked("adapted_model", ALL, importer="features")


@pytest.mark.parametrize(
    ("given", "said"),
    [({}, ""), ({"precision": "bfloat16"}, ""), ({"visual": "mini_xception+resnet18"}, "visual_encoder"),
     ({"audio": "logmel_resnet18"}, "audio_encoder 'logmel_resnet18', not 'prosody'")],
)  # fmt: skip
def test_other_encoders_than_those_of_the_zero_shot_model_are_refused_before_anything_is_embedded(
    given: dict[str, str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("resnet18", "logmel_resnet18"):
        (tmp_path / f"{name}.safetensors").touch()
    chosen = {
        kind: [{"name": n, **own(n, tmp_path)} for n in names.split("+")] if kind != "precision" else names
        for kind, names in given.items()
    }
    catalog = DataCatalog(
        {
            "params:ingestion": MemoryDataset(IngestionConfig.model_validate({"importer": "demo"})),
            "params:embedding": MemoryDataset(EmbeddingConfig.model_validate(chosen)),
        }
    )
    embeds = Node(lambda _: None, "params:embedding", "embeddings", name="embed")
    adapts = Node(lambda _: None, "embeddings", "adapted_model", name="adapt")
    hook = RunsThatCanSucceed()
    hook.before_pipeline_run(Pipeline([embeds]), catalog)
    if not said:
        hook.before_pipeline_run(Pipeline([embeds, adapts]), catalog)
        return
    with pytest.raises(InputError, match="the zero-shot model reads the embeddings of its own encoders") as error:
        hook.before_pipeline_run(Pipeline([embeds, adapts]), catalog)
    assert said in str(error.value)


def own(encoder: str, folder: Path) -> dict[str, str]:
    """A checkpoint of one's own for an encoder that needs one."""
    file = folder / f"{encoder}.safetensors"
    return {"weights": str(file)} if file.exists() else {}


def looked_for_weights(made: str, **given: dict[str, object]) -> None:
    """What the hook does in a run that makes `made` with these parameters."""
    chosen: dict[str, object] = {
        "embedding": EmbeddingConfig.model_validate(given.get("embedding", {})),
        "encoder_training": EncoderTrainingConfig.model_validate(given.get("encoder_training", {})),
        "faces": FaceConfig.model_validate(given.get("faces", {})),
        "encoders": Fetching.model_validate(given.get("encoders", {})),
        "ingestion": IngestionConfig.model_validate(given.get("ingestion", {"importer": "demo"})),
    }
    catalog = DataCatalog({f"params:{name}": MemoryDataset(value) for name, value in chosen.items()})
    node = Node(lambda *_: None, [f"params:{name}" for name in chosen], made, name="plan")
    RunsThatCanSucceed().before_pipeline_run(Pipeline([node]), catalog)


def told_of_weights(made: str, **given: dict[str, object]) -> str:
    with pytest.raises(InputError) as refused:
        looked_for_weights(made, **given)
    return str(refused.value)


def test_missing_weights_are_told_before_anything_is_decoded_as_the_encoder_tells_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IACA_WEIGHTS", str(tmp_path))
    with pytest.raises(InputError, match=r"resnet18-f37072fd\.pth: the weights of resnet18 are not") as of_encoder:
        weights_of(EncoderChoice(name="resnet18"), "visual")
    resnet: dict[str, object] = {"visual": "resnet18"}
    assert told_of_weights("embeddings", embedding=resnet) == str(of_encoder.value)
    assert told_of_weights("tuned_encoders", encoder_training={"encoder": "resnet18"}) == str(of_encoder.value)
    with pytest.raises(InputError, match="no such checkpoint") as of_own:
        weights_of(EncoderChoice(name="resnet18", weights="mine.pt"), "visual")
    own = told_of_weights("embeddings", embedding={"visual": {"name": "resnet18", "weights": "mine.pt"}})
    assert own == str(of_own.value)
    looked_for_weights("tuned_encoders", encoder_training={"encoder": "resnet18", "start": "random"})
    looked_for_weights("timelines", embedding=resnet)
    looked_for_weights("embeddings", embedding=resnet, ingestion={"importer": "features"})


def test_missing_weights_that_may_be_downloaded_are_downloaded_before_anything_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IACA_WEIGHTS", str(tmp_path))
    got: list[str] = []
    monkeypatch.setattr("iaca.encoders.config.get", lambda name, _: got.append(name))
    said = told_of_weights("embeddings", embedding={"visual": "resnet18"}, encoders={"download": True})
    assert got == ["resnet18"]
    assert "the weights of resnet18 are not on this machine" in said  # `get` was replaced here


def test_a_detector_without_its_weights_is_told_before_anything_is_decoded(tmp_path: Path) -> None:
    assert told_of_weights("faces", faces={"detector": "yunet"}).startswith("YuNet needs a weights file, and none is")
    file = tmp_path / "yunet.onnx"
    yunet: dict[str, object] = {"detector": "yunet", "weights": str(file)}
    assert told_of_weights("faces", faces=yunet).startswith(f"{file}: YuNet weights file not found Remedy: set the")
    looked_for_weights("faces", faces={"detector": "mtcnn"})
    looked_for_weights("faces", faces=yunet | {"source": "crops"})
    file.touch()
    looked_for_weights("faces", faces=yunet)


WITHOUT_WEIGHTS = """
import sys
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline
from iaca.encoders.config import EmbeddingConfig, Fetching
from iaca.pipelines.ingestion.nodes import IngestionConfig
from iaca.refusals import RunsThatCanSucceed

chosen = {
    "embedding": EmbeddingConfig(visual="resnet18"),
    "encoders": Fetching(),
    "ingestion": IngestionConfig.model_validate({"importer": "demo"}),
}
catalog = DataCatalog({f"params:{name}": MemoryDataset(value) for name, value in chosen.items()})
embeds = Pipeline([Node(print, [f"params:{name}" for name in chosen], "embeddings", name="embed")])
try:
    RunsThatCanSucceed().before_pipeline_run(embeds, catalog)
except ValueError as error:
    print("are not on this machine" in str(error), "torch" in sys.modules)
"""


def test_missing_weights_are_told_without_torch(tmp_path: Path) -> None:
    words = (sys.executable, "-c", WITHOUT_WEIGHTS)
    own = os.environ | {"IACA_WEIGHTS": str(tmp_path)}
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=own)
    assert done.stdout == "True False\n"


def test_the_index_of_features_counts_annotated_rows(tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    write_corpus(SyntheticConfig(clips=6, seconds=4.0, audio_dim=2, visual_dim=2), root)
    names = index_features(root).clips["clip"].tolist()
    for clip, cells in ((names[0], 0.5), (names[1], None)):
        table = pd.read_csv(root / f"labels/{clip}.csv")
        table[["valence", "arousal"]] = None
        table.loc[:6, ["valence", "arousal"]] = cells
        table.to_csv(root / f"labels/{clip}.csv", index=False)
    (root / f"labels/{names[2]}.csv").unlink()
    (root / f"labels/{names[3]}.csv").write_text("time_s,valence,arousal\n0,x,y\n")  # reported when it is read
    assert index_features(root).clips["annotated"].tolist()[:4] == [7, 0, 0, 1]


def test_the_index_of_videos_counts_annotated_rows(tmp_path: Path) -> None:
    for video in ("a", "b"):
        movie(tmp_path / f"{video}.mp4", 20)
    annotate(tmp_path / "VA_Estimation_Challenge/Train_Set/a.txt", 20)
    config = IngestionConfig.model_validate({"importer": "affwild2"})
    index, _ = index_corpus(tmp_path, config, MediaLimits())
    assert dict(zip(index["clip"], index["annotated"], strict=True)) == {"a": 19, "b": 0}


def context_of(env: str, **given: object) -> Any:
    """What the hook gets of a run with these parameters."""
    return SimpleNamespace(env=env, config_loader=SimpleNamespace(runtime_params=given))


def write(target: Path) -> None:
    target.write_text("x")


def test_results_that_are_missing_or_unfinished_are_named_before_the_first_node(tmp_path: Path) -> None:
    done, folder = tmp_path / "done", tmp_path / "unfinished"
    for place in (done, folder):
        run_tasks({"a": Task("write", write)}, place, ".txt", ExecutorConfig(kind="serial"), bar=False)
    (folder / UNFINISHED).touch()
    catalog = DataCatalog(
        {
            "faces": ClipFiles(path=str(done), suffix=".txt"),
            "benchmark_found": BenchmarkOutput(path=str(tmp_path / "nowhere")),  # optional
            "audio": ClipFiles(path=str(folder), suffix=".txt"),
            "clips": CSVDataset(filepath=str(tmp_path / "clips.csv")),
            "model": ModelDataset(filepath=str(tmp_path / "m"), version=None),
        }
    )

    released: list[bool] = []

    def refused(*names: str) -> str:
        pipeline = Pipeline([Node(lambda *_: 1, list(names), "out", name="n")])
        try:
            RunsThatCanSucceed(lambda: released.append(True)).before_pipeline_run(pipeline, catalog)
        except (InputError, DatasetError) as error:
            return str(error)
        return ""

    assert refused("faces", "benchmark_found") == ""
    assert released == []
    assert "has not finished" in refused("faces", "audio")
    assert "clips.csv: has not been made yet" in refused("faces", "clips")
    assert "no such model file" in refused("faces", "model")
    assert released == [True] * 3


def test_only_a_result_that_was_never_made_gets_the_command_that_makes_it(tmp_path: Path) -> None:
    """Others may have the same words in their message."""
    other = InputError("is damaged", tmp_path, remedy="run the pipeline that writes it")

    class Damaged(ClipFiles):
        def load(self) -> ClipPaths:
            raise other

        def _exists(self) -> bool:
            return False

    catalog = DataCatalog({"faces": Damaged(path=str(tmp_path), suffix=".txt")})
    pipeline = Pipeline([Node(lambda _: 1, ["faces"], "out", name="n")])
    with pytest.raises(DatasetError) as refused:
        RunsThatCanSucceed().before_pipeline_run(pipeline, catalog)
    assert refused.value.__cause__ is other


def test_a_result_that_was_never_made_is_one_kind_of_error(tmp_path: Path) -> None:
    version = Version(None, "2026-01-31T12.00.00.000Z")
    for dataset in (
        ClipFiles(path=str(tmp_path / "none"), suffix=".txt"),
        CSVDataset(filepath=str(tmp_path / "none")),
        CSVDataset(filepath=str(tmp_path / "none"), version=version),
        ModelDataset(filepath=str(tmp_path / "none"), version=version),
    ):
        with pytest.raises(NotMadeError) as missing:
            dataset.load()
        assert str(missing.value).startswith(f"{tmp_path}/none: ")
        assert str(missing.value).endswith("Remedy: run the pipeline that writes it")
        assert message_of(missing.value) == str(missing.value)
        assert not dataset.exists()


@pytest.mark.usefixtures("default_pipelines")
def test_the_command_that_makes_what_is_missing_is_named_with_all_that_it_needs(tmp_path: Path) -> None:
    def stored(name: str) -> ClipFiles:
        return ClipFiles(path=str(tmp_path / name), suffix=".txt")

    names = ("embeddings", "faces", "audio", "frame_labels", "videos")
    catalog = DataCatalog({name: stored(name) for name in names})
    pipeline = Pipeline([Node(lambda *_: 1, ["embeddings"], "out", name="n")])
    hook = RunsThatCanSucceed()
    hook.after_context_created(context_of("folder"))
    with pytest.raises(InputError) as refused:
        hook.before_pipeline_run(pipeline, catalog)
    made = "kedro run --env folder --pipelines ingestion,preprocessing,embedding"
    assert str(refused.value) == f"{tmp_path / 'embeddings'}: has not been made yet Remedy: {made}"
    for name in ("faces", "audio"):
        run_tasks({"a": Task("write", write)}, tmp_path / name, ".txt", ExecutorConfig(kind="serial"), bar=False)
    assert pipelines_for({"embeddings"}, catalog) == ["embedding"]
    assert pipelines_for({"faces", "clips"}, catalog) == ["ingestion", "preprocessing"]
    assert pipelines_for({"no such dataset"}, catalog) == []


@pytest.mark.usefixtures("default_pipelines")
def test_a_missing_corpus_is_made_or_given_as_its_environment_needs_it(tmp_path: Path) -> None:
    for env in (None, "test", "causal", "cluster", "mlflow"):
        corpus = catalog_of(env)["corpus"]
        corpus._path = tmp_path / "none"
        with pytest.raises(DatasetError, match=r"none\. Make the demo corpus: kedro run .* add --env folder, --env"):
            corpus.load()
    for env in ("folder", "features", "affwild2", "bah"):
        with pytest.raises(DatasetError) as refused:
            catalog_of(env, root=str(tmp_path / "none"))["corpus"].load()
        assert "demo" not in str(refused.value)
        assert "Give the folder" in str(refused.value)
        assert str(refused.value).endswith(f"(docs/guide/{env}.md): --params ingestion.root=FOLDER")


@pytest.mark.usefixtures("default_pipelines")
@pytest.mark.parametrize("there", [True, False])
def test_the_command_that_makes_what_is_missing_names_the_users_corpus(tmp_path: Path, there: bool) -> None:
    root = tmp_path / "my videos"
    if there:
        root.mkdir()
    names = ("embeddings", "faces", "audio", "frame_labels", "clips")
    files = {name: ClipFiles(path=str(tmp_path / name), suffix=".txt") for name in names}
    catalog = DataCatalog({"corpus": CorpusFolder(path=str(root), expects="a folder"), **files})
    hook = RunsThatCanSucceed()
    hook.after_context_created(context_of("folder"))
    with pytest.raises(InputError) as refused:
        hook.before_pipeline_run(Pipeline([Node(lambda *_: 1, ["embeddings"], "out", name="n")]), catalog)
    given = shlex.quote(f"ingestion.root={root}") if there else "ingestion.root=FOLDER"
    assert str(refused.value.remedy) == (
        f"kedro run --env folder --pipelines ingestion,preprocessing,embedding --params {given}"
    )


@pytest.mark.parametrize("kind", ["media", "audio"])
def test_results_of_another_corpus_than_the_one_that_is_given_are_refused(tmp_path: Path, kind: str) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for root in (ours, theirs):
        (root / "in").mkdir(parents=True)
    (ours / "in/b.x").touch()
    pd.DataFrame({"clip": ["a", "b"], kind: ["in/a.x", "in/b.x"], "visual": [None, ""]}).to_csv(
        tmp_path / "clips.csv", index=False
    )
    trains = Pipeline([Node(lambda _: 1, ["clips"], "out", name="n")])

    def run(root: Path, **given: object) -> None:
        corpus = CorpusFolder(path=str(root), expects="a folder")
        catalog = DataCatalog({"corpus": corpus, "clips": CSVDataset(filepath=str(tmp_path / "clips.csv"))})
        hook = RunsThatCanSucceed()
        hook.after_context_created(context_of("folder", **given))
        hook.before_pipeline_run(trains, catalog)

    run(ours, ingestion={"root": str(ours)})  # one of two videos has been moved away
    run(theirs)  # the catalog's own, which need not be what was read
    with pytest.raises(InputError) as refused:
        run(theirs, ingestion={"root": str(theirs)})
    assert str(refused.value) == (
        f"{tmp_path}/clips.csv: these clips are not of the corpus that is given: {theirs} has none of their files "
        "Remedy: read that corpus first (kedro run --env folder --pipelines ingestion,preprocessing,embedding --params "
        f"ingestion.root={theirs}), or leave ingestion.root out"
    )


@pytest.mark.slow
def test_nothing_was_decoded_when_the_command_is_refused(tmp_path: Path) -> None:
    root, project = tmp_path / "videos", copy_project(tmp_path / "project")
    for name in ("a", "b"):
        movie(root / f"{name}.mp4", 20)
        (root / f"{name}.csv").write_text("frame,valence,arousal\n0,0.1,0.2\n19,0.3,0.4\n")
    (root / "partition.csv").write_text("clip,partition,subject\na,train,a\nb,test,b\n")
    done = runner(project)("kedro", "run", "--env", "folder", "--params", f"ingestion.root={root}", fails=True)
    told = done.stdout + done.stderr
    assert told.count("no clip of the validation partition is annotated") == 1
    for words in ("Traceback", "previous command", "failed with error"):
        assert words not in told
    assert (project / "data/02_intermediate/folder/index_problems.csv").exists()
    assert not (project / "data/02_intermediate/folder/frame_labels").exists()
    words = ("kedro", "run", "--env", "folder", "--params", f"ingestion.root={root},embedding.visual=resnet18")
    told = runner(project)(*words, fails=True, IACA_WEIGHTS=str(tmp_path)).stderr
    assert told.splitlines()[-1].startswith(
        f"Error: {tmp_path}/resnet18-f37072fd.pth: the weights of resnet18 are not on this machine Remedy: run `python"
    )
    assert "Traceback" not in told
    typed = runner(project)("kedro", "run", "--pipelines", "ingestion,trainnig", fails=True)
    assert typed.stderr.splitlines()[-1].startswith(
        "Error: there is no pipeline named 'trainnig' Remedy: did you mean training? choose one of adaptation, "
    )
    assert "Traceback" not in typed.stderr


@pytest.mark.parametrize("given", ["params:fusion", "params:benchmark"])
def test_settings_that_only_training_would_run_into(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    valence_arousal, units = {"preset": "iaca"}, {"preset": "iaca", "tasks": ["action_units"]}
    trains = Pipeline([Node(lambda *_: None, ["params:training", given], "training_runs", name="train")])

    def run(training: dict[str, object], model: dict[str, object]) -> None:
        compared = {"models": ["concat", {**model, "name": "own"}], "main": ["own"]}
        chosen = {
            "params:fusion": ModelChoice.model_validate(model),
            "params:benchmark": BenchmarkConfig.model_validate(compared),
            "params:training": TrainingConfig.model_validate(training),
            "params:ingestion": IngestionConfig.model_validate({"importer": "demo"}),
        }
        catalog = DataCatalog({name: MemoryDataset(value) for name, value in chosen.items()})
        RunsThatCanSucceed().before_pipeline_run(trains, catalog)

    run({"per_dimension": True}, valence_arousal)
    run({}, units)
    with pytest.raises(InputError, match="but the model predicts action_units once"):
        run({"per_dimension": True}, units)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"training\.logger needs the package tensorboard"):
        run({"logger": "tensorboard"}, valence_arousal)
