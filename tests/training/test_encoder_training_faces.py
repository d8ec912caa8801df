"""Fine-tuning of an encoder on faces: what it learns from, what it changes, and the checkpoint it leaves."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import ValidationError
from safetensors import safe_open
from safetensors.torch import save_file

from iaca.encoders.config import EmbeddingConfig, EncoderChoice
from iaca.encoders.networks import build_encoders, build_network
from iaca.engine import ClipPaths
from iaca.errors import InputError
from iaca.faces import encode_face
from iaca.faces.extract import NUMBERS, write_faces
from iaca.pipelines.encoder_training.pipeline import plan_encoder
from iaca.pipelines.ingestion.nodes import IngestionConfig
from iaca.training.config import EncoderTrainingConfig
from iaca.training.encoders import FaceSamples, _jittered, augmented_faces, fine_tune
from iaca.training.sample import Stream, torch_seed

CONFIG = EncoderTrainingConfig(
    encoder={"name": "resnet18", "changes": {"side": 32}}, start="random", epochs=2, batch=16, every=1, device="cpu",
    learning_rate=3e-4, jitter=0.0,
)  # fmt: skip
NO_SOUND = ClipPaths({}, {})
FOLDER = IngestionConfig.model_validate({"importer": "folder"})
STILL = CONFIG.model_copy(update={"flip": 0.0, "jitter": 0.0, "crop": 1.0})


def picture(valence: float, arousal: float, seed: int) -> np.ndarray:
    """Valence is how red it is, arousal how bright its upper half."""
    face = np.random.default_rng(seed).integers(90, 110, (32, 32, 3)).astype(float)
    face[..., 0] += 80 * valence
    face[:16] += 60 * arousal
    return face.clip(0, 255).astype(np.uint8)


def samples(count: int, seed: int = 0) -> FaceSamples:
    labels = np.random.default_rng(seed).uniform(-1, 1, (count, 2)).astype(np.float32)
    jpegs = [encode_face(picture(*row, seed=i), 95) for i, row in enumerate(labels)]
    return FaceSamples(jpegs, np.arange(count)[:, None], labels)


def gathered(files: list[tuple[Path, Path]], **changes: object) -> FaceSamples:
    return FaceSamples.gather(files, CONFIG.model_copy(update=changes))


def write_clip(folder: Path, name: str, steps: int, missing: tuple[int, ...] = (), bare: tuple[int, ...] = ()) -> None:
    one = samples(steps, seed=len(name))
    found = np.array([i not in missing for i in range(steps)])
    table = pd.DataFrame({"frame": np.arange(steps), "time_s": np.arange(steps) / 25, "face_found": found})
    table = table.assign(**dict.fromkeys(NUMBERS, np.float32(1)), track=0)
    table["jpeg"] = [jpeg if there else b"" for jpeg, there in zip(one.jpegs, found, strict=True)]
    write_faces(folder / f"{name}.faces", table)
    labels = pd.DataFrame(one.labels, columns=["valence", "arousal"])
    labels.loc[list(bare)] = np.nan
    labels.to_parquet(folder / f"{name}.timeline")


def test_it_learns_what_the_pictures_show() -> None:
    tuned = fine_tune(CONFIG.model_copy(update={"epochs": 4, "learning_rate": 1e-3}), samples(64), samples(32, seed=1))
    assert tuned.best["score"] > 0.35
    assert tuned.best["score"] == max(row["score"] for row in tuned.history)


def test_the_same_seed_gives_the_same_encoder_and_another_another() -> None:
    first, again, other = (
        fine_tune(CONFIG.model_copy(update={"epochs": 1, "seed": seed}), samples(16), samples(8, seed=1))
        for seed in (0, 0, 1)
    )
    assert first.history == again.history
    assert all(torch.equal(first.state[name], again.state[name]) for name in first.state)
    assert other.history != first.history


def test_it_stops_when_nothing_gets_better() -> None:
    config = CONFIG.model_copy(update={"learning_rate": 1e-12, "epochs": 9, "patience": 1})
    tuned = fine_tune(config, samples(8), FaceSamples(*vars(samples(8)).values()))
    assert len(tuned.history) < 9


def test_nothing_drawn_is_nothing_changed_and_a_clip_is_changed_alike() -> None:
    faces = samples(4).inputs(np.arange(4))
    random = torch.Generator().manual_seed(0)
    difference = augmented_faces(faces, STILL, random).int() - faces.int()
    assert difference.abs().max() <= 1
    clips = faces.expand(-1, 3, -1, -1, -1)
    strong = CONFIG.model_copy(update={"jitter": 0.4, "crop": 0.6})
    changed = augmented_faces(clips, strong, random)
    assert changed.shape == clips.shape
    assert changed.dtype == torch.uint8
    assert (changed == changed[:, :1]).all()
    assert (changed.float() - clips.float()).abs().mean() > 3


def test_a_flip_mirrors_the_picture() -> None:
    faces = samples(2).inputs(np.arange(2))
    flipped = augmented_faces(faces, STILL.model_copy(update={"flip": 1.0}), torch.Generator().manual_seed(0))
    assert (flipped.int() - faces.flip(3).int()).abs().max() <= 1


def test_without_saturation_a_colour_becomes_its_grey_and_contrast_is_around_the_mean() -> None:
    colours = torch.tensor([200.0, 100.0, 50.0])[None, :, None, None].expand(1, 3, 4, 4)
    grey = _jittered(colours, torch.tensor([[0.5, 0.5, 0.0]]), 1.0)
    torch.testing.assert_close(grey, torch.full((1, 3, 4, 4), 0.299 * 200 + 0.587 * 100 + 0.114 * 50))
    brighter = _jittered(colours, torch.tensor([[0.75, 0.5, 0.5]]), 0.4)
    torch.testing.assert_close(brighter, 1.2 * colours)
    flat = _jittered(colours, torch.tensor([[0.5, 0.0, 0.5]]), 1.0)
    torch.testing.assert_close(flat, torch.full((1, 3, 4, 4), 350 / 3))


def test_samples_are_annotated_steps_with_a_face_thinned_out(tmp_path: Path) -> None:
    write_clip(tmp_path, "a", 12, missing=(0, 5), bare=(1, 2))
    write_clip(tmp_path, "bb", 6)
    files = [(tmp_path / f"{name}.faces", tmp_path / f"{name}.timeline") for name in ("a", "bb")]
    assert len(gathered(files).labels) == 8 + 6
    assert len(gathered(files, every=3).labels) == 3 + 2
    changes = {"side": 32, "frames": 2, "dilation": 4}
    clips = gathered(files[:1], encoder=EncoderChoice(name="r2plus1d_18", changes=changes))
    gold = samples(12, seed=1).labels[[3, 4, 6, 7, 8, 9, 10, 11]]
    np.testing.assert_array_equal(clips.labels, gold)
    shown = clips.inputs(np.array([0]))[0].numpy()  # step 3 shows frames 1 and, for 5, which has no face, the earlier 4
    wanted = [samples(12, seed=1).inputs(np.array([i]))[0, 0].numpy() for i in (1, 4)]
    np.testing.assert_array_equal(shown, np.stack(wanted))


def test_faults_are_named(tmp_path: Path) -> None:
    write_clip(tmp_path, "a", 4, bare=(0, 1, 2, 3))
    with pytest.raises(InputError, match="no annotated step has a face"):
        gathered([(tmp_path / "a.faces", tmp_path / "a.timeline")])
    write_clip(tmp_path, "bb", 3)
    with pytest.raises(InputError, match=r"a\.faces: 4 frames of faces, but 3 in the timeline"):
        gathered([(tmp_path / "a.faces", tmp_path / "bb.timeline")])
    with pytest.raises(ValidationError, match="prosody has nothing to learn"):
        EncoderTrainingConfig(encoder="prosody")
    with pytest.raises(ValidationError, match=r"no encoder named 'resnet19'; choose one of mini_xception, .*ge2e"):
        EncoderTrainingConfig(encoder="resnet19")


def test_the_checkpoint_is_an_encoder_by_its_name(tmp_path: Path) -> None:
    for name in ("a", "bb", "ccc"):
        write_clip(tmp_path, name, 8)
    faces, timelines = (
        ClipPaths({name: tmp_path / f"{name}.{kind}" for name in ("a", "bb", "ccc")}, {})
        for kind in ("faces", "timeline")
    )
    clips = pd.DataFrame({"clip": ["a", "bb", "ccc"], "partition": ["train", "train", "validation"]})
    config = CONFIG.model_copy(update={"epochs": 1, "batch": 8})
    card = {"name": "made up", "caveat": "of pictures"}
    task = plan_encoder(clips, faces, NO_SOUND, timelines, card, config, FOLDER)["resnet18"]
    task.run(tmp_path / "tuned.safetensors")
    with safe_open(tmp_path / "tuned.safetensors", framework="numpy") as file:
        header = file.metadata()["iaca_encoder"]
    assert '"encoder": "resnet18"' in header
    assert header == json.dumps(json.loads(header), sort_keys=True)  # equal settings in any order give equal bytes
    choice = {"name": "resnet18", "weights": str(tmp_path / "tuned.safetensors"), "changes": {"side": 32}}
    encoder = build_encoders(EmbeddingConfig(visual=choice, device="cpu"))[0]
    rows = encoder.encode(samples(3).inputs(np.arange(3))[:, 0].numpy())
    assert rows.shape == (3, 512)
    lonely = plan_encoder(clips.head(2), faces, NO_SOUND, timelines, {}, config, FOLDER)["resnet18"]
    with pytest.raises(InputError, match="2 clips to train on, 0 to validate on"):
        lonely.run(tmp_path / "none.safetensors")


@pytest.mark.parametrize("name", ["mini_xception", "resnet50_affectnet", "r2plus1d_18", "efficientnet_b0"])
def test_what_is_saved_of_an_encoder_is_what_it_loads(name: str, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    network = build_network(EncoderChoice(name=name), "visual", None)
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    again = build_network(EncoderChoice(name=name), "visual", tmp_path / "w.safetensors")
    assert all(torch.equal(again.state_dict()[key], value) for key, value in network.state_dict().items())


def test_the_last_layers_of_a_transformer_are_trained_alone(tmp_path: Path) -> None:
    dino = {"name": "dinov2_vits14", "changes": {"side": 28}}
    config = EncoderTrainingConfig(
        encoder=dino, start="random", layers=2, epochs=1, batch=8, every=1, device="cpu", learning_rate=1e-3
    )
    torch.manual_seed(torch_seed(config.seed, Stream.WEIGHTS))
    before = build_network(config.encoder, "visual", None).state_dict()
    tuned = fine_tune(config, samples(16), samples(8, seed=1))
    changed = {name for name, tensor in tuned.state.items() if not torch.equal(tensor, before[name])}
    assert changed
    assert all(name.startswith(("backbone.blocks.10.", "backbone.blocks.11.", "backbone.after.")) for name in changed)
    assert "backbone.blocks.10.qkv.weight" in changed
    everything = fine_tune(config.model_copy(update={"layers": None}), samples(16), samples(8, seed=1))
    assert not torch.equal(everything.state["backbone.patches.weight"], before["backbone.patches.weight"])
    save_file(tuned.state, tmp_path / "tuned.safetensors")
    again = build_network(config.encoder, "visual", tmp_path / "tuned.safetensors").state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in tuned.state.items())


@pytest.mark.parametrize(("encoder", "layers", "there"), [("resnet18", 1, "no"), ("dinov2_vits14", 13, "12")])
def test_layers_that_an_encoder_does_not_have_are_refused(encoder: str, layers: int, there: str) -> None:
    with pytest.raises(ValidationError, match=f"layers={layers}, but {encoder} has {there} layers to count"):
        EncoderTrainingConfig(encoder=encoder, layers=layers)
    assert "layers" not in EncoderTrainingConfig(encoder=encoder).model_dump()  # earlier checkpoints stay up to date
