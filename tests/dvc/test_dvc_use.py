"""What docs/guide/dvc.md says about remotes, experiments, comparisons and pictures, in a project that DVC has made."""

from pathlib import Path

import pytest
from dvc_runs import ran

from project import runner

pytestmark = pytest.mark.slow
EPOCHS = "conf/base/parameters_training.yml:training.epochs"
FIGURES = (
    "comparison",
    "learning_curve",
    "affect_plane",
    "best_traces",
    "gates",
    "gate_distribution",
    "benchmark_summary",
)


@pytest.fixture(scope="module")
def elsewhere(committed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh clone, after `dvc push` into a folder that both know."""
    folder = tmp_path_factory.mktemp("elsewhere")
    command = runner(committed)
    command("dvc", "remote", "add", "--default", "store", str(folder / "store"))
    command("git", "commit", "--quiet", "--all", "-m", "remote")
    command("dvc", "push")
    command("git", "clone", "--quiet", str(committed), str(folder / "project"))
    return folder / "project"


@pytest.fixture(scope="module")
def experiment(elsewhere: Path) -> list[str]:
    """What `dvc exp run` runs in the fresh clone when a parameter of training changes."""
    command = runner(elsewhere)
    command("dvc", "pull")
    done = command("dvc", "exp", "run", "--name", "short", "--set-param", f"{EPOCHS}=1", "evaluation")
    return ran(done.stdout)


def content(folder: Path) -> dict[str, bytes]:
    """Every file of results, by its path."""
    files = (path for path in (folder / "data").rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files if "checkpoints" not in path.parts}


def test_what_was_pushed_is_pulled_elsewhere_and_nothing_is_run_again(committed: Path, elsewhere: Path) -> None:
    command = runner(elsewhere)
    assert not (elsewhere / "data/08_reporting/report.html").exists()
    command("dvc", "pull")
    assert content(elsewhere) == content(committed)
    again = command("dvc", "repro").stdout
    assert ran(again) == []
    assert "up to date" in again
    assert command("git", "status", "--porcelain").stdout == ""


def test_an_experiment_runs_what_hangs_on_its_parameter_and_keeps_the_older_model(
    experiment: list[str], elsewhere: Path
) -> None:
    assert experiment == ["training", "evaluation"]
    models = sorted((elsewhere / "data/06_models/iaca.safetensors").iterdir())
    assert len(models) == 2
    # the benchmark trains with the same parameters: it and the page are out of date, nothing else is
    stale = [line for line in runner(elsewhere)("dvc", "status").stdout.splitlines() if not line.startswith("\t")]
    assert sorted(stale) == ["benchmark:", "report:"]


@pytest.mark.usefixtures("experiment")
def test_experiments_stand_side_by_side_with_what_they_changed(elsewhere: Path) -> None:
    command = runner(elsewhere)
    shown = command("dvc", "exp", "show", "--csv", "--only-changed").stdout.splitlines()
    assert {"validation_ccc_mean", "training.epochs"} <= set(shown[0].split(","))
    assert any("short" in line for line in shown[1:])
    assert not any("!" in line for line in shown), "a metric that git and DVC do not know"
    assert "training.epochs" in command("dvc", "params", "diff").stdout
    assert "validation_ccc_valence" in command("dvc", "metrics", "show").stdout
    assert "validation_ccc_valence" in command("dvc", "metrics", "diff", "--all").stdout


@pytest.mark.usefixtures("experiment")
def test_pictures_are_compared_on_a_page_that_needs_no_network(elsewhere: Path) -> None:
    runner(elsewhere)("dvc", "plots", "diff", "HEAD")
    page = (elsewhere / "dvc_plots/index.html").read_text()
    for name in FIGURES:
        for revision in ("HEAD", "workspace"):
            picture = f"static/{revision}_data_08_reporting_{name}.png"
            assert picture in page
            assert (elsewhere / "dvc_plots" / picture).read_bytes().startswith(b"\x89PNG"), name
    assert "http" not in page.replace("http://www.w3.org", "")


@pytest.mark.usefixtures("elsewhere")
def test_the_model_is_got_by_its_name_where_git_has_a_tag_for_it(committed: Path, tmp_path: Path) -> None:
    command = runner(committed)
    command("git", "tag", "--annotate", "iaca@v1.0.0", "-m", "first")
    command("dvc", "artifacts", "get", ".", "iaca", "--out", str(tmp_path / "model"))
    (got,) = (tmp_path / "model").glob("*/iaca.safetensors")
    (made,) = (committed / "data/06_models/iaca.safetensors").glob("*/iaca.safetensors")
    assert got.read_bytes() == made.read_bytes()
