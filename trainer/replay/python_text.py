"""Turns the bytes of a file into Python source that can be typed, or into the reason why not.

Knows nothing of where the bytes lie.
"""

import ast
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

MAX_BYTES = 400_000  # more is made by a program, not by a person

_IGNORED_FOLDERS = frozenset(
    ["__pycache__", "_vendor", "_vendored", "build", "dist", "env", "node_modules",
     "site-packages", "third_party", "vendor", "vendored", "venv", "virtualenv"]
)  # fmt: skip
_GENERATED_ENDINGS = ("_pb2.py", "_pb2_grpc.py")
_MIN_TABLE_SHARE = 0.5
_LITERALS = (
    ast.Constant, ast.Tuple, ast.List, ast.Set, ast.Dict, ast.Name, ast.Attribute, ast.UnaryOp,
    ast.BinOp, ast.Call, ast.keyword, ast.Subscript, ast.Starred,
    ast.expr_context, ast.operator, ast.unaryop,
)  # fmt: skip


@dataclass(frozen=True)
class PythonText:
    """Source that parses, with newlines as ends of lines. A table is mostly literals: data."""

    text: str
    is_table: bool


def read_python(raw: bytes, rewrite: Callable[[str], str] | None = None) -> PythonText | str:
    """Return the source in `raw`, rewritten, or the reason to skip it.

    Reasons: too_large, binary, not_utf8, empty, does_not_parse.
    """
    if len(raw) > MAX_BYTES:
        return "too_large"
    if b"\0" in raw:
        return "binary"
    try:
        text = raw.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError:
        return "not_utf8"
    if not text.strip():
        return "empty"
    tree = parsed(text)
    if tree is None:
        return "does_not_parse"
    return PythonText(rewrite(text) if rewrite else text, _is_table(text, tree))


def parsed(text: str) -> ast.Module | None:
    """Return the syntax tree of `text`, None when it has none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about escapes in code that is not ours
        try:
            return ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def is_python(path: PurePosixPath) -> bool:
    """Tell whether `path` names Python source."""
    return path.suffix == ".py"


def is_ignored(path: PurePosixPath) -> bool:
    """Tell whether nobody of this code base types `path`: hidden, built, vendored or generated."""
    return path.name.endswith(_GENERATED_ENDINGS) or any(map(is_ignored_folder, path.parts[:-1]))


def is_ignored_folder(name: str) -> bool:
    """Tell whether a folder of this name holds nothing that people of this code base type."""
    return name.startswith(".") or name in _IGNORED_FOLDERS or name.endswith(".egg-info")


def _is_table(text: str, tree: ast.Module) -> bool:
    """Weigh lines by their characters, so that a wide table needs no more lines than a long one."""
    lines = text.split("\n")
    total = sum(len(line.strip()) for line in lines)
    data = 0
    for node in tree.body:
        if _is_literal(node):
            last = node.end_lineno or node.lineno
            data += sum(len(line.strip()) for line in lines[node.lineno - 1 : last])
    return data > _MIN_TABLE_SHARE * total


def _is_literal(node: ast.stmt) -> bool:
    if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
        return False
    return all(isinstance(part, _LITERALS) for part in ast.walk(node.value))
