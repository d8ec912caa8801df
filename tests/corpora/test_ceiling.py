"""The ceiling for contradiction: exact where every run can be enumerated, calibrated, and blind where it says so."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import ceiling
import numpy as np
import pandas as pd
import pytest
from ceiling import (
    SMOOTH,
    Agreement,
    Streams,
    contradiction_auroc,
    contradiction_ceiling,
    linear_view,
    posterior,
)

from iaca.corpora.synthetic import (
    SyntheticConfig,
    View,
    draw_clip,
    draw_corpus,
    draw_events,
    draw_views,
    write_corpus,
)
from iaca.errors import InputError
from iaca.formats.labels import read_event_table

# 8 steps, of which an event takes 2 or 3: every sequence of runs can be enumerated.
TINY = SyntheticConfig(
    clips=1, seconds=8.0, rate=1.0, correlation_s=4.0, audio_dim=3, visual_dim=4, event_share=0.4,
    event_kinds=("other",), event_s=(2.0, 3.0),
)  # fmt: skip
Array = np.ndarray


def streams_of(config: SyntheticConfig, index: int, partition: str = "train") -> Streams:
    return Streams.of(config, draw_views(config, partition), draw_clip(config, index).annotated.embedding, Path("x"))


@cache
def length_share(low: float, high: float, steps: int) -> float:
    """Probability that a length uniform in [low, high], from a place uniform within a step, takes this many steps."""
    lengths, places = np.linspace(low, high, 1001), np.linspace(-0.5, 0.5, 401)
    taken = np.round(places + lengths[:, None]) - np.round(places)
    weights = np.outer(*(np.where(np.isin(x, x[[0, -1]]), 0.5, 1.0) for x in (lengths, places)))
    return float(((taken == steps) * weights).sum() / weights.sum())


def runs(config: SyntheticConfig, start: int, clean: bool) -> Iterator[tuple[float, list[tuple[int, int, bool]]]]:
    """Every sequence of runs (from, to, clean) from a step on, with its probability."""
    steps = config.steps
    longest = 2 * np.mean(config.event_s) * (1 / config.event_share - 1)
    low, high = (0.0, longest) if clean else config.event_s
    shares = [length_share(low, high, n) for n in range(steps - start)]
    yield 1 - sum(shares), [(start, steps, clean)]
    for n, share in enumerate(shares):
        if share > 1e-9 and (n or clean):
            for rest, following in runs(config, start + n, not clean):
                yield share * rest, [(start, start + n, clean), *following]


@cache
def linear_views(config: SyntheticConfig) -> list[tuple[Array, Array]]:
    return [linear_view(view, config) for view in draw_views(config).values()]


def covariance_of(config: SyntheticConfig, views: list[View], streams: list[int], steps: Array) -> Array:
    """Covariance of the features of these streams at these steps, in the order stream, step, feature."""
    lag = steps[:, None] - steps
    smooth = np.exp(-((lag / (config.correlation_s * config.rate)) ** 2))
    blocks = []
    for i in streams:
        row = []
        for j in streams:
            (mixing, noise), (other, _) = (linear_views(config)[k] for k in (i, j))
            if i == j:
                block = np.kron(smooth, mixing[:SMOOTH].T @ mixing[:SMOOTH])
                block += np.kron(np.ones_like(smooth), mixing[SMOOTH:].T @ mixing[SMOOTH:])
                block += np.kron(np.eye(len(steps)), noise)
            else:
                both = np.diag(views[i].sees * views[j].sees)
                block = np.kron(smooth, mixing[:2].T @ both @ other[:2])
            row.append(block)
        blocks.append(row)
    return np.block(blocks)


def log_density(values: Array, covariance: Array) -> float:
    fit = values @ np.linalg.solve(covariance, values)
    return float(-0.5 * (fit + np.linalg.slogdet(covariance)[1] + len(values) * np.log(2 * np.pi)))


Enumerated = Callable[[list[tuple[int, int, bool]], tuple[int, ...]], float]


def enumerated(config: SyntheticConfig, log_likelihood: Enumerated, streams: int) -> Array:
    """(t, streams) posterior by adding up all sequences of runs, each event in each of the streams."""
    found, weights = [], []
    for share, sequence in runs(config, 0, clean=True):
        events = [run for run in sequence if not run[2]]
        for assigned in np.ndindex(*[streams] * len(events)):
            wrong = np.zeros((config.steps, streams))
            for (start, end, _), stream in zip(events, assigned, strict=True):
                wrong[start:end, stream] = 1
            found.append(wrong)
            weights.append(
                np.log(max(share, 1e-300)) - len(events) * np.log(streams) + log_likelihood(sequence, assigned)
            )
    shares = np.exp(np.array(weights) - np.max(weights))
    return np.tensordot(shares / shares.sum(), np.stack(found), axes=1)


@pytest.mark.slow
@pytest.mark.parametrize("index", [0, 1])
def test_the_posterior_is_that_of_all_sequences_of_runs(index: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ceiling, "MOST", 10_000)  # a step of so few features leaves all of them open
    monkeypatch.setattr(ceiling, "SETTLED_S", 100.0)
    views = list(draw_views(TINY).values())
    clip = draw_clip(TINY, index).annotated.embedding
    features = [x.astype(np.float64) for x in (clip.audio, clip.visual)]
    whole = covariance_of(TINY, views, [0, 1], np.arange(TINY.steps))

    def log_likelihood(sequence: list[tuple[int, int, bool]], assigned: tuple[int, ...]) -> float:
        events = [run for run in sequence if not run[2]]
        own = [np.ones(TINY.steps, bool), np.ones(TINY.steps, bool)]
        total = 0.0
        for (start, end, _), stream in zip(events, assigned, strict=True):
            own[stream][start:end] = False
            covariance = covariance_of(TINY, views, [stream], np.arange(start, end))
            total += log_density(features[stream][start:end].ravel(), covariance)
        keep = np.concatenate([np.repeat(own[i], features[i].shape[1]) for i in (0, 1)])
        values = np.concatenate([x.ravel() for x in features])[keep]
        return total + log_density(values, whole[np.ix_(keep, keep)])

    expected = enumerated(TINY, log_likelihood, streams=2)
    assert expected.sum(axis=1).max() > 0.02
    np.testing.assert_allclose(posterior(streams_of(TINY, index)), expected, atol=0.01)


@pytest.mark.parametrize("index", [0, 1])
def test_agreement_is_that_of_all_sequences_of_clean_runs(index: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ceiling, "GRID_S", 1.0)
    views = draw_views(TINY)
    clip = draw_clip(TINY, index).annotated.embedding
    features = [x.astype(np.float64) for x in (clip.audio, clip.visual)]

    def log_likelihood(sequence: list[tuple[int, int, bool]], _: tuple[int, ...]) -> float:
        total = 0.0
        for start, end, clean in sequence:
            if clean and end > start:
                steps, values = np.arange(start, end), [x[start:end].ravel() for x in features]
                covariances = [covariance_of(TINY, [*views.values()], which, steps) for which in ([0, 1], [0], [1])]
                both, voice, face = (
                    log_density(x, c) for x, c in zip([np.concatenate(values), *values], covariances, strict=True)
                )
                total += both - voice - face
        return total

    expected = enumerated(TINY, log_likelihood, streams=1)[:, 0]
    found = Agreement(TINY, views).posterior(streams_of(TINY, index))
    np.testing.assert_allclose(found, expected, atol=0.01)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[SyntheticConfig, Path]:
    config = SyntheticConfig(kind="s2", clips=4, seconds=16.0, rate=10.0, event_share=0.3, event_kinds=("other",))
    root = tmp_path_factory.mktemp("corpus") / "made"
    write_corpus(config, root, "parquet")
    return config, root


@pytest.fixture(scope="module")
def found(corpus: tuple[SyntheticConfig, Path]) -> pd.DataFrame:
    return contradiction_ceiling(corpus[1])


@pytest.mark.slow
def test_the_ceiling_has_one_row_per_step_and_its_parts_add_up(
    corpus: tuple[SyntheticConfig, Path], found: pd.DataFrame
) -> None:
    config = corpus[0]
    assert found.groupby("clip", sort=False).size().to_dict() == {f"clip{i:05d}": config.steps for i in range(4)}
    np.testing.assert_allclose(found["audio"] + found["visual"], found["probability"], atol=1e-6)
    assert found[["probability", "agreement"]].min().min() >= 0
    assert found[["probability", "agreement"]].max().max() <= 1 + 1e-6
    one = contradiction_ceiling(corpus[1], "validation")
    pd.testing.assert_frame_equal(one, found[found["clip"].isin(["clip00002", "clip00003"])].reset_index(drop=True))


def test_who_is_wrong_and_where_is_found_from_the_seams(
    corpus: tuple[SyntheticConfig, Path], found: pd.DataFrame
) -> None:
    config = corpus[0]
    truth = np.zeros((len(found), 2))
    for number, clip in enumerate(draw_corpus(config)):
        for event in clip.events:
            rows = slice(number * config.steps + event.start, number * config.steps + event.end)
            truth[rows, int(event.modality == "visual")] = 1
    assert 0.1 < truth.sum(axis=1).mean() < 0.6
    said = found[["audio", "visual"]].to_numpy()
    assert ((said - truth) ** 2).mean() < 0.01
    assert said.mean(axis=0) == pytest.approx(truth.mean(axis=0), abs=0.01)
    table = contradiction_auroc(found, read_event_table(corpus[1] / "events.csv")).set_index("modality")
    assert table.loc["both", "auroc_probability"] > 0.99
    assert table.loc["both", "event_frames"] == truth.sum()
    assert table.loc["both", "clean_frames"] == len(truth) - truth.sum()


@pytest.mark.slow
def test_agreement_is_calibrated_and_knows_less_than_the_seams() -> None:
    config = SyntheticConfig(clips=40, seconds=40.0, rate=5.0, event_share=0.3, event_kinds=("other",))
    views = draw_views(config)
    judge, said, truth = Agreement(config, views), [], []
    for clip in draw_corpus(config):
        said.append(judge.posterior(Streams.of(config, views, clip.annotated.embedding, Path("x"))))
        wrong = np.zeros(config.steps)
        for event in clip.events:
            wrong[event.start : event.end] = 1
        truth.append(wrong)
    p, y = np.concatenate(said), np.concatenate(truth)
    for low, high in ((0.0, 0.15), (0.15, 0.3), (0.3, 0.5), (0.5, 1.0)):
        chosen = (p >= low) & (p < high)
        assert chosen.sum() > 200
        assert p[chosen].mean() == pytest.approx(y[chosen].mean(), abs=0.12)
    table = pd.DataFrame({"clip": "a", "time_s": np.arange(len(p)) / 5, "probability": p, "agreement": p})
    edges = np.flatnonzero(np.diff(np.concatenate([[0], y, [0]])))
    events = pd.DataFrame({"clip": "a", "modality": "audio", "kind": "other",
                           "start_s": edges[::2] / 5, "end_s": edges[1::2] / 5})  # fmt: skip
    auroc = contradiction_auroc(table, events).set_index("modality")
    assert 0.7 < auroc.loc["audio", "auroc_agreement"] < 0.9
    assert np.isnan(auroc.loc["visual", "auroc_agreement"])


@pytest.mark.slow
def test_other_kinds_of_events_are_told_apart() -> None:
    config = SyntheticConfig(clips=3, seconds=20.0, rate=10.0, event_share=0.5, event_s=(2.0, 4.0), seed=1)
    kinds = set()
    for index in range(3):
        clip = draw_clip(config, index)
        said = posterior(Streams.of(config, draw_views(config), clip.annotated.embedding, Path("x")))
        truth = np.zeros((config.steps, 2))
        for event in clip.events:
            kinds.add(event.kind)
            if event.kind == "other":
                truth[event.start : event.end, int(event.modality == "visual")] = 1
        assert np.abs(said - truth).mean() < 0.02
    assert kinds == {"absent", "zeros", "noise", "other"}


@pytest.mark.slow
def test_without_a_shared_emotion_there_is_no_agreement_to_miss() -> None:
    config = SyntheticConfig(kind="s3", clips=6, rate=5.0, seconds=20.0, event_share=0.3, event_kinds=("other",))
    train, test = (np.prod([v.sees for v in draw_views(config, name).values()], axis=0) for name in ("train", "test"))
    assert (train.tolist(), test.tolist()) == ([0.425, 0.425], [0.0, 0.425])
    views = {name: replace(view, sees=np.zeros(2)) for name, view in draw_views(config).items()}
    judge = Agreement(config, views)
    streams = Streams.of(config, views, draw_clip(config, 0).annotated.embedding, Path("x"))
    np.testing.assert_allclose(judge.ratios(streams)[np.triu_indices(judge.blocks + 1, 1)], 0, atol=1e-6)
    expected = np.zeros(config.steps)  # how often a step is in an event, whatever the features say
    for seed in range(4000):
        for event in draw_events(config, np.random.default_rng(seed)):
            expected[event.start : event.end] += 1 / 4000
    np.testing.assert_allclose(judge.posterior(streams), expected, atol=0.04)


def test_features_that_tell_too_little_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ceiling, "MOST", 2)
    with pytest.raises(InputError, match="more than 2 hypotheses"):
        posterior(streams_of(TINY, 0))


def test_a_corpus_that_is_not_what_its_parameters_say_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"synthetic\.json"):
        contradiction_ceiling(tmp_path)
    write_corpus(TINY, tmp_path)
    other = TINY.model_copy(update={"audio_dim": 5})
    (tmp_path / "synthetic.json").write_text(other.model_dump_json())
    with pytest.raises(InputError, match=r"audio features of shape \(8, 3\)"):
        contradiction_ceiling(tmp_path)
    fast = TINY.model_copy(update={"correlation_s": 1.0})
    with pytest.raises(InputError, match="no smoothness"):
        streams_of(fast, 0)
    silent = draw_clip(TINY, 0).annotated.embedding
    silent = silent.with_modalities(present={"audio": np.zeros(TINY.steps, bool)})
    with pytest.raises(InputError, match="step 0 can't come from"):
        posterior(Streams.of(TINY, draw_views(TINY), silent, Path("x")))


def test_a_moving_average_stays_within_its_clip() -> None:
    table = pd.DataFrame({"clip": ["a"] * 4 + ["b"] * 4, "time_s": [0.0, 1, 2, 3] * 2,
                          "probability": [0.0, 0, 0, 0, 1, 1, 1, 1], "agreement": np.nan})  # fmt: skip
    events = pd.DataFrame({"clip": ["b"], "modality": ["audio"], "kind": ["other"], "start_s": [0.0], "end_s": [9.0]})
    scores = contradiction_auroc(table, events, smoothing_s=3.0).set_index("modality")
    assert scores.loc["audio", "auroc_probability"] == 1.0
    assert np.isnan(scores.loc["audio", "auroc_agreement"])
