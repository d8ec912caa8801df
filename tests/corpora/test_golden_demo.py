"""The plan, the voices and the faces of the demo corpus, by their numbers: the same parameters give the same corpus."""

from collections.abc import Iterator
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from golden_numbers import check
from iaca.corpora.demo.face import Expression, FaceFrame, Pose
from iaca.corpora.demo.plan import (
    COMPLEXIONS,
    SUITS,
    DemoConfig,
    Event,
    Identity,
    Shape,
    VideoPlan,
    _slots,
    plan_corpus,
)
from iaca.corpora.demo.render import Puppet, draw_backdrop
from iaca.corpora.demo.voice import make_sound

GOLDEN = Path(__file__).parent / "golden"
RATE = 16000
SIZE, FRAME = (240, 240), FaceFrame(120.0, 100.0, 40.0)
PLANS = plan_corpus(DemoConfig(identities=6, clips_per_identity=2, seconds=8.0))


def numbers(value: Any) -> Iterator[float]:
    """All numbers of a plan, in their order; of a word its length."""
    if isinstance(value, dict | list | tuple):
        for part in value.values() if isinstance(value, dict) else value:
            yield from numbers(part)
    else:
        yield np.nan if value is None else float(len(value) if isinstance(value, str) else value)


def test_the_plan_is_what_it_was() -> None:
    plans = {f"{plan.partition}/{plan.name}": [*numbers(asdict(plan)), *plan.frame_times()[:5]] for plan in PLANS}
    check(GOLDEN / "demo_plan.json", plans, 1e-5)


def heard(plan: VideoPlan) -> np.ndarray:
    """(blocks, 2) level in dB and brightness in dB of each tenth of a second."""
    blocks = make_sound(plan, RATE).heard.astype(np.float64)[: 3 * RATE].reshape(-1, RATE // 10)
    power = np.abs(np.fft.rfft(blocks)) ** 2 + 1e-6
    bright = power[:, 100:400].sum(axis=1) / power[:, :100].sum(axis=1)
    return 10 * np.log10(np.stack([(blocks**2).mean(axis=1) + 1e-12, bright], axis=1))


def test_voices_and_what_happens_to_them_are_what_they_were() -> None:
    """The noise of the first seed is broadband, of the second one babble."""
    events = {"whole": (), **{k: (Event("audio", k, 1.0, 2.5, 1),) for k in ("silent", "contradictory")}}
    events |= {f"noisy {seed}": (Event("audio", "noisy", 1.0, 2.5, seed),) for seed in (0, 1)}
    found = {kind: heard(replace(PLANS[0], seconds=3.0, events=one)) for kind, one in events.items()}
    found["another"] = heard(replace(PLANS[2], seconds=3.0, events=()))
    check(GOLDEN / "demo_voice.json", found)


def drawn(identity: Identity, pose: Pose | None = None, **expression: float) -> np.ndarray:
    """(3, 21, 21) means of 8x8 pixels in the middle of a picture, of each colour."""
    grey = np.full((SIZE[1], SIZE[0], 3), 128, np.uint8)
    picture = Puppet(identity, FRAME, SIZE).draw(grey, Expression(**expression), pose or Pose())
    middle = picture[36:204, 36:204].astype(np.float64)
    return np.moveaxis(middle.reshape(21, 8, 21, 8, 3).mean(axis=(1, 3)), -1, 0)


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    return drawn(Identity())


def check_faces(name: str, faces: dict[str, np.ndarray]) -> None:
    """Within a quarter of a level of 255, which is much more than rounding gives."""
    check(GOLDEN / name, {kind: np.round(face / 255, 4) for kind, face in faces.items()}, 1e-3)


@pytest.mark.slow
def test_complexions_and_clothes_are_what_they_were() -> None:
    faces = {f"{i}": drawn(Identity(skin=skin, hair=hair)).mean(axis=2) for i, (skin, hair) in enumerate(COMPLEXIONS)}
    faces |= {f"suit {i}": drawn(Identity(suit=suit))[:, -4:].mean(axis=2) for i, suit in enumerate(SUITS)}
    faces["light"] = drawn(Identity(light=(0.7, 0.6))).mean(axis=0)
    faces["room"] = draw_backdrop(3, SIZE)[::24, ::24].astype(np.float64)
    check_faces("demo_colours.json", faces)


@pytest.mark.slow
def test_shapes_poses_and_expressions_are_what_they_were(portrait: np.ndarray) -> None:
    """What each of them changes in the portrait, in grey."""
    faces = {
        f"{f.name} {amount}": drawn(Identity(shape=Shape(**{f.name: amount})))
        for f in fields(Shape)
        for amount in (-1, 1)
    }
    faces |= {f.name: drawn(Identity(), Pose(**{f.name: 0.12})) for f in fields(Pose)}
    faces |= {f.name: drawn(Identity(), **{f.name: 0.8}) for f in fields(Expression)}
    changes = {name: (face - portrait).mean(axis=0) for name, face in faces.items()}
    assert all(np.abs(change).max() > 2 for change in changes.values()), "a change that can't be seen"
    check_faces("demo_faces.json", {"portrait": portrait.mean(axis=0), **changes})


def test_a_video_has_a_stretch_for_an_event_in_each_5_s_of_it() -> None:
    assert _slots(4.0) == [(0.0, 4.0)]
    assert _slots(8.0) == [(0.0, 8.0)]
    assert _slots(12.5) == [(0.0, 6.25), (6.25, 12.5)]
    assert _slots(16.0) == [(0.0, 5.333), (5.333, 10.667), (10.667, 16.0)]
