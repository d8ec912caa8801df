"""The model card says what the tables say, and names every weight with its licence."""

import json
import re
from dataclasses import replace

import pandas as pd
import pytest
from report_tables import EMPTY, PNG, SUMMARY, data_of

from iaca.encoders.config import DEMO, OWN, origins
from iaca.encoders.weights import WEIGHTS
from iaca.evaluation.benchmark_page import NO_BENCHMARK, find_benchmark
from iaca.evaluation.report import CardData, metric_table, render_card
from iaca.faces.detect import FaceConfig

METADATA = {
    "corpus": DEMO,
    "visual_choice": json.dumps([{"name": "mini_xception", "weights": None, "changes": {}}]),
    "audio_choice": json.dumps([{"name": "prosody", "weights": None, "changes": {}}]),
}
PARTS = [
    "Intended use", "Out of scope", "Training data", "Metrics", "Factors", "Limits", "Ethical notes",
    "Weights and their licences", "Parameters",
]  # fmt: skip


@pytest.fixture(scope="module")
def report(models, labels, events):
    return data_of(models, labels, events)


@pytest.fixture(scope="module")
def card(report):
    return CardData(report, DEMO, "iaca", origins(METADATA, FaceConfig()), 947352)


@pytest.fixture(scope="module")
def text(card):
    return render_card(card)


def _tables(text):
    """Every pipe table as its rows of cells."""
    blocks = re.findall(r"(?:^\|.*\|\n?)+", text, re.MULTILINE)
    return [[[cell.strip() for cell in line.strip("|").split(" | ")] for line in b.splitlines()] for b in blocks]


def _read(cell):
    return [float(found.replace("−", "-")) for found in re.findall(r"[−-]?\d+\.\d+", cell)]


@pytest.mark.slow
def test_the_card_has_all_its_parts_in_order(text):
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == PARTS
    assert text.startswith(f"# Model card: iaca on {DEMO}\n")
    assert "> Not about people." in text
    assert "9f1c2d" in text
    assert "947,352 weights" in text


def test_intervals_and_inconsistency_are_those_of_the_tables(text, card, report):
    (covered,) = [table for table in _tables(text) if "inside" in table[0]]
    rows = report.coverage[report.coverage["kind"] == "all"].to_dict("records")
    assert [row[:3] for row in covered[2:]] == [[r["partition"], r["dimension"], str(r["clips"])] for r in rows]
    assert [_read(row[3])[0] for row in covered[2:]] == pytest.approx([r["coverage"] for r in rows], abs=5.01e-4)
    (scores,) = [table for table in _tables(text) if table[0][-1] == "unknown"]
    assert [_read(row[1])[0] for row in scores[2:]] == pytest.approx(
        report.inconsistency["auroc"].tolist(), abs=5.01e-4
    )
    assert scores[-1][0] == "voice or face any"
    bare = replace(report, coverage=EMPTY["coverage"], inconsistency=EMPTY["inconsistency"])
    assert "The model has no intervals" in render_card(replace(card, report=bare))


def test_every_table_has_an_empty_line_above_it(text):
    """Else Markdown takes it for text."""
    assert re.findall(r"^(?!\|)(.+)\n\|", text, re.MULTILINE) == []


def test_parameters_are_written_without_syntax(card, report):
    facts = {
        "modalities": ["audio", "visual"],
        "cues": [],
        "locality": True,
        "visual_choice": METADATA["visual_choice"],
    }
    table = render_card(replace(card, report=replace(report, facts=facts))).split("## Parameters")[1]
    rows = [row.strip("| ").split(" | ") for row in table.strip().splitlines()[2:]]
    assert [value for _, value in rows] == ["audio, visual", "none", "yes", "mini_xception"]


def test_the_metrics_are_those_of_the_comparison(text, report):
    (table,) = [table for table in _tables(text) if table[0][:2] == ["partition", "clips"] and "CCC mean" in table[0]]
    rows = report.comparison[report.comparison["main"]].set_index("partition")
    assert [row[0] for row in table[2:]] == list(rows.index)
    for cells in table[2:]:
        row = rows.loc[cells[0]]
        for cell, score in zip(cells[3:6], ("ccc_mean", "ccc_valence", "ccc_arousal"), strict=True):
            known = row[[score, f"{score}_low", f"{score}_high"]].dropna().tolist()
            assert _read(cell) == pytest.approx(known, abs=5.01e-4)
    assert len(metric_table(report.comparison)[1]) == len(table) - 2


def test_a_partition_with_too_few_clips_is_named(text):
    assert "- Partition train: Too few: 1 clip of 1 subject." in text  # and the validation partition has enough
    assert "- Partition validation" not in text


def test_events_gates_and_robustness_are_those_of_the_tables(text, report):
    tables = {table[0][0] + table[0][-1]: table for table in _tables(text)}
    events = report.event_scores[report.event_scores["main"]]
    assert [_read(row[3])[0] for row in tables["eventbest other model"][2:]] == pytest.approx(
        events["ccc_mean"].tolist(), abs=5.01e-4
    )
    gates = tables["eventweight in clean frames"]
    assert [_read(row[1])[0] for row in gates[2:]] == pytest.approx(report.gate_auroc["auroc"].tolist(), abs=5.01e-4)
    (curve,) = tables["corruptionmean CCC over its levels"][2:]
    assert _read(curve[2]) == [0.512, 0.41, 0.613]


def test_limits_are_the_failures_found(text, report):
    limits = text.split("## Limits")[1].split("## Ethical notes")[0]
    assert re.findall(r"^- (.*)$", limits, re.MULTILINE) == report.failures["sentence"].tolist()


def test_every_weight_is_named_with_source_licence_and_checksum(text, card):
    assert [origin.name for origin in card.origins] == ["emotion_model.hdf5", "no weights", "MTCNN", "astronaut()"]
    file = WEIGHTS["mini_xception"]
    assert all(part in text for part in (file.source, file.licence, file.sha256, "facenet-pytorch", "public domain"))


@pytest.mark.parametrize("name", sorted(WEIGHTS))
def test_every_published_file_says_what_it_was_trained_on(name):
    assert "trained on" in WEIGHTS[name].licence


def test_what_is_not_published_is_its_owners():
    own = [{"name": "resnet18", "weights": "deep/in/a/folder/tuned.safetensors", "changes": {}}]
    found = origins({"corpus": "x", "visual_choice": json.dumps(own), "audio_encoder": "features"}, FaceConfig())
    by_name = {origin.name: origin for origin in found}
    assert by_name["tuned.safetensors"].licence == OWN  # and its folder is nobody's business
    assert by_name["features"].licence == OWN
    assert "MTCNN" in by_name
    assert "astronaut()" not in by_name
    assert [origin.name for origin in origins({"visual_encoder": "features"}, FaceConfig())] == ["features"]


def test_a_card_of_almost_nothing_says_what_is_not_known(report):
    bare = replace(report, **EMPTY, benchmark=NO_BENCHMARK, failures=pd.DataFrame(), facts={}, note="")
    text = render_card(CardData(bare, "mine", "iaca"))
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == PARTS
    for words in ("No known event", "was not measured", "No rule of the report", "None except its own"):
        assert words in text


def test_a_benchmark_is_found_if_complete_and_of_the_same_corpus(tmp_path):
    assert find_benchmark(tmp_path) is NO_BENCHMARK
    SUMMARY.to_csv(tmp_path / "benchmark_summary.csv", index=False)
    (tmp_path / "benchmark_summary.png").write_bytes(PNG)
    assert find_benchmark(tmp_path) is NO_BENCHMARK
    (tmp_path / "benchmark_summary.md").write_text("# Benchmark: four\n\nmore\n")
    found = find_benchmark(tmp_path)
    assert (found.corpus, len(found.summary), found.figure) == ("four", len(SUMMARY), PNG)
    assert found.of("four") is found
    assert found.of("five") is NO_BENCHMARK
    (tmp_path / "benchmark_summary.md").write_text("something else\n")
    assert find_benchmark(tmp_path) is NO_BENCHMARK
