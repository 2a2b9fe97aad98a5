"""Turns the standard library of the running Python into a golden set, fixed by hash.

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

LINES_PER_ROUND = 2
MAX_ROUNDS = 8  # of lines taken from every file, so that no file rules the set
MAX_PROMPT_TOKENS = 256
_FILE_BYTES = (8_000, 120_000)
_NOT_CODE_OF_ITS_OWN = frozenset(
    {
        "encodings",
        "idlelib",
        "lib2to3",
        "pydoc_data",
        "site-packages",
        "test",
        "tests",
        "turtledemo",
    }
)
_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
log = logging.getLogger(__name__)


def golden_positions(prompter: Prompter, num_positions: int = 120) -> list[Position]:
    """Return at most `num_positions` places of the standard library; fewer where it is missing.

    A smaller set is the beginning of a larger one: modules first, then packages, then more lines
    of each. Tests and tables are left out.
    """
    root = Path(sysconfig.get_paths()["stdlib"])
    files = _files(root)
    positions: list[Position] = []
    for number in range(MAX_ROUNDS):
        for file in files:
            if len(positions) >= num_positions:
                return positions[:num_positions]
            positions += _positions_of(file, file.relative_to(root).as_posix(), number, prompter)
    if not positions:
        log.warning("no standard-library source in %s: the golden set is empty", root)
    return positions[:num_positions]


def _files(root: Path) -> list[Path]:
    """Return the source files: those at the top in the order of their hashes, then all others."""
    found = [
        file
        for file in root.rglob("*.py")
        if not _NOT_CODE_OF_ITS_OWN.intersection(file.relative_to(root).parts)
        and _FILE_BYTES[0] < file.stat().st_size < _FILE_BYTES[1]
    ]
    names = {file: file.relative_to(root).as_posix() for file in found}
    return sorted(found, key=lambda file: ("/" in names[file], _digest(names[file])))


def _positions_of(file: Path, name: str, number: int, prompter: Prompter) -> list[Position]:
    """Return the places of a file's round `number`; none where it has not so many lines."""
    lines = file.read_text(encoding="utf-8", errors="replace").split("\n")
    wanted = [i for i, line in enumerate(lines) if _is_code(line)]
    wanted.sort(key=lambda i: _digest(f"{i}:{lines[i]}"))
    chosen = wanted[number * LINES_PER_ROUND :][:LINES_PER_ROUND]
    return [_position(name, lines, i, prompter) for i in sorted(chosen)]


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
