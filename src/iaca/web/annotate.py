"""Annotation on the page: clips, the traces of their raters, the gold standard, and the model adapted to it.

`Annotations` holds the folders; `routes` is what a browser may ask for. Every request bears the key of a browser, which
it draws itself and keeps: it finds its clips again after a reload, other browsers do not, and a website can't send it.
"""

from __future__ import annotations

import hashlib
import io
import logging
import secrets
import shutil
import threading
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from iaca.corpora.folder import find_videos
from iaca.corpora.index import PARTITION_FILE, SUBJECT_FILE, Problem, read_subjects
from iaca.corpora.raters import (
    REPORT,
    GoldConfig,
    import_trace,
    rater_files,
    rater_folder,
    read_report,
    read_trace,
    save_trace,
    write_gold,
)
from iaca.errors import InputError, brief, counted, plain_name
from iaca.files import is_name, make_folder, replacing, require_writable, work_folder, write_text
from iaca.formats.annotations import export
from iaca.formats.labels import LABELS, inspect_labels, read_labels
from iaca.inference.adaptation import MODEL, SCORES, Labelled, adapt_clips, labelled_clips
from iaca.inference.members import AdaptedModel
from iaca.media import MediaLimits, frame_times, rewrite_movie
from iaca.text import composed, csv_rows, parse_json
from iaca.training.calibration import LEVEL, clips_needed
from iaca.web.access import KEY, answered, body_of, download, number_of, optional_text, text_of
from iaca.web.sessions import NAME_LENGTH, Helper, WebConfig, check_video, shown_error

log = logging.getLogger(__name__)
Array = NDArray[np.float64]
Answer = dict[str, Any]

ADDRESS = "/iaca/annotate"
MOST_BROWSERS, MOST_CLIPS = 16, 50
MOST_UPLOADS = 10
"""All clips of a browser together are at most this often as large as the largest upload."""
MOST_JSON = 2**24  # bytes of a request
CHUNK = 2**20
PEOPLE = 2
"""Without another person (or clip) to be tested on, an adapted model is not made."""


class Annotations:
    """The folders of all browsers, below the page's own folder, or one that the user named and that stays.

    Args:
        root: folder of this run of the page.
        config: largest and longest video, and the folder that stays.
    """

    def __init__(self, root: Path, config: WebConfig):
        self.config, self.kept = config, None if config.annotations is None else Path(config.annotations).absolute()
        self._folder, self._models, self._copies = (root / name for name in ("annotate", "models", "copies"))
        self.scratch = root / "work"  # not that of `Sessions`, which empties its own
        self._browsers, self._change, self._copying = dict[str, Workspace](), threading.Lock(), threading.Lock()
        self._media = dict[str, Path]()  # what the browser plays, by an address that can't be guessed
        self.helper, self.copier = Helper(self.scratch), Helper(self.scratch)
        if self.kept is not None:
            make_folder(self.kept)
            require_writable(self.kept)

    def workspace(self, key: str) -> Workspace:
        """The clips of a browser.

        Raises:
            InputError: too many browsers annotate.
        """
        name = "kept" if self.kept is not None else hashlib.sha256(key.encode()).hexdigest()[:24]
        with self._change:
            if name not in self._browsers:
                if len(self._browsers) >= MOST_BROWSERS:  # those that only looked do not count
                    self._browsers = {other: each for other, each in self._browsers.items() if each.root.exists()}
                if len(self._browsers) >= MOST_BROWSERS:
                    remedy = "start the page again, or with --annotations FOLDER, which all browsers share"
                    raise InputError(f"{counted(MOST_BROWSERS, 'browser')} annotated here already", remedy=remedy)
                self._browsers[name] = Workspace(self.kept or self._folder / name, name)
            return self._browsers[name]

    def address(self, path: Path) -> str:
        """Where the browser finds a video."""
        with self._change:
            known = next((name for name, other in self._media.items() if other == path), None)
            name = known or secrets.token_hex(16)
            self._media[name] = path
        return f"{ADDRESS}/media/{name}"

    def media(self, name: str) -> Path | None:
        """The video of an address."""
        return self._media.get(name)

    def playable(self, video: Path) -> str:
        """The address of a video, or of its copy if there is one."""
        copy = self._copy_of(video)
        return self.address(copy if copy.exists() else video)

    def copy(self, workspace: Workspace, clip: str) -> str:
        """The address of a copy (H.264) for a browser that does not play the video; frames keep their times.

        Raises:
            InputError: the video can't be redrawn.
        """
        video = workspace.video(clip)
        with self._copying:
            if not self._copy_of(video).exists():
                for _ in self.copier.run(workspace.name, make_copy, video, self._copy_of(video), self.config.limits):
                    pass
        return self.playable(video)

    def _copy_of(self, video: Path) -> Path:
        name = hashlib.sha256(f"{video} {video.stat().st_mtime_ns}".encode()).hexdigest()[:24]
        return self._copies / f"{name}.mp4"

    def model(self, workspace: Workspace) -> Answer | None:
        """The adapted model of a browser under the name by which it is chosen; None if there is none."""
        path = workspace.root / MODEL
        if not path.exists():
            return None
        data = path.read_bytes()
        name = hashlib.sha256(data).hexdigest()[:32]
        copy = self._models / f"{name}.safetensors"  # a path that never changes its content: a process caches it
        if not copy.exists():
            with replacing(copy) as partial:
                partial.write_bytes(data)
        found = AdaptedModel.load(copy)
        return None if found is None else {"name": name, "caveat": found.metadata["caveat"], "label": "adapted"}

    def forget(self, videos: Iterable[Path], workspace: Workspace | None = None) -> None:
        """Remove the copies of videos and, if all of a browser goes, of its model."""
        model = None if workspace is None else self.model(workspace)
        if model is not None:
            (self._models / f"{model['name']}.safetensors").unlink(missing_ok=True)
        for video in videos:
            self._copy_of(video).unlink(missing_ok=True)

    def chosen(self, name: str) -> tuple[Path, ...]:
        """The model of a name, as a model for `Sessions.receive`; empty for the page's own.

        Raises:
            InputError: there is no such model.
        """
        if not name:
            return ()
        path = self._models / f"{name}.safetensors"
        if not KEY.fullmatch(name) or not path.exists():
            raise InputError("this model is gone", remedy="adapt it again, or choose the page's own model")
        return (path,)

    def close(self) -> None:
        """Stop what runs."""
        for each in (self.helper, self.copier):
            each.cancel()


@dataclass
class Workspace:
    """The clips of a browser, in the layout of `iaca.corpora.folder`, with `iaca.corpora.raters`.

    Attributes:
        root: the folder.
        name: of the browser.
        adaptation: the state of the last adaptation: `state` (idle, running, done, failed), `done` and `of` (steps),
            `step` (words), and its `problem` and `remedy`.
    """

    root: Path
    name: str
    adaptation: Answer = field(default_factory=lambda: {"state": "idle"})
    lock: threading.RLock = field(default_factory=threading.RLock)
    _clocks: dict[tuple[Path, int], Array] = field(default_factory=dict)
    _shares: dict[tuple[Path, int], Answer] = field(default_factory=dict)

    def videos(self, closed: list[Problem] | None = None) -> dict[str, Path]:
        """Clip -> video; `closed` receives folders that may not be read."""
        return find_videos(self.root, closed) if self.root.exists() else {}

    def video(self, clip: str) -> Path:
        """The video of a clip.

        Raises:
            InputError: there is none.
        """
        found = self.videos().get(composed(clip))
        if found is None:
            raise InputError(f"there is no clip {brief(repr(clip), 60)}", remedy="reload the page")
        return found

    def clock(self, clip: str, limits: MediaLimits) -> Array:
        """(t,) times of the frames of a clip, s."""
        video = self.video(clip)
        place = video, video.stat().st_mtime_ns
        if place not in self._clocks:
            self._clocks[place] = frame_times(video, limits)
        return self._clocks[place]

    def shares(self, path: Path) -> Answer:
        """The share of a trace's rows that have a value, per dimension; and its first fault as `problem`."""
        place = path, path.stat().st_mtime_ns
        if place not in self._shares:
            try:
                values = read_labels(path).values
                found: Answer = dict(zip(LABELS, np.isfinite(values).mean(axis=0).tolist(), strict=True))
            except InputError as error:
                found = {**dict.fromkeys(LABELS, 0.0), "problem": str(error.about(path.name))}
            self._shares[place] = found
        return self._shares[place]

    def take(self, upload: Path, name: str, config: WebConfig) -> str:
        """Move an upload here as a clip; return the clip.

        Raises:
            InputError: it is not a video that the page accepts, its name is taken, or there are too many.
        """
        ending = Path(name).suffix.lower()
        stem = plain_name(composed(Path(name).stem)).replace("\\", "_").replace("/", "_")[:NAME_LENGTH].strip(" .")
        if not is_name(f"{stem}{ending}") or not stem:
            raise InputError(f"{brief(repr(name), 80)} is not a name of a clip", remedy="rename the file")
        check_video(upload, name, config.max_seconds, config.limits)
        with self.lock:
            videos = self.videos()
            if stem in videos:
                raise InputError("a clip of this name is there already", name, remedy="rename the file")
            taken = sum(path.stat().st_size for path in videos.values()) + upload.stat().st_size
            if len(videos) >= MOST_CLIPS or taken > MOST_UPLOADS * config.max_mb * 2**20:
                what = f"this page takes {MOST_CLIPS} clips and {MOST_UPLOADS * config.max_mb:,} MB at most"
                raise InputError(what, name, remedy="remove a clip, or start the page with a larger --max-mb")
            make_folder(self.root)
            shutil.move(upload, self.root / f"{stem}{ending}")
        return stem

    def remove(self, clip: str) -> None:
        """Remove a clip with its labels and traces."""
        with self.lock:
            video = self.video(clip)
            traces = rater_files(self.root).get(composed(clip), {}).values()
            for path in (video, video.with_suffix(".csv"), video.with_suffix(REPORT), *traces):
                path.unlink(missing_ok=True)

    def name_person(self, clip: str, person: str) -> None:
        """Say who is in a clip, in subjects.csv: clips of one person are left out together.

        Raises:
            InputError: the name is none, or a table decides that was not written here.
        """
        person, table = composed(person.strip()), self.root / SUBJECT_FILE
        if not person or plain_name(person) != person or len(person) > NAME_LENGTH or set(person) & set(',;"'):
            raise InputError(f"{brief(repr(person), 60)} is not a name", remedy="give letters, digits or spaces")
        with self.lock:
            header = next((cells for _, cells in csv_rows(table)), []) if table.exists() else ["clip", "subject"]
            if header != ["clip", "subject"] or (self.root / PARTITION_FILE).exists():
                raise InputError("a table of this folder says who is in the clips", self.root, remedy="edit it there")
            people = {each: subject for each, (subject, _) in read_subjects(self.root).items()}
            people[next(each for each in self.videos() if each == composed(clip))] = person
            rows = "".join(f"{each},{subject}\n" for each, subject in sorted(people.items()))
            write_text(table, f"clip,subject\n{rows}")

    def save(self, clip: str, rater: str, dimension: str, values: Any, times: Array) -> None:
        """Save a dimension of a rater's trace: one value per frame, None where there is none.

        Raises:
            InputError: the values are not those of this clip.
        """
        if dimension not in LABELS or not isinstance(values, list) or len(values) != len(times):
            what = f"{len(values) if isinstance(values, list) else 'no'} values of {brief(dimension, 20)}"
            raise InputError(f"{what} for {counted(len(times), 'frame')}", remedy="reload the page")
        numbers = [value for value in values if value is not None]
        if not all(type(value) in (int, float) and -1 <= value <= 1 for value in numbers):
            raise InputError("a value is not a number in [-1, 1]", remedy="reload the page")
        with self.lock:
            column = np.array([np.nan if value is None else value for value in values], np.float64)
            save_trace(self.root, composed(clip), rater, times, {dimension: column})

    def archive(self) -> bytes:
        """Labels, how they were made, traces, tables and the adapted model as a ZIP; without the videos."""
        with self.lock, io.BytesIO() as buffer:
            with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
                videos = self.videos().values()
                labels = [video.with_suffix(end) for video in videos for end in (".csv", REPORT)]
                tables = [self.root / name for name in (SUBJECT_FILE, MODEL, SCORES)]
                traces = [path for found in rater_files(self.root).values() for path in found.values()]
                for path in sorted({*labels, *tables, *traces}):
                    if path.is_file():
                        archive.write(path, path.relative_to(self.root))
            return buffer.getvalue()


def state(annotations: Annotations, workspace: Workspace) -> Answer:
    """What the page shows: clips with their raters, labels and people, and what an adaptation still needs."""
    closed: list[Problem] = []
    videos, files = workspace.videos(closed), rater_files(workspace.root)
    people = {clip: subject for clip, (subject, _) in read_subjects(workspace.root).items()}
    clips = []
    for clip, video in sorted(videos.items()):
        labels = video.with_suffix(".csv")
        clips.append(
            {
                "clip": clip,
                "media": annotations.playable(video),
                "person": people.get(clip, clip),
                "raters": {rater: workspace.shares(path) for rater, path in files.get(clip, {}).items()},
                "gold": read_report(video) or None,
                "labelled": labels.exists() and inspect_labels(labels).annotated > 0,
            }
        )
    problems, model, scores = [f"{p['file']}: {p['problem']} Remedy: {p['remedy']}" for p in closed], None, None
    try:
        model = annotations.model(workspace)
        scores = _scores(workspace.root) if model else None
    except InputError as error:
        problems.append(str(error))
    return {
        "problems": problems,
        "kept": str(annotations.kept) if annotations.kept else None,
        "clips": clips,
        "raters": sorted({rater for found in files.values() for rater in found}),
        "needed": {"people": PEOPLE, "intervals": clips_needed(LEVEL)},
        "adaptation": workspace.adaptation,
        "scores": scores,
        "model": model,
        "longest_s": annotations.config.max_seconds,
        "largest_mb": annotations.config.max_mb,
    }


def _scores(root: Path) -> Answer | None:
    """What `adapt_clips` wrote about the model of a folder; None if there is nothing."""
    path = root / SCORES
    try:
        found = parse_json(path.read_text(encoding="utf-8")) if path.exists() else None
    except ValueError as error:
        raise InputError(
            f"not the scores of an adapted model ({error})", path, remedy="adapt the model again"
        ) from error
    return dict(found) if found else None


# Adaptation: in a process of its own


def start_adaptation(annotations: Annotations, workspace: Workspace, config: GoldConfig) -> None:
    """Make the gold standard, then adapt the zero-shot model to all labels of the folder, in the background.

    Raises:
        InputError: a trace is faulty; too few people are annotated; another adaptation is running.
    """
    with workspace.lock:
        if workspace.adaptation["state"] == "running":
            raise InputError("the model is being adapted already", remedy="wait until it is done, or cancel it")
        if rater_files(workspace.root):
            make_gold(annotations, workspace, config)
        clips = labelled_clips(workspace.root)
        people = {subject for subject, *_ in clips}
        if len(people) < PEOPLE:
            what = f"{counted(len(clips), 'clip')} of {counted(len(people), 'person').replace('persons', 'people')}"
            remedy = (
                f"trace valence and arousal in clips of at least {PEOPLE} people; ten or more give a reliable estimate"
            )
            what = f"valence and arousal are known in {what}: the adapted model could not be tested on anybody else"
            raise InputError(what, remedy=remedy)
        if annotations.helper.busy:
            raise InputError("another model is being adapted", remedy="wait until it is done")
        workspace.adaptation = {"state": "running", "done": 0, "of": len(clips) + 1, "step": "starting"}
    threading.Thread(target=_adapt_in_background, args=(annotations, workspace, clips), daemon=True).start()


def make_gold(annotations: Annotations, workspace: Workspace, config: GoldConfig) -> dict[str, Answer]:
    """Write the gold standard of all clips."""
    with workspace.lock:
        clips = set(rater_files(workspace.root)) & set(workspace.videos())
        clocks = {clip: workspace.clock(clip, annotations.config.limits) for clip in clips}
        return write_gold(workspace.root, config, clocks)


def _adapt_in_background(annotations: Annotations, workspace: Workspace, clips: list[Labelled]) -> None:
    config, target = annotations.config, workspace.root / MODEL
    try:
        with work_folder(annotations.scratch) as scratch:
            arguments = (clips, workspace.root, scratch, config.limits)
            for sent in annotations.helper.run(workspace.name, adapt_clips, *arguments):
                workspace.adaptation = {**workspace.adaptation, **sent} | {"done": sent.get("number", len(clips))}
            with replacing(target) as partial:
                shutil.copyfile(scratch / MODEL, partial)
            write_text(workspace.root / SCORES, (scratch / SCORES).read_text(encoding="utf-8"))
        workspace.adaptation = {"state": "done"}
    except Exception as error:  # noqa: BLE001  shown on the page
        found = shown_error(error)
        workspace.adaptation = {"state": "failed", "problem": found.problem, "remedy": found.remedy}


def make_copy(send: Callable[[Answer], None], video: Path, target: Path, limits: MediaLimits) -> None:
    """Write a video again as H.264."""
    rewrite_movie(video, target, _unchanged, limits)


def _unchanged(frame: Any) -> Any:
    return frame.image


# Routes

Handler = Callable[[Annotations, Workspace, Answer], Any]


def routes(annotations: Annotations) -> list[Route]:
    """Every route of the annotation panel."""

    def route(method: str, path: str, handler: Handler) -> Route:
        async def endpoint(request: Request) -> Response:
            return await answered(
                request, lambda key: _answer(request, annotations, annotations.workspace(key), handler)
            )

        return Route(f"{ADDRESS}{path}", endpoint, methods=[method])

    async def upload(request: Request) -> Response:
        return await answered(request, lambda key: _receive(request, annotations, annotations.workspace(key)))

    async def media(request: Request) -> Response:
        path = annotations.media(request.path_params["name"])
        if path is None or not path.exists():
            return PlainTextResponse("The video is gone: reload the page.\n", 404)
        return FileResponse(path)

    table = [route(method, path, handler) for (method, path), handler in HANDLERS.items()]
    return [
        *table,
        Route(f"{ADDRESS}/clips", upload, methods=["POST"]),
        Route(f"{ADDRESS}/media/{{name}}", media, methods=["GET"]),
    ]


async def _answer(request: Request, annotations: Annotations, space: Workspace, handler: Handler) -> Response:
    given: Answer = dict(request.query_params)
    if request.method != "GET":
        body = await body_of(request, MOST_JSON, "send a smaller file")
        try:
            given = dict(parse_json(body))
        except (ValueError, TypeError) as error:
            raise InputError("the request is not JSON", remedy="reload the page") from error
    found = await run_in_threadpool(handler, annotations, space, given)
    return found if isinstance(found, Response) else JSONResponse(found)


async def _receive(request: Request, annotations: Annotations, space: Workspace) -> Response:
    """Receive a clip: the body is the file."""
    name = request.query_params.get("name", "")
    most = annotations.config.max_mb * 2**20
    with work_folder(annotations.scratch) as work:
        upload = work / f"upload{Path(name).suffix.lower()[:12]}"
        with upload.open("wb") as file:
            size = 0
            async for chunk in request.stream():
                size += len(chunk)
                if size > most:
                    what = f"the file is larger than {annotations.config.max_mb} MB"
                    raise InputError(what, name, remedy="give a smaller one, or start the page with a larger --max-mb")
                file.write(chunk)
        clip = await run_in_threadpool(space.take, upload, name, annotations.config)
    return JSONResponse({"clip": clip})


def _show_clip(annotations: Annotations, space: Workspace, given: Answer) -> Answer:
    """Times of the frames, and the rater's own trace: nobody sees those of others."""
    clip, rater = text_of(given, "clip"), optional_text(given, "rater")
    times = space.clock(clip, annotations.config.limits)
    path = rater_folder(space.root, rater) / f"{composed(clip)}.csv" if rater else None
    labels = read_trace(path, times) if path and path.exists() else np.full((len(times), 2), np.nan)
    columns = dict(zip(LABELS, labels.T, strict=True))
    return {"times": times.tolist(), **{d: [None if np.isnan(v) else v for v in c] for d, c in columns.items()}}


def _save(annotations: Annotations, space: Workspace, given: Answer) -> Answer:
    clip = text_of(given, "clip")
    times = space.clock(clip, annotations.config.limits)
    space.save(clip, text_of(given, "rater"), text_of(given, "dimension"), given.get("values"), times)
    return {}


def _remove(annotations: Annotations, space: Workspace, given: Answer) -> Answer:
    if annotations.kept is not None:
        raise InputError("the videos of this folder are yours", annotations.kept, remedy="remove the file there")
    annotations.forget([space.video(text_of(given, "clip"))])
    space.remove(text_of(given, "clip"))
    return {}


def _forget(annotations: Annotations, space: Workspace, given: Answer) -> Answer:
    """Remove everything of this browser."""
    if annotations.kept is not None:
        raise InputError("the videos of this folder are yours", annotations.kept, remedy="remove them there")
    annotations.helper.cancel(space.name)
    with space.lock:
        annotations.forget(space.videos().values(), space)
        shutil.rmtree(space.root, ignore_errors=True)
        space.adaptation = {"state": "idle"}
    return {}


def _copy(annotations: Annotations, space: Workspace, given: Answer) -> Answer:
    return {"media": annotations.copy(space, text_of(given, "clip"))}


def _person(annotations: Annotations, space: Workspace, given: Answer) -> Answer:
    space.name_person(text_of(given, "clip"), text_of(given, "person"))
    return {}


def _gold_config(given: Answer) -> GoldConfig:
    return GoldConfig(**{name: given[name] for name in GoldConfig.model_fields if given.get(name) is not None})


def _gold(annotations: Annotations, space: Workspace, given: Answer) -> Answer:
    return make_gold(annotations, space, _gold_config(given))


def _import(annotations: Annotations, space: Workspace, given: Answer) -> Answer:
    """Read files of another program (`files`: name -> text in latin-1) as the trace of a rater."""
    clip, rater, files = text_of(given, "clip"), text_of(given, "rater"), given.get("files")
    if not isinstance(files, dict) or not files or not all(is_name(n) and isinstance(t, str) for n, t in files.items()):
        raise InputError("no file was sent", remedy="choose a file")
    times = space.clock(clip, annotations.config.limits)
    with work_folder(annotations.scratch) as work:
        for name, text in files.items():
            (work / name).write_bytes(text.encode("latin-1"))
        first = next((name for name in files if not name.endswith("~")), next(iter(files)))
        names = {d: optional_text(given, d) for d in LABELS}
        columns = import_trace(work / first, times, names, number_of(given, "low"), number_of(given, "high"))
    with space.lock:
        save_trace(space.root, composed(clip), rater, times, columns)
    return {d: int(np.isfinite(values).sum()) for d, values in columns.items()} | {"frames": len(times)}


def _export(annotations: Annotations, space: Workspace, given: Answer) -> Response:
    form = text_of(given, "form")
    if form == "folder":
        return download("annotations.zip", space.archive())
    clip, rater = text_of(given, "clip"), optional_text(given, "rater")
    video, times = space.video(clip), space.clock(clip, annotations.config.limits)
    source = rater_folder(space.root, rater) / f"{composed(clip)}.csv" if rater else video.with_suffix(".csv")
    if not source.exists():
        raise InputError("there are no labels", source, remedy="make the gold standard, or trace the clip, first")
    files = export(form, video.name, times, read_trace(source, times), rater or "")
    if len(files) == 1:
        return download(*next(iter(files.items())))
    with io.BytesIO() as buffer:
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return download(f"{Path(video.name).stem}.{form}.zip", buffer.getvalue())


def _adapt(annotations: Annotations, space: Workspace, given: Answer) -> Answer:
    start_adaptation(annotations, space, _gold_config(given))
    return space.adaptation


def _cancel(annotations: Annotations, space: Workspace, given: Answer) -> Answer:
    annotations.helper.cancel(space.name)
    return {}


HANDLERS: Mapping[tuple[str, str], Handler] = {
    ("GET", ""): lambda annotations, space, given: state(annotations, space),
    ("GET", "/clip"): _show_clip,
    ("PUT", "/clip"): _save,
    ("POST", "/clip/remove"): _remove,
    ("POST", "/clip/copy"): _copy,
    ("POST", "/clip/person"): _person,
    ("POST", "/forget"): _forget,
    ("POST", "/gold"): _gold,
    ("POST", "/import"): _import,
    ("POST", "/export"): _export,
    ("GET", "/adapt"): lambda annotations, space, given: space.adaptation,
    ("POST", "/adapt"): _adapt,
    ("POST", "/adapt/cancel"): _cancel,
}
"""Method and path below `ADDRESS` -> what answers. Bodies and answers are JSON."""
