"""Several raters of one clip: who is how late, how they are combined, and which files that writes."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from iaca.corpora.folder import FolderConfig, build_timeline, index_folder
from iaca.corpora.raters import (
    GoldConfig,
    estimate_delays,
    ewe_weights,
    gold_standard,
    import_trace,
    label_text,
    main,
    rater_folder,
    read_trace,
    save_trace,
    weighted_mean,
    write_gold,
)
from iaca.errors import InputError
from iaca.formats.annotations import read_traces
from iaca.media import frame_times, write_movie

TIMES = np.arange(0, 40, 0.04)


def slow(seed: int, times: np.ndarray = TIMES) -> np.ndarray:
    """(t, 2) two smooth unlike traces in [-1, 1]."""
    random = np.random.default_rng(seed)
    frequencies, phases = random.uniform(0.02, 0.2, (2, 6)), random.uniform(0, 6, (2, 6))
    return np.stack([np.sin(2 * np.pi * f * times[:, None] + p).mean(1) for f, p in zip(frequencies, phases)], axis=1)  # noqa: B905


def late(seed: int, delay: float, noise: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """A rater who says at each time what was true `delay` seconds before."""
    wiggle = noise * np.random.default_rng(seed + 100).standard_normal((len(TIMES), 2))
    return TIMES, slow(seed, TIMES - delay) + wiggle


@pytest.mark.slow
def test_delays_are_those_by_which_raters_are_later_than_the_fastest() -> None:
    delays = {"ann": 1.0, "bob": 2.2, "cy": 3.4}
    clips = [{name: late(seed, delay, 0.02) for name, delay in delays.items()} for seed in range(3)]
    found = estimate_delays(clips)
    assert found["ann"] == 0
    assert found["bob"] == pytest.approx(1.2, abs=0.08)
    assert found["cy"] == pytest.approx(2.4, abs=0.08)


def test_raters_of_different_clips_are_compared_where_they_meet() -> None:
    clips = [
        {"ann": late(0, 1.0), "bob": late(0, 1.8)},
        {"bob": late(1, 1.8), "cy": late(1, 1.2)},
        {"cy": late(2, 1.2)},
    ]
    found = estimate_delays(clips)
    assert found == pytest.approx({"ann": 0.0, "bob": 0.8, "cy": 0.2}, abs=0.05)


def test_a_rater_alone_has_no_delay_that_could_be_seen_and_constants_have_none() -> None:
    assert estimate_delays([{"ann": late(0, 2.0)}]) == {"ann": 0.0}
    still = (TIMES, np.zeros((len(TIMES), 2)))
    assert estimate_delays([{"ann": late(0, 2.0), "bob": still}]) == {"ann": 0.0, "bob": 0.0}


def test_of_delays_that_fit_equally_well_the_shortest_is_taken() -> None:
    """A trace with a period of 1.2 s fits 0.4 s, 1.6 s, 2.8 s and 4 s later."""
    times = np.arange(500) * 0.04
    pattern = np.random.default_rng(0).choice([-1.0, 1.0], (30, 2))
    traces = {name: (times, pattern[(np.arange(500) - steps) % 30]) for name, steps in (("ann", 0), ("bob", 10))}
    assert estimate_delays([traces]) == {"ann": 0.0, "bob": 0.4}


def test_no_delay_is_longer_than_four_seconds() -> None:
    found = estimate_delays([{"ann": late(0, 0.0), "bob": late(0, 6.0)}])
    assert max(found.values()) <= 4


def test_weights_are_the_correlation_with_the_mean_of_the_others() -> None:
    traces = np.random.default_rng(0).standard_normal((3, 50))
    traces[1] += traces[0]
    traces[2] = 0.3 * traces[2] + traces[0]
    expected = [np.corrcoef(traces[i], np.delete(traces, i, 0).mean(0))[0, 1] for i in range(3)]
    np.testing.assert_allclose(ewe_weights(traces), expected)
    gold = weighted_mean(traces, ewe_weights(traces))
    np.testing.assert_allclose(gold, np.average(traces, axis=0, weights=expected))


def test_a_rater_against_the_others_counts_nothing_and_one_alone_counts() -> None:
    trace = np.sin(np.arange(100) / 9)
    weights = ewe_weights(np.stack([trace, 0.9 * trace + 0.1, 0.8 * trace, -trace]))
    np.testing.assert_allclose(weights, [1, 1, 1, 0])
    assert ewe_weights(trace[None]) == [1]
    assert ewe_weights(np.stack([trace, np.full(100, 0.5)])).tolist() == [0, 0]


def test_a_step_that_some_raters_lack_is_the_mean_of_the_others() -> None:
    traces = np.array([[0.2, np.nan, 0.4, np.nan], [0.6, 0.5, np.nan, np.nan]])
    np.testing.assert_allclose(weighted_mean(traces, np.array([1.0, 3.0])), [0.5, 0.5, 0.4, np.nan])


def test_the_gold_standard_of_late_raters_is_what_was_true() -> None:
    delays = {"ann": 1.0, "bob": 2.0}
    gold = gold_standard(TIMES, {name: late(0, delay) for name, delay in delays.items()}, delays)
    there = TIMES < 40 - 2.1
    np.testing.assert_allclose(gold.labels[there], slow(0)[there], atol=0.01)
    only_ann = (TIMES > 38.1) & (TIMES < 38.8)
    np.testing.assert_allclose(gold.labels[only_ann], slow(0)[only_ann], atol=0.01)
    assert np.isnan(gold.labels[TIMES > 39.1]).all()
    assert gold.weights["valence"] == pytest.approx({"ann": 1, "bob": 1}, abs=1e-3)
    assert gold.notes == []


def test_the_mean_ignores_agreement_and_disagreement_is_noted() -> None:
    trace = slow(0)
    raters = {"ann": (TIMES, trace), "bob": (TIMES, np.column_stack([-trace[:, 0], trace[:, 1]]))}
    still = dict.fromkeys(raters, 0.0)
    ewe, mean = (gold_standard(TIMES, raters, still, method) for method in ("ewe", "mean"))
    np.testing.assert_allclose(mean.labels[:, 0], 0, atol=1e-6)
    np.testing.assert_allclose(ewe.labels[:, 1], trace[:, 1], atol=1e-6)
    assert ewe.agreement["valence"]["bob"] == pytest.approx(-1)
    assert any("valence: no rater correlates with the others" in note for note in ewe.notes)
    assert any("valence: bob hardly agrees with the others (correlation -1.00)" in note for note in mean.notes)


# --- files ---


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two clips of 4 s at uneven rates, in folders of their own."""
    for number, name in enumerate(("a/clip.one.mp4", "two.mp4")):
        times = np.cumsum(np.resize([0.04, 0.03, 0.05], 100 - 10 * number)) - 0.04
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_movie(tmp_path / name, ((t, np.zeros((48, 64, 3), np.uint8)) for t in times), 25)
    return tmp_path


def rate(root: Path, clip: str, rater: str, delay: float) -> np.ndarray:
    times = frame_times(next(root.rglob(f"{clip}.mp4")))
    save_trace(root, clip, rater, times, dict(zip(("valence", "arousal"), slow(0, times - delay).T, strict=True)))
    return times


def test_gold_labels_lie_next_to_the_video_and_say_how_they_were_made(root: Path) -> None:
    times = rate(root, "clip.one", "Ann", 0.5)
    rate(root, "clip.one", "Bob", 1.0)
    reports = write_gold(root, GoldConfig(delay_s=0.5, method="mean"))
    assert set(reports) == {"clip.one"}
    table = pd.read_csv(root / "a/clip.one.csv")
    np.testing.assert_array_equal(table["frame"], np.arange(len(times)))
    np.testing.assert_allclose(table["time_s"], times, atol=1e-6)
    there = times < times[-1] - 0.6
    assert table["valence"].notna()[there].all()
    assert table["valence"].isna()[times > times[-1] - 0.4].all()
    expected = (slow(0, times) + slow(0, times - 0.5)) / 2
    np.testing.assert_allclose(table[["valence", "arousal"]][there], expected[there], atol=0.01)
    report = json.loads((root / "a/clip.one.raters.json").read_text())
    assert report["delays_s"] == {"Ann": 0.5, "Bob": 0.5}
    assert (report["method"], report["delay"]) == ("mean", "given")
    assert report["weights"]["arousal"] == {"Ann": 1, "Bob": 1}


def test_an_estimated_delay_states_what_it_cannot_know(root: Path) -> None:
    rate(root, "clip.one", "Ann", 0.5)
    report = write_gold(root, GoldConfig(fastest_s=2.0))["clip.one"]
    assert report["delays_s"] == {"Ann": 2.0}
    assert "the fastest rater's own delay can't be seen and is taken as 2 s" in report["delay"]


def test_the_folder_importer_reads_the_gold_standard_and_reports_no_rater(root: Path) -> None:
    times = rate(root, "two", "Ann", 0.0)
    write_gold(root, GoldConfig(delay_s=0.0))
    index = index_folder(root, FolderConfig())
    assert index.problems == []
    assert index.clips.set_index("clip")["annotation"].to_dict() == {"clip.one": "", "two": "two.csv"}
    build_timeline(root / "two.mp4", root / "two.csv", target=root / "two.parquet")
    timeline = pd.read_parquet(root / "two.parquet")
    np.testing.assert_allclose(timeline[["valence", "arousal"]], slow(0, times), atol=1e-5)


def test_labels_made_elsewhere_are_not_replaced_and_ones_made_here_are(root: Path) -> None:
    rate(root, "two", "Ann", 0.0)
    write_gold(root, GoldConfig(delay_s=0.0))
    first = (root / "two.csv").read_text()
    write_gold(root, GoldConfig(delay_s=1.0))
    assert (root / "two.csv").read_text() != first
    (root / "two.csv").write_text("time_s,valence,arousal\n0,0.5,0.5\n")
    with pytest.raises(InputError, match=r"two.csv: these labels were not made from the raters' traces.*move it to"):
        write_gold(root, GoldConfig())
    assert (root / "two.csv").read_text() == "time_s,valence,arousal\n0,0.5,0.5\n"
    (root / "two.raters.json").write_text("not JSON")
    with pytest.raises(InputError, match="not made from the raters' traces"):
        write_gold(root, GoldConfig())


def test_a_run_that_ends_between_report_and_labels_does_not_lock_them(root: Path, monkeypatch) -> None:
    from iaca.corpora import raters

    rate(root, "two", "Ann", 0.0)
    write_gold(root, GoldConfig(delay_s=0.0))
    write = raters.write_text

    def fail(path: Path, text: str) -> None:
        if path.suffix == ".csv":
            raise KeyboardInterrupt
        write(path, text)

    monkeypatch.setattr(raters, "write_text", fail)
    with pytest.raises(KeyboardInterrupt):
        write_gold(root, GoldConfig(delay_s=1.0))
    monkeypatch.setattr(raters, "write_text", write)
    assert write_gold(root, GoldConfig(delay_s=1.0))["two"]["delays_s"] == {"Ann": 1.0}


def test_without_a_trace_there_is_no_gold_standard(root: Path) -> None:
    with pytest.raises(InputError, match=r"no clip has a trace of a rater.*raters/NAME/CLIP.csv"):
        write_gold(root, GoldConfig())


def test_a_faulty_trace_is_named_with_its_line(root: Path) -> None:
    path = rater_folder(root, "Ann") / "two.csv"
    path.parent.mkdir(parents=True)
    path.write_text("time_s,valence,arousal\n0,0.5,0\n0.1,7,0\n")
    with pytest.raises(InputError, match=r"Ann/two.csv, line 3: 7 is outside"):
        write_gold(root, GoldConfig())


def test_a_trace_is_read_back_exactly_and_dimensions_are_saved_one_by_one(root: Path) -> None:
    times = frame_times(root / "two.mp4")
    valence = np.where(np.arange(len(times)) % 7, 0.123456, np.nan)
    save_trace(root, "two", " Zoe\u0308 ", times, {"valence": valence})
    labels = save_trace(root, "two", "Zo\u00eb", times, {"arousal": np.full(len(times), -0.5)})
    path = root / "raters/Zo\u00eb/two.csv"
    np.testing.assert_array_equal(read_trace(path, times), np.float32(labels))
    np.testing.assert_array_equal(labels[:, 0], np.float32(valence))
    assert path.read_text() == label_text(times, labels)


@pytest.mark.parametrize("name", ["", " ", "..", "a/b", ".hidden", "x" * 41, "tab\there", "nul\0"])
def test_a_name_that_is_no_folder_is_refused(root: Path, name: str) -> None:
    with pytest.raises(InputError, match="is not a name of a rater"):
        rater_folder(root, name)


def test_traces_of_other_programs_come_and_go_by_command(root: Path, tmp_path: Path, capsys) -> None:
    times = rate(root, "clip.one", "Ann", 0.0)
    main(["gold", str(root), "--delay-s", "0"])
    main(["export", str(root), "clip.one", "elan", "--target", str(tmp_path / "out")])
    exported = read_traces(tmp_path / "out/clip.one.eaf")
    np.testing.assert_allclose(exported["valence"].held(times), slow(0, times)[:, 0], atol=1e-5)
    main(["export", str(root), "clip.one", "carma", "--rater", "Ann", "--target", str(tmp_path / "out")])
    file = tmp_path / "out/clip.one.arousal.csv"
    main(["import", str(root), "two", str(file), "--rater", "Carma", "--arousal", "Rating"])
    found = read_trace(root / "raters/Carma/two.csv", frame_times(root / "two.mp4"))
    assert np.isnan(found[:, 0]).all()
    middle = slice(5, -5)
    own = frame_times(root / "two.mp4")
    np.testing.assert_allclose(found[middle, 1], slow(0, own)[middle, 1], atol=0.03)
    with pytest.raises(SystemExit):
        main(["import", str(root), "two", str(file), "--rater", "Carma"])
    assert "no trace ''; the file has: Rating" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["gold", str(root), "--delay-s", "9"])
    assert "delay_s: Input should be less than or equal to 4" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["export", str(root), "three", "elan"])
    assert "there is no video of the clip 'three'" in capsys.readouterr().err


def test_a_trace_that_lies_beyond_the_clip_is_refused(root: Path, tmp_path: Path) -> None:
    file = tmp_path / "late.csv"
    file.write_text("time_s,valence,arousal\n4000,0.5,0.5\n5000,0.5,0.5\n")
    with pytest.raises(InputError, match=r"no value lies within the clip, 0 to 3.9. s.*in seconds"):
        import_trace(file, frame_times(root / "a/clip.one.mp4"), {})
