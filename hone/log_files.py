"""Turns log records into lines: on the screen for the person, in DIR/logs for later.

It does not know who logs.
"""

import logging
import logging.handlers
import sys
from pathlib import Path

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_MAX_BYTES = 10 * 1024 * 1024


def set_up(path: Path, *, quiet: bool) -> None:
    """Log everything from INFO on to `path` (rotated at 10 MB, three kept) and to stdout.

    `quiet` shows warnings only, on stderr. Otherwise stderr stays free for the one line that says
    why nothing was started.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = logging.handlers.RotatingFileHandler(
        path, maxBytes=_MAX_BYTES, backupCount=3, encoding="utf-8", delay=True
    )
    screen = logging.StreamHandler(sys.stderr if quiet else sys.stdout)
    screen.setLevel(logging.WARNING if quiet else logging.INFO)
    logging.basicConfig(level=logging.INFO, format=_FORMAT, handlers=[file, screen], force=True)
    for chatty in ("httpx", "httpcore", "urllib3", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
