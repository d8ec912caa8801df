"""Expressions and action units besides valence and arousal: the loss, the heads, the thresholds, the model file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from short_runs import MODEL, PLUS, SHORT, TRAIN, VALIDATION, equal, run_until
from synthetic_clips import annotated

from iaca.encoders.embedding import AnnotatedClip, read_annotated, write_embedding
from iaca.errors import InputError
from iaca.formats.labels import TASK_COLUMNS, UNITS
from iaca.fusion import FusionConfig, FusionModel, preset
from iaca.fusion.config import ModelChoice
from iaca.inference.members import FusionMember, join
from iaca.training.checkpoints import data_fingerprint
from iaca.training.config import LossConfig, TrainingConfig
from iaca.training.loss import MOST_WEIGHT, THRESHOLDS, balanced_weights, score_of_all, task_losses, unit_thresholds
from iaca.training.model_file import load_model, save_model
from iaca.training.predict import BuiltModel, predict_clip, prediction_table
from iaca.training.sample import Normalisation, Window, WindowSpec, cut_sample
from iaca.training.train import TrainingRun, train

NAN = float("nan")
BOTH = ("expression", "action_units")


def with_tasks(clips: dict[str, AnnotatedClip]) -> dict[str, AnnotatedClip]:
    """Classes and units that follow from valence and arousal; other frames are annotated with each."""
    made = {}
    for name, clip in clips.items():
        valence, arousal = np.nan_to_num(clip.labels).T
        tasks = np.full((len(clip), 13), NAN, np.float32)
        tasks[:, 0] = 4.0 * (valence > 0) + (arousal > 0)
        for i in range(12):
            tasks[:, 1 + i] = (valence if i % 2 else arousal) > (i - 6) / 20
        tasks[:7, 0] = tasks[-9:, 1:] = tasks[10:20, 3] = NAN
        made[name] = replace(clip, tasks=tasks)
    return made


LEARNED, HELD_OUT = with_tasks(TRAIN), with_tasks(VALIDATION)
MULTI = MODEL.model_copy(update={"tasks": BOTH})


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory):
    return train(TrainingRun(MULTI, SHORT, LEARNED, HELD_OUT, tmp_path_factory.mktemp("run") / "c"))


# --- the loss ---


def drawn(seed: int = 0) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    logits = {"expression": torch.randn(2, 9, 8, generator=rng), "action_units": torch.randn(2, 9, 12, generator=rng)}
    labels = torch.cat(
        [torch.randint(8, (2, 9, 1), generator=rng), torch.randint(2, (2, 9, 12), generator=rng)], dim=-1
    ).float()
    labels[0, :4, 0] = labels[1, 5:, 1:5] = labels[:, 2, 7] = NAN
    return {name: x.requires_grad_() for name, x in logits.items()}, labels


def test_the_loss_is_cross_entropy_over_the_annotated_cells_and_the_rest_has_no_gradient() -> None:
    logits, labels = drawn()
    losses = task_losses(logits, labels)
    known = labels[..., 0].isfinite()
    expected = F.cross_entropy(logits["expression"][known], labels[..., 0][known].long())
    torch.testing.assert_close(losses["expression"], expected)
    of_units = []
    for i in range(12):
        there = labels[..., 1 + i].isfinite()
        of_units.append(
            F.binary_cross_entropy_with_logits(logits["action_units"][..., i][there], labels[..., 1 + i][there])
        )
    torch.testing.assert_close(losses["action_units"], torch.stack(of_units).mean())
    sum(losses.values()).backward()
    assert (logits["expression"].grad[~known] == 0).all()
    assert (logits["expression"].grad[known] != 0).any()
    masked = logits["action_units"].grad[labels[..., 1:].isnan()]
    assert (masked == 0).all()


def test_weights_are_those_of_torch() -> None:
    logits, labels = drawn(1)
    weights = {"expression": torch.linspace(0.2, 3, 8), "action_units": torch.linspace(0.5, 4, 12)}
    losses = task_losses(logits, labels, weights)
    known = labels[..., 0].isfinite()
    expected = F.cross_entropy(logits["expression"][known], labels[..., 0][known].long(), weights["expression"])
    torch.testing.assert_close(losses["expression"], expected)
    there = labels[..., 4].isfinite()
    one = {"action_units": logits["action_units"].detach()}
    alone = labels.clone()
    alone[..., [i for i in range(13) if i != 4]] = NAN
    torch.testing.assert_close(
        task_losses(one, alone, weights)["action_units"],
        F.binary_cross_entropy_with_logits(
            one["action_units"][..., 3][there], labels[..., 4][there], pos_weight=weights["action_units"][3]
        ),
    )


def test_without_an_annotated_cell_loss_and_gradient_are_zero() -> None:
    logits, labels = drawn()
    losses = task_losses(logits, torch.full_like(labels, NAN))
    sum(losses.values()).backward()
    for name, loss in losses.items():
        assert loss.item() == 0
        assert (logits[name].grad == 0).all()


def test_balanced_weights_are_inverse_frequencies_within_bounds() -> None:
    tasks = np.full((100, 13), NAN, np.float32)
    tasks[:80, 0], tasks[80:90, 0] = 0, 3
    tasks[:60, 1], tasks[60:80, 1], tasks[:, 2], tasks[:, 3] = 0, 1, 0, 1
    tasks[:99, 4], tasks[99, 4] = 0, 1
    weights = balanced_weights([tasks[:50], tasks[50:]])
    assert weights["expression"].tolist()[:4] == pytest.approx([90 / 8 / 80, 1, 1, 90 / 8 / 10])
    assert weights["action_units"].tolist()[:5] == pytest.approx([3, 1, 1 / MOST_WEIGHT, MOST_WEIGHT, 1])


# --- the windows ---


def test_padding_unobserved_and_counted_steps_are_not_annotated_in_a_window() -> None:
    clip = with_tasks({"a": annotated(0, 60)})["a"]
    hidden = {"audio": np.arange(60) < 50, "visual": np.arange(60) < 50}
    clip = replace(clip, embedding=clip.embedding.with_modalities(present=hidden))
    spec = WindowSpec(40, Normalisation.fit({"a": clip.embedding}))
    tasks = cut_sample(clip, Window("a", 30, 35), spec).tasks
    assert tasks.shape == (40, 13)
    expected = clip.tasks[30:].copy()
    expected[:5] = expected[20:] = NAN
    np.testing.assert_array_equal(tasks[:30], expected)
    assert np.isnan(tasks[30:]).all()
    assert cut_sample(replace(clip, tasks=None), Window("a", 30, 35), spec).tasks.size == 0


# --- off: as before; on: everything else starts as before ---


def test_a_model_without_tasks_is_described_and_fingerprinted_as_before() -> None:
    assert "tasks" not in MODEL.model_dump()
    assert "tasks" not in ModelChoice().build(2, 2).model_dump_json()
    assert set(LossConfig().model_dump()) == {"form", "mse"}
    assert not {"selected_by", "logger"} & set(TrainingConfig().model_dump())
    assert "tasks" in MULTI.model_dump()
    assert data_fingerprint(TRAIN) != data_fingerprint(LEARNED)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["iaca", "iaca_plus", "dca_paper", "cold", "visual"])
def test_heads_are_added_behind_the_weights_of_the_model_which_start_and_predict_as_without(name: str) -> None:
    config = preset(name, 6, 8, **({} if "paper" in name else {"width": 8}))
    models = []
    for tasks in ((), BOTH):
        torch.manual_seed(3)
        models.append(FusionModel(config.model_copy(update={"tasks": tasks})).eval())
    plain, multi = models
    ours = multi.state_dict()
    assert {key for key in ours if key not in plain.state_dict()} == {key for key in ours if key.startswith("tasks.")}
    assert all(torch.equal(tensor, ours[key]) for key, tensor in plain.state_dict().items())
    x = torch.randn(2, 16, 6), torch.randn(2, 16, 8)
    assert torch.equal(plain(*x).prediction, multi(*x).prediction)
    assert plain(*x).tasks == {}
    assert {task: tuple(logits.shape) for task, logits in multi(*x).tasks.items()} == {
        "expression": (2, 16, 8), "action_units": (2, 16, 12),
    }  # fmt: skip


def test_tasks_are_named_once_in_canonical_order_and_need_a_network() -> None:
    assert FusionConfig(audio_dim=1, visual_dim=1, tasks="action_units+expression").tasks == BOTH
    with pytest.raises(ValueError, match="name each task once"):
        FusionConfig(audio_dim=1, visual_dim=1, tasks=("expression", "expression"))
    with pytest.raises(ValueError, match="has no network, but tasks"):
        ModelChoice(preset="late", tasks="expression")
    with pytest.raises(ValueError, match="expression"):
        ModelChoice(tasks="emotion")


# --- training ---


@pytest.mark.slow
def test_the_model_file_returns_heads_and_thresholds_and_names_columns(trained, tmp_path: Path) -> None:
    model, history = trained
    save_model(model, tmp_path / "m.safetensors")
    again = load_model(tmp_path / "m.safetensors")
    assert equal(model, again)
    assert {f"{c}_{task}" for c in ("clean", "corrupted") for task in BOTH} <= set(history)
    assert history["expression_loss"].notna().all()
    clip = HELD_OUT["clip100"].embedding
    clip = clip.with_modalities(present={m: mask & (np.arange(60) > 2) for m, mask in clip.present.items()})
    table = prediction_table("x", clip, predict_clip(again, clip), again.build().gate_labels)
    assert table["expression"].isna().tolist() == (~clip.observed).tolist()
    shares = table.filter(regex="^expression_").to_numpy()
    assert shares.shape == (60, 8)
    np.testing.assert_allclose(shares[clip.observed].sum(1), 1, atol=1e-5)
    chances, limits = table[[f"{u}_probability" for u in UNITS]].to_numpy(), again.weights[THRESHOLDS].numpy()
    active = table[list(UNITS)].astype("float64").to_numpy()
    np.testing.assert_array_equal(active[clip.observed] == 1, (chances >= limits)[clip.observed])
    assert not set(TASK_COLUMNS) & set(prediction_table("x", clip, predict_clip(_plain(), clip), {}))


def _plain():
    from iaca.training.model_file import TrainedModel

    normalisation = Normalisation.fit({name: clip.embedding for name, clip in TRAIN.items()})
    return TrainedModel(MODEL, FusionModel(MODEL).state_dict(), normalisation, {})


def test_thresholds_are_the_best_on_validation_clips_and_on_no_others(trained) -> None:
    model, _ = trained
    built = BuiltModel.of(model)
    chances = np.concatenate([predict_clip(built, c.embedding).tasks["action_units"] for c in HELD_OUT.values()])
    gold = np.concatenate([np.where(c.embedding.observed[:, None], c.tasks[:, 1:], NAN) for c in HELD_OUT.values()])
    np.testing.assert_array_equal(model.weights[THRESHOLDS].numpy(), unit_thresholds(chances, gold))
    assert (model.weights[THRESHOLDS] != 0.5).any()


@pytest.mark.slow
def test_an_interrupted_run_of_all_tasks_gives_the_same_bits(
    trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = (MULTI, SHORT, LEARNED, HELD_OUT, tmp_path / "c")
    run_until(2, monkeypatch, *run)
    assert equal(train(TrainingRun(*run))[0], trained[0])


@pytest.mark.slow
def test_the_weight_of_a_task_reaches_the_gradient_and_zero_leaves_its_head_alone(trained, tmp_path: Path) -> None:
    config = SHORT.model_copy(update={"loss": LossConfig(expression=0.0), "weight_decay": 0.0})
    model, _ = train(TrainingRun(MULTI, config, LEARNED, HELD_OUT, tmp_path / "c"))
    before = FusionModelAt(SHORT.seed).state_dict()
    heads = [name for name in model.weights if name.startswith("tasks.heads.")]
    unchanged = {name for name in heads if torch.equal(model.weights[name], before[name])}
    assert unchanged == {name for name in heads if "expression" in name}


def FusionModelAt(seed: int) -> FusionModel:  # noqa: N802  # a model
    from iaca.training.sample import Stream, torch_seed

    torch.manual_seed(torch_seed(seed, Stream.WEIGHTS))
    return FusionModel(MULTI)


@pytest.mark.slow
def test_balanced_weights_and_all_tasks_as_the_choice_change_the_run(trained, tmp_path: Path) -> None:
    config = SHORT.model_copy(update={"loss": LossConfig(class_weights="balanced"), "selected_by": "all_tasks"})
    model, history = train(TrainingRun(MULTI, config, LEARNED, HELD_OUT, tmp_path / "c"))
    assert not equal(model, trained[0])
    affect = history[["validation_ccc_valence", "validation_ccc_arousal"]].mean(axis=1)
    each = [history[[f"clean_{task}", f"corrupted_{task}"]].mean(axis=1) for task in BOTH]
    np.testing.assert_allclose(history["score"], (affect + each[0] + each[1]) / 3)
    assert model.metadata["epoch"] == str(int(history["score"].argmax()))


def test_the_score_of_all_is_the_mean_of_the_parts_that_there_are() -> None:
    row = {"score": 0.6, "clean_expression": 0.3, "corrupted_expression": 0.1}
    assert score_of_all(row) == pytest.approx((0.6 + 0.2) / 2)
    assert score_of_all({"score": 0.6}) == 0.6


@pytest.mark.slow
def test_iaca_plus_learns_all_tasks_too(tmp_path: Path) -> None:
    fusion = PLUS.model_copy(update={"tasks": BOTH})
    config = SHORT.model_copy(update={"epochs": 2, "selected_by": "all_tasks"})
    model, _ = train(TrainingRun(fusion, config, LEARNED, HELD_OUT, tmp_path / "c"))
    assert set(predict_clip(model, HELD_OUT["clip100"].embedding).tasks) == set(BOTH)
    assert float(model.metadata["validation_score"]) < 1


def test_a_task_that_is_nowhere_annotated_and_a_network_per_dimension_are_refused(tmp_path: Path) -> None:
    none = {name: replace(c, tasks=np.full_like(c.tasks, NAN)) for name, c in HELD_OUT.items()}
    with pytest.raises(InputError, match="no step of the validation partition is annotated with expression"):
        train(TrainingRun(MULTI, SHORT, LEARNED, none, tmp_path / "c"))
    with pytest.raises(InputError, match="no step of the train partition is annotated with expression"):
        train(TrainingRun(MULTI, SHORT, TRAIN, HELD_OUT, tmp_path / "c"))
    config = SHORT.model_copy(update={"per_dimension": True})
    with pytest.raises(InputError, match="per_dimension=True trains two networks"):
        train(TrainingRun(MULTI, config, LEARNED, HELD_OUT, tmp_path / "c"))


@pytest.mark.slow
def test_a_clip_may_have_one_task_alone(tmp_path: Path) -> None:
    clips = dict(LEARNED)
    first, second, *_ = clips
    clips[first] = replace(clips[first], labels=np.full((60, 2), NAN, np.float32))
    tasks = clips[second].tasks.copy()
    tasks[:, 1:] = NAN
    clips[second] = replace(clips[second], tasks=tasks)
    model, history = train(TrainingRun(MULTI, SHORT, clips, HELD_OUT, tmp_path / "c"))
    assert np.isfinite(history["train_loss"]).all()
    assert all(torch.isfinite(tensor).all() for tensor in model.weights.values())


# --- files and ensembles ---


def test_annotation_of_tasks_is_read_only_where_it_is_asked_for(tmp_path: Path) -> None:
    import pandas as pd

    clip = LEARNED["clip0"]
    write_embedding(clip.embedding, tmp_path / "e.safetensors")
    table = pd.DataFrame(clip.labels, columns=["valence", "arousal"])
    table["au4"] = clip.tasks[:, 3]
    table.to_parquet(tmp_path / "t.parquet")
    assert read_annotated(tmp_path / "e.safetensors", tmp_path / "t.parquet").tasks is None
    read = read_annotated(tmp_path / "e.safetensors", tmp_path / "t.parquet", tasks=True).tasks
    np.testing.assert_array_equal(read[:, 3], clip.tasks[:, 3])
    assert np.isnan(np.delete(read, 3, axis=1)).all()


def test_an_ensemble_averages_probabilities_and_leaves_out_a_task_that_not_all_have(trained) -> None:
    model, clip = trained[0], HELD_OUT["clip101"].embedding
    other = replace(model, weights={**model.weights, THRESHOLDS: torch.full((12,), 0.9)})
    for task, head in (("expression", 0.1), ("action_units", -0.2)):
        name = f"tasks.heads.{task}.3.bias"
        other.weights[name] = other.weights[name] + head * torch.arange(len(other.weights[name]))
    members = [FusionMember(BuiltModel.of(m)) for m in (model, other)]
    parts = [member.predict(clip) for member in members]
    joint = join(members, parts).prediction
    for task in BOTH:
        np.testing.assert_allclose(joint.tasks[task], (parts[0].tasks[task] + parts[1].tasks[task]) / 2, atol=1e-6)
        assert (parts[0].tasks[task] != parts[1].tasks[task]).any()
    np.testing.assert_allclose(joint.thresholds, (parts[0].thresholds + 0.9) / 2, atol=1e-6)
    plain = FusionMember(BuiltModel.of(_plain()))
    mixed = join([members[0], plain], [parts[0], plain.predict(clip)]).prediction
    assert mixed.tasks == {}
    assert mixed.thresholds is None


@pytest.mark.slow
def test_a_program_of_torch_has_the_probabilities(trained, tmp_path: Path) -> None:
    from iaca.training.export import Exportable, example, export_model, facts_of

    assert export_model(trained[0], tmp_path / "m.pt2", "torch") < 1e-5
    output = Exportable(trained[0]).eval()(**example(trained[0], 2, 11))
    assert output["task_expression"].shape == (2, 11, 8)
    torch.testing.assert_close(output["task_expression"].sum(-1), torch.ones(2, 11))
    assert output["task_action_units"].shape == (2, 11, 12)
    assert "unit_thresholds" in facts_of(trained[0])
