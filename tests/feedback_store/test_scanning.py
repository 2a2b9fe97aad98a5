"""What the second scan finds, and what it must leave alone.

The secrets are put together here from pieces, so that nobody's scanner finds one in this file.
"""

import logging
import sysconfig
from collections import Counter
from pathlib import Path

import pytest

from feedback_store.scanning import is_excluded_path, kinds_in

MIXED = "wJ8rXutnF3MIqK7MDeNGb2PxRfiCYzk5HvQ0aLsT"  # forty characters that mean nothing
HEX = "3f9ac27b1d04e85f6a7cb2d19e80f4a35c6d7e18"
BEGIN, END = ("-----" + word + " RSA PRIVATE" + " KEY-----" for word in ("BEGIN", "END"))


def luhn(digits: str) -> str:
    """Return a card's number with the last digit that makes it a valid one."""
    plain = [int(digit) for digit in digits if digit.isdigit()][::-1]
    doubled = [sum(divmod(2 * digit, 10)) for digit in plain[::2]]
    return f"{digits}{-(sum(doubled) + sum(plain[1::2])) % 10}"


SECRETS = [
    ("aws-key", 'client("s3", "AKIA' + 'Q3EGRIT7VZK5WMLB")'),
    ("aws-key", f'AWS_SECRET_KEY = "{MIXED}"'),
    ("azure-key", "AccountKey=" + MIXED + MIXED + "AbCd5g/="),
    ("github-token", "push with ghp_" + MIXED[:36]),
    ("gitlab-token", "glpat-" + MIXED[:20]),
    ("slack-token", "xox" + "b-213456789012-" + "a8b7c6d5e4f3"),
    ("slack-token", "https://hooks.slack.com/services/T0A1B2C3D/B4E5F6G7H/" + MIXED[:24]),
    ("stripe-key", "stripe.api_key = 'sk_live" + "_4eC39HqLyjWDarjtT1zdp7dc'"),
    ("package-token", "pypi-AgEIcHlwaS5vcmc" + MIXED + MIXED),
    ("sendgrid-key", "SG." + MIXED[:22] + "." + MIXED + "abc"),
    ("openai-key", "sk-" + MIXED[:20] + "T3BlbkFJ" + MIXED[20:40]),
    ("telegram-token", "bot110201543:" + MIXED[:35]),
    ("twilio-key", "AC" + HEX[:32]),
    ("jwt", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0." + MIXED),
    ("url-password", "postgresql://ada:kX9-vw2Q@db.intern:5432/shop"),
    ("url-password", 'git clone "https://deploy:correcthorse@git.acme-shop.de/x"'),
    ("named-secret", 'db_password = "kX9vw2QpR7"'),
    ("named-secret", "'api_key': 'a81kf02mzp37'"),
    ("random-secret", f'const token = "{HEX}"'),
    ("random-secret", f"sign(auth='{MIXED}')"),
    ("private-key", f"{BEGIN}\n{MIXED}{MIXED}\n{MIXED}{MIXED}\n{END}\n"),
    ("private-key", f'KEY = "{BEGIN}\\n{MIXED}{MIXED}\\n"'),
    ("private-key", f"{MIXED}{MIXED}\n{MIXED}==\n{END}\n"),
    ("e-mail", 'owner = "lena.vogel@web-kontor.de"'),
    ("e-mail", "# TODO ask tomasz.k@firma.pl about this"),
    ("phone", 'phone: "+49 30 9018 2094"'),
    ("phone", "call (212) 736-3100 first"),
    ("card-number", f'card = "{luhn("4929 1478 3652 901")}"'),
    ("card-number", f"charge('{luhn('540219037461852')}')"),
    ("card-number", luhn("3714-963528-1937")),
    ("iban", 'iban = "DE12 5001 0517 0648 4898 90"'),
]

CODE = [
    "import os, sys",
    "def test_that_a_very_long_name_of_a_test_2_is_left_alone(self) -> None:",
    'password = os.environ["DB_PASSWORD"]',
    'password = "<redacted:password>"',
    'password = "password123"',
    'PASSWORD_FIELD = "user_password_2"',
    'token = get_token2("refresh")',
    'secret_key = "your-secret-key-1234"',
    'api_key="{api_key}"',
    "aws_key = 'AKIA" + "IOSFODNN7EXAMPLE'",
    'sha256 = "' + HEX + HEX[:24] + '"',
    '"integrity": "sha512-' + MIXED + MIXED + '==",  # of the key package',
    'commit = "' + HEX + '"',
    'token_id = "3f2504e0-4f89-11d3-9a0c-0305e82c3301"',
    "KEY_ALPHABET = 'abcdefghijklmnopqrstuvwxyz0123456789'",
    "key = 'a.b.c.d.e1.f2.g3'",
    'cache_key = f"user:{user_id}:v2"',
    "postgresql://user:password@localhost/test",
    "postgresql://postgres:postgres@db:5432/app",
    "https://{user}:{token}@github.com/x",
    "https://user:$TOKEN@github.com/x",
    "redis://:6379/0",
    f"{BEGIN}\n<redacted:private-key>\n{END}",
    "from cryptography.hazmat.primitives import serialization  # BEGIN PRIVATE KEY",
    "# Author: Lena Vogel <lena.vogel@web-kontor.de>",
    "__author__ = 'lena.vogel@web-kontor.de'",
    "Copyright (c) 2019 lena.vogel@web-kontor.de",
    "Reported-by: lena.vogel@web-kontor.de",
    "git clone git@github.com:pallets/werkzeug.git",
    'send(to="jane.doe@example.com", sender="noreply@firma.pl")',
    '"user@company.com"',
    "y = x@w.shape",
    "out = attention@value.to(device)",
    "@app.route('/users/<int:user_id>')",
    "<img src='icon@2x.png'>",
    "scale = 1.4142135623730951 * 4503599627370496",
    "big = 9223372036854775807, 18446744073709551615",
    "0.1234567890123456, 4000123412341234.5",
    'card = "4242 4242 4242 4242"  # the test card',
    f"card = '{luhn('492914783652901')[:-1]}x', {int(luhn('492914783652901')) + 1}",
    'card = "4111111111111111"',
    "timestamp = '2024-01-01T12:00:00.000000+00:00'",
    'version = "1.2.3.4"; ip = "192.168.1.10"',
    'phone = "+1 (212) 555-0147"',
    'phone = "+49 123 4567890"',
    "x = a +1 - 22 - 333 - 4444",
    "GB82WEST12345698765433",
    "0x1F, 0xDEADBEEF, 0b1010101010101010101010",
    "data:image/png;base64," + MIXED + MIXED,
]


@pytest.mark.parametrize(("kind", "text"), SECRETS)
def test_what_is_secret_or_personal_is_found(kind: str, text: str) -> None:
    assert kind in kinds_in(["import os\n", f"first = 1\n{text}\nlast = 2\n"])
    assert kind in kinds_in([text])


@pytest.mark.parametrize("line", CODE)
def test_ordinary_code_is_left_alone(line: str) -> None:
    assert kinds_in([line]) == frozenset()


def test_a_library_of_real_code_is_left_alone() -> None:
    """Python's own library: whose names its authors signed with is all that may be found."""
    found: Counter[str] = Counter()
    num_lines = 0
    for file in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        num_lines += len(lines)
        for line in lines:
            found.update(kinds_in([line]))
    assert num_lines > 50_000
    assert set(found) <= {"e-mail"}
    assert found["e-mail"] < num_lines / 2_000


@pytest.mark.parametrize(
    ("path", "is_excluded"),
    [
        (".env", True),
        ("deploy/.env.production", True),
        ("keys/server.PEM", True),
        ("infra\\prod.tfvars", True),
        ("home/.ssh/config", True),
        ("id_ed25519", True),
        ("src/environment.py", False),
        ("credentials.py", False),
        ("keyboard/keys.py", False),
        ("docs/env.md", False),
        (".github/workflows/ci.yml", False),
        ("", False),
    ],
)
def test_files_that_hold_secrets_by_their_nature(path: str, is_excluded: bool) -> None:
    assert is_excluded_path(path) is is_excluded


def test_nothing_found_is_ever_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        for _, text in SECRETS:
            kinds_in([text])
    assert caplog.records == []


def test_very_long_lines_end_soon() -> None:
    for line in ("a1" * 50_000, "+1 " * 50_000, "a@" * 50_000, "1" * 100_000, "key=" * 40_000):
        assert kinds_in([line]) <= {"random-secret"}
