"""Secrets stay in the editor process; ordinary code passes untouched.

Every secret here is made up, and put together at run time: the repository holds none that a
scanner would have to take for real.
"""

import random
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsp_server.editor.line_diff import split_lines
from lsp_server.editor.redaction import Exclusion, Redactor

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def made_up(length: int, alphabet: str = LETTERS + "0123456789", seed: int = 7) -> str:
    """Random characters, at least one digit, upper and lower case where the alphabet has them."""
    return "".join(random.Random(seed).choices(alphabet, k=length))


HEX = made_up(64, "0123456789abcdef")
WORD = "hunt" + "er2"
KEY_LINE = made_up(64)
DASHES = "-" * 5


def key_block(name: str = "RSA PRIVATE KEY", num_lines: int = 12) -> str:
    body = "".join(f"{made_up(64, seed=n)}\n" for n in range(num_lines))
    return f"{DASHES}BEGIN {name}{DASHES}\n{body}Qw==\n{DASHES}END {name}{DASHES}\n"


def check(before: str, secret: str, after: str, kind: str) -> None:
    """Expect the secret, and nothing around it, to give way to a placeholder of its kind."""
    redactor = Redactor()
    expected = f"{before}<redacted:{kind}>{after}"
    assert redactor.redact(before + secret + after) == expected
    assert redactor.redact(expected) == expected


@pytest.mark.parametrize(
    ("secret", "kind"),
    [
        ("AK" + "IA" + made_up(16, "ABCDEFGHJKLMNPQR234567"), "aws-key"),
        ("gh" + "p_" + made_up(36), "github-token"),
        ("github" + "_pat_" + made_up(22) + "_" + made_up(59), "github-token"),
        ("gl" + "pat-" + made_up(20), "gitlab-token"),
        ("xo" + "xb-" + made_up(12, "0123456789") + "-" + made_up(24), "slack-token"),
        ("sk" + "_live_" + made_up(24), "stripe-key"),
        ("whs" + "ec_" + made_up(32), "stripe-key"),
        ("sk" + "-proj-" + made_up(48), "openai-key"),
        ("sk" + "-ant-api03-" + made_up(80), "anthropic-key"),
        ("AI" + "za" + made_up(35), "google-key"),
        ("ya" + "29." + made_up(60), "google-token"),
        ("h" + "f_" + made_up(34), "huggingface-token"),
        ("np" + "m_" + made_up(36), "package-token"),
        ("pypi" + "-AgE" + made_up(80), "package-token"),
        ("S" + "G." + made_up(22) + "." + made_up(43), "sendgrid-key"),
        ("ey" + "J" + made_up(30) + ".ey" + "J" + made_up(80) + "." + made_up(43), "jwt"),
    ],
)
@pytest.mark.parametrize(
    ("before", "after"), [("x = '", "'  # y\n"), ("Use ", "\r\n"), ("curl -u ", ""), ("f(", ")")]
)
def test_a_known_token_goes_wherever_it_stands(
    secret: str, kind: str, before: str, after: str
) -> None:
    check(before, secret, after, kind)


@pytest.mark.parametrize(
    ("before", "secret", "after", "kind"),
    [
        ("password = '", WORD, "'", "password"),
        ("self.db_password: str = '", WORD, "'\n", "password"),
        ("connect(user, passwd='", WORD, "')", "password"),
        ('{"password": "', WORD, '", "user": "joe"}', "password"),
        ('text = "{\\"password\\": \\"', WORD, '\\"}"', "password"),
        ("os.environ['DB_PASSWORD'] = '", WORD, "'", "password"),
        ("const PASSWORD = `", WORD, "`;", "password"),
        ("PASSWORD = '", WORD, "", "password"),
        ("export DB_PASSWORD=", WORD, "\n", "password"),
        ("db_password: ", WORD, "  # of the test machine\n", "password"),
        ("API_KEY = '", made_up(24), "'", "secret"),
        ("secretKey: '", made_up(40), "',", "secret"),
        ("API_TOKEN=", made_up(30), "\n", "secret"),
        ("os.getenv('AUTH_TOKEN', '", made_up(24), "')", "secret"),
        ("aws_secret_access_key = ", made_up(40), "\n", "secret"),
        ("run --api-token=", made_up(20), " -v", "secret"),
        ("signing = hmac.new(key_of('", made_up(44), "'))", "secret"),
        ("SALT = bytes.fromhex('", HEX, "')", "secret"),
        ("url = 'https://joe:", WORD, "@example.com/x'", "url-password"),
        ("postgresql+psycopg://app:", WORD, "@db:5432/app", "url-password"),
        ("headers['x'] = 'Bearer ", made_up(40), "'", "bearer-token"),
        ('"Server=db;User=sa;Password=', WORD, ';Timeout=3"', "password"),
    ],
)
def test_a_literal_that_is_named_as_secret_goes(
    before: str, secret: str, after: str, kind: str
) -> None:
    check(before, secret, after, kind)


@pytest.mark.parametrize(
    "line",
    [
        "password = getpass.getpass('Password: ')",
        "password = ''",
        "password = None",
        "password = settings.PASSWORD_V2",
        "password: str | None = None",
        "def login(user: str, password: str, token: str) -> Token2: ...",
        "PASSWORD_FIELD = 'password'",
        "parser.add_argument('--password', help='the password to use')",
        "os.environ['DB_PASSWORD']",
        "if token == 'endmarker': pass",
        "token = tokens[3]",
        "token_type = 'bearer'",
        "secret = hashlib.sha256(data).hexdigest()",
        "api_key = load_key('/etc/ssl/server1.pem')",
        "private_key = '/etc/ssl/server1.pem'",
        "api_key = '${API_KEY}'",
        "url = f'https://{user}:{password}@example.com'",
        "url = 'https://user:password@example.com'",
        "url = 'http://localhost:8750/v1/tokens'",
        "max_tokens = 4096",
        "key = 'name'",
        "sort_key = 'first_name_2'",
        "for token in tokenize.generate_tokens(readline):",
        f"if '{DASHES}BEGIN RSA PRIVATE KEY{DASHES}' in text:\n    return\npass\n",
        "from sk_learn import sk-some-quite-long-dashed-name",
    ],
)
def test_ordinary_code_stays(line: str) -> None:
    assert Redactor().redact(line) == line


@pytest.mark.parametrize("name", ["PRIVATE KEY", "RSA PRIVATE KEY", "OPENSSH PRIVATE KEY"])
@pytest.mark.parametrize("line_break", ["\n", "\r\n"])
def test_a_key_block_goes_line_by_line(name: str, line_break: str) -> None:
    block = key_block(name).replace("\n", line_break)
    text = f"before = 1{line_break}{block}after = 2{line_break}"
    redacted = Redactor().redact(text)
    lines = redacted.split(line_break)
    assert (lines[0], lines[-2], len(lines)) == ("before = 1", "after = 2", len(text.split("\n")))
    assert set(lines[2:15]) == {"<redacted:private-key>"}
    assert lines[1].startswith(DASHES)
    assert lines[15].startswith(DASHES)


def test_a_key_in_string_literals_keeps_its_quotes() -> None:
    text = "".join(f'    "{line}\\n"\n' for line in key_block().splitlines())
    lines = Redactor().redact(f"KEY = (\n{text})\n").splitlines()
    assert lines[2:15] == ['    "<redacted:private-key>\\n"'] * 13
    assert lines[-1] == ")"


def test_a_key_on_one_line_goes() -> None:
    check(f"k = '{DASHES}BEGIN PRIVATE KEY{DASHES}", r"\n" + KEY_LINE + r"\n", "'", "private-key")


@pytest.mark.parametrize("cut", range(60, 900, 97))
def test_a_key_block_cut_by_the_window_goes_too(cut: int) -> None:
    block = "x = 1\n" + key_block()
    for text in (
        block[:cut],
        block[cut:],
        "\n".join(Redactor().redact_sides(block[:cut], block[cut:])),
    ):
        redacted = Redactor().redact(text)
        for line in key_block().splitlines()[1:-2]:
            assert line not in redacted
            assert line[:40] not in redacted
    assert Redactor().redact(block[:cut]).startswith("x = 1\n")


@given(st.integers(0, 80))
def test_a_secret_around_the_caret_goes_to_neither_side(at: int) -> None:
    secret = "gh" + "p_" + made_up(36)
    text = f"first\ntoken = '{secret}')\nlast\n"
    prefix, suffix = Redactor().redact_sides(text[:at], text[at:])
    assert secret[:20] not in prefix + suffix
    assert secret[-20:] not in prefix + suffix
    assert (prefix + suffix).count("\n") == text.count("\n")
    inside = text.index(secret) < at < text.index(secret) + len(secret)
    if inside:
        assert (prefix, suffix) == ("first\ntoken = '<redacted:github-token>", "')\nlast\n")


PIECES = st.sampled_from(
    [
        *(
            "password",
            "token",
            " = ",
            "=",
            ": ",
            '"',
            "'",
            "\\",
            "\n",
            "\r\n",
            "\r",
            " ",
            "://",
            "@",
        ),
        *(WORD, KEY_LINE, HEX[:32], "gh" + "p_" + made_up(36), "sk" + "_live_" + made_up(24), "#"),
        *(
            f"{DASHES}BEGIN PRIVATE KEY{DASHES}",
            f"{DASHES}END PRIVATE KEY{DASHES}",
            "é😀",
            "\ud800",
        ),
        *("<", ">", "redacted:", "API_KEY", "\f", "x", ";", "Bearer ", "--token "),
    ]
)


@given(st.lists(PIECES, max_size=20).map("".join))
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    redactor = Redactor()
    once = redactor.redact(text)
    assert redactor.redact(once) == once
    assert Redactor().redact(text) == once
    breaks = [line[len(line.rstrip("\r\n")) :] for line in split_lines(text)]
    assert [line[len(line.rstrip("\r\n")) :] for line in split_lines(once)] == breaks


def test_the_standard_library_is_ordinary_code() -> None:
    redactor, num_lines, num_changed = Redactor(), 0, 0
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        lines = split_lines(path.read_text(encoding="utf-8", errors="replace"))
        redacted = split_lines(redactor.redact("".join(lines)))
        num_lines += len(lines)
        num_changed += sum(a != b for a, b in zip(lines, redacted, strict=True))
    assert num_lines > 50_000
    assert num_changed < num_lines / 5_000


@pytest.mark.usefixtures("no_collections")
def test_sixteen_thousand_characters_take_milliseconds() -> None:
    text = (Path(sysconfig.get_path("stdlib")) / "argparse.py").read_text()[:16_384]
    cold, warm = [], []
    for _ in range(5):
        redactor = Redactor()
        for times in (cold, warm):
            begun = time.thread_time()
            redactor.redact(text)
            times.append((time.thread_time() - begun) * 1000)
    assert min(cold) < 20  # about four times what it takes: processors differ, and are shared
    assert min(warm) < 4


@pytest.mark.parametrize("piece", ["password=a,", "sk-", "token '", "a://b:", "--token-", "eyJ."])
def test_a_long_odd_line_takes_no_quadratic_time(
    piece: str, processor_s: Callable[..., float]
) -> None:
    text = (piece * 16_384)[:16_384]
    assert processor_s(lambda: Redactor().redact(text)) < 0.1


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("src/main.py", None),
        (".environment/main.py", None),
        ("keys.py", None),
        (".env", "secrets"),
        ("deploy/.env.production", "secrets"),
        ("DEPLOY/.ENV", "secrets"),
        ("certs/server.pem", "secrets"),
        ("home\\joe\\.ssh\\config", "secrets"),
        ("id_rsa", "secrets"),
        (".npmrc", "secrets"),
        ("secrets.yaml", "secrets"),
        ("config/credentials.json", "secrets"),
        ("build/out.js", "ignore pattern"),
        ("src/kept.gen.py", None),
        ("src/other.gen.py", "ignore pattern"),
        ("", None),
    ],
)
def test_paths_that_stay(path: str, reason: str | None) -> None:
    exclusion = Exclusion(("# built", "build/", "*.gen.py", "!kept.gen.py", "!.env", "!", ""))
    found = exclusion.excluded(path)
    assert (found is None) if reason is None else (found is not None and reason in found)
