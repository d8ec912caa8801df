"""From a plan to pictures, sound and a movie file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from iaca.corpora.demo.backdrop import draw_backdrop
from iaca.corpora.demo.behaviour import Track, perform
from iaca.corpora.demo.config import DemoConfig
from iaca.corpora.demo.geometry import FaceFrame, Image
from iaca.corpora.demo.occlusion import occlude
from iaca.corpora.demo.plan import ClipPlan, VideoPlan
from iaca.corpora.demo.puppet import Puppet
from iaca.corpora.demo.sound import Sound, make_sound, mouth_opening, other_take
from iaca.media import write_movie

ALONE = ((0.5, 0.385, 0.165),)
TOGETHER = ((0.265, 0.42, 0.14), (0.735, 0.42, 0.14))
"""Where faces lie: x of the point between the eyes / width, its y / height, distance of the eyes / height."""


def render_movie(plan: VideoPlan, config: DemoConfig, target: Path) -> None:
    """Write one video of the corpus (H.264 and AAC in mp4) to `target`."""
    sound = make_sound(plan, config.audio_rate)
    write_movie(target, render_frames(plan, config, sound), plan.fps, sound.heard, config.audio_rate)


def render_frames(plan: VideoPlan, config: DemoConfig, sound: Sound | None = None) -> Iterator[tuple[float, Image]]:
    """Times (s) and pictures, uint8 RGB (height, width, 3), of a video, one after the other.

    Args:
        sound: the video's sound, where the caller has it already.
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
    """A person in a video: a puppet and what it does in each frame."""

    def __init__(self, clip: ClipPlan, plan: VideoPlan, config: DemoConfig, sound: Sound, times: Track):
        frame = _face_frame(clip, plan, config)
        self.clip, self.puppet = clip, Puppet(clip.identity, frame, (config.width, config.height))
        self.acts = perform(clip, times, *_mouths(clip, plan, config, sound, times))
        self.occlusions = [event for event in clip.events if event.kind == "occluded"]

    def draw(self, picture: Image, index: int, time_s: float) -> Image:
        expression, pose = self.acts[index]
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
    """Opening of the mouth (n,) with what the person says, and with what another take says. A listener says nothing."""
    if not clip.speaks:
        return np.zeros_like(times), np.zeros_like(times)
    mouth = mouth_opening(sound.spoken, config.audio_rate, times)
    if not any(event.kind == "contradictory" for event in clip.events):
        return mouth, mouth
    other = other_take(clip, clip.identity.voice, plan.seconds, config.audio_rate, clip.seed + 1)
    return mouth, mouth_opening(other, config.audio_rate, times)
