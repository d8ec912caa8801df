"""Files as SEWA (AVEC 2019), RECOLA and MuSe have them become a corpus of features; numbers are checked by hand."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from iaca.corpora.convert import convert, main
from iaca.corpora.features import feature_widths, index_features, read_clip
from iaca.corpora.index import STOPS
from iaca.corpora.recordings import ConvertConfig
from iaca.corpora.timeline import grid, mean_rows, nearest_rows
from iaca.errors import InputError
from iaca.formats.tables import read_rows


def put(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def avec2019(root: Path) -> Path:
    """Labels at 10 Hz, voice at 20 Hz with `,` and no header, face at 5 Hz with `;` and a header."""
    for clip in ("Train_DE_01", "Train_HU_02", "Devel_DE_01", "Test_CN_01"):
        if not clip.startswith("Test"):
            rows = [f"'{clip}';{i / 10:.1f};{i / 100};{-i / 50};0.5" for i in range(31)]
            put(root / f"labels/{clip}.csv", "name;timestamp;arousal;valence;liking", *rows)
        put(root / f"audio_features/{clip}.csv", *(f"'{clip}',{i / 20:.2f},{i or 5},{2 * i}" for i in range(61)))
        faces = [f"'{clip}';{i / 5:.1f};{i};{3 * i};nan" if i == 4 else f"'{clip}';{i / 5:.1f};{i};{3 * i};1"
                 for i in range(16)]  # fmt: skip
        put(root / f"visual_features/{clip}.csv", "name;timestamp;AU1;AU2,max;AU3", *faces)
    return root


SEWA = {"audio": "audio_features", "visual": "visual_features"}


def table(root: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(root / f"{name}.csv")


def problems(root: Path) -> dict[str, str]:
    found = pd.read_csv(root / "conversion_problems.csv", dtype=str)
    return dict(zip(found["file"], found["problem"], strict=True))


def test_sewa_keeps_its_times_and_names_where_nothing_else_is_asked_for(tmp_path: Path) -> None:
    root = tmp_path / "out"
    assert convert("avec2019", avec2019(tmp_path / "in"), root, ConvertConfig(**SEWA)) == 4
    members = pd.read_csv(root / "partition.csv").set_index("clip")["partition"].to_dict()
    assert members == {
        "Train_DE_01": "train",
        "Train_HU_02": "train",
        "Devel_DE_01": "validation",
        "Test_CN_01": "test",
    }
    labels = table(root, "labels/Train_DE_01")
    assert list(labels) == ["time_s", "valence", "arousal"]
    np.testing.assert_allclose(labels.iloc[10], [1.0, -0.2, 0.1], atol=1e-6)
    assert not (root / "labels/Test_CN_01.csv").exists()
    audio, faces = table(root, "features/audio/Train_HU_02"), table(root, "features/visual/Train_HU_02")
    assert list(audio) == ["time_s", "f0", "f1"]
    np.testing.assert_allclose(audio.iloc[20], [1.0, 20, 40])
    assert list(faces) == ["time_s", "AU1", "AU2_max", "AU3"]
    assert 0.8 not in faces["time_s"].to_list()  # the row with NaN: the face was not observed
    assert len(faces) == 15


def test_a_delay_moves_labels_to_what_they_answer_and_a_rate_interpolates_them(tmp_path: Path) -> None:
    root, config = tmp_path / "out", ConvertConfig(**SEWA, delay=0.5, rate=20, features="mean")
    convert("avec2019", avec2019(tmp_path / "in"), root, config)
    labels = table(root, "labels/Train_DE_01")
    np.testing.assert_allclose(labels["time_s"], np.arange(51) / 20, atol=1e-9)  # 0 to 2.5 s
    np.testing.assert_allclose(labels["arousal"], (labels["time_s"] + 0.5) / 10, atol=1e-6)  # what was said 0.5 s later
    np.testing.assert_allclose(labels["valence"], -(labels["time_s"] + 0.5) / 5, atol=1e-6)
    assert len(table(root, "features/audio/Train_DE_01")) == 51
    caveat = json.loads((root / "corpus.json").read_text())["caveat"]
    assert "0.5 s" in caveat
    assert "20 Hz" in caveat


def test_a_folder_from_elsewhere_is_told_as_it_is(tmp_path: Path) -> None:
    source, elsewhere = avec2019(tmp_path / "in"), tmp_path / "elsewhere"
    (source / "audio_features").rename(elsewhere)
    put(elsewhere / "nobody.csv", "'nobody',0,1")
    put(elsewhere / "Train_DE_01.csv", "'Train_DE_01',1,1", "'Train_DE_01',0,1")
    options = {**SEWA, "audio": str(elsewhere)}
    assert convert("avec2019", source, tmp_path / "out", ConvertConfig(**options)) == 4
    told = problems(tmp_path / "out")
    assert "the name is not <Part>" in told[str(elsewhere / "nobody.csv")]
    assert "do not rise" in told[str(elsewhere / "Train_DE_01.csv")]


def test_what_is_written_is_a_corpus_of_features(tmp_path: Path) -> None:
    root = tmp_path / "out"
    convert("avec2019", avec2019(tmp_path / "in"), root, ConvertConfig(**SEWA, delay=1.0), "parquet")
    index = index_features(root)
    assert not [row for row in index.problems if row["effect"] == STOPS]
    assert sorted(index.clips["clip"]) == ["Devel_DE_01", "Test_CN_01", "Train_DE_01", "Train_HU_02"]
    row = index.clips.set_index("clip").loc["Train_DE_01"]
    files = {kind: root / row[kind] for kind in ("audio", "visual", "labels")}
    annotated = read_clip(files, feature_widths(root, index.clips))
    clip = annotated.embedding
    assert len(clip) == 21
    assert clip.audio_present.all()
    np.testing.assert_allclose(annotated.labels[0], [-0.2, 0.1], atol=1e-6)
    np.testing.assert_allclose(clip.audio[10], [20, 40])  # 1.0 s


def arff(name: str, rows: list[str]) -> list[str]:
    return ["% gold", "@relation gold", "@attribute name string", "@attribute frametime numeric",
            f"@attribute {name} numeric", "", "@DATA", *rows]  # fmt: skip


def recola(root: Path, partitions: bool = False) -> Path:
    for clip in ("train_1", "dev_1"):
        for sign, dimension in ((1, "arousal"), (-1, "valence")):
            rows = [f"'{clip}',{i * 0.04:.2f},{sign * i / 100}" for i in range(51)]
            put(root / f"ratings_gold_standard/{dimension}/{clip}.arff", *arff("GoldStandard", rows))
        put(root / f"audio/{clip}.arff", *arff("'f 1'", [f"'{clip}',{i * 0.04:.2f},{i}" for i in range(51)]))
        put(root / f"video/{clip}.csv", "time;x;y", *(f"{i * 0.04:.2f};{i};{-i}" for i in range(51)))
    if partitions:
        put(root / "partition.csv", "clip,partition,subject", "train_1,train,P16", "dev_1,test,P17")
    return root


RECOLA = {"audio": "audio", "visual": "video"}


def test_recola_reads_gold_standards_of_25_hz_from_arff(tmp_path: Path) -> None:
    root = tmp_path / "out"
    assert convert("recola", recola(tmp_path / "in"), root, ConvertConfig(**RECOLA, delay=0.8)) == 2
    labels = table(root, "labels/train_1")
    assert len(labels) == 31  # of 51 rows 20 say something about the time before the recording
    np.testing.assert_allclose(labels.iloc[5], [0.2, -0.25, 0.25], atol=1e-6)
    assert list(table(root, "features/audio/dev_1")) == ["time_s", "f 1"]
    assert pd.read_csv(root / "partition.csv")["partition"].tolist() == ["validation", "train"]
    convert("recola", recola(tmp_path / "in", partitions=True), tmp_path / "own", ConvertConfig(**RECOLA))
    assert pd.read_csv(tmp_path / "own/partition.csv").to_numpy().tolist() == [
        ["dev_1", "test", "P17"], ["train_1", "train", "P16"],
    ]  # fmt: skip


def test_traces_of_several_annotators_need_a_choice(tmp_path: Path) -> None:
    source = recola(tmp_path / "in")
    for dimension in ("arousal", "valence"):
        for path in (source / f"ratings_gold_standard/{dimension}").iterdir():
            put(path.with_suffix(".csv"), "time;FM1 ;FM2", "0.00;0.2;0.4", "0.04;0.3;0.7")
            path.unlink()
    with pytest.raises(InputError, match=r"no --column chooses.*FM1, FM2"):
        convert("recola", source, tmp_path / "out", ConvertConfig(**RECOLA))
    convert("recola", source, tmp_path / "mean", ConvertConfig(**RECOLA, column="mean"))
    np.testing.assert_allclose(table(tmp_path / "mean", "labels/dev_1")["valence"], [0.3, 0.5], atol=1e-6)
    convert("recola", source, tmp_path / "one", ConvertConfig(**RECOLA, column="FM2"))
    np.testing.assert_allclose(table(tmp_path / "one", "labels/dev_1")["valence"], [0.4, 0.7], atol=1e-6)


def muse(root: Path) -> Path:
    """Two segments with a gap; the second starts with a time of the first."""
    stamps = [(0, 1), (250, 1), (500, 1), (500, 2), (5000, 2), (5250, 2)]
    for clip in ("1", "10", "7"):
        for i, dimension in enumerate(("valence", "arousal")):
            rows = [f"{t},{s},{'' if clip == '7' else t / 10000 + i / 2}" for t, s in stamps]
            put(root / f"label_segments/{dimension}/{clip}.csv", "timestamp,segment_id,value", *rows)
        for name in ("egemaps", "vggface"):
            rows = [f"{t},{s},{t},1" for t, s in stamps]
            put(root / f"feature_segments/{name}/{clip}.csv", "timestamp,segment_id,a,b", *rows)
    put(root / "metadata/partition.csv", "Id,Proposal", "1,train", "10,devel", "7,test")
    return root


MUSE = {"audio": "feature_segments/egemaps", "visual": "feature_segments/vggface"}


def test_muse_counts_milliseconds_and_leaves_gaps_between_segments(tmp_path: Path) -> None:
    root = tmp_path / "out"
    assert convert("muse", muse(tmp_path / "in"), root, ConvertConfig(**MUSE)) == 3
    labels = table(root, "labels/10")
    np.testing.assert_allclose(labels["time_s"], [0, 0.25, 0.5, 5, 5.25])
    np.testing.assert_allclose(labels["arousal"], [0.5, 0.525, 0.55, 1.0, 1.025], atol=1e-6)
    assert table(root, "labels/7")["valence"].isna().all()  # withheld
    assert "1 duplicates left out" in problems(root)["label_segments/valence/10.csv"]
    assert list(table(root, "features/audio/1")) == ["time_s", "a", "b"]
    convert("muse", muse(tmp_path / "in"), tmp_path / "fine", ConvertConfig(**MUSE, rate=10, scale=0.5))
    fine = table(tmp_path / "fine", "labels/1").set_index("time_s")["valence"]
    np.testing.assert_allclose(fine.loc[[0.1, 0.4]], [0.005, 0.02], atol=1e-6)
    assert fine.loc[1.0:4.5].isna().all()


@pytest.mark.parametrize(
    ("corpus", "tree", "options", "words"),
    [
        ("muse", muse, MUSE | {"valence": "trust"}, "no dimension 'trust'.*arousal, valence"),
        ("avec2019", avec2019, SEWA | {"arousal": "dominance"}, "no column 'dominance'.*arousal, valence, liking"),
        ("avec2019", avec2019, {"audio": "audio_features"}, "no folder of visual is named.*visual_features"),
        ("recola", recola, RECOLA | {"audio": "sound"}, "no table of audio in 'sound'.*ratings_gold_standard/arousal"),
        ("recola", recola, RECOLA | {"delay": 9.0}, "no label is left after a delay of 9 s"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(
    corpus: str, tree: object, options: dict[str, object], words: str, tmp_path: Path
) -> None:
    assert callable(tree)
    with pytest.raises(InputError, match=words):
        convert(corpus, tree(tmp_path / "in"), tmp_path / "out", ConvertConfig.model_validate(options))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


def test_a_broken_recording_costs_only_itself_and_nothing_is_overwritten(tmp_path: Path) -> None:
    source, root = avec2019(tmp_path / "in"), tmp_path / "out"
    put(source / "labels/Train_DE_01.csv", "name;timestamp;arousal;valence", "'Train_DE_01';0.0;0.1;0.1", "'x';0.1;a;0")
    (source / "audio_features/Devel_DE_01.csv").write_text("")
    put(source / "labels/Training_1.csv", "name;timestamp;arousal;valence", "'x';0;0;0")
    assert convert("avec2019", source, root, ConvertConfig(**SEWA)) == 2
    found = pd.read_csv(root / "conversion_problems.csv").set_index("file")
    assert found.loc["labels/Train_DE_01.csv", ["row", "problem"]].tolist() == [
        3, "'a' in column 'arousal' is not a number",
    ]  # fmt: skip
    assert found.loc["audio_features/Devel_DE_01.csv", "problem"] == "the file is empty"
    assert "not <Part>_<Language>_<number>" in found.loc["labels/Training_1.csv", "problem"]
    assert found["remedy"].str.len().min() > 5
    assert sorted(p.stem for p in (root / "features/audio").iterdir()) == ["Test_CN_01", "Train_HU_02"]
    with pytest.raises(InputError, match="not empty"):
        convert("avec2019", source, root, ConvertConfig(**SEWA))


@pytest.mark.parametrize(("corpus", "tree", "options"), [("muse", muse, MUSE), ("recola", recola, RECOLA)])
def test_names_in_tables_lead_nowhere(tmp_path: Path, corpus: str, tree: Any, options: dict[str, str]) -> None:
    """Recordings are those of files that are there: a path in the table of partitions opens and writes nothing."""
    source = tree(tmp_path / "deep/in")
    put(tmp_path / "secret.csv", "timestamp,segment_id,value", "0,1,0.5")
    names = ["../../../../secret", str(tmp_path / "secret"), "sub/clip", "..", "/"]
    path = source / ("metadata/partition.csv" if corpus == "muse" else "partition.csv")
    own = path.read_text().splitlines()[1:] if path.exists() else ["train_1,train", "dev_1,devel"]
    put(path, "clip,partition", *own, *(f"{name},train" for name in names))
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    root = tmp_path / "deep/out"
    convert(corpus, source, root, ConvertConfig(**options))
    after = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    assert {file for file in after if not file.is_relative_to(root)} == set(before)
    assert before == {file: after[file] for file in before}
    assert not [file for file in root.rglob("*") if "secret" in file.name]
    clips = set(pd.read_csv(root / "partition.csv", dtype=str)["clip"])
    assert {file.stem for file in (root / "labels").iterdir()} <= clips
    assert not clips & set(names)


def test_rows_of_another_recording_and_times_that_fall_back_are_noted(tmp_path: Path) -> None:
    rows = read_rows(put(tmp_path / "a.csv", "name;t;x", "'b';0.2;2", "", "'b';0.1;1", "'b';0.2;3"))
    assert rows.times.tolist() == [0.1, 0.2]
    assert rows.values[:, 0].tolist() == [1, 2]
    assert "'b'" in rows.notes[0]
    assert "1 duplicates" in rows.notes[1]
    with pytest.raises(InputError, match=r"line 4: 'x1' in column"):
        read_rows(put(tmp_path / "c.csv", "t,x", "0,1", "", "1,x1"))
    with pytest.raises(InputError, match="no row below the header"):
        read_rows(put(tmp_path / "d.csv", "t,x"))


def test_columns_of_one_name_stay_apart(tmp_path: Path) -> None:
    """A name with a number that was there before is not given once more."""
    rows = read_rows(put(tmp_path / "a.csv", "time;a;a;a_1;a", "0;1;2;3;4", "1;5;6;7;8"))
    assert rows.names == ("a", "a_1", "a_1_1", "a_2")
    np.testing.assert_array_equal(rows.values, [[1, 2, 3, 4], [5, 6, 7, 8]])


def test_features_are_brought_to_other_times_by_the_nearest_row_or_a_mean() -> None:
    places = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 1.0])
    values = np.arange(6, dtype=np.float32)[:, None]
    at, nearest = nearest_rows(places, values, np.array([0.0, 0.2, 0.4, 0.6, 0.8, 1.0]))
    assert at.tolist() == [0.0, 0.2, 0.4, 1.0]  # 0.6 and 0.8 have no row within 0.1 s
    assert nearest[:, 0].tolist() == [0, 2, 4, 5]
    at, means = mean_rows(places, values, np.array([0.0, 0.2, 0.4, 0.6, 0.8, 1.0]))
    assert at.tolist() == [0.0, 0.2, 0.4, 1.0]
    assert means[:, 0].tolist() == [0.5, 2.5, 4.0, 5.0]  # rows at 0.1 and 0.3 go with the earlier time
    np.testing.assert_allclose(grid(0.05, 0.41, 10), [0.1, 0.2, 0.3, 0.4])
    np.testing.assert_allclose(grid(0.3, 0.7, 10), [0.3, 0.4, 0.5, 0.6, 0.7])


def test_the_command_says_what_comes_next_and_what_is_wrong_with_an_option(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["muse", str(muse(tmp_path / "in")), str(tmp_path / "out"), "--audio", MUSE["audio"]]
    main([*words, "--visual", MUSE["visual"], "--delay", "0.25"])
    assert (tmp_path / "out/partition.csv").exists()
    for wrong, told in ((["--delay", "-1"], "--delay"), ([], "no folder of visual")):
        with pytest.raises(SystemExit) as caught:
            main([*words[:2], str(tmp_path / "more"), *words[3:], *wrong])
        assert caught.value.code == 2
        assert told in capsys.readouterr().err


def test_row_numbers_before_the_time_are_no_times(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(",timestamp,f0\n0,0.5,1\n1,0.6,2\n")
    rows = read_rows(path)
    assert (rows.times.tolist(), rows.names) == ([0.5, 0.6], ("f0",))
    assert rows.notes == ("columns '' number the rows: left out",)
    path.write_text("name;frameIndex;frameTime;f0\n'a';0;0.5;1\n'a';1;0.6;2\n")
    assert read_rows(path).times.tolist() == [0.5, 0.6]
    path.write_text("frame,f0\n0,1\n1,2\n")
    with pytest.raises(InputError, match="line 1: column 'frame' numbers the rows, and no column of times follows"):
        read_rows(path)


def test_features_in_another_unit_than_the_labels_are_left_out(tmp_path: Path) -> None:
    source, clip = avec2019(tmp_path / "in"), "Train_DE_01"
    put(source / f"audio_features/{clip}.csv", *(f"'{clip}',{50 * i},{i % 7},1" for i in range(61)))
    assert convert("avec2019", source, tmp_path / "out", ConvertConfig(**SEWA)) == 3
    told = problems(tmp_path / "out")[f"audio_features/{clip}.csv"]
    assert "the rows run from 0 to 3000 s, the clip from 0 to 3 s; the rows are probably in milliseconds" in told


def test_muse_in_seconds_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "in"
    put(source / "partition.csv", "Id,Proposal", "1,train")
    for dimension in ("valence", "arousal"):
        put(source / f"label_segments/{dimension}/1.csv", "timestamp,segment_id,value",
            *(f"{250 * i},1,0.1" for i in range(40)))  # fmt: skip
    for modality in ("a", "v"):
        rows = (f"{i / 4},1,{i % 3}" for i in range(40))
        put(source / f"feature_segments/{modality}/1.csv", "timestamp,segment_id,f0", *rows)
    config = ConvertConfig(audio="feature_segments/a", visual="feature_segments/v")
    with pytest.raises(InputError, match=r"only 1 of 40 rows are used: the rows run from 0 to 0.00975 s"):
        convert("muse", source, tmp_path / "out", config)
