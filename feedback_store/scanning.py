"""Turns text into the kinds of secrets and of personal data found in it; the second scan.

The editor's own scan took out what it knows before the text left. This one has other eyes: the
plugins of detect-secrets, asked for their patterns only (nothing is ever verified over a network),
and `personal_data`. A hit costs a whole row, so a value counts only where it looks like nothing
else. Line by line, remembered, because the same lines come again with every key. It never returns
or logs what was found, only its kind, and knows nothing of rows.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

from detect_secrets.filters import heuristic
from detect_secrets.plugins import (
    artifactory,
    aws,
    azure_storage_key,
    basic_auth,
    discord,
    github_token,
    gitlab_token,
    high_entropy_strings,
    jwt,
    keyword,
    mailchimp,
    npm,
    openai,
    pypi_token,
    sendgrid,
    slack,
    square_oauth,
    stripe,
    telegram_token,
    twilio,
)
from detect_secrets.plugins.base import BasePlugin

from feedback_store import personal_data

RULES = 1  # count up when these rules, or those of `personal_data`, find more than they did
MAX_CACHED_LINES = 32_768
MAX_CACHED_CHARACTERS = 1_024
EXCLUDED_PATH = "excluded-path"
PRIVATE_KEY = "private-key"
_NOTHING: frozenset[str] = frozenset()


def kinds_in(texts: Iterable[str]) -> frozenset[str]:
    """Return the kinds of everything found in `texts`, such as "github-token"; mostly none."""
    found: set[str] = set()
    for text in texts:
        if "PRIVATE KEY" in text and _KEY_BLOCK.search(text):
            found.add(PRIVATE_KEY)
        for line in text.splitlines():
            is_short = len(line) <= MAX_CACHED_CHARACTERS
            found |= _remembered(line) if is_short else _kinds_in_line(line)
    return frozenset(found) if found else _NOTHING


def is_excluded_path(path: str) -> bool:
    """Tell whether a file of this name holds secrets by its nature; an editor should not send it.

    Only names that are never source code: `credentials.py` may be anything.
    """
    return _SECRET_FILE.search(path.replace("\\", "/")) is not None


@dataclass(frozen=True, slots=True)
class _Rule:
    """A plugin, tried where one of `hints` and none of `but_not` is in the line, in lower case."""

    kind: str
    hints: tuple[str, ...]
    plugin: BasePlugin
    counts: Callable[[str], bool]  # has the say over each value that the plugin finds
    but_not: tuple[str, ...] = ()

    def is_in(self, line: str, lowered: str) -> bool:
        """Tell whether the line holds what this rule looks for."""
        if not any(hint in lowered for hint in self.hints):
            return False
        if any(word in lowered for word in self.but_not):
            return False
        return any(value and self.counts(value) for value in self.plugin.analyze_string(line))


def _kinds_in_line(line: str) -> frozenset[str]:
    # Nothing is found without a digit but addresses and URLs: most lines end here.
    if not (_DIGIT.search(line) or "@" in line) or not _SCREEN.search(line):
        return _NOTHING
    lowered = line.lower()
    found = {rule.kind for rule in _RULES if rule.is_in(line, lowered)}
    return personal_data.kinds_in_line(line) | found or _NOTHING


_remembered = lru_cache(MAX_CACHED_LINES)(_kinds_in_line)


def _is_shaped(value: str) -> bool:
    """A value whose shape alone says what it is: only examples and templates are left out."""
    return not _EXAMPLE.search(value) and not heuristic.is_sequential_string(value)


def _is_random(value: str) -> bool:
    """A value that no person and no program would use as a name, a path or a placeholder."""
    changes = len(_LETTERS_OR_DIGITS.findall(value))
    is_mixed = value.lower() != value and value.upper() != value
    return (
        len(value) >= 8
        and not any(map(str.isspace, value))
        and any(map(str.isdigit, value))
        and (changes >= 4 or (is_mixed and changes >= 2 and not _NAME.fullmatch(value)))
        and not _TEMPLATE.search(value)
        and _is_shaped(value)
        and not heuristic.is_potential_uuid(value)
    )


def _is_password(value: str) -> bool:
    """The password of a URL: anything but a word that documentation uses, or a template."""
    return not _TEMPLATE.search(value) and _is_shaped(value) and not _ORDINARY.fullmatch(value)


def _is_entropic(plugin: high_entropy_strings.HighEntropyStringsPlugin) -> Callable[[str], bool]:
    """Random by its entropy also; hashes stand everywhere, so the line must name a secret too."""

    def counts(value: str) -> bool:
        enough = plugin.calculate_shannon_entropy(value) > plugin.entropy_limit
        return len(value) >= 24 and enough and _is_random(value)

    return counts


_TOKEN_RUN = r"(?<![A-Za-z0-9+/_=.-])(?=[A-Za-z+/_=.-]{0,80}\d)[A-Za-z0-9+/_=.-]{20}"
_DIGIT = re.compile("[0-9]")
_SCREEN = re.compile(
    rf"""{_TOKEN_RUN} | ://[^\s/:]*:[^\s/]*@ | AKC[a-z0-9A-Z]{{10}} | xox[a-z]-
    | (?:[Kk][Ee][Yy]|[Pp][Aa][Ss][Ss]|[Pp][Ww][Dd]|[Ss][Ee][Cc][Rr][Ee][Tt]|[Tt][Oo][Kk][Ee][Nn])
      \w*["'\]]{{0,3}}\s*[:=!]
    | {personal_data.SCREEN}""",
    re.X,
)
_KEY_BLOCK = re.compile(
    r"""PRIVATE\ KEY(?:\ BLOCK)?-----(?:\\[rn]|[\s"'`\#*+,|]|[\w-]+:\ [^\n]*\n)*[A-Za-z0-9+/=]{24}
    | [A-Za-z0-9+/=]{24}(?:\\[rn]|[\s"'`\#*+,|])*-----END\ [A-Z0-9 ]*PRIVATE\ KEY""",
    re.X,
)
_EXAMPLE = re.compile(
    r"example|dummy|redact|sample|placeholder|changeme|your[-_]|fake|x{4}|0{8}|\*{3}|\.\.\."
    r"|(.)\1{7}",
    re.I,
)
_TEMPLATE = re.compile(
    r"[<>{}()\[\]$%\s,;]|://|^[/~.]|\.(?:py|js|ts|com|org|json|html?)\b"
    r"|pass(?:word|wd)|secret|token|credential|api.?key|^test|localhost",
    re.I,
)
_ORDINARY = re.compile(
    r"(?:pass|password|passwd|pwd?|secret|user(?:name)?|root|admin|guest|test(?:ing)?|postgres|mysql"
    r"|tiger|redis|rabbitmq|mongo|db|foo|bar|baz|me|token|port|host|anonymous|[a-z]{1,3}|\d{1,5})\d{0,3}",
    re.I,
)
_NAME = re.compile(r"[A-Za-z]*\d{0,3}(?:[._/:+-]+[A-Za-z]*\d{0,3})*")
_LETTERS_OR_DIGITS = re.compile(r"[A-Za-z]+|\d+")
_SECRET_FILE = re.compile(
    r"""(?:^|/)(?:\.env(?:\.[\w-]+)?|\.envrc|\.netrc|_netrc|\.pgpass|\.npmrc|\.pypirc|\.htpasswd
    |\.git-credentials|\.vault-token|id_(?:rsa|dsa|ecdsa|ed25519)|master\.key|kubeconfig|wallet\.dat
    |[^/]+\.(?:pem|key|p12|pfx|jks|keystore|kdbx|ppk|gpg|tfstate|tfvars|ovpn|keytab))$
    |(?:^|/)\.(?:ssh|gnupg|aws)/""",
    re.I | re.X,
)
_SECRET_NAMES = ("key", "secret", "token", "auth", "credential", "signature", "passw", "pwd")
_HASH_NAMES = ("sha", "md5", "integrity", "checksum", "digest", "pub", "fingerprint", "commit")
_HEX = high_entropy_strings.HexHighEntropyString()
_BASE64 = high_entropy_strings.Base64HighEntropyString()
_RULES = tuple(
    _Rule(kind, tuple(hints.split()), plugin, counts)
    for kind, hints, plugin, counts in (
        ("aws-key", "akia asia abia acca a3t aws", aws.AWSKeyDetector(), _is_shaped),
        ("artifactory-key", "akc", artifactory.ArtifactoryDetector(), _is_random),
        ("azure-key", "accountkey", azure_storage_key.AzureStorageKeyDetector(), _is_shaped),
        ("url-password", "://", basic_auth.BasicAuthDetector(), _is_password),
        ("discord-token", ".", discord.DiscordBotTokenDetector(), _is_random),
        (
            "github-token",
            "ghp_ gho_ ghu_ ghs_ ghr_",
            github_token.GitHubTokenDetector(),
            _is_shaped,
        ),
        ("gitlab-token", "gl gr1348941", gitlab_token.GitLabTokenDetector(), _is_shaped),
        ("jwt", "eyj", jwt.JwtTokenDetector(), _is_shaped),
        ("mailchimp-key", "-us", mailchimp.MailchimpDetector(), _is_random),
        ("package-token", "_authtoken", npm.NpmDetector(), _is_random),
        ("package-token", "pypi-", pypi_token.PypiTokenDetector(), _is_shaped),
        ("openai-key", "sk-", openai.OpenAIDetector(), _is_shaped),
        ("sendgrid-key", "sg.", sendgrid.SendGridDetector(), _is_shaped),
        ("slack-token", "xox hooks.slack", slack.SlackDetector(), _is_shaped),
        ("square-key", "sq0csp", square_oauth.SquareOAuthDetector(), _is_shaped),
        ("stripe-key", "k_live_", stripe.StripeDetector(), _is_shaped),
        ("telegram-token", ":", telegram_token.TelegramBotTokenDetector(), _is_random),
        ("twilio-key", "ac sk", twilio.TwilioKeyDetector(), _is_random),
        ("named-secret", "key pass pwd secret", keyword.KeywordDetector(), _is_random),
    )
) + tuple(
    _Rule("random-secret", _SECRET_NAMES, plugin, _is_entropic(plugin), _HASH_NAMES)
    for plugin in (_HEX, _BASE64)
)
