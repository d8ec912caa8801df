"""The people of the corpus: every one is the same portrait with another shape, colouring, light, room and voice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

T = TypeVar("T")
Colour = tuple[float, float, float]

COMPLEXIONS: tuple[tuple[Colour, Colour], ...] = (
    ((1.0, 1.0, 1.0), (172.0, 138.0, 88.0)),
    ((0.94, 0.9, 0.87), (62.0, 50.0, 48.0)),
    ((1.05, 1.0, 0.98), (88.0, 60.0, 44.0)),
    ((0.97, 0.93, 0.85), (50.0, 42.0, 40.0)),
    ((1.04, 0.97, 0.95), (160.0, 86.0, 50.0)),
    ((0.92, 0.9, 0.91), (108.0, 78.0, 58.0)),
    ((1.0, 0.95, 0.9), (150.0, 150.0, 154.0)),
    ((0.98, 0.94, 0.88), (70.0, 56.0, 48.0)),
    ((0.95, 0.92, 0.94), (134.0, 70.0, 62.0)),
    ((1.03, 0.99, 0.94), (190.0, 166.0, 120.0)),
)
"""Warmth and brightness of the picture on the skin (gains of red, green, blue), and the mean colour of the hair. The
portrait shows a real person: light and hair change, who she is does not."""
SUITS: tuple[Colour, ...] = (
    (214.0, 88.0, 52.0), (58.0, 98.0, 168.0), (70.0, 132.0, 84.0),
    (158.0, 60.0, 96.0), (120.0, 120.0, 128.0), (206.0, 174.0, 74.0),
    (92.0, 74.0, 142.0), (52.0, 136.0, 142.0), (206.0, 206.0, 210.0),
)  # fmt: skip


@dataclass(frozen=True)
class Shape:
    """Relative changes of the face's shape, each in [-1, 1], 0 = as in the portrait."""

    jaw: float = 0.0
    length: float = 0.0
    eye_distance: float = 0.0
    eye_size: float = 0.0
    nose: float = 0.0
    mouth: float = 0.0
    brows: float = 0.0
    hair: float = 0.0


@dataclass(frozen=True)
class Voice:
    """A speaker: base pitch (Hz), length of the vocal tract relative to an average one, breathiness in [0, 1]."""

    pitch_hz: float = 170.0
    tract: float = 1.0
    breath: float = 0.2


@dataclass(frozen=True)
class Identity:
    """One person. The default one is the portrait itself.

    Attributes:
        subject: name of the person.
        shape: changes of the face's shape.
        mirror: -1 for the mirrored portrait, else 1.
        skin: gain of red, green and blue on the skin.
        hair: mean colour of the hair (RGB), None = the portrait's.
        suit: colour of the clothes (RGB), None = the portrait's.
        light: direction of the light in the picture (radians, 0 = from the right) and its strength in [0, 1].
        room: seed of the backdrop.
        voice: how the person sounds.
    """

    subject: str = "portrait"
    shape: Shape = Shape()
    mirror: int = 1
    skin: Colour = (1.0, 1.0, 1.0)
    hair: Colour | None = None
    suit: Colour | None = None
    light: tuple[float, float] = (0.0, 0.0)
    room: int = 0
    voice: Voice = Voice()


def draw_identities(count: int, seed: int) -> tuple[Identity, ...]:
    """`count` different people; palettes are dealt like cards, so that neighbours differ in more than one trait."""
    rng = np.random.default_rng([seed, 11])
    complexions, suits = _deal(COMPLEXIONS, count, rng), _deal(SUITS, count, rng)
    low = _deal((False, True), count, rng)
    return tuple(_draw(i, *complexions[i], suits[i], low[i], rng) for i in range(count))


def _deal(cards: tuple[T, ...], count: int, rng: np.random.Generator) -> list[T]:
    order = [rng.permutation(len(cards)) for _ in range(-(-count // len(cards)))]
    return [cards[i] for i in np.concatenate(order)[:count]]


def _draw(index: int, skin: Colour, hair: Colour, suit: Colour, low_voice: bool, rng: np.random.Generator) -> Identity:
    shape = Shape(*(round(float(x), 3) for x in rng.uniform(-1, 1, 8)))
    lowest, highest = (95.0, 140.0) if low_voice else (165.0, 230.0)
    tract = rng.uniform(1.03, 1.15) if low_voice else rng.uniform(0.9, 1.0)
    voice = Voice(
        round(float(rng.uniform(lowest, highest)), 1), round(float(tract), 3), round(float(rng.uniform(0.05, 0.4)), 3)
    )
    light = (round(float(rng.uniform(-np.pi, np.pi)), 3), round(float(rng.uniform(0.2, 1.0)), 3))
    mirror = -1 if rng.uniform() < 0.5 else 1
    return Identity(f"person{index + 1:02d}", shape, mirror, skin, hair, suit, light, int(rng.integers(1 << 30)), voice)
