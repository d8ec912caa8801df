"""Everything that the pipelines write on the tiny demo corpus, by its numbers; see `golden_facts`."""

import shutil
from pathlib import Path

import pytest

from golden_facts import Loose, check, describe
from iaca.inference import Predictor
from iaca.inference.config import People
from project import copy_project, runner

pytestmark = pytest.mark.slow
GOLDEN = Path(__file__).parent / "golden"
COMMAND = "python -m pytest tests/pipelines/test_golden_road.py"
WITHOUT = (
    "06_models/runs",  # the models again
    "06_models/iaca.safetensors: model.", "06_models/baselines.safetensors: concat/model.",  # see WEIGHTS
    "08_reporting/report.html",  # its sentences depend on the order of close scores; see there, too
)  # fmt: skip
TRAINED = ("06_models", "07_model_output", "08_reporting", "trained")

# Rendered pixels differ by one level in some frames where OpenCV uses other instructions, and faces with them.
PIXELS = (
    Loose(r"01_raw/demo/videos|03_primary/faces/.*: jpeg", 5e-5, 1e-3),
    Loose(r"04_feature/.*: (visual|quality 2\b)", 2e-3, 5e-2),
    Loose(r"04_feature/.*: quality", 1e-2, 5e-2),
)
# Two epochs of so small a corpus make more of that: scores near 0 change by .005. Trained weights are compared where
# nothing depends on pixels, in `test_features_environment.py`.
WEIGHTS = (
    Loose(r".*frames", 2e-2, 1e-1, 10),
    Loose(r"06_models/.*calibration\.(?!.*shape)", 1e-1, 5e-1, 0.1),
    Loose(r"0[678]_.*|trained", 1e-2, 5e-2, 0.5),
)


def test_everything_from_the_corpus_to_the_report_has_its_numbers(as_made: Path) -> None:
    check(GOLDEN / "demo.json", describe(as_made, TRAINED, WITHOUT), COMMAND, (*PIXELS, *WEIGHTS))


@pytest.fixture(scope="module")
def more(as_made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What other pipelines write (inference, adaptation, corrupted embeddings), and the tables of a trained model."""
    project = copy_project(tmp_path_factory.mktemp("more") / "project")
    shutil.rmtree(project / "data")
    shutil.copytree(as_made, project / "data")
    ends = "plan_corrupted-embedded_on_save,adapt_model,summarise_videos"
    words = ("kedro", "run", "--env", "test", "--pipelines", "benchmark,adaptation,inference", "--to-nodes", ends)
    out = project.with_name("out")
    runner(project)(*words, "--params", f"inference.output={out / 'zero_shot'},inference.words=true")
    for made in ("06_models/adapted.safetensors", "04_feature/spoilt", "08_reporting/adaptation.csv"):
        (out / made).parent.mkdir(parents=True, exist_ok=True)
        (project / "data" / made).rename(out / made)
    (model,) = (project / "data/06_models/iaca.safetensors").glob("*/iaca.safetensors")
    analysis = Predictor.load(model).analyse(project / "data/01_raw/demo/videos/36.mp4", people=People(people="all"))
    (out / "trained").mkdir()
    for number, table in enumerate(analysis.tables):
        table.to_csv(out / f"trained/person{number}.csv", index=False)
    analysis.summary_table.to_csv(out / "trained/summary.csv", index=False)
    return out


def test_inference_adaptation_and_corrupted_embeddings_have_their_numbers(more: Path) -> None:
    pixels = Loose(r"zero_shot|06_models|08_reporting", 2e-3, 2e-2, 0.2)
    check(GOLDEN / "more.json", describe(more, TRAINED), COMMAND, (*PIXELS, pixels, *WEIGHTS))
