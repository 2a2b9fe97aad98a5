"""Log lines for people and for machines, each with the request that it belongs to."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from hone import log_files
from lsp_server.engine.tracing import ACCESS_LOG, _request_id


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Path]:
    """A log file; the handlers of before come back."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers = []
    yield tmp_path / "logs" / "host.log"
    for handler in root.handlers:
        handler.close()
    root.handlers, root.level = before, level


def say() -> None:
    token = _request_id.set("r-1")
    logging.getLogger("hone.test").warning("in %s", "it\nall")
    logging.getLogger(ACCESS_LOG).info("GET / 200 1.0 ms")
    _request_id.reset(token)
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("hone.test").exception("outside")


def test_json_is_one_object_a_line(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log_files.set_up(log, quiet=False, as_json=True)
    say()
    first, access, outside = (json.loads(line) for line in log.read_text().splitlines())
    assert (first["level"], first["logger"]) == ("warning", "hone.test")
    assert (first["message"], first["request_id"]) == ("in it\nall", "r-1")
    assert first["time"].endswith("+00:00")
    assert (access["logger"], access["request_id"]) == (ACCESS_LOG, "r-1")
    assert outside["request_id"] == "-"
    assert "ValueError: broken" in outside["error"]
    assert ACCESS_LOG not in capsys.readouterr().out  # a person at the screen sees no requests


def test_text_names_the_request(log: Path) -> None:
    log_files.set_up(log, quiet=True)
    say()
    lines = log.read_text().splitlines()
    assert lines[0].endswith("WARNING hone.test [r-1]: in it")
    assert f"INFO {ACCESS_LOG} [r-1]: GET / 200" in lines[2]
    assert any(line.endswith("ERROR hone.test: outside") for line in lines)
