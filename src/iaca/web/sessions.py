"""Sessions of the page: their files, from upload to the end, and the process that analyses one video at a time."""

from __future__ import annotations

import hashlib
import logging
import multiprocessing
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from iaca.engine.worker import as_input_error, prepare
from iaca.errors import InputError
from iaca.faces.detect import FaceConfig
from iaca.inference import Predictor
from iaca.inference.config import ZERO_SHOT, Drawing
from iaca.inference.write import analyse_video
from iaca.media import LimitError, MediaLimits, probe, stored_length_s
from iaca.parameters import Parameters

log = logging.getLogger(__name__)


class WebConfig(Parameters):
    """Parameters of the web page.

    Attributes:
        model: as for `iaca.inference.Predictor`: a file, a folder, a pattern or a name; on the command line also
            `owner/name` of the hub.
        port: of 127.0.0.1; the page listens nowhere else.
        max_mb: largest upload, in MiB.
        max_seconds: longest video, in s.
        limits: other limits of a video; on the command line NAME=N, several times.
        idle_minutes: uploads that were never analysed are removed after this time.
        annotations: folder of videos that are annotated there, and where labels and models stay; None for a folder that
            is removed at the end.
    """

    model: str = ZERO_SHOT
    port: int = Field(default=7860, ge=1024, le=65535)
    max_mb: int = Field(default=200, ge=1, le=8192)
    max_seconds: float = Field(default=300, gt=0)
    limits: MediaLimits = MediaLimits()
    idle_minutes: int = Field(default=10, ge=1)
    annotations: str | None = Field(default=None, min_length=1)

    @field_validator("limits", mode="before")
    @classmethod
    def _named(cls, given: Any) -> Any:
        return dict(item.partition("=")[::2] for item in given) if isinstance(given, list) else given


@dataclass(frozen=True)
class Job:
    """A video, the folder and name of its results (NAME.csv, NAME.png, NAME.mp4 and NAME.json), and the models if they
    are not those of the page."""

    video: Path
    folder: Path
    name: str
    models: tuple[Path, ...] = ()


NAME_LENGTH = 60


class Sessions:
    """One folder per session below `root`, removed when the session ends; nothing is written anywhere else.

    Args:
        root: folder of this run of the page, removed by `close`.
        worker: analyses one video at a time.
        max_seconds: longest video, in s.
        limits: other limits of a video; None for the defaults.
    """

    def __init__(self, root: Path, worker: Worker, max_seconds: float, limits: MediaLimits | None = None):
        self.uploads, self.results, self.scratch = (root / name for name in ("uploads", "results", "scratch"))
        self._root, self._worker, self._max_seconds, self._limits = root, worker, max_seconds, limits
        self._waiting, self._change = list[tuple[str, Job]](), threading.Condition()  # the first one is being analysed
        self._uploads_of = dict[Path, Path]()  # job's folder -> upload, which several jobs may share
        for folder in (self.uploads, self.results, self.scratch):
            folder.mkdir(parents=True, exist_ok=True)

    def receive(self, session: str, upload: Path, models: tuple[Path, ...] = ()) -> Job:
        """Move an upload to the session's folder, replacing earlier ones, and check that it can be analysed.

        Args:
            session: of the browser's tab.
            upload: the file.
            models: to analyse it with; by default those of the page.

        Raises:
            InputError: it is not a video, is too long, or exceeds another limit.
        """
        folder = self._folder(session) / uuid.uuid4().hex
        folder.mkdir(parents=True)
        video = folder / f"upload{upload.suffix.lower()}"
        try:
            self._take(upload, video)
            self._clear(session, keep=folder)  # afterwards: the same upload may belong to the old job
            check_video(video, upload.name, self._max_seconds, self._limits)
        except Exception:
            self.end(session)
            raise
        return Job(video, folder, upload.stem[:NAME_LENGTH], models)

    def analyse(self, session: str, job: Job) -> None:
        """Run a job when those before it are done; then remove its upload.

        Raises:
            InputError: the video can't be analysed, or the session ended in the meantime.
        """
        with self._change:
            self._waiting.append((session, job))
            self._change.wait_for(lambda: self._waiting[0] == (session, job))
        try:
            if not job.folder.exists():
                raise InputError("this page was closed", remedy="open it again and drop the video there")
            self._worker.analyse(job)
        finally:
            with self._change:
                self._waiting.pop(0)
                self._change.notify_all()
            job.video.unlink(missing_ok=True)
            self._release(job.folder)

    def ahead(self, job: Job) -> int:
        """Number of videos that are analysed before this one."""
        with self._change:
            return next((place for place, (_, other) in enumerate(self._waiting) if other == job), 0)

    def end(self, session: str) -> None:
        """Stop the session's analysis, and remove its files."""
        self._clear(session)
        shutil.rmtree(self._folder(session), ignore_errors=True)

    def close(self) -> None:
        """Stop the worker and remove everything."""
        self._worker.stop()
        for _ in range(50):  # the server still runs, and may add a file while the folder is being removed
            shutil.rmtree(self._root, ignore_errors=True)
            if not self._root.exists():
                return
            time.sleep(0.1)

    def _clear(self, session: str, keep: Path | None = None) -> None:
        """Stop the session's analysis, and remove the folders of its jobs except `keep`."""
        with self._change:
            if self._waiting and self._waiting[0][0] == session:
                self._worker.stop()
                shutil.rmtree(self.scratch, ignore_errors=True)
                self.scratch.mkdir()
            for folder in set(self._folder(session).glob("*")) - {keep}:
                shutil.rmtree(folder, ignore_errors=True)
                self._release(folder)

    def _folder(self, session: str) -> Path:
        """Its name is a digest, since the session's name comes from the browser."""
        return self.results / hashlib.sha256(session.encode()).hexdigest()[:24]

    def _take(self, upload: Path, video: Path) -> None:
        with self._change:
            try:
                video.hardlink_to(upload)
            except FileNotFoundError as error:
                raise InputError("the upload is gone", upload.name, remedy="drop the video again") from error
            self._uploads_of[video.parent] = upload

    def _release(self, folder: Path) -> None:
        """Remove the upload of a job with its folder, unless another job has the same upload."""
        with self._change:
            upload = self._uploads_of.pop(folder, None)
            if upload and upload not in self._uploads_of.values():
                shutil.rmtree(upload.parent, ignore_errors=True)


def check_video(video: Path, name: str, max_seconds: float, limits: MediaLimits | None = None) -> None:
    """Check that an upload is a video that the page accepts.

    Raises:
        InputError: it is not a video, is too long, or exceeds another limit; the message names it `name`.
    """
    try:
        media, length = probe(video, limits=limits), stored_length_s(video, limits)
    except LimitError as error:
        raise InputError(f"the video {error.problem}", name, remedy=error.remedy) from error
    except InputError as error:
        remedy = "drop a video file that plays on this machine, such as MP4 (H.264), MOV, MKV or WebM"
        raise InputError(f"this is not a readable video: {error.problem}", name, remedy=remedy) from error
    if not media.has_video:
        raise InputError("there is sound but no picture", name, remedy="drop a file with pictures")
    if length > max_seconds:
        problem = f"the video is {length:.0f} s long, and this page accepts at most {max_seconds:g} s"
        remedy = "cut it, or start the page with a larger --max-seconds"
        raise InputError(problem, name, remedy=remedy)


class Worker:
    """A process that loads the models once; if it was stopped, the next job starts another.

    Args:
        models: model files whose predictions are averaged; usually one.
        scratch: folder for intermediate files; may be emptied when the worker is stopped.
        limits: on what a video may contain; None for the defaults.
    """

    def __init__(self, models: Sequence[Path], scratch: Path, limits: MediaLimits | None = None):
        self._models, self._scratch, self._limits = tuple(models), scratch, limits or MediaLimits()
        self._process: BaseProcess | None = None

    def start(self) -> dict[str, str]:
        """Start the process and load the models; return `Predictor.origin()`.

        Raises:
            InputError: a model can't be used.
        """
        context = multiprocessing.get_context("spawn")  # a forked child would inherit the server's locks and sockets
        self._pipe, theirs = context.Pipe()
        arguments = (theirs, self._models, self._scratch, self._limits)
        self._process = context.Process(target=_serve, args=arguments, daemon=True)
        self._process.start()
        theirs.close()
        return dict(self._answer())

    def analyse(self, job: Job) -> None:
        """Write the results of a job; one call at a time.

        Raises:
            InputError: the video can't be analysed, or the worker was stopped.
        """
        if self._process is None or not self._process.is_alive():
            self.start()
        self._answer(job)

    def stop(self) -> None:
        """Kill the process, whatever it is doing."""
        if self._process is not None:
            self._process.kill()
            self._process.join()

    def _answer(self, job: Job | None = None) -> Any:
        try:
            if job is not None:
                self._pipe.send(job)
            answer = self._pipe.recv()
        except (EOFError, OSError) as error:
            remedy = "drop the video again; a shorter or smaller one if it ran out of memory"
            raise InputError("the analysis was stopped", remedy=remedy) from error
        if isinstance(answer, InputError):
            raise answer
        return answer


def _serve(pipe: Connection, models: tuple[Path, ...], scratch: Path, limits: MediaLimits) -> None:
    """The process: load the models, then answer each job with None or its error."""
    prepare()
    tempfile.tempdir = str(scratch)
    try:
        pipe.send(Predictor.load(models).origin())
        while True:
            pipe.send(_run(pipe.recv(), models, limits))
    except (EOFError, KeyboardInterrupt):
        return  # the page was closed
    except Exception as error:  # noqa: BLE001  shown where the page was started
        pipe.send(shown_error(error))


def _run(job: Job, models: tuple[Path, ...], limits: MediaLimits) -> InputError | None:
    """Analyse a video; return its error, whatever library raised it, so that the next video finds a living process."""
    try:
        analyse_video(
            job.video, *(job.models or models), target=job.folder / f"{job.name}.json", folder=job.folder,
            name=job.name, drawing=Drawing(), faces=FaceConfig(), limits=limits,
        )  # fmt: skip
    except Exception as error:  # noqa: BLE001
        return shown_error(error)
    return None


def shown_error(error: Exception) -> InputError:
    """The error as the page shows it; the terminal gets the traceback of one that nobody expected."""
    if not isinstance(error, InputError | PermissionError):
        log.error("unexpected error", exc_info=error)
    return as_input_error(error)


class Helper:
    """One function at a time in a process of its own, which can be cancelled: `adapt`, `copy`.

    The function gets a pipe and sends a dictionary for each step; the last one is its result, or its error.

    Args:
        scratch: folder for temporary files.
    """

    def __init__(self, scratch: Path):
        self._process: BaseProcess | None = None
        self._scratch = scratch
        self._change, self._owner, self._cancelled = threading.Lock(), "", False

    @property
    def busy(self) -> bool:
        """Whether a process is running."""
        return self._process is not None

    def run(self, owner: str, function: Callable[..., Any], *arguments: Any) -> Iterator[dict[str, Any]]:
        """Start the process; yield what it sends until it ends. Only one runs at a time.

        Raises:
            InputError: another one is running, this one failed, or it was cancelled.
        """
        context = multiprocessing.get_context("spawn")
        with self._change:
            if self._process is not None:
                raise InputError("another one is running", remedy="wait until it is done, or cancel it")
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=_help, args=(theirs, self._scratch, function, arguments), daemon=True)
            self._process, self._owner, self._cancelled = process, owner, False
            process.start()
        theirs.close()
        try:
            while True:
                sent = ours.recv()
                if isinstance(sent, InputError):
                    raise sent
                yield sent
                if sent.get("done"):
                    return
        except (EOFError, OSError) as error:
            what = "it was cancelled" if self._cancelled else "it was stopped, perhaps for lack of memory"
            raise InputError(what, remedy="start it again") from error
        finally:
            process.kill()
            process.join()
            with self._change:
                self._process = None

    def cancel(self, owner: str | None = None) -> None:
        """Kill the process of this owner, or of anybody."""
        with self._change:
            if self._process is not None and owner in (None, self._owner):
                self._cancelled = True
                self._process.kill()


def _help(pipe: Connection, scratch: Path, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    prepare()
    scratch.mkdir(parents=True, exist_ok=True)
    tempfile.tempdir = str(scratch)
    try:
        pipe.send({**(function(pipe.send, *arguments) or {}), "done": True})
    except KeyboardInterrupt:
        return  # the page was closed
    except Exception as error:  # noqa: BLE001  shown on the page
        pipe.send(shown_error(error))
