"""What a task's inputs were when its run began, so that a result is never noted for inputs that it was not made of."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from iaca.engine.task import Task
from iaca.errors import InputError

_FACT = 16  # bytes of what is kept of an input's size and times


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was known of a task's inputs before they were read. One is held for each item that waits: only digests.

    Attributes:
        fingerprint: of the task.
        facts: for each input `_FACT` bytes that tell whether its size and times, taken before its content was read for
            the fingerprint, are others now.
        former: fingerprint of the task under its former name; empty where it has none.
    """

    fingerprint: bytes
    facts: bytes
    former: bytes = b""

    @classmethod
    def take(cls, task: Task) -> Snapshot:
        """Look at the inputs of a task.

        Raises:
            InputError: one of them can't be read; or it is the result of an earlier task, and not as it was written.
        """
        try:
            before = _facts(task)
            task.check_inputs()
            fingerprint, *former = map(bytes.fromhex, task.fingerprints())
            return cls(fingerprint, before, b"".join(former))
        except OSError as error:
            raise unreadable(error) from error

    def change(self, task: Task) -> InputError | None:
        """What has become of the inputs of its task since: None where they are the same.

        Where sizes or times differ, the content decides: a file may have been touched.
        """
        try:
            now = _facts(task)
            if now == self.facts or bytes.fromhex(task.fingerprint()) == self.fingerprint:
                return None
        except OSError as error:
            return unreadable(error)
        differs = next(place for place in range(len(now)) if now[place] != self.facts[place])
        changed = task.inputs[differs // _FACT]
        return InputError("changed while it was read", changed, remedy="run again when nothing writes to it any more")


def _facts(task: Task) -> bytes:
    return b"".join(hashlib.blake2b(fact.encode(), digest_size=_FACT).digest() for fact in task.facts())


def unreadable(error: OSError) -> InputError:
    """The error of an input that is not there, or can't be read."""
    path = Path(error.filename) if isinstance(error.filename, str | Path) else None
    remedy = "put it back or mend its rights, or remove its clip from the corpus, and run again"
    return InputError(f"an input can't be read ({error.strerror or error})", path, remedy=remedy)
