"""BAH from a tree of its public shape: clips, human truth per frame, scores; and each assumption that does not hold."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.metrics import average_precision_score, f1_score

from iaca.corpora.bah import index_bah, main, read_scores, read_truth
from iaca.errors import InputError
from iaca.evaluation.events import average_precision, detection_scores, macro_f1
from iaca.pipelines.ingestion.nodes import BahConfig, IngestionConfig

LABELS = {
    "82725_Question_1_2024-11-19_15-12-23_Video": ("train", [0, 0, 0, 0]),
    "82725_Question_2_2024-11-19_15-14-23_Video": ("train", [0, 1, 1, 0]),
    "82579_Question_1_2024-10-02 16-03-28_Video": ("val", [1, 1, 0]),
    "82711_Question_3_2024-11-18_16-08-43_Video": ("test", [0, 0, 0, 1, 1]),
    "82711_Question_4_2024-11-18_16-09-43_Video": ("test", [0, 0]),
}


def path_of(clip: str) -> str:
    return f"Videos/{clip[:5]}/Visite_1/{clip}.mp4"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The release with empty videos, and crops whose folders have the names of videos."""
    splits = tmp_path / "data" / "split"
    splits.mkdir(parents=True)
    for split in ("train", "val", "test"):
        lines = [
            f"{path_of(clip)},{max(labels)},Well, when I wake up, I get ready.\n"
            for clip, (of, labels) in LABELS.items() if of == split
        ]  # fmt: skip
        (splits / f"{split}.txt").write_text("".join(lines))
    for clip in LABELS:
        video = tmp_path / "data" / path_of(clip)
        video.parent.mkdir(parents=True, exist_ok=True)
        video.touch()
        crops = tmp_path / "data" / "cropped-aligned-faces" / path_of(clip)
        crops.mkdir(parents=True)
        (crops / "frame-0.jpg").touch()
    annotate(tmp_path)
    return tmp_path


def annotate(root: Path, key: str = "{path}", frame: str = "frame-{i}.jpg", first: int = 0) -> None:
    content = {
        key.format(path=path_of(clip), clip=clip): {
            "frame_annotation": [[frame.format(i=i + first), label] for i, label in enumerate(labels)]
        }
        for clip, (_, labels) in LABELS.items()
    }
    (root / "video_annotation.yaml").write_text(yaml.safe_dump(content))


def test_every_video_of_the_splits_is_a_clip_of_its_participant(root: Path) -> None:
    index = index_bah(root)
    assert index.problems == []
    rows = index.clips.set_index("clip")
    assert sorted(rows.index) == sorted(LABELS)
    partition = {"train": "train", "val": "validation", "test": "test"}
    for clip, (split, _) in LABELS.items():
        expected = (clip[:5], partition[split], f"data/{path_of(clip)}", "", "")
        assert tuple(rows.loc[clip, ["subject", "partition", "media", "annotation", "side"]]) == expected


def test_the_folder_data_may_be_the_root(root: Path) -> None:
    (root / "video_annotation.yaml").rename(root / "data" / "video_annotation.yaml")
    assert len(index_bah(root / "data").clips) == len(read_truth(root / "data")["clip"].unique()) == 5


@pytest.mark.parametrize(
    ("key", "frame", "first"),
    [
        ("{path}", "frame-{i}.jpg", 0),
        ("{clip}", "{i}", 1),
        ("82/{clip}", "v-x-f-{i}", 0),
        ("{clip}.mp4", "{i}", 0),
    ],
)
def test_the_truth_has_the_label_of_every_frame(root: Path, key: str, frame: str, first: int) -> None:
    annotate(root, key, frame, first)
    truth = read_truth(root)
    assert list(truth.columns) == ["clip", "partition", "frame", "ambivalent"]
    for clip, (_, labels) in LABELS.items():
        rows = truth[truth["clip"] == clip]
        assert rows["frame"].tolist() == list(range(len(labels)))
        assert rows["ambivalent"].tolist() == labels


def test_frames_may_be_plain_numbers(root: Path) -> None:
    text = (root / "video_annotation.yaml").read_text().replace("frame-", "").replace(".jpg", "")
    (root / "video_annotation.yaml").write_text(text)
    assert read_truth(root)["ambivalent"].sum() == 6


def test_faulty_lines_are_problems_and_the_other_clips_are_kept(root: Path) -> None:
    with (root / "data" / "split" / "val.txt").open("a") as file:
        file.write(f"\n{path_of('82000_gone')},1,No video\n/etc/passwd.mp4,0,\nVideos/a.mp4,0,\n")
        file.write(f"{path_of('82001_x')},2,Not a label\n{path_of('82725_Question_1_2024-11-19_15-12-23_Video')},0,\n")
    index = index_bah(root)
    assert len(index.clips) == 5
    told = {(row["row"], str(row["problem"])) for row in index.problems}
    assert told == {
        (None, "no such video"),
        (4, "'/etc/passwd.mp4' is not the path of an .mp4 below Videos"),
        (5, "'Videos/a.mp4' does not begin with Videos/<participant>"),
        (6, "the label is '2', not 0 or 1"),
        (7, f"another video has this name: {path_of('82725_Question_1_2024-11-19_15-12-23_Video')}"),
    }
    with pytest.raises(InputError, match="passwd"):
        read_truth(root)


def test_a_participant_in_two_partitions_stops_the_run(root: Path) -> None:
    moved = path_of("82725_Question_9_Video")
    (root / "data" / moved).touch()
    with (root / "data" / "split" / "test.txt").open("a") as file:
        file.write(f"{moved},0,Hello\n")
    (stop,) = index_bah(root).problems
    assert stop["effect"] == "the run stops"
    assert "subject 82725 is in test and train" in str(stop["problem"])


def changed(root: Path, old: str, new: str) -> None:
    path = root / "video_annotation.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("  - - frame-1.jpg", "  - - frame-7.jpg", "is for the frame 'frame-7.jpg'"),
        ("  - - frame-0.jpg", "  - - frame-2.jpg", "is for the frame 'frame-2.jpg'"),
        ("  - - frame-0.jpg", "  - - frame.jpg", "entry 0 of .* is for the frame 'frame.jpg'"),
        ("  - - frame-1.jpg", "  - - frame.jpg", "entry 1 of .* is for the frame 'frame.jpg'"),
        ("  - - frame-0.jpg\n    - 1", "  - - frame-0.jpg\n    - 0.5", "has the label 0.5"),
        ("  - - frame-0.jpg\n    - 1", "  - - frame-0.jpg", "not a frame and its label"),
        ("frame_annotation", "frames", "no frame_annotation of 82579"),
        ("- 1\n  - - frame-1.jpg\n    - 1", "- 0\n  - - frame-1.jpg\n    - 0", "0 of its frames are 1"),
        ("Videos/82711", "}{", "not YAML"),
    ],
)
def test_an_assumption_that_does_not_hold_is_named(root: Path, old: str, new: str, told: str) -> None:
    changed(root, old, new)
    with pytest.raises(InputError, match=told) as caught:
        read_truth(root)
    assert "video_annotation.yaml" in str(caught.value)


def test_missing_and_double_files_are_named(root: Path) -> None:
    (root / "copy").mkdir()
    (root / "copy" / "video_annotation.yaml").write_text("{}")
    with pytest.raises(InputError, match=r"copy/video_annotation\.yaml, video_annotation\.yaml"):
        read_truth(root)
    (root / "copy" / "video_annotation.yaml").unlink()
    (root / "video_annotation.yaml").write_text("- 1")
    with pytest.raises(InputError, match="not a mapping"):
        read_truth(root)
    (root / "video_annotation.yaml").unlink()
    with pytest.raises(InputError, match="there is: none"):
        read_truth(root)
    for name in ("train.txt", "val.txt", "test.txt"):
        (root / "copy" / name).write_text("")
    with pytest.raises(InputError, match="several folders have splits: copy, data/split"):
        index_bah(root)
    (root / "copy").rename(root / "frame-level")
    assert len(index_bah(root).clips) == 5
    (root / "data" / "split" / "test.txt").unlink()
    (root / "frame-level" / "test.txt").unlink()
    with pytest.raises(InputError, match=r"no folder with train\.txt"):
        index_bah(root)
    with pytest.raises(InputError, match="no folder Videos"):
        index_bah(root / "frame-level")


def predict(folder: Path, root: Path, longer: int = 0) -> None:
    folder.mkdir()
    for clip, rows in read_truth(root).groupby("clip"):
        score = np.append(0.1 + 0.8 * rows["ambivalent"].to_numpy(), [0.2] * longer)
        table = pd.DataFrame(
            {"frame": np.arange(len(score)), "time_s": np.arange(len(score)) / 24, "inconsistency": score}
        )
        table.to_csv(folder / f"{clip}.csv", index=False)


def test_the_command_scores_predictions_and_writes_the_truth(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    predict(tmp_path / "out", root, longer=1)
    out = str(tmp_path / "truth.csv")
    main([str(root), "--predictions", str(tmp_path / "out"), "--truth", out, "--partition", "test"])
    expected = {"frame_macro_f1: 1", "frame_ap: 1", "clip_macro_f1: 1", "clip_ap: 1", "frames: 7", "clips: 2"}
    assert expected <= set(caplog.messages)
    truth = read_truth(root)
    truth = truth[truth["partition"] == "test"].reset_index(drop=True)
    pd.testing.assert_frame_equal(pd.read_csv(out), truth, check_dtype=False)


def test_predictions_that_do_not_fit_are_named(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = read_truth(root)
    predict(tmp_path / "long", root, longer=3)
    with pytest.raises(InputError, match="6 predicted frames, but 3 annotated"):
        read_scores(tmp_path / "long", truth, "inconsistency")
    predict(tmp_path / "out", root)
    with pytest.raises(InputError, match="no column 'gate'"):
        read_scores(tmp_path / "out", truth, "gate")
    for words, told in ((["--predictions", str(tmp_path)], "no predictions of this clip"), ([], "give --truth FILE")):
        with pytest.raises(SystemExit):
            main([str(root), *words])
        assert told in capsys.readouterr().err


def test_a_truth_that_can_not_be_written_is_named(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for out in (root, root / "video_annotation.yaml" / "truth.csv"):
        with pytest.raises(SystemExit):
            main([str(root), "--truth", str(out)])
        assert str(root) in capsys.readouterr().err


def test_scores_of_frames_and_clips_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    rows = [("abcdefgh"[i % 8], i // 8) for i in range(400)]
    truth = pd.DataFrame(rows, columns=["clip", "frame"])
    truth["ambivalent"] = (rng.random(400) < np.where(truth["clip"] < "e", 0.2, 0.0)).astype(int)
    score = np.round(np.clip(0.3 * truth["ambivalent"] + rng.random(400), 0, 1), 1)  # with ties
    scores = truth[["clip", "frame"]].assign(score=score)
    scores.loc[::50, "score"] = np.nan
    found = detection_scores(scores.sample(frac=1, random_state=0), truth, threshold=0.6)
    used = scores["score"].notna()
    label, value = truth["ambivalent"][used], score[used]
    assert found["frame_macro_f1"] == pytest.approx(f1_score(label, value >= 0.6, average="macro"), abs=1e-12)
    assert found["frame_ap"] == pytest.approx(average_precision_score(label, value), abs=1e-12)
    clips = pd.DataFrame({"clip": truth["clip"][used], "label": label, "score": value}).groupby("clip").max()
    assert found["clip_macro_f1"] == pytest.approx(f1_score(clips["label"], clips["score"] >= 0.6, average="macro"))
    assert found["clip_ap"] == pytest.approx(average_precision_score(clips["label"], clips["score"]), abs=1e-12)
    assert (found["frames"], found["clips"], found["unscored"]) == (392, 8, 8)
    with pytest.raises(InputError, match="more than once"):
        detection_scores(pd.concat([scores, scores]), truth)


def test_scores_without_a_class_are_defined() -> None:
    none, all_ = np.zeros(4, bool), np.ones(4, bool)
    assert np.isnan(average_precision(none, np.arange(4.0)))
    assert average_precision(all_, np.arange(4.0)) == 1.0
    assert macro_f1(none, none) == f1_score(none, none, average="macro", labels=[False, True], zero_division=0) == 0.5
    assert np.isnan(macro_f1(none[:0], none[:0]))


def test_the_importer_is_chosen_by_its_name() -> None:
    config = IngestionConfig.model_validate({"importer": "bah", "root": "corpus"})
    assert config.root == BahConfig(root="corpus")
    assert config.has_media
