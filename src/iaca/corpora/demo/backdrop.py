"""Backdrops: out-of-focus rooms, walls and stages, each drawn from a seed."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from iaca.corpora.demo.geometry import Floats, Image, to_image

Draw = Callable[[Floats, np.random.Generator], None]
BLUR = 0.022
"""Depth of field: standard deviation of the blur relative to the height."""


def draw_backdrop(seed: int, size: tuple[int, int]) -> Image:
    """An out-of-focus room, uint8 RGB (h, w, 3), for a picture of `size` (width, height)."""
    rng = np.random.default_rng([seed, 23])
    picture = _wall(rng, size)
    SCENES[int(rng.integers(len(SCENES)))](picture, rng)
    picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), BLUR * size[1]), dtype=np.float32)
    grain = rng.normal(0, 1.5, picture.shape[:2]).astype(np.float32)
    return to_image(picture * _vignette(size)[..., None] + grain[..., None])


def _wall(rng: np.random.Generator, size: tuple[int, int]) -> Floats:
    width, height = size
    base = _colour(rng, 0.03, 0.3, 100, 200)
    down = np.linspace(rng.uniform(0.95, 1.2), rng.uniform(0.7, 0.95), height)[:, None]
    across = np.linspace(rng.uniform(0.85, 1.15), rng.uniform(0.85, 1.15), width)[None]
    return ((down * across)[..., None] * base).astype(np.float32)


def _shelves(picture: Floats, rng: np.random.Generator) -> None:
    height, width = picture.shape[:2]
    row = height // int(rng.integers(4, 6))
    for top in range(0, height, row):
        cv2.rectangle(picture, (0, top), (width, top + row // 8), _scalar(_colour(rng, 0.3, 0.5, 50, 80)), -1)
        x = 0
        while x < width:
            step = int(rng.uniform(0.02, 0.07) * width) + 2
            rise = int(rng.uniform(0.15, 0.4) * row)
            cv2.rectangle(
                picture, (x, top + rise), (x + step, top + row), _scalar(_colour(rng, 0.1, 0.55, 40, 190)), -1
            )
            x += step + int(rng.uniform(0, 0.012) * width)


def _lights(picture: Floats, rng: np.random.Generator) -> None:
    height, width = picture.shape[:2]
    picture *= 0.45
    for _ in range(int(rng.integers(14, 26))):
        centre = (int(rng.uniform(0, width)), int(rng.uniform(0, 0.8) * height))
        cv2.circle(
            picture, centre, int(rng.uniform(0.02, 0.07) * height), _scalar(_colour(rng, 0.1, 0.6, 150, 255)), -1
        )


def _curtain(picture: Floats, rng: np.random.Generator) -> None:
    x = np.linspace(0, 2 * np.pi * rng.uniform(7, 14), picture.shape[1])
    folds = 0.82 + 0.18 * np.sin(x + 1.3 * np.sin(0.37 * x + rng.uniform(0, 6)))
    picture *= (folds[None, :, None] * _colour(rng, 0.15, 0.6, 170, 255) / 220).astype(np.float32)


def _window(picture: Floats, rng: np.random.Generator) -> None:
    height, width = picture.shape[:2]
    left, pane = int(rng.uniform(0, 0.55) * width), int(0.22 * width)
    for i in range(2):
        x = left + i * (pane + width // 40)
        cv2.rectangle(
            picture,
            (x, int(0.06 * height)),
            (x + pane, int(0.6 * height)),
            _scalar(_colour(rng, 0.05, 0.3, 215, 250)),
            -1,
        )


def _panels(picture: Floats, rng: np.random.Generator) -> None:
    height, width = picture.shape[:2]
    for _ in range(int(rng.integers(3, 7))):
        x, y = int(rng.uniform(-0.1, 0.9) * width), int(rng.uniform(-0.1, 0.6) * height)
        far = (x + int(rng.uniform(0.12, 0.4) * width), y + int(rng.uniform(0.15, 0.5) * height))
        cv2.rectangle(picture, (x, y), far, _scalar(_colour(rng, 0.05, 0.4, 60, 220)), -1)


def _vignette(size: tuple[int, int]) -> Floats:
    x, y = np.meshgrid(np.linspace(-1, 1, size[0]), np.linspace(-1, 1, size[1]))
    return (1 - 0.18 * (x * x + y * y) / 2).astype(np.float32)


def _colour(rng: np.random.Generator, least: float, most: float, dark: float, bright: float) -> Floats:
    """A colour (3,) of random hue: saturation from `least` to `most`, largest component from `dark` to `bright`."""
    hue, saturation, value = rng.uniform(0, 1), rng.uniform(least, most), rng.uniform(dark, bright)
    wheel = np.clip(np.abs((hue * 6 + np.array([0.0, 4.0, 2.0])) % 6 - 3) - 1, 0, 1)
    return np.asarray(value * (1 - saturation * (1 - wheel)), dtype=np.float32)


def _scalar(colour: Floats) -> tuple[float, ...]:
    return tuple(float(c) for c in colour)


SCENES: tuple[Draw, ...] = (_shelves, _lights, _curtain, _window, _panels)
