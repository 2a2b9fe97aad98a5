"""Turns the standard library of the running Python into a small golden set, fixed by hash.

The starter was trained on this source, so a candidate that forgets shows it here first. The set is
for comparing two adapters on one machine, not for comparing machines. Reads files; no models.
"""

import logging
import sysconfig
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from uuid import UUID

from feedback_store.schemas import CompletionRequest
from lsp_server.engine.prompt import Prompter
from trainer.dataset import Position

LINES_PER_FILE = 2
MAX_PROMPT_TOKENS = 256
_FILE_BYTES = (8_000, 120_000)
_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
log = logging.getLogger(__name__)


def golden_positions(prompter: Prompter, num_positions: int = 120) -> list[Position]:
    """Return at most `num_positions` places of the standard library; fewer where it is missing."""
    root = Path(sysconfig.get_paths()["stdlib"])
    files = sorted(root.glob("*.py"), key=lambda file: _digest(file.name))
    positions: list[Position] = []
    for file in files:
        if len(positions) >= num_positions:
            break
        if _FILE_BYTES[0] < file.stat().st_size < _FILE_BYTES[1]:
            positions += _positions_of(file, prompter)
    if not positions:
        log.warning("no standard-library source in %s: the golden set is empty", root)
    return positions[:num_positions]


def _positions_of(file: Path, prompter: Prompter) -> list[Position]:
    lines = file.read_text(encoding="utf-8", errors="replace").split("\n")
    wanted = [i for i, line in enumerate(lines) if _is_code(line)]
    wanted.sort(key=lambda i: _digest(f"{i}:{lines[i]}"))
    return [_position(file.name, lines, i, prompter) for i in sorted(wanted[:LINES_PER_FILE])]


def _is_code(line: str) -> bool:
    return len(line.strip()) >= 8 and len(line) <= 100 and line.strip()[0] not in "#\"'"


def _position(name: str, lines: list[str], number: int, prompter: Prompter) -> Position:
    line = lines[number]
    indent = len(line) - len(line.lstrip())
    size = len(line.strip())
    cursor = indent + int(_digest(line), 16) % (size // 2)
    request = CompletionRequest(
        completion_id=UUID(_digest(f"{name}:{number}")[:32]),
        document_id=f"golden:{name}:{number}",
        language="python",
        path=name,
        repository="golden",
        prefix="\n".join([*lines[max(0, number - 30) : number], line[:cursor]]),
        suffix="\n" + "\n".join(lines[number + 1 : number + 10]),
        line=number,
        requested_at=_LONG_AGO,
    )
    prompt = prompter.build(request.prefix, request.suffix, max_prompt_tokens=MAX_PROMPT_TOKENS)
    text = line[cursor:].rstrip()
    return Position(f"golden:{name}", request, prompt.ids, prompt.healed, text, complete=True)


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", errors="replace")).hexdigest()
