"""Agreement with the annotation is measured as the field's protocols say."""

import audmetric
import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from iaca.errors import InputError
from iaca.evaluation.metrics import ccc, join_labels, pcc, per_video, pooled_metrics, rmse, sagr, video_means

VALUES = st.floats(-1, 1).map(lambda x: round(x, 6))
PAIRS = st.lists(st.tuples(VALUES, VALUES), min_size=2, max_size=60).map(np.array)


@pytest.mark.parametrize("n", [2, 16, 300])
def test_a_sequence_agrees_fully_with_itself(n):
    x = np.random.default_rng(n).normal(size=n)
    assert ccc(x, x) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(
    ("prediction", "gold", "expected"),
    [
        ([0, 1, 2], [0, 1, 1], 2 / 3),
        ([3, -0.5, 2, 7], [2.5, 0, 2, 8], 0.976789),
        ([0, 1, 2, 3], [1, 2, 3, 4], 0.714286),
        ([0.1, 0.1, 0.1], [0.3, 0.2, 0.9], 0),
        ([0.3, 0.2, 0.9], [0.1, 0.1, 0.1], 0),
    ],
)
def test_the_check_values_of_the_protocol(prediction, gold, expected):
    assert ccc(prediction, gold) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("prediction", "gold"), [([0.1] * 3, [0.1] * 3), ([0.1] * 3, [0.7] * 3), ([1], [1]), ([], [])])
def test_what_is_undefined_is_nan(prediction, gold):
    assert np.isnan(ccc(prediction, gold))
    assert np.isnan(pcc(prediction, gold))


def test_the_two_sequences_must_be_of_one_length():
    with pytest.raises(InputError, match="3 predictions against 2"):
        ccc([1, 2, 3], [1, 2])


@given(PAIRS)
@example(np.array([[0.1, 0.1], [0.1, 0.3]]))
@example(np.array([[0.25, 0.25], [0.25, 0.25]]))
@example(np.array([[-1.0, 1.0], [1.0, -1.0]]))
@example(np.array([[0.999999, 0.999998], [0.999998, 0.999999]]))
def test_ccc_is_that_of_audmetric(pairs):
    x, y = pairs.T
    if len(np.unique(x)) > 1 or len(np.unique(y)) > 1:
        assert ccc(x, y) == pytest.approx(audmetric.concordance_cc(y, x), abs=1e-9)


@given(PAIRS)
@example(np.array([[-1.0, 1.0], [1.0, -1.0]]))
def test_correlation_is_that_of_audmetric(pairs):
    x, y = pairs.T
    if len(np.unique(x)) > 1 and len(np.unique(y)) > 1:
        assert pcc(x, y) == pytest.approx(audmetric.pearson_cc(y, x), abs=1e-9)


@given(PAIRS, st.data())
def test_frames_without_annotation_are_left_out_as_audmetric_leaves_out_nan(pairs, data):
    holes = data.draw(st.lists(st.booleans(), min_size=len(pairs), max_size=len(pairs)))
    x, y = pairs[:, 0], np.where(holes, np.nan, pairs[:, 1])
    scores = pooled_metrics(pd.DataFrame({"valence": x, "valence_gold": y, "arousal": x, "arousal_gold": y}))
    if len(np.unique(x[~np.array(holes)])) > 1:
        theirs = audmetric.concordance_cc(y, x, ignore_nan=True)
        assert scores["ccc_mean"] == pytest.approx(theirs, abs=1e-9, nan_ok=True)


def test_long_sequences_far_from_zero_agree_with_audmetric():
    x, y = 3 + np.cumsum(np.random.default_rng(0).normal(size=(2, 100_000)), axis=1) * 1e-3
    assert ccc(x, y) == pytest.approx(audmetric.concordance_cc(y, x), abs=1e-9)
    assert pcc(x, y) == pytest.approx(audmetric.pearson_cc(y, x), abs=1e-9)


@pytest.mark.parametrize("constant", [0.1, 0.25])
def test_two_constants_are_undefined_where_audmetric_divides_zero_by_the_distance(constant):
    x, y = np.full(3, constant), np.full(3, 0.75)
    assert np.isnan(ccc(x, x))
    assert np.isnan(ccc(x, y))  # audmetric gives 0: a score for a video in which nothing can be right
    assert audmetric.concordance_cc(y, x) == pytest.approx(0, abs=1e-12)
    assert np.isnan(audmetric.concordance_cc([1], [1])) == np.isnan(ccc([1], [1]))


@given(PAIRS)
def test_ccc_is_symmetric(pairs):
    x, y = pairs.T
    assert ccc(x, y) == pytest.approx(ccc(y, x), abs=1e-12, nan_ok=True)


@given(PAIRS)
def test_ccc_is_never_larger_than_correlation(pairs):
    x, y = pairs.T
    if len(np.unique(x)) > 1 and len(np.unique(y)) > 1:
        assert abs(ccc(x, y)) <= abs(pcc(x, y)) + 1e-9


@given(PAIRS, st.floats(0.1, 10), st.floats(-5, 5))
def test_ccc_does_not_change_when_both_are_scaled_and_shifted_alike(pairs, scale, shift):
    x, y = pairs.T
    if np.ptp(x) > 1e-3 and np.ptp(y) > 1e-3:
        assert ccc(scale * x + shift, scale * y + shift) == pytest.approx(ccc(x, y), abs=1e-7)


def test_error_and_sign_agreement_are_the_textbook_ones():
    assert rmse([0, 1], [0, 3]) == pytest.approx(np.sqrt(2))
    assert sagr([-1, 0.5, 0, 0.2], [-0.3, 0.1, 0, -1]) == pytest.approx(0.75)


def test_pooled_metrics_mask_each_dimension_by_its_own_annotation():
    table = pd.DataFrame(
        {
            "valence": [0, 1, 2, 9],
            "valence_gold": [0, 1, 1, np.nan],
            "arousal": [0, 1, 2, 3],
            "arousal_gold": [1, 2, 3, 4],
        }
    )
    scores = pooled_metrics(table)
    assert scores["ccc_valence"] == pytest.approx(2 / 3)
    assert scores["ccc_mean"] == pytest.approx((2 / 3 + 0.7142857) / 2)
    assert (scores["frames_valence"], scores["frames_arousal"], scores["unpredicted"]) == (3, 4, 0)


def test_an_annotated_frame_without_prediction_is_counted_not_lost(predictions, labels):
    joined = join_labels(predictions.iloc[20:], labels)
    assert len(joined) == len(labels)
    assert pooled_metrics(joined)["unpredicted"] == 20


def _merged(predictions, labels):
    gold = labels.rename(columns={"valence": "valence_gold", "arousal": "arousal_gold"})
    return gold[["clip", "frame", "valence_gold", "arousal_gold", "partition"]].merge(
        predictions, on=["clip", "frame"], how="left"
    )


@pytest.mark.parametrize("order", ["as written", "shuffled", "others missing", "one partition", "nothing predicted"])
@pytest.mark.parametrize("names", ["strings", "categories", "categories of the predictions"])
def test_predictions_stand_beside_the_labels_of_their_frame_whatever_the_order(predictions, labels, order, names):
    if order == "shuffled":
        predictions = predictions.sample(frac=1, random_state=0)
    elif order == "others missing":
        predictions = predictions[(predictions["frame"] % 3 > 0) & (predictions["clip"] != "b")]
    elif order == "one partition":
        labels = labels[labels["partition"] == "validation"]
    elif order == "nothing predicted":
        predictions = predictions.head(0)
    expected = _merged(predictions, labels)
    if names.startswith("categories"):
        predictions = predictions.assign(clip=predictions["clip"].astype("category"))
    if names == "categories":  # of a column of its own, in another order than that of the predictions
        labels = labels.assign(clip=pd.Categorical(labels["clip"], sorted(labels["clip"].unique(), reverse=True)))
    joined = join_labels(predictions, labels)
    pd.testing.assert_frame_equal(joined.assign(clip=joined["clip"].astype(str)), expected, check_dtype=False)


def test_what_is_joined_whole_is_not_copied(predictions, labels):
    inside = labels[labels["clip"].isin(["b", "c"])]
    joined = join_labels(predictions, inside)
    assert np.shares_memory(joined["valence"].to_numpy(), predictions["valence"].to_numpy())


@pytest.mark.parametrize("repeated", ["predictions", "labels"])
@pytest.mark.parametrize("row", [0, 7])
def test_a_repeated_frame_is_refused(predictions, labels, repeated, row):
    tables = {"predictions": predictions, "labels": labels}
    clip, frame = tables[repeated].iloc[row][["clip", "frame"]]
    tables[repeated] = pd.concat([tables[repeated], tables[repeated].iloc[[row]]])
    with pytest.raises(InputError, match=f"the {repeated} contain frame {frame} of clip {clip} more than once"):
        join_labels(**tables)


def test_the_mean_over_videos_leaves_undefined_videos_out_and_says_so(predictions, labels):
    gold = labels.copy()
    gold.loc[gold["clip"] == "a", ["valence", "arousal"]] = 0.5
    still = predictions.copy()
    still.loc[still["clip"] == "a", ["valence", "arousal"]] = 0.5
    videos = per_video(join_labels(still, gold))
    means = video_means(videos)
    assert (means["videos"], means["videos_scored"]) == (4, 3)
    assert means["video_ccc_mean"] == pytest.approx(videos["ccc_mean"].iloc[1:].mean())
