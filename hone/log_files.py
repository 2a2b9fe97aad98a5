"""Turns log records into lines: on the screen for the person, in DIR/logs for later.

It does not know who logs.
"""

import json
import logging
import logging.handlers
import sys
from datetime import UTC, datetime
from pathlib import Path

from lsp_server.engine.tracing import ACCESS_LOG, WithRequestId

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_FORMAT_OF_REQUEST = "%(asctime)s %(levelname)s %(name)s [%(request_id)s]: %(message)s"
_MAX_BYTES = 10 * 1024 * 1024


class AsJson(logging.Formatter):
    """Makes each record one JSON object on a line of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; `error` is the trace of an exception, if there was one."""
        told = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": getattr(record, "request_id", "-"),
        }
        if record.exc_info:
            told["error"] = self.formatException(record.exc_info)
        return json.dumps(told, ensure_ascii=False)


class _Plain(logging.Formatter):
    """Names the request of a record that was made for one."""

    _of_request = logging.Formatter(_FORMAT_OF_REQUEST)

    def format(self, record: logging.LogRecord) -> str:
        if getattr(record, "request_id", "-") == "-":
            return super().format(record)
        return self._of_request.format(record)


def set_up(path: Path, *, quiet: bool, as_json: bool = False) -> None:
    """Log everything from INFO on to `path` (rotated at 10 MB, three kept) and to stdout.

    `quiet` shows warnings only, on stderr. Otherwise stderr stays free for the one line that says
    why nothing was started. Single requests are in the file only.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = logging.handlers.RotatingFileHandler(
        path, maxBytes=_MAX_BYTES, backupCount=3, encoding="utf-8", delay=True
    )
    screen = logging.StreamHandler(sys.stderr if quiet else sys.stdout)
    screen.setLevel(logging.WARNING if quiet else logging.INFO)
    screen.addFilter(lambda record: record.name != ACCESS_LOG)
    for handler in (file, screen):
        handler.addFilter(WithRequestId())
        handler.setFormatter(AsJson() if as_json else _Plain(_FORMAT))
    logging.basicConfig(level=logging.INFO, handlers=[file, screen], force=True)
    for chatty in ("httpx", "httpcore", "urllib3", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
