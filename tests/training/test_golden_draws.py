"""What is drawn and fitted for known clips, by its numbers: the same run gives the same model on any day."""

from pathlib import Path

import numpy as np
from synthetic_clips import CUES, annotated_clips, clip

from golden_numbers import check
from iaca.encoders.embedding import embeddings_of
from iaca.training.calibration import calibrate, circumstances
from iaca.training.config import CorruptionConfig
from iaca.training.data import EpochSampler, WindowDataset, windows_of
from iaca.training.sample import Normalisation, WindowSpec, torch_seed

GOLDEN = Path(__file__).parent / "golden"
CLIPS, HELD = annotated_clips(6, steps=120), annotated_clips(10, first=40, steps=120)
NORMALISATION = Normalisation.fit(embeddings_of(CLIPS), CUES)


def test_known_windows_are_corrupted_as_they_were() -> None:
    windows, spec, found = windows_of(CLIPS, 50, 20), WindowSpec(50, NORMALISATION, CUES), {}
    for kind in ("absent", "zeros", "noise", "other"):
        dataset = WindowDataset(CLIPS, windows, spec, CorruptionConfig(share=0.9, kinds=(kind,)), seed=3)
        samples = [dataset[(1, index)] for index in range(0, len(windows), 3)]
        found[kind] = [
            [s.corrupted[:, 0].sum(), s.corrupted[:, 1].sum(), s.corrupted.any(axis=1).argmax(), s.present.sum(),
             np.abs(s.audio).sum(), np.abs(s.visual).sum(), *np.abs(s.quality).sum(axis=0), s.valid.sum()]
            for s in samples
        ]  # fmt: skip
    sampler = EpochSampler(40, seed=3)
    sampler.set_epoch(2)
    order = [index for _, index in sampler]
    check(GOLDEN / "windows.json", {**found, "order": order, "seeds": [torch_seed(3, 4, e) / 2**63 for e in range(3)]})


def test_known_clips_give_the_calibration_that_they_gave() -> None:
    mixing = np.random.default_rng(5).normal(size=(6, 2)) / 4

    def predict(one: object) -> np.ndarray:
        return np.tanh(one.audio @ mixing).astype(np.float32)  # type: ignore[attr-defined]

    subjects = {name: f"s{i // 2}" for i, name in enumerate([*CLIPS, *HELD])}
    folds = [(frozenset(list(CLIPS)[:3]), predict), (frozenset(list(CLIPS)[3:]), predict)]
    calibration = calibrate(("audio", "visual"), NORMALISATION, predict, CLIPS, HELD, subjects, folds, recalibrate=True)
    one = clip(77, 120)
    judged = calibration.judge(one, NORMALISATION, predict(one))
    readings, odds = calibration._opinions(one, NORMALISATION, predict(one))
    assert calibration.intervals is not None
    assert calibration.recalibration is not None
    assert calibration.readers is not None
    check(
        GOLDEN / "calibration.json",
        {
            "bounds": judged.bounds[::12], "inconsistency": judged.inconsistency[::12], "readings": readings[::12],
            "odds": odds[::12], "cases": circumstances(one, predict(one), readings, odds)[::30],
            "quantile": calibration.intervals.quantile, "weights": calibration.intervals.weights[::5],
            "scale": calibration.recalibration.scale, "offset": calibration.recalibration.offset,
            "reliability": [calibration.readers.audio.reliability, calibration.readers.visual.reliability],
        },
        1e-2,
    )  # fmt: skip
