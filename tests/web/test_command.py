"""The command that starts the page says at once why it can't."""

import re
import socket

import pytest

from iaca.media import MediaLimits
from iaca.web.__main__ import _parser, main
from iaca.web.sessions import WebConfig
from project import ROOT


def test_a_missing_model_a_taken_port_and_a_wrong_number_are_told(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("signal.signal", lambda *_: None)  # the test process keeps its own
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert main(["--model", str(tmp_path / "none"), "--port", str(port)]) == 1
        assert f"port {port} can't be used" in capsys.readouterr().err
    assert main(["--model", str(tmp_path / "none"), "--port", str(port)]) == 1
    assert "there is no model" in capsys.readouterr().err
    assert main(["--max-mb", "0"]) == 1
    assert "max_mb" in capsys.readouterr().err
    for wrong in ("max_pixel=5", "max_pixels=many", "max_pixels"):
        assert main(["--limit", wrong]) == 1
        assert "limits.max_pixel" in capsys.readouterr().err


def test_help_names_every_limit(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    assert {"--model", "--port", "--max-mb", "--max-seconds", "--limit"} <= set(capsys.readouterr().out.split())


def test_other_limits_are_named_one_by_one():
    limits = WebConfig(**vars(_parser().parse_args(["--limit", "max_pixels=99", "--limit", "max_streams=3"]))).limits
    assert limits == MediaLimits(max_pixels=99, max_streams=3)


def test_the_guide_has_the_options_and_defaults_of_the_command():
    table = re.findall(
        r"^\| `(--[a-z-]+) [^`]*` \| `?([^`|,]*)", (ROOT / "docs/guide/web.md").read_text(), re.MULTILINE
    )
    defaults = {name: default.strip() for name, default in table}
    options = {action.option_strings[0]: action.default for action in _parser()._actions if action.dest != "help"}
    assert defaults == {
        name: f"{default:g}" if isinstance(default, float) else str(default or "") for name, default in options.items()
    }
