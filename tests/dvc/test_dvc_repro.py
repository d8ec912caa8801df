"""DVC as a user types it: from a clean clone to everything, and again."""

from pathlib import Path

import pytest
import yaml
from dvc_runs import ran

from project import runner

pytestmark = pytest.mark.slow
CORPUS = ["demo_corpus", "ingestion", "preprocessing", "embedding"]
REPORT = ["training", "evaluation"]


def test_a_clean_clone_makes_what_embeddings_need(embedded: list[str], clone: Path) -> None:
    assert embedded == CORPUS
    assert len(list((clone / "data/04_feature/embeddings").glob("*.safetensors"))) == 4


def test_the_scores_need_only_what_is_not_there_yet(reported: list[str], clone: Path) -> None:
    assert reported == REPORT
    assert (clone / "data/08_reporting/headline.json").exists()


def test_every_stage_is_run_once(
    embedded: list[str], reported: list[str], finished_by_dvc: list[str], clone: Path
) -> None:
    stages = yaml.safe_load((clone / "dvc.yaml").read_text())["stages"]
    assert sorted([*embedded, *reported, *finished_by_dvc]) == sorted(stages)
    assert sorted(finished_by_dvc) == ["adaptation", "benchmark", "inference", "report"]
    assert finished_by_dvc.index("benchmark") < finished_by_dvc.index("report")


def test_the_report_shows_the_benchmark_and_what_its_words_ask_for_changes_nothing(
    finished_by_dvc: list[str], clone: Path
) -> None:
    page, command = clone / "data/08_reporting/report.html", runner(clone)
    assert 'id="robustness"' in page.read_text()
    assert "no benchmark" not in page.read_text()
    command("kedro", "run", "--pipelines", "evaluation", "--tags", "report")
    assert "up to date" in command("dvc", "status").stdout


def test_nothing_is_run_again_and_no_file_of_git_has_changed(finished_by_dvc: list[str], clone: Path) -> None:
    command = runner(clone)
    again = command("dvc", "repro").stdout
    assert ran(again) == []
    assert "up to date" in again
    assert command("git", "status", "--porcelain", "--untracked-files=no").stdout == ""
