"""`python -m iaca.web`: start the page. Ctrl-C stops it and removes all uploads and results."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from types import ModuleType

from pydantic import ValidationError

from iaca.errors import InputError, permission_errors
from iaca.files import WEB_WORK, work_folder
from iaca.inference.config import find_models
from iaca.inference.hub import on_this_machine
from iaca.parameters import faults
from iaca.web.sessions import Sessions, WebConfig, Worker

USER_SETTINGS = ("GRADIO_", "HF_", "HUGGING_FACE_", "HUGGINGFACE_", "SPACE_", "SPACES_")


def main(arguments: list[str] | None = None) -> int:
    """Serve the page until it is stopped; return 1 if it can't start."""
    try:
        config = WebConfig(**vars(_parser().parse_args(arguments)))
        with permission_errors():
            _serve(config)
    except ValidationError as error:
        print(faults(error, "--"), file=sys.stderr)  # noqa: T201
        return 1
    except InputError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


def _parser() -> argparse.ArgumentParser:
    fields = WebConfig.model_fields
    parser = argparse.ArgumentParser(prog="python -m iaca.web", description="The web page of iaca, on this machine.")
    parser.add_argument(
        "--model", default=fields["model"].default, help="model file, or OWNER/NAME of the hub (default: %(default)s)"
    )
    parser.add_argument("--port", type=int, default=fields["port"].default, help="port of 127.0.0.1 (%(default)s)")
    parser.add_argument("--max-mb", type=int, default=fields["max_mb"].default, help="largest upload (%(default)s MB)")
    parser.add_argument(
        "--max-seconds", type=float, default=fields["max_seconds"].default, help="longest video (%(default)s s)"
    )
    parser.add_argument(
        "--annotations", metavar="FOLDER", help="folder of videos to annotate, which stays (default: none stays)"
    )
    parser.add_argument(
        "--limit", dest="limits", action="append", default=[], metavar="NAME=N",
        help="another limit of a video, such as max_pixels=33177600 (docs/reference/media.md)",
    )  # fmt: skip
    return parser


def _serve(config: WebConfig) -> None:
    _require_free(config.port)
    config = config.model_copy(update={"model": on_this_machine(config.model)})
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # like Ctrl-C: the folder is removed
    with work_folder(prefix=WEB_WORK) as root:
        _serve_from(root, config)


def _serve_from(root: Path, config: WebConfig) -> None:
    worker = Worker([path.absolute() for path in find_models(config.model)], root / "scratch", config.limits)
    sessions = Sessions(root, worker, config.max_seconds, config.limits)
    _close_environment(sessions.uploads)
    annotations = None
    try:
        page_module = _page_module()
        annotations = page_module.Annotations(root, config)
        page = page_module.build_page(sessions, annotations, worker.start(), config)
        address = page_module.launch(page, sessions, annotations, config)
        print(f"iaca is at {address} (this machine only); Ctrl-C stops it and removes all uploads", flush=True)  # noqa: T201
        threading.Event().wait()
    finally:
        if annotations is not None:
            annotations.close()
        sessions.close()


def _require_free(port: int) -> None:
    """Refuse a port in use before the model is loaded."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            raise InputError(
                f"port {port} can't be used ({error.strerror})", remedy="choose another: --port N"
            ) from error


def _close_environment(uploads: Path) -> None:
    """Replace the settings that Gradio and its Hugging Face client read from the environment when imported.

    A user's variables, set for other programs, could open the page to others: another root path, more files to serve,
    an editor of its code, a token. The page needs no hub and no token; a token saved in a file is not read either.
    """
    for name in [name for name in os.environ if name.startswith(USER_SETTINGS)]:
        del os.environ[name]
    os.environ |= {
        "GRADIO_ANALYTICS_ENABLED": "False",
        "GRADIO_TEMP_DIR": str(uploads),
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_TOKEN_PATH": os.devnull,
    }
    for name in ("no_proxy", "NO_PROXY"):  # Gradio sends itself a request when it starts
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), "127.0.0.1,localhost"]))


def _page_module() -> ModuleType:
    try:  # imported late: Gradio reads the environment, and is an extra
        from iaca.web import page
    except ModuleNotFoundError as error:
        raise InputError(f"the package {error.name} is missing", remedy="pip install -e '.[web]'") from error
    return page


if __name__ == "__main__":
    sys.exit(main())
