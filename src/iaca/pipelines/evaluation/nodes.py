"""Predict the evaluated partitions, score them, find failures, draw figures, write the report and the model card."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from iaca.encoders import read_embedding
from iaca.encoders.config import origins
from iaca.encoders.networks import pick_device
from iaca.engine import ClipPaths
from iaca.errors import InputError, counted
from iaca.evaluation.benchmark_page import BenchmarkFound
from iaca.evaluation.certainty import coverage, coverage_metrics, inconsistency_auroc
from iaca.evaluation.config import EvaluationConfig
from iaca.evaluation.errors import Results, calibration, failures, quadrant_confusion, region_errors
from iaca.evaluation.events import event_response, event_scores, gate_auroc
from iaca.evaluation.figures import analysis_figures, report_figures
from iaca.evaluation.metrics import join_labels
from iaca.evaluation.multitask import UNIT_THRESHOLDS, multitask_table
from iaca.evaluation.report import FIGURES, CardData, ReportData, render_card, render_report
from iaca.evaluation.style import new_figure
from iaca.evaluation.tables import SCORED_COLUMNS, comparison, headline, postprocessing_table, video_table
from iaca.faces.detect import FaceConfig
from iaca.formats.labels import UNITS
from iaca.training.loss import THRESHOLDS
from iaca.training.model_file import (
    CLIPS_KEY,
    SETTINGS_KEY,
    TrainedBaselines,
    TrainedModel,
    clips_learned_from,
    history_of,
    model_name,
    training_settings_of,
    weights_digest,
)
from iaca.training.predict import BuiltModel, predict_clip, prediction_columns

log = logging.getLogger(__name__)


def predict_partitions(
    model: TrainedModel, embeddings: ClipPaths, training_index: pd.DataFrame, config: EvaluationConfig
) -> pd.DataFrame:
    """Predictions of one model for every clip of the evaluated partitions, one row per decoded frame.

    The table's attributes, which are stored with it, name the model: `NAME`, and `MODEL`, its `weights_digest`; and
    hold the thresholds of its action units, `UNIT_THRESHOLDS`.

    Raises:
        InputError: the model learned from a clip that it would be scored on.
    """
    require_unseen(model, training_index, config)
    built = BuiltModel.of(model, pick_device(config.device))
    clips = training_index.loc[training_index["partition"].isin(config.partitions), "clip"]
    table = _predicted(built, list(clips), embeddings)
    table.attrs = {NAME: model_name(model), MODEL: weights_digest(model)}
    if THRESHOLDS in model.weights:
        table.attrs[UNIT_THRESHOLDS] = dict(zip(UNITS, model.weights[THRESHOLDS].double().tolist(), strict=True))
    return table


def _predicted(built: BuiltModel, clips: Sequence[str], embeddings: ClipPaths) -> pd.DataFrame:
    """`prediction_table` of these clips. Columns are joined one by one, so that nothing is in memory twice; the names
    of clips are categories."""
    parts, steps = [], []
    for clip in clips:
        embedding = read_embedding(embeddings.whole(clip))
        found = prediction_columns(embedding, predict_clip(built, embedding), built.model.gate_labels)
        parts.append({name: values.copy() for name, values in found.items()})  # a view would keep its file mapped
        steps.append(len(embedding))
    columns = {
        name: pd.concat([pd.Series(part.pop(name)) for part in parts], ignore_index=True) for name in [*parts[0]]
    }
    return pd.DataFrame({"clip": pd.Categorical(pd.Index(clips)).repeat(steps), **columns}, copy=False)


def require_unseen(model: TrainedModel, training_index: pd.DataFrame, config: EvaluationConfig) -> None:
    """Refuse a model of another division of the corpus: an older one, loaded by its version."""
    for partition, parts in (("validation", ("train",)), ("test", ("train", "validation"))):
        if partition not in config.partitions:
            continue
        clips = training_index.loc[training_index["partition"] == partition, "clip"]
        if seen := clips_learned_from(model, clips, parts):
            what = f"{model_name(model)} learned from {counted(len(seen), 'clip')} of the {partition} partition"
            raise InputError(
                f"{what}, the first is {seen[0]}: it was trained on another division of the corpus",
                remedy="train again, or divide the corpus as it was then",
            )


def predict_baselines(
    model: TrainedModel,
    baselines: TrainedBaselines | None,
    embeddings: ClipPaths,
    training_index: pd.DataFrame,
    config: EvaluationConfig,
) -> dict[str, pd.DataFrame]:
    """The predictions of each baseline, by name; the attribute `MODEL` of each is that of the main model.

    Raises:
        InputError: the baselines were trained in another run than the model.
    """
    if baselines is None:
        log.warning("%s is compared with nothing: no baselines were stored with this version", model_name(model))
        return {}
    main = weights_digest(model)
    if baselines.main != main:
        raise InputError(
            "the baselines were trained with another model than the one that is evaluated",
            remedy="load both of one version (--load-versions model:VERSION chooses its baselines, too), or run the "
            "training pipeline again",
        )
    tables = {
        name: predict_partitions(baseline, embeddings, training_index, config)
        for name, baseline in baselines.models.items()
    }
    for table in tables.values():
        table.attrs[MODEL] = main
    return tables


def score_models(
    model: TrainedModel,
    predictions: pd.DataFrame,
    baselines: Mapping[str, Callable[[], pd.DataFrame]],
    labels: pd.DataFrame,
    training_index: pd.DataFrame,
    coverage: pd.DataFrame,
    config: EvaluationConfig,
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any], dict[str, Any]]:
    """The comparison with intervals, scores per video, the main model's metrics, and its headline: the pooled CCC of
    each partition, few enough for the columns of `dvc exp show`.

    Raises:
        InputError: the predictions are another model's than `model`, or the baselines'.
    """
    _require_predictions_of(model, predictions)
    scored = labels[labels["partition"].isin(config.partitions)]
    tables = PredictionsByName(predictions, baselines)
    subjects = _subjects(training_index)
    table = comparison(tables, scored, replicates=config.replicates, seed=config.seed, subjects=subjects)
    metrics, covered = headline(table), coverage_metrics(coverage)
    names = (f"{part}_ccc_{d}" for part in table["partition"].unique() for d in ("mean", "valence", "arousal"))
    short = {name: metrics[name] for name in names}
    return table, video_table(predictions, scored), metrics | covered, short


def score_postprocessing(
    predictions: pd.DataFrame, labels: pd.DataFrame, training_index: pd.DataFrame, config: EvaluationConfig
) -> pd.DataFrame:
    """How smoothing would change the main model's scores."""
    scored = labels[labels["partition"].isin(config.partitions)]
    subjects = _subjects(training_index)
    return postprocessing_table(predictions, scored, config.postprocessing, config.replicates, config.seed, subjects)


def score_tasks(
    model: TrainedModel,
    predictions: pd.DataFrame,
    labels: pd.DataFrame,
    training_index: pd.DataFrame,
    config: EvaluationConfig,
) -> pd.DataFrame:
    """P_MTL and its parts, of a model with more tasks than valence and arousal; otherwise no row.

    Raises:
        InputError: the predictions are another model's than `model`.
    """
    _require_predictions_of(model, predictions)
    scored = labels[labels["partition"].isin(config.partitions)]
    return multitask_table(predictions, scored, config.replicates, config.seed, _subjects(training_index))


def _subjects(training_index: pd.DataFrame) -> dict[str, str]:
    return dict(zip(training_index["clip"], training_index["subject"], strict=True))


def score_gates(
    predictions: pd.DataFrame, events: pd.DataFrame, labels: pd.DataFrame, config: EvaluationConfig
) -> pd.DataFrame:
    """How well the gate across modalities detects the corrupted one, per kind of event, in the shown partition."""
    shown = labels.loc[labels["partition"] == config.shown, "clip"].unique()
    return gate_auroc(predictions[predictions["clip"].isin(shown)], events[events["clip"].isin(shown)])


def score_certainty(
    predictions: pd.DataFrame,
    labels: pd.DataFrame,
    events: pd.DataFrame,
    training_index: pd.DataFrame,
    config: EvaluationConfig,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Coverage of the intervals; and how well inconsistency detects events, in the shown partition."""
    scored = labels[labels["partition"].isin(config.partitions)]
    subjects = _subjects(training_index)
    covered = coverage(predictions, scored, events, config.shown, subjects, config.replicates, config.seed)
    shown = labels.loc[labels["partition"] == config.shown, "clip"].unique()
    inside, known = predictions[predictions["clip"].isin(shown)], events[events["clip"].isin(shown)]
    return covered, inconsistency_auroc(inside, known, config.replicates, config.seed)


def analyse_errors(
    predictions: pd.DataFrame, labels: pd.DataFrame, config: EvaluationConfig
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Calibration, error by region of the plane and confusion of quadrants, in the shown partition."""
    table = join_labels(predictions[list(SCORED_COLUMNS)], labels[labels["partition"] == config.shown])
    settings = config.analysis
    return calibration(table, settings), region_errors(table, settings), quadrant_confusion(table, settings)


def analyse_events(
    predictions: pd.DataFrame,
    baselines: Mapping[str, Callable[[], pd.DataFrame]],
    labels: pd.DataFrame,
    events: pd.DataFrame,
    training_index: pd.DataFrame,
    config: EvaluationConfig,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """How the gates respond to events, and how every model scores within them, in the shown partition."""
    gold = labels[labels["partition"] == config.shown]
    shown = gold["clip"].unique()
    inside, known = predictions[predictions["clip"].isin(shown)], events[events["clip"].isin(shown)]
    subjects = _subjects(training_index)
    scores = event_scores(
        PredictionsByName(predictions, baselines), gold, known, config.replicates, config.seed, subjects
    )
    return event_response(inside, known, config.analysis), scores


def find_failures(
    models: pd.DataFrame,
    videos: pd.DataFrame,
    regions: pd.DataFrame,
    quadrants: pd.DataFrame,
    within_events: pd.DataFrame,
    config: EvaluationConfig,
) -> pd.DataFrame:
    """Failures, found in the tables by stated rules."""
    return failures(Results(models, videos, regions, quadrants, within_events, config.shown, config.analysis))


NAME, MODEL = "name", "model"
"""Attributes of a table of predictions: the model's name, and the `weights_digest` of the run's main model."""
AGAIN = "run the whole evaluation pipeline (kedro run --pipelines evaluation)"


class PredictionsByName(Mapping[str, pd.DataFrame]):
    """Predictions of every model, the main one first. Those of a baseline are read whenever they are asked for, so that
    never all of them are in memory.

    Raises:
        InputError: those of a baseline belong to another run.
    """

    def __init__(self, main: pd.DataFrame, baselines: Mapping[str, Callable[[], pd.DataFrame]]):
        self._name, self._main = main.attrs.get(NAME, "model"), main
        self._baselines = {name: baselines[name] for name in sorted(baselines) if name != self._name}

    def __getitem__(self, name: str) -> pd.DataFrame:
        """The predictions of one model."""
        if name == self._name:
            return self._main
        table = self._baselines[name]()
        if table.attrs.get(MODEL) != self._main.attrs.get(MODEL):
            raise InputError(f"the predictions of {name} and of {self._name} are from different runs", remedy=AGAIN)
        return table

    def __iter__(self) -> Iterator[str]:
        yield self._name
        yield from self._baselines

    def __len__(self) -> int:
        return 1 + len(self._baselines)


def _require_predictions_of(model: TrainedModel, predictions: pd.DataFrame) -> None:
    if predictions.attrs.get(MODEL) != weights_digest(model):
        raise InputError(
            f"the stored predictions are not those of the model that is evaluated ({model_name(model)}, seed "
            f"{model.metadata.get('seed', 'unknown')})",
            remedy=f"{AGAIN}, or load the model that they are from (--load-versions model:VERSION)",
        )


FIGURE = "_figure"
SCORE_FIGURES = (
    "comparison", "learning_curve", "affect_plane", "best_traces", "worst_traces", "gates", "gate_distribution",
)  # fmt: skip
ANALYSIS_FIGURES = ("calibration", "regions", "quadrants", "event_response")


def draw_figures(
    model: TrainedModel,
    predictions: pd.DataFrame,
    labels: pd.DataFrame,
    models: pd.DataFrame,
    events: pd.DataFrame,
    config: EvaluationConfig,
) -> dict[str, Figure]:
    """The figures of scores, traces and gates, by the names of the pipeline's outputs.

    Raises:
        InputError: the predictions are another model's.
    """
    _require_predictions_of(model, predictions)
    history, listed = history_of(model), config.analysis.listed
    return _all_of(
        SCORE_FIGURES,
        report_figures(predictions, labels, models, config.shown, events, history, shown_videos=listed),
    )


def draw_analysis(
    bins: pd.DataFrame,
    regions: pd.DataFrame,
    quadrants: pd.DataFrame,
    responses: pd.DataFrame,
    config: EvaluationConfig,
) -> dict[str, Figure]:
    """The figures of the analysis, by the names of the pipeline's outputs."""
    drawn = analysis_figures(bins, regions, quadrants, responses, config.analysis)
    return _all_of(ANALYSIS_FIGURES, drawn)


def write_report(
    model: TrainedModel,
    predictions: pd.DataFrame,
    benchmark: BenchmarkFound,
    faces: FaceConfig,
    config: EvaluationConfig,
    **found: Any,
) -> tuple[str, str]:
    """The self-contained HTML page and the model card, from the same tables.

    Args:
        model: the main model.
        predictions: of that model; the tables were computed from them.
        benchmark: results of an earlier benchmark, shown if it used the same corpus.
        faces, config: parameters of this run.
        found: every other table of `ReportData` by its name, and figures by `<slot>_figure`.

    Raises:
        InputError: the predictions are another model's.
    """
    _require_predictions_of(model, predictions)
    pictures = {name.removesuffix(FIGURE): picture for name, picture in found.items() if name.endswith(FIGURE)}
    tables = {name: table for name, table in found.items() if not name.endswith(FIGURE)}
    metadata = model.metadata
    parameters = sum(weight.numel() for weight in model.weights.values())
    data = ReportData(
        title=f"{config.title}: {metadata['corpus']}",
        partition=config.shown,
        benchmark=benchmark.of(metadata["corpus"]),
        analysis=config.analysis,
        figures=pictures,
        facts={"weights": parameters, **model_facts(model)},
        note=metadata["caveat"],
        **tables,
    )
    card = CardData(data, metadata["corpus"], metadata["preset"], origins(metadata, faces), parameters)
    return render_report(data), render_card(card)


def model_facts(model: TrainedModel) -> dict[str, object]:
    """The facts in a model file: architecture, origin, its calibration as `calibration.NAME`, and the settings of its
    training as `training.NAME`."""
    calibrated = {} if model.calibration is None else model.calibration.facts
    known = {
        name: value
        for name, value in model.metadata.items()
        if name not in ("history", "caveat", SETTINGS_KEY, CLIPS_KEY)
    }
    settings = {f"{SETTINGS_KEY}.{name}": value for name, value in training_settings_of(model).items()}
    known |= {f"calibration.{name}": fact for name, fact in calibrated.items()}
    return {**model.config.model_dump(mode="json", exclude_none=True), **known, **settings}


def _all_of(slots: Sequence[str], drawn: dict[str, Figure]) -> dict[str, Figure]:
    """A figure for every slot, because the catalog lists all of them; one that could not be drawn says so."""
    missing = "Not drawn: the data or the model have nothing to show here"
    return {
        slot + FIGURE: drawn[slot] if slot in drawn else new_figure(8, 1, FIGURES[slot].title, missing)
        for slot in slots
    }
