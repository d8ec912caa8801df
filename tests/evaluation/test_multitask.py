"""P_MTL on cases worked out by hand and against scikit-learn; filters and thresholds chosen on validation alone."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from iaca.errors import InputError
from iaca.evaluation.config import FilterStep
from iaca.evaluation.multitask import (
    UNIT_THRESHOLDS,
    Choices,
    applied,
    averaged,
    choose,
    main,
    multitask_table,
    read_choices,
    read_tables,
)
from iaca.formats.labels import EXPRESSIONS, TASK_COLUMNS, UNITS
from iaca.training.loss import expression_f1, unit_f1, unit_thresholds

NAN = np.nan


def by_hand() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Six frames of one clip, with other frames annotated for each part."""
    place = {"clip": "a", "frame": range(6)}
    units = dict.fromkeys(UNITS, [0] * 6)
    predictions = pd.DataFrame(
        {**place, "valence": [0, 1, 2, 9, 9, 9], "arousal": [0, 1, 2, 3, 9, 9], "expression": [0, 1, 1, 1, 0, 5],
         **units, "au1": [1, 1, 0, 1, 0, 1]}
    )  # fmt: skip
    labels = pd.DataFrame(
        {**place, "partition": "validation", "valence": [0, 1, 1, NAN, NAN, NAN], "arousal": [1, 2, 3, 4, NAN, NAN],
         "expression": [0, 0, 1, 1, 2, NAN], **units, "au1": [1, 0, 1, NAN, 0, 1]}
    )  # fmt: skip
    return predictions, labels.astype(dict.fromkeys(TASK_COLUMNS, "float32"))


def test_the_parts_and_their_sum_are_those_worked_out_by_hand() -> None:
    table = multitask_table(*by_hand()).set_index("measure")
    assert table.loc["ccc_mean", "value"] == pytest.approx((2 / 3 + 5 / 7) / 2)
    # class 0: one hit, one false, one missed; class 1: two hits, one false; class 2: one missed; none of the others
    assert table.loc["f1_expression_neutral", "value"] == pytest.approx(1 / 2)
    assert table.loc["f1_expression_anger", "value"] == pytest.approx(4 / 5)
    assert table.loc["expression_f1", "value"] == pytest.approx((1 / 2 + 4 / 5) / 8)
    # unit 1: two hits, one false, one missed; the others are never active
    assert table.loc["f1_au1", "value"] == pytest.approx(2 / 3)
    assert table.loc["action_units_f1", "value"] == pytest.approx(2 / 3 / 12)
    total = (2 / 3 + 5 / 7) / 2 + 1.3 / 8 + 2 / 36
    assert table.loc["p_mtl", "value"] == pytest.approx(total)
    assert table.loc["p_mtl", "value"] == pytest.approx(0.908532, abs=1e-6)
    assert table["frames"].loc[["ccc_mean", "expression_f1", "f1_au1", "f1_au2"]].tolist() == [3, 5, 5, 6]
    assert np.isnan(table.loc["p_mtl", "low"])  # one clip has no interval


def test_frames_without_a_prediction_are_counted_and_not_scored() -> None:
    predictions, labels = by_hand()
    predictions["expression"] = pd.array([0, 1, 1, 1, None, 5], dtype="Int8")
    table = multitask_table(predictions, labels).set_index("measure")
    assert table.loc["expression_f1", ["frames", "unpredicted"]].tolist() == [4, 1]
    assert table.loc["f1_expression_neutral", "value"] == pytest.approx(2 / 3)  # without the false one


def test_a_unit_that_is_never_annotated_is_left_out_of_the_mean() -> None:
    predictions, labels = by_hand()
    labels["au26"] = NAN
    table = multitask_table(predictions, labels).set_index("measure")
    assert table.loc["action_units_f1", "value"] == pytest.approx(2 / 3 / 11)
    assert "f1_au26" not in table.index


def test_a_model_of_valence_and_arousal_alone_has_no_row() -> None:
    predictions, labels = by_hand()
    assert multitask_table(predictions[["clip", "frame", "valence", "arousal"]], labels).empty
    assert multitask_table(predictions, labels[["clip", "frame", "partition", "valence", "arousal"]]).empty


def noisy(seed: int = 0, clips: int = 6, frames: int = 80) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Probabilities that know something of labels with gaps; validation and test clips in turn."""
    rng = np.random.default_rng(seed)
    n = clips * frames
    names = np.repeat([f"c{i}" for i in range(clips)], frames)
    labels = pd.DataFrame({"clip": names, "frame": np.tile(range(frames), clips)})
    labels["partition"] = np.where(labels["clip"].str[1:].astype(int) % 2 == 0, "validation", "test")
    slow = np.sin(np.arange(n) / 9.0)
    labels["valence"], labels["arousal"] = slow, np.cos(np.arange(n) / 13.0)
    labels["expression"] = (np.arange(n) // 11 % 8).astype(float)
    active = np.stack([slow > 0.9 - i / 8 for i in range(12)], axis=1)
    labels[list(UNITS)] = active.astype(float)
    table = labels[["clip", "frame"]].assign(time_s=labels["frame"] / 25)
    for name in ("valence", "arousal"):
        table[name] = (labels[name] + rng.normal(0, 0.5, n)).clip(-1, 1).astype(np.float32)
    scores = 2.0 * (labels["expression"].to_numpy()[:, None] == range(8)) + rng.normal(0, 1, (n, 8))
    shares = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    table[[f"expression_{name}" for name in EXPRESSIONS]] = shares.astype(np.float32)
    chances = 1 / (1 + np.exp(-(2.0 * active - 2.5 + rng.normal(0, 1, (n, 12)))))  # too low: 0.5 misses most of them
    table[[f"{name}_probability" for name in UNITS]] = chances.astype(np.float32)
    labels.loc[rng.random(n) < 0.1, "expression"] = NAN
    labels.loc[rng.random(n) < 0.1, "au4"] = NAN
    return applied(table, Choices()), labels


def test_f1_equals_scikit_learn_where_both_are_defined() -> None:
    predictions, labels = noisy()
    table = multitask_table(predictions, labels, replicates=200).set_index(["partition", "measure"])
    for partition in ("validation", "test"):
        part = labels[labels["partition"] == partition].merge(predictions, on=["clip", "frame"], suffixes=("_gold", ""))
        known = part[part["expression_gold"].notna()]
        macro = f1_score(known["expression_gold"], known["expression"].astype(int), labels=range(8), average="macro")
        assert table.loc[(partition, "expression_f1"), "value"] == pytest.approx(macro, abs=1e-12)
        each = []
        for name in UNITS:
            known = part[part[f"{name}_gold"].notna()]
            each.append(f1_score(known[f"{name}_gold"], known[name].astype(int), zero_division=0))
            assert table.loc[(partition, f"f1_{name}"), "value"] == pytest.approx(each[-1], abs=1e-12)
        assert table.loc[(partition, "action_units_f1"), "value"] == pytest.approx(np.mean(each), abs=1e-12)
        row = table.loc[(partition, "p_mtl")]
        assert row["low"] < row["value"] < row["high"]
    rng = np.random.default_rng(1)
    gold, found = rng.integers(0, 5, 300).astype(float), rng.integers(0, 6, 300)  # classes 6 and 7 nowhere
    same = f1_score(gold, found, labels=range(8), average=None, zero_division=0)
    np.testing.assert_allclose(expression_f1(found, gold), same)
    assert np.isnan(expression_f1(found, np.full(300, NAN))).all()


@pytest.mark.slow
def test_the_interval_is_that_of_resampled_clips() -> None:
    predictions, labels = noisy()
    inside = labels[labels["partition"] == "validation"]
    table = multitask_table(predictions, inside, replicates=2000, seed=3).set_index("measure")
    rng, values, clips = np.random.default_rng(3), [], sorted(inside["clip"].unique())
    joined = inside.merge(predictions, on=["clip", "frame"], suffixes=("_gold", ""))
    groups = dict(tuple(joined.groupby("clip")))
    for drawn in rng.integers(0, len(clips), (2000, len(clips)))[:200]:
        part = pd.concat([groups[clips[i]] for i in drawn])
        found = part[list(UNITS)].to_numpy(float)
        values.append(np.nanmean(unit_f1(found == 1, part[[f"{n}_gold" for n in UNITS]].to_numpy(float))))
    low, high = np.quantile(values, [0.025, 0.975])
    assert table.loc["action_units_f1", ["low", "high"]].tolist() == pytest.approx([low, high], abs=0.01)


def test_a_threshold_is_the_best_candidate_and_the_middle_one_without_evidence() -> None:
    gold = np.zeros((8, 12))
    gold[:4, 0], gold[:, 2] = 1, NAN
    chances = np.full((8, 12), 0.5)
    chances[:, 0] = [0.31, 0.34, 0.36, 0.38, 0.28, 0.21, 0.22, 0.1]
    chosen = unit_thresholds(chances, gold)
    assert chosen[0] == pytest.approx(0.3)
    assert (chosen[1:] == 0.5).all()


@pytest.mark.slow
def test_choices_are_made_on_the_frames_that_are_given_and_improve_them() -> None:
    predictions, labels = noisy()
    inside = labels[labels["partition"] == "validation"]
    choices, scores = choose(predictions, inside)
    assert choices.valence_arousal is not None
    assert scores["filter"].tolist()[0] == "none"
    before = multitask_table(predictions, inside).set_index("measure")["value"]
    after = multitask_table(applied(predictions, choices), inside).set_index("measure")["value"]
    for part in ("ccc_mean", "expression_f1", "action_units_f1"):
        assert after[part] == pytest.approx(scores[part].max())
        assert after[part] > before[part]
    changed = predictions.copy()
    elsewhere = changed["clip"].isin(labels.loc[labels["partition"] == "test", "clip"])
    changed.loc[elsewhere, ["valence", "arousal"]] = 0.0
    assert choose(changed, inside)[0] == choices


def test_only_probabilities_decide_and_only_filtered_parts_change() -> None:
    predictions, _ = noisy()
    step = FilterStep(filter="mean", width_s=1.0)
    changed = applied(predictions, Choices(expression=step, thresholds={"au1": 0.05}))
    np.testing.assert_array_equal(changed["valence"], predictions["valence"])
    np.testing.assert_array_equal(changed["au2"], predictions["au2"])
    assert changed["au1"].mean() > predictions["au1"].mean()
    assert (changed["expression"] != predictions["expression"]).mean() > 0.05
    likeliest = changed[[f"expression_{name}" for name in EXPRESSIONS]].to_numpy().argmax(1)
    np.testing.assert_array_equal(changed["expression"].astype(int), likeliest)


def test_the_mean_of_models_averages_values_probabilities_and_thresholds() -> None:
    one, other = noisy(0)[0], noisy(1)[0].sample(frac=1, random_state=0, ignore_index=True)
    one.attrs, other.attrs = ({UNIT_THRESHOLDS: {"au1": t}} for t in (0.2, 0.6))
    joint = averaged([one, other])
    ordered = other.sort_values(["clip", "frame"], ignore_index=True)
    np.testing.assert_allclose(joint["valence"], (one["valence"] + ordered["valence"]) / 2, atol=1e-6)
    assert joint.attrs[UNIT_THRESHOLDS]["au1"] == pytest.approx(0.4)
    chances = (one["au1_probability"] + ordered["au1_probability"]) / 2
    clear = (chances - 0.4).abs() > 1e-6
    np.testing.assert_array_equal((joint["au1"] == 1)[clear], (chances > 0.4)[clear])
    with pytest.raises(InputError, match=r"table 2 .* other clips or frames"):
        averaged([one, other.iloc[1:]])
    with pytest.raises(InputError, match="only one of tables 1 and 2"):
        averaged([one, other.drop(columns="au4_probability")])


@pytest.mark.slow
@pytest.mark.parametrize("names", ["str", "category"])
def test_the_command_reads_validation_alone_and_writes_what_the_submission_takes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str], names: str
) -> None:
    predictions, labels = noisy()
    predictions, labels = predictions.astype({"clip": names}), labels.astype({"clip": names, "partition": names})
    predictions.attrs = {UNIT_THRESHOLDS: {"au1": 0.25}}
    predictions.to_parquet(tmp_path / "p.parquet")
    labels.to_parquet(tmp_path / "labels.parquet")
    assert read_tables([tmp_path / "p.parquet"]).attrs == predictions.attrs
    words = [str(tmp_path / "p.parquet"), "--labels", str(tmp_path / "labels.parquet"), "--out"]
    with caplog.at_level("INFO"):
        main([*words, str(tmp_path / "one.json")])
    assert "too good an estimate" in caplog.text
    changed = labels.copy()
    changed.loc[changed["partition"] == "test", ["valence", *TASK_COLUMNS]] = 0.0  # nothing may depend on these
    changed.to_parquet(tmp_path / "labels.parquet")
    main([*words, str(tmp_path / "two.json")])
    assert (tmp_path / "one.json").read_text() == (tmp_path / "two.json").read_text()
    assert set(read_choices(tmp_path / "one.json").thresholds) == set(UNITS)
    labels[labels["partition"] == "test"].to_parquet(tmp_path / "labels.parquet")
    with pytest.raises(SystemExit):
        main([*words, str(tmp_path / "three.json")])
    assert "no row of the validation partition" in capsys.readouterr().err
    assert not (tmp_path / "three.json").exists()


def test_a_table_is_read_whatever_its_file_is_called(tmp_path: Path) -> None:
    """Without the ending .parquet its values are read, and nothing else."""
    predictions, _ = noisy()
    predictions.to_parquet(tmp_path / "p.parquet")
    (tmp_path / "p.parquet").rename(tmp_path / "p.pq")
    pd.testing.assert_frame_equal(
        read_tables([tmp_path / "p.pq"]), predictions[["clip", "frame", "valence", "arousal"]]
    )


@pytest.mark.parametrize("text", ["", "[]", '{"thresholds": {"au3": 0.5}}', '{"thresholds": {"au1": 2}}'])
def test_a_file_of_no_choices_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(InputError, match="these are no choices"):
        read_choices(tmp_path / "c.json")
