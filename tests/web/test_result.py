"""What the page shows is what inference wrote."""

import json

import numpy as np
import pandas as pd
import pytest

from iaca.errors import InputError
from iaca.inference.summary import summarise
from iaca.web.page import _analyse, model_words, read_result
from iaca.web.sessions import Job, WebConfig


def write(folder, table: pd.DataFrame, caveat: str = "a caveat"):
    table.to_csv(folder / "clip.csv", index=False)
    summary = {"model": {"caveat": caveat}, **summarise(table, {"has_audio": True}, [caveat])}
    (folder / "clip.json").write_text(json.dumps(summary))
    (folder / "clip.mp4").write_bytes(b"")


@pytest.fixture
def table() -> pd.DataFrame:
    time_s = np.arange(100) / 25
    return pd.DataFrame(
        {
            "frame": np.arange(100),
            "time_s": time_s,
            "valence": np.where(time_s < 0.4, np.nan, -0.5),
            "arousal": np.where(time_s < 0.4, np.nan, 0.25),
            "face_found": time_s >= 2,
            "audio_present": True,
            "gate_modalities_audio": 0.625,
            "gate_modalities_visual": 0.375,
        }
    )


def test_a_value_per_frame_and_none_where_there_is_no_prediction(tmp_path, table):
    write(tmp_path, table)
    result = read_result(tmp_path, "clip")
    assert result["time_s"] == pytest.approx(table["time_s"])
    assert result["traces"]["valence"][:11] == [None] * 10 + [-0.5]
    assert set(result["traces"]) == {"valence", "arousal", "audio", "visual"}
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_the_stretch_without_a_face_and_the_tiles(tmp_path, table):
    write(tmp_path, table)
    result = read_result(tmp_path, "clip")
    assert result["absent"] == [{"label": "no face", "start_s": 0.0, "end_s": 2.0}]
    assert [tile["value"] for tile in result["tiles"]] == ["−0.50", "+0.25", "62 %", "50 %", "frustrated"]


def test_only_files_that_are_there_are_offered_and_the_table_comes_first(tmp_path, table):
    write(tmp_path, table)
    files = read_result(tmp_path, "clip")["files"]
    assert [file["name"] for file in files] == ["clip.csv", "clip.mp4", "clip.json"]
    assert files[0]["address"].endswith("/clip.csv")


def test_without_gates_and_with_intervals_and_inconsistency(tmp_path, table):
    write(
        tmp_path,
        table.drop(columns=["gate_modalities_audio", "gate_modalities_visual"]).assign(
            inconsistency=0.8, valence_low=-0.9, valence_high=0.1, arousal_low=np.nan, arousal_high=np.nan
        ),
    )
    result = read_result(tmp_path, "clip")
    assert set(result["traces"]) == {"valence", "arousal", "inconsistency", "valence_low", "valence_high"}
    labels = ["mean valence", "mean arousal", "frames with a face", "nearest word, 0.27 away"]
    assert [tile["label"] for tile in result["tiles"]] == labels


def test_a_word_that_is_far_away_gives_way_to_the_quadrant(tmp_path, table):
    write(tmp_path, table.assign(valence=0.1, arousal=0.5))
    assert read_result(tmp_path, "clip")["tiles"][-1] == {"label": "quadrant of the means", "value": "pleasant, active"}
    write(tmp_path, table.assign(valence=0.1, arousal=-0.1))
    assert read_result(tmp_path, "clip")["tiles"][-1]["value"] == "neutral"


def test_the_models_caveat_is_not_said_twice_and_a_missing_face_comes_with_what_helps(tmp_path, table):
    write(tmp_path, table.assign(face_found=False))
    warnings = " ".join(read_result(tmp_path, "clip")["warnings"])
    assert "a caveat" not in warnings
    assert "No face in any frame." in warnings
    assert "from the sound alone" in warnings
    assert "a tenth of the picture" in warnings


def test_a_video_in_which_nothing_was_found_is_an_error_with_a_remedy(tmp_path, table):
    write(tmp_path, table.assign(valence=np.nan, arousal=np.nan, face_found=False, audio_present=False))
    with pytest.raises(InputError, match=r"neither a face nor sound.*Remedy: drop a video"):
        read_result(tmp_path, "clip")


def test_a_model_without_a_caveat_still_gets_one():
    assert model_words({"preset": "iaca", "corpus": "demo", "caveat": "it is a toy"}) == (
        "iaca, trained on demo",
        "It is a toy",
    )
    name, caveat = model_words({})
    assert name == "a model of your own"
    assert caveat


def test_parameters_refuse_what_cannot_be_meant():
    with pytest.raises(ValueError, match="max_mb"):
        WebConfig(max_mb=0)
    with pytest.raises(ValueError, match="port"):
        WebConfig(port=80)


def test_the_result_carries_the_stamp_of_its_model(tmp_path, table):
    write(tmp_path, table)
    assert read_result(tmp_path, "clip")["stamp"] == "trained on a corpus: the summary has its caveat"
    summary = json.loads((tmp_path / "clip.json").read_text())
    (tmp_path / "clip.json").write_text(json.dumps(summary | {"model": {"kind": "zero-shot heuristic"}}))
    assert read_result(tmp_path, "clip")["stamp"] == "zero-shot heuristic"


def test_what_was_not_read_has_no_mean_and_no_trace(tmp_path, table):
    sources = {"valence": ("visual",), "arousal": ("audio", "visual")}
    table = table.assign(face_found=False).fillna(0.0)
    write(tmp_path, table)
    summary = summarise(table, {"has_audio": True}, ["a caveat"], sources)
    (tmp_path / "clip.json").write_text(json.dumps({"model": {"caveat": "a caveat"}, "sources": sources, **summary}))
    result = read_result(tmp_path, "clip")
    assert result["tiles"][0] == {"label": "mean valence", "value": "not read"}
    assert set(result["traces"]["valence"]) == {None}
    assert None not in result["traces"]["arousal"]
    assert len([words for words in result["warnings"] if "from the sound alone" in words]) == 1


class Broken:
    """Sessions whose analysis fails in a library."""

    def analyse(self, session: str, job: Job) -> None:
        raise OSError(95, "Operation not supported")

    def ahead(self, job: Job) -> int:
        return 0


def test_an_unexpected_error_is_a_message_on_the_page(tmp_path, caplog):
    *_, (message, result) = _analyse(Broken(), "one", Job(tmp_path / "v.mp4", tmp_path, "v"))
    assert "unexpected error in this step, OSError: [Errno 95] Operation not supported" in message
    assert 'role="alert"' in message
    assert result == {}
    assert "Traceback" in caplog.text


def test_a_result_that_is_not_there_is_a_message_too(tmp_path):
    class Silent(Broken):
        def analyse(self, session: str, job: Job) -> None:
            """Writes nothing."""

    *_, (message, result) = _analyse(Silent(), "one", Job(tmp_path / "v.mp4", tmp_path, "v"))
    assert "FileNotFoundError" in message
    assert result == {}
