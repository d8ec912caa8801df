"""Renders a video of the demo corpus from its plan: backdrop, people, occlusions, sound, mp4."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from iaca.corpora.demo.face import Expression, FaceFrame, Floats, Image, Pose, to_image
from iaca.corpora.demo.plan import ClipPlan, Colour, DemoConfig, Event, VideoPlan
from iaca.corpora.demo.puppet import Puppet
from iaca.corpora.demo.voice import Sound, make_sound, mouth_opening, other_take
from iaca.media import write_movie

Track = NDArray[np.float64]
Draw = Callable[[Floats, np.random.Generator], None]

VERSION = "2"
"""Increase it when pictures or sound change: older videos are then rendered again."""
ALONE = ((0.5, 0.385, 0.165),)
TOGETHER = ((0.265, 0.42, 0.14), (0.735, 0.42, 0.14))
"""Places of faces: x of the point between the eyes / width, its y / height, distance of the eyes / height."""
BLINKS_PER_S, BLINK_S = 0.28, 0.28
EXIT_S, EXIT_DISTANCE = 0.3, 11.0
"""Time in which a person leaves the picture (s), and the distance (eye distances)."""
KINDS = ("hand", "board", "mosaic")
HAND = ((-0.78, -0.6, 0.21), (-0.28, -0.85, 0.22), (0.24, -0.88, 0.22), (0.74, -0.62, 0.2))
"""Finger tips (u, v) and half thickness in face units; the palm covers nose and mouth."""
PALM, PALM_SIZE = (0.0, 0.95), (1.15, 1.0)
THUMB = ((0.85, 1.15), (1.35, 0.35), 0.22)
BOARD = ((-1.35, -0.75), (1.35, 2.0))
SLIDE_S = 0.2
BLUR = 0.022
"""Standard deviation of the backdrop's blur relative to the height."""


# The video


def render_movie(plan: VideoPlan, config: DemoConfig, target: Path) -> None:
    """Write one video of the corpus (H.264 and AAC in mp4) to `target`."""
    sound = make_sound(plan, config.audio_rate)
    write_movie(target, render_frames(plan, config, sound), plan.fps, sound.heard, config.audio_rate)


def render_frames(plan: VideoPlan, config: DemoConfig, sound: Sound | None = None) -> Iterator[tuple[float, Image]]:
    """Times (s) and pictures, uint8 RGB (height, width, 3), of a video, one at a time.

    Args:
        sound: the video's sound, if the caller already has it.
    """
    heard = make_sound(plan, config.audio_rate) if sound is None else sound
    size, times = (config.width, config.height), plan.frame_times()
    backdrop = draw_backdrop(plan.speaker.identity.room + plan.seed % 3, size)
    actors = [_Actor(clip, plan, config, heard, times) for clip in plan.people]
    for i, time_s in enumerate(times):
        picture = backdrop
        for actor in actors:
            picture = actor.draw(picture, i, float(time_s))
        yield float(time_s), picture


class _Actor:
    """A person in a video: a puppet with its expression and pose in each frame."""

    def __init__(self, clip: ClipPlan, plan: VideoPlan, config: DemoConfig, sound: Sound, times: Track):
        frame = _face_frame(clip, plan, config)
        self.clip, self.puppet = clip, Puppet(clip.identity, frame, (config.width, config.height))
        self.frames = _perform(clip, times, *_mouths(clip, plan, config, sound, times))
        self.occlusions = [event for event in clip.events if event.kind == "occluded"]

    def draw(self, picture: Image, index: int, time_s: float) -> Image:
        expression, pose = self.frames[index]
        picture = self.puppet.draw(picture, expression, pose)
        for event in self.occlusions:
            if event.start_s <= time_s < event.end_s:
                centre = self.puppet.place((0.0, 0.0), pose)
                picture = occlude(picture, event, time_s, centre, self.puppet.frame.unit, self.clip.identity.skin)
        return picture


def _face_frame(clip: ClipPlan, plan: VideoPlan, config: DemoConfig) -> FaceFrame:
    places = ALONE if len(plan.people) == 1 else TOGETHER
    x, y, unit = places[plan.people.index(clip)]
    return FaceFrame(x * config.width, y * config.height, unit * config.height, 0.0, clip.identity.mirror)


def _mouths(clip: ClipPlan, plan: VideoPlan, config: DemoConfig, sound: Sound, times: Track) -> tuple[Track, Track]:
    """Opening of the mouth (n,) in this take and in another take. A listener's is 0."""
    if not clip.speaks:
        return np.zeros_like(times), np.zeros_like(times)
    mouth = mouth_opening(sound.spoken, config.audio_rate, times)
    if not any(event.kind == "contradictory" for event in clip.events):
        return mouth, mouth
    other = other_take(clip, clip.identity.voice, plan.seconds, config.audio_rate, clip.seed + 1)
    return mouth, mouth_opening(other, config.audio_rate, times)


# Expressions and movements


def _perform(clip: ClipPlan, times: Track, mouth: Track, other_mouth: Track) -> list[tuple[Expression, Pose]]:
    """Expression and pose in each frame.

    Valence shows strongly (mouth corners, brows), arousal weakly (brows, lids, faster head movements). In a
    contradictory stretch the face is that of another take: opposite affect and the mouth movements `other_mouth`.

    Args:
        times: frame times (n,), s.
        mouth, other_mouth: opening of the mouth (n,), 0 to 1, in this take and in the other one.
    """
    other = _event_envelope(clip, "contradictory", times, 0.15)
    valence, arousal = ((1 - 2 * other) * felt.at(times) for felt in (clip.valence, clip.arousal))
    speech = (1 - other) * mouth + other * other_mouth
    rng = np.random.default_rng([clip.seed, 1])
    expressions = _express(valence, arousal, speech, _blinks(times, rng), _sway(times, rng, 0.3))
    poses = _move(times, arousal, _event_envelope(clip, "absent", times, EXIT_S), -1 if clip.side == "left" else 1, rng)
    return list(zip(expressions, poses, strict=True))


def _event_envelope(clip: ClipPlan, kind: str, times: Track, fade_s: float) -> Track:
    """1 inside the clip's visual events of a kind, 0 outside, with fades of `fade_s` inside the events (n,)."""
    total = np.zeros_like(times)
    for event in clip.events:
        if event.kind == kind:
            inside = np.minimum(times - event.start_s, event.end_s - times) / fade_s
            total = np.maximum(total, np.clip(inside, 0, 1))
    return total


def _express(valence: Track, arousal: Track, speech: Track, blinks: Track, wander: Track) -> list[Expression]:
    smile = np.clip(0.98 * valence + 0.05 * wander, -1, 1)
    knit = np.clip(-0.85 * valence + 0.05 * wander, 0, 1)
    brows = np.clip(0.3 * arousal + 0.12 * np.clip(valence, 0, 1) + 0.1 * wander, -0.25, 1)
    lids = np.maximum(blinks, np.clip(-0.16 * arousal, -0.18, 0.18))
    tracks = (smile, speech, brows, knit, lids)
    return [Expression(*(float(x) for x in values)) for values in zip(*tracks, strict=True)]


def _move(times: Track, arousal: Track, gone: Track, exit_side: int, rng: np.random.Generator) -> list[Pose]:
    lively = 0.7 + 0.3 * arousal
    yaw, pitch, roll = (scale * lively * _sway(times, rng, 0.35) for scale in (0.13, 0.07, 0.045))
    x, y, scale = (size * _sway(times, rng, 0.15) for size in (0.16, 0.07, 0.02))
    x = x + exit_side * EXIT_DISTANCE * gone**2
    return [Pose(*(float(v) for v in values)) for values in zip(yaw, pitch, roll, x, y, scale, strict=True)]


def _sway(times: Track, rng: np.random.Generator, fastest_hz: float) -> Track:
    """A smooth random movement (n,) of about unit size."""
    waves = zip(rng.uniform(0.05, fastest_hz, 4), rng.uniform(0, 2 * np.pi, 4), strict=True)
    total = sum((np.sin(2 * np.pi * f * times + p) for f, p in waves), np.zeros_like(times))
    return np.asarray(np.clip(total / np.sqrt(2), -1.8, 1.8))


def _blinks(times: Track, rng: np.random.Generator) -> Track:
    """Closing of the lids by blinks (n,), 0 to 1."""
    closed = np.zeros_like(times)
    at = float(rng.uniform(0.3, 3))
    while at < times[-1]:
        closed = np.maximum(closed, np.clip(1.25 - 2.5 * np.abs(times - at) / BLINK_S, 0, 1))
        at += 0.6 + float(rng.exponential(1 / BLINKS_PER_S))
    return closed


# Occlusions


def occlude(
    picture: Image, event: Event, time_s: float, centre: tuple[float, float], unit: float, skin: Colour
) -> Image:
    """The picture (h, w, 3) with most of a face hidden: by a hand, a board or a mosaic, drawn from the event's seed.

    Args:
        centre: position of the point between the eyes (px).
        unit: distance of the eyes (px).
        skin: gain of the person's skin colour.
    """
    rng = np.random.default_rng([event.seed, 6])
    kind = KINDS[int(rng.integers(len(KINDS)))]
    if kind == "mosaic":
        return _pixelate(picture, centre, unit)
    progress = np.clip(min(time_s - event.start_s, event.end_s - time_s) / SLIDE_S, 0, 1)
    anchor = (centre[0], centre[1] + float(1 - progress) ** 2 * 4.5 * unit)
    if kind == "hand":
        return _cover(picture, _hand(picture.shape, anchor, unit), np.array(skin, np.float32) * (222, 176, 148), unit)
    colour = rng.uniform(40, 150) * rng.uniform(0.8, 1.2, 3)
    return _cover(picture, _board(picture.shape, anchor, unit, float(rng.uniform(-0.15, 0.15))), colour, unit)


def _hand(shape: tuple[int, ...], anchor: tuple[float, float], unit: float) -> Floats:
    mask = np.zeros(shape[:2], np.float32)
    cv2.ellipse(
        mask, _at(anchor, PALM, unit), (round(PALM_SIZE[0] * unit), round(PALM_SIZE[1] * unit)), 0, 0, 360, 1.0, -1
    )
    cv2.line(mask, _at(anchor, (0.0, 1.4), unit), _at(anchor, (0.25, 5.0), unit), 1.0, round(1.3 * unit))
    cv2.line(mask, _at(anchor, THUMB[0], unit), _at(anchor, THUMB[1], unit), 1.0, round(2 * THUMB[2] * unit))
    for u, v, thickness in HAND:
        finger = np.zeros_like(mask)
        cv2.line(
            finger, _at(anchor, (0.85 * u, 0.8), unit), _at(anchor, (u, v), unit), 1.0, round(2 * thickness * unit)
        )
        mask = np.maximum(mask * (1 - 0.35 * cv2.GaussianBlur(finger, (0, 0), 0.06 * unit) * (1 - finger)), finger)
    return mask


def _board(shape: tuple[int, ...], anchor: tuple[float, float], unit: float, angle: float) -> Floats:
    mask = np.zeros(shape[:2], np.float32)
    (left, top), (right, bottom) = BOARD
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    cv2.fillConvexPoly(mask, np.round(np.array(anchor) + corners @ turn * unit).astype(np.int32), 1.0)
    return mask


def _cover(picture: Image, mask: Floats, colour: NDArray[np.floating[Any]], unit: float) -> Image:
    """Paint a shape in one colour, darker towards its edges, over the picture."""
    soft = cv2.GaussianBlur(mask, (0, 0), 0.03 * unit)
    shading = 0.62 + 0.42 * cv2.GaussianBlur(mask, (0, 0), 0.12 * unit)
    painted = to_image(shading[..., None] * colour)
    return np.asarray(cv2.blendLinear(painted, picture, soft, 1 - soft))


def _pixelate(picture: Image, centre: tuple[float, float], unit: float) -> Image:
    """Cover the face with a mosaic of large blocks."""
    left, top = _at(centre, (-1.35, -1.0), unit)
    right, bottom = _at(centre, (1.35, 2.0), unit)
    window = np.s_[max(0, top) : max(0, bottom), max(0, left) : max(0, right)]
    part = picture[window]
    if part.size == 0:
        return picture
    blocks = cv2.resize(part, (4, 4), interpolation=cv2.INTER_AREA)
    out = picture.copy()
    out[window] = cv2.resize(blocks, part.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    return out


def _at(anchor: tuple[float, float], point: tuple[float, float], unit: float) -> tuple[int, int]:
    return round(anchor[0] + point[0] * unit), round(anchor[1] + point[1] * unit)


# Backdrops


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


SCENES: tuple[Draw, ...] = (_shelves, _lights, _curtain, _window, _panels)


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
