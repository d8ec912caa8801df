"""What each open page holds on disk, from the upload to the end of its session."""

from __future__ import annotations

import hashlib
import shutil
import threading
import time
import uuid
from pathlib import Path

from iaca.errors import InputError
from iaca.media import LimitError, MediaLimits, probe, stored_length_s
from iaca.web.worker import Job, Worker

NAME_LENGTH = 60


class Sessions:
    """One folder per session beneath `root`, gone when the session ends; nothing is written anywhere else.

    Args:
        root: folder of this run of the page, removed as a whole by `close`.
        worker: analyses one video at a time.
        max_seconds: longest video, in s.
        limits: what else a video may hold; None for the usual ones.
    """

    def __init__(self, root: Path, worker: Worker, max_seconds: float, limits: MediaLimits | None = None):
        self.uploads, self.results, self.scratch = (root / name for name in ("uploads", "results", "scratch"))
        self._root, self._worker, self._max_seconds, self._limits = root, worker, max_seconds, limits
        self._waiting, self._change = list[tuple[str, Job]](), threading.Condition()  # the first of them is at work
        self._held = dict[Path, Path]()  # job's folder -> upload, which may be that of another job too
        for folder in (self.uploads, self.results, self.scratch):
            folder.mkdir(parents=True, exist_ok=True)

    def receive(self, session: str, upload: Path) -> Job:
        """Take an upload into the session's folder, in place of what was there, and look whether it can be analysed.

        Raises:
            InputError: it is no video, too long, or beyond another limit.
        """
        folder = self._folder(session) / uuid.uuid4().hex
        folder.mkdir(parents=True)
        video = folder / f"upload{upload.suffix.lower()}"
        try:
            self._take(upload, video)
            self._clear(session, keep=folder)  # after that: the same video again would go with its predecessor
            self._check(video, upload.name)
        except InputError:
            self.end(session)
            raise
        return Job(video, folder, upload.stem[:NAME_LENGTH])

    def analyse(self, session: str, job: Job) -> None:
        """Run a job when those before it are done; its upload is removed.

        Raises:
            InputError: the video can't be analysed, or the session has ended meanwhile.
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
        """How many videos are to be done before this one."""
        with self._change:
            return next((place for place, (_, other) in enumerate(self._waiting) if other == job), 0)

    def end(self, session: str) -> None:
        """Stop what the session has at work, and remove its files."""
        self._clear(session)
        shutil.rmtree(self._folder(session), ignore_errors=True)

    def close(self) -> None:
        """Stop the worker and remove everything."""
        self._worker.stop()
        for _ in range(50):  # the server still runs: a file that comes while its folder goes needs another round
            shutil.rmtree(self._root, ignore_errors=True)
            if not self._root.exists():
                return
            time.sleep(0.1)

    def _clear(self, session: str, keep: Path | None = None) -> None:
        """Stop what the session has at work, and remove the folders of its jobs but one."""
        with self._change:
            if self._waiting and self._waiting[0][0] == session:
                self._worker.stop()
                shutil.rmtree(self.scratch, ignore_errors=True)
                self.scratch.mkdir()
            for folder in set(self._folder(session).glob("*")) - {keep}:
                shutil.rmtree(folder, ignore_errors=True)
                self._release(folder)

    def _folder(self, session: str) -> Path:
        """Named by a digest: the session's own name comes from the browser."""
        return self.results / hashlib.sha256(session.encode()).hexdigest()[:24]

    def _take(self, upload: Path, video: Path) -> None:
        with self._change:
            try:
                video.hardlink_to(upload)
            except FileNotFoundError as error:
                raise InputError("the upload is gone", upload.name, remedy="drop the video again") from error
            self._held[video.parent] = upload

    def _release(self, folder: Path) -> None:
        """Remove the upload of a job, unless another job holds the same. It lies in a folder of its own."""
        with self._change:
            upload = self._held.pop(folder, None)
            if upload and upload not in self._held.values():
                shutil.rmtree(upload.parent, ignore_errors=True)

    def _check(self, video: Path, name: str) -> None:
        try:
            media, length = probe(video, limits=self._limits), stored_length_s(video, self._limits)
        except LimitError as error:
            raise InputError(f"the video {error.problem}", name, remedy=error.remedy) from error
        except InputError as error:
            remedy = "drop a video file that plays on this machine, such as MP4 (H.264), MOV, MKV or WebM"
            raise InputError("this is no video that can be read", name, remedy=remedy) from error
        if not media.has_video:
            raise InputError("there is sound but no picture", name, remedy="drop a file with pictures")
        if length > self._max_seconds:
            problem = f"the video is {length:.0f} s long, and this page takes {self._max_seconds:g} s at most"
            remedy = "cut it, or start the page with a larger --max-seconds"
            raise InputError(problem, name, remedy=remedy)
