"""What went wrong with a task, in words that its owner can act on, and that travel between processes."""

from __future__ import annotations

from iaca.engine.task import Task
from iaca.errors import InputError

_NO_MEMORY = ("DefaultCPUAllocator: can't allocate memory", "out of memory", "Insufficient memory", "bad_alloc")
"""How libraries say it that do not raise a MemoryError: torch, CUDA, OpenCV, C++."""


class OutOfMemoryError(InputError):
    """A task needed more memory than there was while others ran beside it."""


def plainly(task: Task, error: Exception) -> InputError:
    """The error of a task as its owner should read it; an `InputError` stays as it is.

    An input that is gone is named whatever its reader made of that. Errors of libraries keep their kind and words,
    but not their class: some can't be sent from one process to another.
    """
    gone = next((path for path in task.inputs if not path.exists()), None)
    if gone is not None:
        remedy = "put it back, or remove its clip from the corpus, and run again"
        return InputError("is gone: it was there when the run began", gone, remedy=remedy)
    if isinstance(error, InputError):
        return error
    if _out_of_memory(error):
        first = task.inputs[0] if task.inputs else None
        return OutOfMemoryError(
            f"there was not enough memory ({error or type(error).__name__})", first,
            remedy="run again with fewer workers, as in executor.workers=1, or cut the video into parts",
        )  # fmt: skip
    return told(error)


def worker_died() -> InputError:
    """The error of an item that ends its worker process, also when nothing runs beside it."""
    return InputError(
        "its worker process died (killed, out of memory, or a crash in a native library)",
        remedy="run again with executor.workers=1, or cut the video into parts; if it fails then too, remove it",
    )


def told(error: BaseException) -> InputError:
    """Any error as an `InputError`, by its kind and words."""
    if isinstance(error, InputError):
        return error
    remedy = "see whether the clip's files are whole, and report this message if they are"
    return InputError(f"this step met an error of its own, {type(error).__name__}: {error}", remedy=remedy)


def _out_of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or any(words in str(error) for words in _NO_MEMORY)
