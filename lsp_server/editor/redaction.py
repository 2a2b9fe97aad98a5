"""Turns text into text without secrets, and paths into whether their content may leave at all.

Works line by line, so that a line typed once is looked at once; only key blocks span lines. Lines
and their breaks stay, and redacting twice changes nothing more. This module knows nothing of
requests or files: patterns and paths come in as text.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

from lsp_server.editor.ignore_files import spec_of
from lsp_server.editor.line_diff import LINE_BREAK, split_lines
from lsp_server.editor.secret_shapes import redact_line

MAX_CACHED_LINES = 8_192
MAX_CACHED_CHARACTERS = 2_048  # longer lines would fill memory with text, not save time
MAX_KEY_LINES = 400

KEY_PLACEHOLDER = "<redacted:private-key>"
SENSITIVE_PATHS = (
    *(".env", ".env.*", "*.env", ".envrc", ".env-*", ".npmrc", ".yarnrc", ".yarnrc.yml", ".pypirc"),
    *(".netrc", "_netrc", ".pgpass", ".my.cnf", ".htpasswd", ".git-credentials", ".dockercfg"),
    *(
        "*.pem",
        "*.key",
        "*.p12",
        "*.pfx",
        "*.jks",
        "*.keystore",
        "*.kdbx",
        "*.ppk",
        "*.asc",
        "*.gpg",
    ),
    *("*.age", "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "*.tfstate", "*.tfstate.backup"),
    *("*.tfvars", "credentials", "credentials.*", "*credentials.json", "secrets.*", "secret.*"),
    *("*.secret", "*.secrets", "service-account*.json", "service_account*.json", "master.key"),
    *(".ssh/", ".gnupg/", ".aws/", "**/.kube/config", "**/.docker/config.json", "terraform.rc"),
    *("*_rsa", "*_ed25519", "*.ovpn", "kubeconfig", ".vault-token", "*.keytab", "wallet.dat"),
)
"""What never leaves, whatever ignore files say; matched without regard to case."""

_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----")
_END = re.compile(r"-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----")
_WRAP = r"""[\s"'`#*/+(,;)|\\]"""
_KEY_LINE = re.compile(rf"{_WRAP}*(?:[A-Za-z0-9+/=]+|{KEY_PLACEHOLDER})?(?:\\[rn])*{_WRAP}*\Z")
_LONG = re.compile(rf"{_WRAP}*(?:[A-Za-z0-9+/=]{{40,}}|{KEY_PLACEHOLDER})(?:\\[rn])*{_WRAP}*\Z")
_KEY_HEADER = re.compile(rf"{_WRAP}*(?:Proc-Type|DEK-Info|Version|Comment): ")
_KEY_CONTENT = re.compile(
    rf"(?P<before>{_WRAP}*)(?P<key>\S(?:.*?\S)??)(?P<after>(?:\\[rn])*{_WRAP}*)\Z", re.S
)


class Redactor:
    """Takes secrets out of texts; remembers the lines it has seen."""

    def __init__(self) -> None:
        self._redacted_line = lru_cache(MAX_CACHED_LINES)(redact_line)

    def redact(self, text: str) -> str:
        """Return `text` with a placeholder such as `<redacted:aws-key>` for each secret."""
        lines = split_lines(text)
        inside = _key_lines(lines) if "PRIVATE KEY" in text else frozenset()
        return "".join(
            _without_key(line) if number in inside else self._line(line)
            for number, line in enumerate(lines)
        )

    def redact_sides(self, prefix: str, suffix: str) -> tuple[str, str]:
        """Redact what stands on both sides of a caret, even a secret that the caret is in.

        The placeholder of such a secret goes to the prefix.
        """
        if "PRIVATE KEY" in prefix or "PRIVATE KEY" in suffix:
            return self._joined_sides(prefix, suffix)
        begin = max(prefix.rfind("\n"), prefix.rfind("\r")) + 1
        found = LINE_BREAK.search(suffix)
        end = found.end() if found else len(suffix)
        left, right = self._joined_sides(prefix[begin:], suffix[:end])
        return self.redact(prefix[:begin]) + left, right + self.redact(suffix[end:])

    def _joined_sides(self, prefix: str, suffix: str) -> tuple[str, str]:
        whole, left, right = self.redact(prefix + suffix), self.redact(prefix), self.redact(suffix)
        if whole == left + right:
            return left, right
        number = len(split_lines(prefix + "|")) - 1
        lines = split_lines(whole)[: number + 1]
        kept = _shared_tail(lines[-1], split_lines(right)[0] if right else "")
        cut = sum(map(len, lines)) - kept
        return whole[:cut], whole[cut:]

    def _line(self, line: str) -> str:
        if len(line) > MAX_CACHED_CHARACTERS:
            return redact_line(line)
        return self._redacted_line(line)


class Exclusion:
    """Says which paths may not leave: sensitive ones, and those that patterns name."""

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        """Take lines of gitignore syntax; lines that are no pattern are left out."""
        self._sensitive = spec_of(list(SENSITIVE_PATHS))
        self._folders = spec_of([pattern for pattern in SENSITIVE_PATHS if "/" in pattern])
        self._excluded = spec_of(list(patterns))

    def excluded(self, path: str, whole: str = "") -> str | None:
        """Return why the content of `path` (relative, either kind of slash) stays, or None.

        `whole` is the absolute path: a folder of keys is one from wherever it was opened.
        """
        path, whole = (one.replace("\\", "/").lstrip("/") for one in (path, whole))
        is_sensitive = self._sensitive.match_file(path.lower())
        if is_sensitive or self._folders.match_file(whole.lower()):
            return f"{path} is a kind of file that holds secrets"
        if self._excluded.match_file(path):
            return f"{path} is named by an ignore pattern"
        return None


def _key_lines(lines: list[str]) -> frozenset[int]:
    """Return the lines inside key blocks, also of blocks cut off at either end of the text."""
    inside: set[int] = set()
    for number, line in enumerate(lines):
        if _BEGIN.search(line) and not _END.search(line):
            inside.update(_below_begin(lines, number))
        elif _END.search(line) and not _BEGIN.search(line):
            inside.update(_above_end(lines, number))
    return frozenset(inside)


def _below_begin(lines: list[str], begin: int) -> range:
    """A block that ends is one if all its lines look the part; else only long lines do."""
    number = begin + 1
    while number < min(len(lines), begin + MAX_KEY_LINES) and _is_key(lines[number], _KEY_LINE):
        number += 1
    if number < len(lines) and _END.search(lines[number]):
        return range(begin + 1, number)
    num_long = begin + 1
    while num_long < number and _is_key(lines[num_long], _LONG):
        num_long += 1
    is_cut_off = num_long == len(lines) - 1 and num_long < number  # its last line is half typed
    return range(begin + 1, num_long + is_cut_off)


def _above_end(lines: list[str], end: int) -> range:
    """Only the last line of a key, and the first of a text that begins inside it, may be short."""
    number = end - 1
    while number >= 0 and _is_key(lines[number], _KEY_LINE if number in (0, end - 1) else _LONG):
        number -= 1
    return range(number + 1, end)


def _is_key(line: str, pattern: re.Pattern[str]) -> bool:
    return (pattern.match(line) or _KEY_HEADER.match(line)) is not None


def _without_key(line: str) -> str:
    found = _KEY_CONTENT.match(line)
    return f"{found['before']}{KEY_PLACEHOLDER}{found['after']}" if found else line


def _shared_tail(one: str, other: str) -> int:
    length = 0
    while length < min(len(one), len(other)) and one[-1 - length] == other[-1 - length]:
        length += 1
    return length
