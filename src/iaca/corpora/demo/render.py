"""Renders a video of the demo corpus from its plan: backdrop, photo puppets, occlusions, sound, mp4."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from iaca.corpora.demo.face import (
    EYES,
    PORTRAIT_SMILE,
    Expression,
    ExpressionWarp,
    FaceFrame,
    Floats,
    Image,
    Portrait,
    Pose,
    bump,
    combine,
    place_portrait,
    pose_basis,
    ramp,
    shape_field,
    to_image,
)
from iaca.corpora.demo.plan import ClipPlan, Colour, DemoConfig, Event, Identity, VideoPlan
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


# The photo puppet: the portrait in the colours, light and shape of one person

MARGIN = 0.8
"""Width by which the portrait's canvas exceeds the picture on each side, in eye distances: room to move."""
FOLDS = (
    ((-0.46, 0.63), (-0.62, 0.76), (-0.69, 0.85), (-0.67, 0.93)),
    ((0.43, 0.62), (0.55, 0.74), (0.62, 0.86), (0.59, 0.95)),
)
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


class Puppet:
    """A person at a place in the picture. Construction takes about 0.1 s, drawing about 3 ms. It keeps no state.

    Args:
        identity: the person.
        frame: place of the face in the picture; its `mirror` must be the identity's.
        size: width and height of the picture (px).
    """

    def __init__(self, identity: Identity, frame: FaceFrame, size: tuple[int, int]):
        margin = round(MARGIN * frame.unit)
        canvas, canvas_frame = _widen(size, margin), replace(frame, x=frame.x + margin, y=frame.y + margin)
        portrait = place_portrait(canvas_frame, canvas)
        self.frame, self.size = frame, size
        texture, self.matte = _paint(portrait, canvas_frame, identity), portrait.matte
        self.texture, self.straight = to_image(texture), to_image(_soften_creases(texture, canvas_frame))
        self.warp = ExpressionWarp(canvas_frame, canvas)
        self.poses = pose_basis(frame, size)
        self.grid = _pixels(size) + np.float32(margin)
        shape = _pixels(canvas) + shape_field(canvas_frame, canvas, identity.shape)
        self.shape = np.ascontiguousarray(np.moveaxis(shape, 0, -1))

    def draw(self, picture: Image, expression: Expression, pose: Pose) -> Image:
        """`picture`, uint8 RGB (h, w, 3), with the person in front of it."""
        column, row = self._source(pose)
        texture = self.warp.apply(self._skin(expression), expression)
        person = cv2.remap(texture, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        matte = cv2.remap(self.matte, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        return np.asarray(cv2.blendLinear(person, picture, matte, 1 - matte))

    def place(self, point: tuple[float, float], pose: Pose) -> tuple[float, float]:
        """Pixel (x, y) at which a point of the face (face coordinates) appears in this pose, to first order."""
        x, y = self.frame.pixels([point])[0]
        column, row = (int(np.clip(c, 0, n - 1)) for c, n in zip((x, y), self.size, strict=True))
        moved = combine(_coefficients(pose), self.poses[:, :, row, column])
        return float(x - moved[0]), float(y - moved[1])

    def _skin(self, expression: Expression) -> Image:
        """The texture, with the folds of the smile in proportion to this smile."""
        depth = float(np.clip(expression.smile / PORTRAIT_SMILE, 0, 1))
        return np.asarray(cv2.addWeighted(self.texture, depth, self.straight, 1 - depth, 0))

    def _source(self, pose: Pose) -> tuple[Floats, Floats]:
        """Columns and rows (h, w) on the portrait's canvas from which each pixel takes its colour."""
        column, row = self.grid + combine(_coefficients(pose), self.poses)
        shaped = cv2.remap(self.shape, column, row, cv2.INTER_LINEAR, borderValue=(-9.0, -9.0))
        return np.ascontiguousarray(shaped[..., 0]), np.ascontiguousarray(shaped[..., 1])


def _coefficients(pose: Pose) -> Floats:
    return np.array([pose.yaw, pose.pitch, pose.roll, pose.x, pose.y, pose.scale], dtype=np.float32)


def _widen(size: tuple[int, int], margin: int) -> tuple[int, int]:
    return size[0] + 2 * margin, size[1] + 2 * margin


def _pixels(size: tuple[int, int]) -> Floats:
    columns, rows = np.meshgrid(np.arange(size[0], dtype=np.float32), np.arange(size[1], dtype=np.float32))
    return np.stack([columns, rows])


# Colours and light


def _paint(portrait: Portrait, frame: FaceFrame, identity: Identity) -> Floats:
    """The portrait's texture (h, w, 3), float32 in 0-255, in this person's colours and light."""
    u, v = frame.grid(0, 0, portrait.matte.shape[1], portrait.matte.shape[0])
    skin = portrait.skin * (1 - 0.8 * _whites(portrait.texture, u, v))
    texture = portrait.texture * (1 + skin[..., None] * (np.array(identity.skin, np.float32) - 1))
    if identity.hair is not None:
        texture = _tint(texture, portrait.hair, np.array(identity.hair, np.float32))
    if identity.suit is not None:
        texture = _tint(texture, portrait.suit, np.array(identity.suit, np.float32))
    lit = texture * _light(u, v, frame.mirror, identity.light)[..., None]
    return np.asarray(np.clip(lit, 0, 255), dtype=np.float32)


def _whites(texture: Floats, u: Floats, v: Floats) -> Floats:
    """Weights of teeth and whites of the eyes: bright pixels of low saturation in the mouth or an eye."""
    places = bump(u, v, (0.0, 1.02), 0.36, 0.09) + sum(bump(u, v, eye, 0.22, 0.07) for eye in EYES)
    pale = np.clip(1.6 - (texture.max(axis=2) - texture.min(axis=2)) / 40, 0, 1)
    return np.asarray(np.clip(1.5 * places, 0, 1) * pale * ramp(texture @ LUMA, 90.0, 150.0), dtype=np.float32)


def _tint(texture: Floats, region: Floats, colour: Floats) -> Floats:
    """Give a region the mean colour `colour` and keep its shading, with less contrast in dark colours."""
    luma = texture @ LUMA
    mean = float((luma * region).sum() / max(float(region.sum()), 1.0))
    shading = (luma / max(mean, 1.0)) ** 0.85
    return np.asarray(texture + region[..., None] * (shading[..., None] * colour - texture))


def _light(u: Floats, v: Floats, mirror: int, light: tuple[float, float]) -> Floats:
    """Gain of a soft light from one side on a convex head; `u` is in the portrait's direction."""
    angle, strength = light
    across, down = np.tanh(mirror * u / 1.4), np.tanh((v - 0.3) / 1.8)
    gain = 1 + 0.38 * strength * (across * np.cos(angle) - down * np.sin(angle))
    return np.asarray(np.clip(gain, 0.55, 1.4), dtype=np.float32)


def _soften_creases(texture: Floats, frame: FaceFrame) -> Floats:
    """The texture without the folds at the sides of the mouth that come from the portrait's smile."""
    mask = np.zeros(texture.shape[:2], np.uint8)
    for fold in FOLDS:
        points = np.round(frame.pixels(fold) * 16).astype(np.int32)
        cv2.polylines(mask, [points], False, 255, max(2, round(0.13 * frame.unit)), cv2.LINE_AA, 4)
    filled = cv2.inpaint(np.clip(texture, 0, 255).astype(np.uint8), mask, 3, cv2.INPAINT_TELEA).astype(np.float32)
    weight = cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), 0.03 * frame.unit)[..., None]
    return np.asarray(texture + 0.8 * weight * (cv2.GaussianBlur(filled, (0, 0), 0.05 * frame.unit) - texture))


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
