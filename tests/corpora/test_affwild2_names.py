"""A tree with the true names, lengths and frame rates of Aff-Wild2: every clip is understood, no video is rendered."""

import math
from pathlib import Path

import pandas as pd
import pytest

from iaca.corpora import check
from iaca.corpora.affwild2 import index_affwild2, inspect_annotation, split_clip
from iaca.corpora.check import partition_summary
from iaca.corpora.index import NOTED, OPEN, CorpusIndex
from iaca.corpora.timeline import length_problem
from iaca.media import MediaInfo, MediaLimits
from shared import SHARED, needs_shared

NAMES = SHARED / "reference/affwild2_names"
LISTS = {"Train_Set": "train.csv", "Validation_Set": "val.csv", "test": "test.csv"}
EXTRA = (0, 1, 0, -2, 2, 0, -1)  # rows that an annotation has more than its video: tolerated
WRONG = {"10-60-1280x720": 3, "100-29-1080x1920": 40, "1-30-1280x720": -3}  # ... and not

pytestmark = needs_shared("reference/affwild2_names")


def lists() -> dict[str, list[str]]:
    return {part: (NAMES / file).read_text().split() for part, file in LISTS.items()}


def facts() -> pd.DataFrame:
    """Frames and rate (Hz) by clip."""
    return pd.read_csv(NAMES / "frames_fps.csv", header=None, names=["clip", "frames", "rate"]).set_index("clip")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Annotations of the true lengths, a folder of crops per clip, and stand-ins for the videos."""
    root, frames = tmp_path_factory.mktemp("Aff-Wild2"), facts()["frames"].to_dict()
    for part, clips in lists().items():
        for i, clip in enumerate(clips):
            video = root / f"videos/{split_clip(clip)[0]}{'.avi' if i % 5 == 0 and clip[0] == 'v' else '.mp4'}"
            (root / "cropped_aligned" / clip).mkdir(parents=True)
            if not list(root.glob(f"videos/{video.stem}.*")):
                video.parent.mkdir(exist_ok=True)
                video.write_bytes(b"a stand-in")
            if part == "test":
                continue
            rows = frames[clip] + WRONG.get(clip, EXTRA[i % len(EXTRA)])
            path = root / f"VA_Estimation_Challenge/{part}/{clip}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("valence,arousal\n-5,-5\n" + "0.1,-0.2\n" * (rows - 1))
    return root


@pytest.fixture(scope="module")
def checked(tree: Path) -> CorpusIndex:
    """The tree looked through, each video declaring its true length."""
    known = facts()
    known.index = pd.Index([split_clip(clip)[0] for clip in known.index])
    known = known[~known.index.duplicated()]

    def declared(path: Path, decoding: bool = True, limits: MediaLimits | None = None) -> MediaInfo:
        assert not decoding
        frames, rate = int(known.loc[path.stem, "frames"]), float(known.loc[path.stem, "rate"])
        return MediaInfo(path, frames / rate, True, True, 0, 0, 0, rate, frames, "h264", "aac", 44100, 2, 0.0, 0.0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(check, "probe", declared)
        return check.check_corpus(tree, index_affwild2(tree), inspect_annotation)


def test_every_clip_has_its_partition_its_side_and_its_video(tree: Path) -> None:
    clips = index_affwild2(tree).clips.set_index("clip")
    for part, partition in zip(LISTS, ("train", "validation", "test"), strict=True):
        names = lists()[part]
        assert sorted(clips.index[clips["partition"] == partition]) == sorted(names)
        assert (clips.loc[names, "annotation"] == "").all() == (part == "test")
    assert clips["side"].value_counts().to_dict() == {
        "": 532, "left": sum(c.endswith("_left") for c in clips.index),
        "right": sum(c.endswith("_right") for c in clips.index),
    }  # fmt: skip
    assert all(Path(media).stem == split_clip(clip)[0] for clip, media in clips["media"].items())
    assert set(clips["media"].str[-4:]) == {".mp4", ".avi"}


@pytest.mark.slow
def test_two_people_of_a_video_are_in_one_partition_and_share_the_subject_it_counts_as(checked: CorpusIndex) -> None:
    assert checked.clips["subject"].nunique() == 545  # videos
    assert checked.clips.groupby("subject")["partition"].nunique().max() == 1


def test_lengths_beyond_two_rows_are_told_and_no_others(checked: CorpusIndex) -> None:
    frames = facts()["frames"].to_dict()
    told = {row["clip"]: row["problem"] for row in checked.problems if row["effect"] == OPEN}
    assert told == {c: f"{frames[c] + n} annotated rows for {frames[c]} declared frames" for c, n in WRONG.items()}
    others = [row for row in checked.problems if row["effect"] != OPEN]
    assert {row["effect"] for row in others} == {NOTED}
    assert sorted(str(row["clip"]) for row in others) == sorted(lists()["test"])  # they have no annotation


def test_the_summary_counts_what_the_lists_say(checked: CorpusIndex) -> None:
    summary = partition_summary(checked.clips).set_index("partition")
    assert summary["clips"].to_dict() == {"train": 351, "validation": 71, "test": 139}
    assert summary["without_labels"].to_dict() == {"train": 0, "validation": 0, "test": 139}
    known = facts().loc[lists()["Validation_Set"]]
    assert summary.loc["validation", "frames"] == known["frames"].sum()
    minutes = (known["frames"] / known["rate"]).sum() / 60
    assert math.isclose(summary.loc["validation", "minutes"], minutes, rel_tol=1e-3)
    extra = sum(WRONG.get(c, EXTRA[i % len(EXTRA)]) for i, c in enumerate(lists()["Validation_Set"]))
    assert summary.loc["validation", "annotated"] == known["frames"].sum() + extra - 71  # a row of -5 in each


@pytest.mark.parametrize("extra", range(-4, 5))
def test_two_rows_more_or_less_are_tolerated_at_every_true_length(extra: int) -> None:
    verdicts = {length_problem(frames, frames + extra) is None for frames in facts()["frames"]}
    assert verdicts == {abs(extra) <= 2}
