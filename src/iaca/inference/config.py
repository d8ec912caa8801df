"""What a user asks of inference: its parameters, the model files that are meant, and the videos. Imports no torch."""

from __future__ import annotations

import glob
import logging
import math
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from iaca.encoders.config import mismatches
from iaca.engine.results import result_digests
from iaca.engine.task import digest
from iaca.errors import InputError, counted, plain_name
from iaca.faces.detect import PeopleRule
from iaca.files import current_files, require_access
from iaca.media import MediaLimits, kind_of, left_out, probe
from iaca.media.probe import Kind
from iaca.parameters import DEVICE, Parameters
from iaca.training.config import MODEL_SUFFIX

ModelName = Annotated[str, Field(min_length=1)]


class Drawing(Parameters):
    """What is drawn besides the tables, and what they have besides numbers.

    Attributes:
        overlay: write the video with face box, dial and gates (the slowest part).
        plot: write the picture of valence, arousal and gates over time.
        overlay_width: smaller videos are enlarged to this width in px, so that the text is readable.
        trail_s: how much of the past the dial shows, in seconds.
        words: also write the quadrant and the nearest emotion word of each frame into the tables.
    """

    LATER = frozenset({"words"})

    overlay: bool = True
    plot: bool = True
    overlay_width: int = Field(default=640, ge=320, le=3840)
    trail_s: float = Field(default=2.0, ge=0, le=30)
    words: bool = False


class People(PeopleRule):
    """Who in a video is analysed.

    Attributes:
        people: "main" is the one person with the largest face over time; "all" is everyone in view, each with a table.
    """

    people: Literal["main", "all"] = "main"


class InferenceConfig(Drawing, People):
    """What to predict, with which model, and which files to write.

    Attributes:
        input: a media file, a folder of them, or a glob pattern. None is refused by `named_input`.
        output: folder for NAME.csv (NAME.person1.csv, ... with `people: all`), NAME.json and, if asked for, NAME.png
            and NAME.mp4.
        model: model file, the name of one that comes with the project, or several whose predictions are averaged: a
            list, a folder or a glob pattern; or a repository of the hub (`named_repository`); None is `zero_shot`.
        device: of encoders and models; `auto` takes a GPU if there is one. That of the face detector is `faces.device`.
    """

    input: Annotated[str, Field(min_length=1)] | None = None
    output: str = Field(min_length=1)
    model: ModelName | Annotated[tuple[ModelName, ...], Field(min_length=1)] | None = None
    device: str = Field(default="auto", pattern=DEVICE)

    def named_input(self) -> str:
        """What to analyse.

        Raises:
            InputError: nothing is named.
        """
        if self.input is None:
            raise InputError(
                "no video is named to analyse",
                remedy='name a file, a folder or a pattern, and a folder for the results: --params "inference.input='
                'FILE_OR_FOLDER,inference.output=FOLDER"',
            )
        return self.input

    def drawing(self) -> Drawing:
        """The parameters that decide what is drawn."""
        return Drawing(**self.model_dump(include=set(Drawing.model_fields)))

    def whom(self) -> People:
        """The parameters that decide who is analysed."""
        return People(**self.model_dump(include=set(People.model_fields)))


SUMMARY_SUFFIX = ".json"
ZERO_SHOT = "zero_shot"
NAMED = {
    name: Path(__file__).parent / f"{name}.json" for name in (ZERO_SHOT, "zero_shot_blendshapes", "zero_shot_heads")
}
"""Models that come with the project."""
log = logging.getLogger(__name__)

_MODEL_REMEDY = (
    f"give a model file, a list of them, a folder that contains some ({MODEL_SUFFIX}), a pattern, or one of "
    f"{', '.join(NAMED)}; `kedro run` trains models into data/06_models. A repository of the hub, owner/name, is named "
    "alone"
)
HUB = "hub://"
"""Before `owner/name`, and `@revision` if wanted: a repository of the hub, whatever files there are."""
_REPOSITORY = re.compile(r"([A-Za-z0-9][\w.-]*)/[\w.-]+(@[\w./-]+)?")


def find_videos(given: str, output: Path | None = None) -> dict[str, Path]:
    """Name of the results -> video, for a file, a folder (searched recursively) or a glob pattern.

    The name is the file's stem, or its full name if another file has the same stem. Names are unique and never contain
    a path. Of a folder or a pattern, anything but a video (`iaca.media.kind_of`) is left out and counted in the log.
    Overlays of earlier runs are left out, wherever they are, and so is everything in the output folder if that is below
    the searched folder. What can't be read (a damaged video, a file of no known kind, a dangling link, a pipe, a folder
    without permission) is included: its analysis fails with the reason.

    Raises:
        InputError: no video is found, or an overlay in `output` would replace a video.
    """
    path = Path(given)
    if path.is_dir():
        found = _videos(p for p in _walk(path) if not _is_inside(p, output, path))
    else:
        found = [path] if os.path.lexists(path) else _videos(_matches(given))
    videos = found if found == [path] else _without_overlays(found)
    if not videos:
        absent = not (os.path.lexists(path) or glob.has_magic(given))
        raise InputError(
            f"no video found{': there is no such file or folder' if absent else ''}",
            given,
            remedy="give a file, a folder or a pattern; a file that is named alone is tried whatever its ending",
        )
    stems, names = Counter(p.stem for p in videos), Counter(p.name for p in videos)
    named: dict[str, Path] = {}
    for video in videos:
        named[_unique(plain_name(_name(video, path, stems, names)), named)] = video
    if output is not None:
        _check_output(named, output)
    return named


MANY_VIDEOS, MANY_HOURS = 200, 2.0
"""More than this is announced before the work starts."""
SPEED = {True: 3.0, False: 6.0}
"""Times real time at 640x360 px, on one core, with and without an overlay (docs/engineering/performance.md)."""


def announcement(videos: Collection[Path], overlay: bool, limits: MediaLimits | None = None) -> str:
    """How many videos and hours will be analysed and how long that takes; "" for a few.

    Lengths are those that the headers claim; what can't be read counts as nothing.
    """
    seconds = 0.0
    for video in videos:
        with suppress(InputError, OSError):
            claimed = probe(video, decoding=False, limits=limits).duration_s
            seconds += claimed if math.isfinite(claimed) else 0.0
    hours = seconds / 3600
    if len(videos) <= MANY_VIDEOS and hours <= MANY_HOURS:
        return ""
    without = " with the overlay, which inference.overlay=false leaves out" if overlay else ""
    return (
        f"{counted(len(videos), 'video')}, {hours:.1f} h in all: about {hours / SPEED[overlay]:.1f} h of computing on "
        f"one core, less with several ({SPEED[overlay]:.0f} times real time at 640x360{without}). Results that are up "
        "to date are kept, now and whenever the run is stopped with Ctrl-C"
    )


def _walk(folder: Path) -> list[Path]:
    """Everything below a folder that is not a folder and not hidden, and every folder that can't be listed.

    Links to folders are not followed, since they may lead back; the log names them.
    """
    unreadable: list[Path] = []
    found: list[Path] = []
    for place, folders, names in os.walk(folder, onerror=lambda error: unreadable.append(Path(error.filename))):
        try:
            require_access(place)
        except OSError:
            unreadable.append(Path(place))
            continue
        found += [Path(place, name) for name in names if not name.startswith(".")]
        for link in (Path(place, name) for name in folders):
            if link.is_symlink():
                log.warning("%s is a link to a folder and was not searched", plain_name(str(link)))
    return sorted([*found, *unreadable])


def _videos(found: Iterable[Path]) -> list[Path]:
    """Videos, and what may be one: what can't be opened, and folders that can't be listed. The log counts others."""
    kinds = [(path, _kind(path)) for path in found]
    for kind, words in (("sound", "sound without pictures"), ("other", "no videos")):
        if others := [path for path, its in kinds if its == kind]:
            log.info("left out %s (%s): %s", counted(len(others), "file"), words, left_out(others))
    return [path for path, kind in kinds if kind == "video"]


def _kind(path: Path) -> Kind:
    try:
        return "video" if path.is_dir() else kind_of(path)
    except InputError:  # its analysis will fail with the reason
        return "video"


def _matches(pattern: str) -> list[Path]:
    return sorted(Path(p) for p in glob.glob(pattern, recursive=True) if not Path(p).is_dir())  # noqa: PTH207 may be absolute


def _without_overlays(found: list[Path]) -> list[Path]:
    """Remove overlays that earlier runs wrote, by the journals of their folders."""
    written = {folder: result_digests(folder, SUMMARY_SUFFIX) for folder in {path.parent for path in found}}
    videos = [path for path in found if not _is_unchanged(path, written[path.parent].get(path.name))]
    if len(videos) < len(found):
        log.info("left out %s of earlier runs", counted(len(found) - len(videos), "result"))
    return videos


def _is_unchanged(path: Path, written: str | None) -> bool:
    """Whether a file has the digest with which it was written. A file that replaced a result is not a result."""
    try:
        return written is not None and digest(path) == written
    except OSError:
        return False


def _is_inside(video: Path, output: Path | None, root: Path) -> bool:
    """Whether a video is in an output folder that is itself below the searched folder."""
    if output is None or output.resolve() == root.resolve():
        return False
    place = Path(os.path.realpath(video))  # `Path.resolve` raises on a loop of links
    return output.resolve().is_relative_to(root.resolve()) and place.is_relative_to(output.resolve())


def _name(video: Path, root: Path, stems: Counter[str], names: Counter[str]) -> str:
    if stems[video.stem] == 1 and not _is_reserved(video.stem, stems):
        return video.stem
    if names[video.name] == 1:
        return video.name
    parts = video.relative_to(root).parts if video.is_relative_to(root) else video.parts[-3:]
    return "_".join(part for part in parts if part != video.anchor)  # a name that starts with "/" would be a path


def _is_reserved(stem: str, stems: Counter[str]) -> bool:
    """Whether results of this name would clash with the folder's own files or with a person of another video:
    `failures`, `inference_summary`, `a.person2`."""
    person = re.fullmatch(r"(.+)\.person\d+", stem)
    return stem in ("failures", "inference_summary") or (person is not None and person[1] in stems)


def _unique(name: str, taken: Collection[str]) -> str:
    """The name, with a number appended if it is taken: `a/b/v.mp4` and `a_b/v.mp4` would otherwise be the same."""
    numbered = (f"{name}_{number}" for number in count(2))
    return name if name not in taken else next(other for other in numbered if other not in taken)


def _check_output(named: dict[str, Path], output: Path) -> None:
    videos = {os.path.realpath(video) for video in named.values()}
    for name in named:
        if os.path.realpath(output / f"{name}.mp4") in videos:
            raise InputError(
                "the overlay would replace this video", output / f"{name}.mp4", remedy="name another output folder"
            )


def named_repository(given: str | Iterable[str], base: Path | None = None) -> str | None:
    """`hub://owner/name` or `hub://owner/name@revision` if a model is named so, with or without `hub://`.

    Without it, what may be a path is one: `base` has a file or folder of that name or a folder `owner`, or the name
    ends like that of a model file. So a mistyped path is not looked for on the hub.

    Args:
        given: as `find_models` takes it.
        base: what a relative path is relative to; None for the current folder.
    """
    several = [given] if isinstance(given, str) else list(given)
    if len(several) != 1:
        return None
    (name,), base = several, base or Path.cwd()
    if name.startswith(HUB):
        return name
    found = _REPOSITORY.fullmatch(name)
    if found is None or name.endswith(MODEL_SUFFIX) or (base / name).exists() or (base / found[1]).is_dir():
        return None
    return f"{HUB}{name}"


def find_models(given: str | Path | Iterable[str | Path]) -> list[Path]:
    """The files of a name, a path, a pattern or a list of these, in the order given and without duplicates.

    A folder of versions (`NAME/<version>/NAME`, as the training pipeline writes) is its newest version; any other
    folder is all model files directly in it, sorted by name.

    Raises:
        InputError: one of them does not exist, or a folder contains no model.
    """
    several = [given] if isinstance(given, str | Path) else list(given)
    found = [path for one in several for path in _model_files(str(one))]
    if not found:
        raise InputError("no model is named", remedy=_MODEL_REMEDY)
    return list(dict.fromkeys(found))


def _model_files(given: str) -> list[Path]:
    path = Path(given)
    if not path.exists() and given in NAMED:
        return [NAMED[given]]
    found = current_files(path, MODEL_SUFFIX)
    if not found and not path.is_dir():
        found = sorted(Path(p) for p in glob.glob(given, recursive=True) if Path(p).is_file())  # noqa: PTH207 may be absolute
    if not found:
        raise InputError("there is no model", given, remedy=_MODEL_REMEDY)
    return found


def check_alike(paths: Sequence[Path], metadata: Sequence[Mapping[str, str]]) -> None:
    """Refuse models trained on other encoders than the first: a video is embedded once for all of them.

    Raises:
        InputError: with the file and what differs.
    """
    for path, facts in zip(paths[1:], metadata[1:], strict=True):
        if differences := mismatches(metadata[0], facts):
            raise InputError(
                f"models that are averaged need the same encoders, but unlike {paths[0].name} this one has "
                f"{'; '.join(differences)}",
                path,
                remedy="leave it out, or train it on the same embeddings",
            )
