"""Turns one line into the same line without secrets: token shapes, and literals named as secret.

Ordinary code has to come through untouched, so a value counts only if it is a literal and looks
like no name, path, template or example. This module knows nothing of blocks, caches or files.
"""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import log2

MAX_PASSES = 4
MIN_RANDOM_CHARACTERS = 8
MIN_ENTROPY_BITS = 3.7  # per character; English and identifiers of 20 characters stay below

_Found = re.Match[str]


@dataclass(frozen=True, slots=True)
class _Shape:
    """One kind of secret: `pattern` is tried where one of `hints` (lower case) is in the line.

    Replaced is the group `value`, or all that was found, provided that `is_secret` agrees.
    """

    kind: str
    hints: tuple[str, ...]
    pattern: re.Pattern[str]
    is_secret: Callable[[_Found], bool] = lambda found: True


def redact_line(line: str) -> str:
    """Return `line` with a placeholder for every secret; doing it again changes nothing."""
    lowered = line.lower()
    shapes = list(dict.fromkeys(shape for hint, shape in _HINTED if hint in lowered))
    for _ in range(MAX_PASSES if shapes else 0):
        before = line
        for shape in shapes:
            line = shape.pattern.sub(partial(_replacement, shape), line)
        if line == before:
            break
    return line


def _replacement(shape: _Shape, found: _Found) -> str:
    if not shape.is_secret(found):
        return found[0]
    groups = found.groupdict()
    kind = "password" if groups.get("password") else shape.kind
    begin, end = found.span("value") if "value" in groups else found.span()
    start = found.start()
    return f"{found[0][: begin - start]}<redacted:{kind}>{found[0][end - start :]}"


_NO_SECRET = re.compile(
    r"""[<>{}*] | \$[\w(] | %[sdr(] | \.\.\. | x{3} | :// | ^[/~.] | redact
    | ^(?:none|null|true|false|undefined|changeme|string|str|optional|required)$
    | pass(?:word|wd|phrase) | secret | token | credential | api.?key | your | example | dummy""",
    re.I | re.X,
)
_NAME = re.compile(r"[A-Za-z]*\d{0,3}(?:[._/:\s-]+[A-Za-z]*\d{0,3})*")
_PLACEHOLDER = re.compile(r"<redacted:[a-z-]+>")
_CODE = re.compile(r"[()\[\]]")


def _is_random(value: str) -> bool:
    """Whether `value` is long, holds letters and digits, and no template, path or name."""
    return (
        len(value) >= MIN_RANDOM_CHARACTERS
        and not any(map(str.isspace, value))
        and any(map(str.isdigit, value))
        and any(map(str.isalpha, value))
        and not _NO_SECRET.search(value)
        and not _NAME.fullmatch(value)
    )


def _entropy_bits(value: str) -> float:
    counts = Counter(value).values()
    return -sum(count / len(value) * log2(count / len(value)) for count in counts)


def _is_quoted_secret(found: _Found) -> bool:
    """A password may be any word that is assigned; other secrets, and comparands, look random."""
    value, sign = found["value"], found["sign"].strip()
    if sign in ("==", "===", "!=", ",") or not found["password"]:
        return _is_random(value)
    return len(value) >= 4 and _is_password(found) and not any(map(str.isspace, value))


def _is_bare_secret(found: _Found) -> bool:
    """Without quotes only settings files hold values; code would name a variable."""
    value = found["value"]
    if _CODE.search(value) or _NO_SECRET.search(value):
        return False
    if found["sign"] == "=" and found["name"].isupper():
        return len(value) >= 6
    has_digit = any(map(str.isdigit, value)) and any(map(str.isalpha, value))
    return _is_random(value) or (bool(found["password"]) and len(value) >= 6 and has_digit)


def _is_key_literal(found: _Found) -> bool:
    value = found["value"]
    left = _PLACEHOLDER.sub("", found.string[: found.start()])  # its words name another secret
    if not _SECRET_WORD.search(left):
        return False
    if re.fullmatch(r"[0-9a-f]+|[0-9A-F]+", value):
        return len(value) >= 32 and len(set(value)) > 8
    mixed = value.lower() != value and value.upper() != value
    return _is_random(value) and mixed and _entropy_bits(value) >= MIN_ENTROPY_BITS


def _is_password(found: _Found) -> bool:
    return not _NO_SECRET.search(found["value"]) and found["value"].lower() not in ("pass", "pwd")


def _is_random_value(found: _Found) -> bool:
    return _is_random(found["value"])


_PASSWORD = r"pass(?:word|wd|phrase|code)|pwd"
_SECRET = (
    r"secret|token|credentials?|connection[_-]?string|(?:api|access|secret|private|encryption"
    r"|signing|account|auth|master|shared|service|storage|license)[_-]?key"
)
_NAMED = rf"(?:(?P<password>{_PASSWORD})|{_SECRET})\d?"
_NAME_HINTS = ("passw", "passp", "passc", "pwd", "secret", "token", "key", "credential", "string")
_SECRET_WORD = re.compile(r"key|secret|token|auth|credential|signature|salt|passw|private", re.I)
_QUOTED = re.compile(
    rf"""{_NAMED}(?:\\?["'`])?\]?
    (?P<sign>\s*(?::\s*[\w.\[\]|]{{1,40}}\s*=|:=|=>|={{1,3}}|!=|:|,)\s*)
    [brfuBRFU@]{{0,2}}(?P<quote>\\?["'`])
    (?P<value>(?:(?!(?P=quote))(?:\\.|[^\\\r\n]))+)""",
    re.I | re.X,
)
_BARE = re.compile(
    rf"""^\s*(?:export\s+|set\s+|-\s+)?(?P<name>[\w.-]{{0,60}}?{_NAMED})(?P<sign>\s*[:=]\s*)
    (?P<value>[^\s"'`\#;,]+)\s*(?:\#.*)?$""",
    re.I | re.X,
)


def _shape(kind: str, hints: str, pattern: str) -> _Shape:
    return _Shape(kind, tuple(hints.split()), re.compile(pattern))


_W = r"[A-Za-z0-9_-]"  # the alphabet of base64url
_SHAPES = (
    _shape("private-key", "key-----", r"(?<=PRIVATE KEY-----)(?:\\[rn]|[A-Za-z0-9+/=]){20,}"),
    _shape("aws-key", "akia asia abia acca", r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b"),
    _shape("github-token", "ghp_ gho_ ghu_ ghs_ ghr_", r"\bgh[pousr]_[A-Za-z0-9]{30,255}"),
    _shape("github-token", "github_pat_", r"\bgithub_pat_\w{40,255}"),
    _shape(
        "gitlab-token",
        "glpat- gldt- glrt- glptt- glft- glimt- glagent- gloas- glcbt- glsoat-",
        rf"\bgl(?:pat|dt|rt|ptt|ft|imt|agent|oas|cbt|soat)-{_W}{{20,}}",
    ),
    _shape("slack-token", "xox", r"\bxox[abceoprs]-[A-Za-z0-9-]{10,}"),
    _shape("slack-token", "xapp-", r"\bxapp-\d-[A-Za-z0-9-]{10,}"),
    _shape("slack-webhook", "hooks.slack", r"(?<=hooks\.slack\.com/services/)[A-Za-z0-9/_]{20,}"),
    _shape("stripe-key", "_live_ _test_", r"\b[srp]k_(?:live|test)_[A-Za-z0-9]{16,}"),
    _shape("stripe-key", "whsec_", r"\bwhsec_[A-Za-z0-9+/=]{24,}"),
    _shape("anthropic-key", "sk-ant-", rf"\bsk-ant-{_W}{{20,}}"),
    _shape("openai-key", "sk-", rf"\bsk-(?=[\w-]{{0,80}}\d)(?=[\w-]{{0,80}}[A-Z]){_W}{{20,}}"),
    _shape("google-key", "aiza", rf"\bAIza{_W}{{35}}"),
    _shape("google-token", "ya29. gocspx-", rf"\b(?:ya29\.|GOCSPX-){_W}{{20,}}"),
    _shape("huggingface-token", "hf_", r"\bhf_(?=\w{0,40}[A-Z])[A-Za-z0-9]{30,}"),
    _shape("package-token", "npm_", r"\bnpm_[A-Za-z0-9]{36}"),
    _shape("package-token", "pypi-age", rf"\bpypi-AgE{_W}{{40,}}"),
    _shape("sendgrid-key", "sg.", rf"\bSG\.{_W}{{16,}}\.{_W}{{16,}}"),
    _shape("service-token", "dop_v1_ dapi shpat_", r"\b(?:dop_v1_|dapi|shpat_)[a-f0-9]{32,64}\b"),
    _shape("telegram-token", ":aa", rf"\b\d{{8,10}}:AA{_W}{{33}}"),
    _shape("jwt", "eyj", rf"\beyJ{_W}{{8,}}\.eyJ{_W}{{8,}}(?:\.{_W}*)?"),
    _Shape(
        "url-password",
        ("://",),
        re.compile(r"\w://[^\s:/@\"'<>{}$%]{0,80}:(?P<value>[^\s/@\"'<>{}]{3,200})@"),
        _is_password,
    ),
    _Shape(
        "bearer-token",
        ("bearer ", "basic ", "token "),
        re.compile(r"\b(?:bearer|basic|token) (?P<value>[A-Za-z0-9._~+/=-]{20,})", re.I),
        _is_random_value,
    ),
    _Shape(
        "password",
        ("password=", "pwd=", "accountkey=", "sharedaccesskey="),
        re.compile(
            r"\b(?:password|pwd|accountkey|sharedaccesskey)="
            r"(?P<value>[^;\"'\s&<>(){}]{4,200})(?=[;&])",
            re.I,
        ),
        _is_password,
    ),
    _Shape(
        "secret",
        ("--",),
        re.compile(
            rf"--(?:[\w-]{{0,40}}-)?(?:{_PASSWORD}|token|secret|api-?key)[= ]"
            r"(?P<value>[^\s\"'<>{}$(),]{8,})",
            re.I,
        ),
        _is_random_value,
    ),
    _Shape("secret", _NAME_HINTS, _QUOTED, _is_quoted_secret),
    _Shape("secret", _NAME_HINTS, _BARE, _is_bare_secret),
    _Shape(
        "secret",
        ("key", "secret", "token", "auth", "cred", "signature", "salt", "passw", "private"),
        re.compile(r"""(?<=["'`])(?P<value>[A-Za-z0-9+/=_-]{20,400})(?=["'`])"""),
        _is_key_literal,
    ),
)
_HINTED = tuple((hint, shape) for shape in _SHAPES for hint in shape.hints)
