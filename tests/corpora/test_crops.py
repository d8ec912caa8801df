"""The organisers' crops become a faces file: a gap is a mask, what lies beyond the frames is reported."""

import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from affwild2_tree import FRAMES, crops, tree
from iaca.corpora.affwild2 import crop_problems, find_crops, index_affwild2
from iaca.corpora.timeline import build_timeline, complete_timeline
from iaca.engine import ClipPaths, ExecutorConfig, Task, run_tasks
from iaca.errors import InputError
from iaca.faces import FaceConfig, decode_face, extract_faces_file, read_faces
from iaca.faces.extract import collect_crops
from iaca.media import MediaLimits, extract_audio, write_movie
from iaca.pipelines.ingestion.nodes import IngestionConfig
from iaca.pipelines.preprocessing.pipeline import plan_faces

IMPORT = IngestionConfig.model_validate({"importer": "affwild2"})

SERIAL = ExecutorConfig(kind="serial", tolerated_failures=0.9)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tree(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def timelines(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> ClipPaths:
    folder, clips = tmp_path_factory.mktemp("timelines"), index_affwild2(corpus).clips
    paths = {clip: folder / f"{clip}.parquet" for clip in clips["clip"]}
    for row in clips.to_dict("records"):
        build_timeline(corpus / row["media"], target=paths[row["clip"]])
    return ClipPaths(paths, {})


def collected(corpus: Path, timelines: ClipPaths, clip: str, target: Path, size: int = 112) -> pd.DataFrame:
    collect_crops(timelines[clip], find_crops(corpus)[clip], target=target, size=size, jpeg_quality=92)
    return read_faces(target)


def test_a_missing_or_torn_image_is_a_frame_without_a_face_and_never_a_picture(
    corpus: Path, timelines: ClipPaths, tmp_path: Path
) -> None:
    faces = collected(corpus, timelines, "1-30-64x48", tmp_path / "f.parquet")
    assert faces["frame"].tolist() == list(range(FRAMES))
    missing = [3, 4, 6, 19]  # 00004, 00005 and 00020 are not there, 00007 is torn
    assert np.flatnonzero(~faces["face_found"]).tolist() == missing
    assert (faces.loc[missing, "jpeg"] == b"").all()
    assert faces.loc[missing, "track"].tolist() == [-1] * 4
    seen = faces[faces["face_found"]]
    assert (seen["score"] == 1).all()
    assert (seen["track"] == 0).all()
    assert faces[["x0", "lm4y"]].isna().all().all()
    assert faces["time_s"].tolist() == pd.read_parquet(timelines["1-30-64x48"])["time_s"].tolist()


def noting(image: np.ndarray, sizes: list[int]) -> np.ndarray:
    sizes.append(image.size)
    return image


@pytest.mark.slow
def test_what_is_no_crop_is_a_frame_without_a_face_and_takes_no_memory(
    corpus: Path, timelines: ClipPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe, which would be waited for; a folder; 133 million pixels in a few hundred KB; a bomb of a PNG."""
    folder = shutil.copytree(find_crops(corpus)["video2"], tmp_path / "crops")
    for number in range(2, 6):
        (folder / f"{number:05d}.jpg").unlink()
    os.mkfifo(folder / "00002.jpg")
    (folder / "00003.jpg").mkdir()
    Image.new("L", (15360, 8640)).save(folder / "00004.jpg")
    Image.new("1", (30000, 30000)).save(folder / "00005.png")
    with (folder / "00006.jpg").open("ab") as file:
        file.truncate(2**27)
    decoded: list[int] = []
    monkeypatch.setattr("iaca.faces.extract.decode_face", lambda jpeg: noting(decode_face(jpeg), decoded))
    collect_crops(timelines["video2"], folder, target=tmp_path / "f.parquet", size=112, jpeg_quality=92)
    assert set(decoded) == {112 * 112 * 3}
    faces = read_faces(tmp_path / "f.parquet")
    assert np.flatnonzero(~faces["face_found"]).tolist() == [1, 2, 3, 4, 5]


def test_line_i_belongs_to_image_i_and_its_bytes_are_kept(corpus: Path, timelines: ClipPaths, tmp_path: Path) -> None:
    faces = collected(corpus, timelines, "video2", tmp_path / "f.parquet")
    assert len(faces) == FRAMES  # of 33 images
    for frame in (0, 13, FRAMES - 1):
        file = corpus / f"cropped_aligned/video2/{frame + 1:05d}.jpg"
        assert faces.loc[frame, "jpeg"] == file.read_bytes()
        assert decode_face(faces.loc[frame, "jpeg"]).mean() == pytest.approx(7 * (frame + 1) % 250, abs=2)


def test_images_of_another_size_are_resized(corpus: Path, timelines: ClipPaths, tmp_path: Path) -> None:
    for size in (112, 64):
        faces = collected(corpus, timelines, "3-30-64x48", tmp_path / "f.parquet", size)
        image = decode_face(faces.loc[5, "jpeg"])
        assert image.shape == (size, size, 3)
        assert image.mean() == pytest.approx(42, abs=2)


def test_a_second_person_has_crops_of_its_own_also_in_the_test_partition(corpus: Path) -> None:
    clips = index_affwild2(corpus).clips.set_index("clip")
    assert clips.loc["video2_left", ["media", "side"]].tolist() == ["videos/video2.mp4", "left"]
    assert clips.loc["5-30-64x48_right", ["media", "partition", "subject"]].tolist() == [
        "videos/5-30-64x48.mp4", "test", "5-30-64x48",
    ]  # fmt: skip
    assert "5-30-64x48" not in clips.index
    assert clips.loc["video6", "partition"] == "test"


def test_crops_that_do_not_fit_are_reported(corpus: Path) -> None:
    clips = index_affwild2(corpus).clips.assign(frames=FRAMES)
    found = {str(row["clip"]): row["problem"] for row in crop_problems(corpus, clips)}
    assert found["video2"] == "3 crops beyond the 30 decoded frames, numbers 31 to 33"
    assert "no folder of crops" in str(found["video6"])
    assert set(found) == {"video2", "video6", "4-30-64x48"}
    assert crop_problems(corpus / "videos", clips) == []


def test_a_clip_with_two_folders_is_an_error(corpus: Path, tmp_path: Path) -> None:
    for top in ("cropped_aligned", "cropped_aligned_new"):
        crops(tmp_path / top / "1", [1])
    with pytest.raises(InputError, match="cropped_aligned/1 as well"):
        find_crops(tmp_path)


@pytest.mark.parametrize(
    ("source", "taken"),
    [("auto", {"1-30-64x48", "3-30-64x48", "5-30-64x48_right", "video2", "video2_left"}), ("detect", set())],
)
def test_the_parameter_chooses_where_faces_come_from(
    corpus: Path, timelines: ClipPaths, source: str, taken: set[str]
) -> None:
    clips = index_affwild2(corpus).clips
    tasks = plan_faces(corpus, clips, timelines, FaceConfig(source=source), MediaLimits(), IMPORT)  # type: ignore[arg-type]
    assert {clip for clip, task in tasks.items() if task.function is collect_crops} == taken
    found = {clip: task for clip, task in tasks.items() if task.function is extract_faces_file}
    assert len(tasks) == len(clips) == len(found) + len(taken)
    again = plan_faces(corpus, clips, timelines, FaceConfig(source="detect"), MediaLimits(), IMPORT)
    assert all(again[clip].fingerprint() == task.fingerprint() for clip, task in found.items())


def test_with_crops_alone_a_clip_without_any_fails_by_name(corpus: Path, timelines: ClipPaths, tmp_path: Path) -> None:
    clips = index_affwild2(corpus).clips
    tasks = plan_faces(corpus, clips, timelines, FaceConfig(source="crops"), MediaLimits(), IMPORT)
    report = run_tasks(tasks, tmp_path, ".parquet", SERIAL)
    assert set(report.failed) == {"4-30-64x48", "video6"}
    assert "cropped_aligned*/video6" in report.failed["video6"]
    assert len(report.made) == 5


def test_an_image_more_or_another_one_makes_that_clip_again(corpus: Path, timelines: ClipPaths, tmp_path: Path) -> None:
    folder = tmp_path / "crops"
    shutil.copytree(find_crops(corpus)["1-30-64x48"], folder)
    collecting = {"size": 112, "jpeg_quality": 92}
    tasks = {"c": Task("collect_crops", collect_crops, (timelines["1-30-64x48"], folder), collecting)}

    def made() -> list[str]:
        return run_tasks(tasks, tmp_path / "out", ".parquet", SERIAL).made

    assert [made(), made()] == [["c"], []]
    shutil.copy(folder / "00001.jpg", folder / "00004.jpg")
    assert made() == ["c"]
    (folder / "00009.jpg").write_bytes((folder / "00010.jpg").read_bytes() + b"\0")
    assert made() == ["c"]
    (folder / "00009.jpg").unlink()
    assert [made(), made()] == [["c"], []]


def test_a_gap_among_the_crops_is_a_mask_in_the_timeline(corpus: Path, timelines: ClipPaths, tmp_path: Path) -> None:
    collected(corpus, timelines, "video2_left", tmp_path / "f.parquet")
    extract_audio(corpus / "videos/video2.mp4", tmp_path / "a.flac")
    complete_timeline(timelines["video2_left"], tmp_path / "f.parquet", tmp_path / "a.flac", target=tmp_path / "t")
    timeline = pd.read_parquet(tmp_path / "t")
    assert timeline["face_found"].tolist() == [False] * 10 + [True] * 20
    assert timeline["audio_present"].all()
    picture, middle = np.zeros((48, 64, 3), np.uint8), float(timeline["time_s"][15])
    sound = 0.1 * np.random.default_rng(0).standard_normal(round(16_000 * middle)).astype(np.float32)
    write_movie(tmp_path / "half.mkv", [(0.0, picture), (middle, picture)], 25, sound, 16_000)
    extract_audio(tmp_path / "half.mkv", tmp_path / "h.flac")
    complete_timeline(timelines["video2_left"], tmp_path / "f.parquet", tmp_path / "h.flac", target=tmp_path / "t")
    heard = pd.read_parquet(tmp_path / "t")["audio_present"].tolist()
    assert (set(heard[:15]), set(heard[18:])) == ({True}, {False})  # the encoder adds up to 64 ms
