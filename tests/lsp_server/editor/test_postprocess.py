"""Raw generations become suggestions that fit their place, or nothing at all."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback_store.schemas import Mode
from lsp_server.editor.context import Context, Selected, build
from lsp_server.editor.document import Snapshot
from lsp_server.editor.postprocess import Suggestion, suggest

CARET = "<|>"


def context_of(marked: str, language: str) -> tuple[str, Context]:
    before, _, after = marked.partition(CARET)
    snapshot = Snapshot.of(before + after, language=language)
    return snapshot.text, build(snapshot, len(before), path="")


def applied(text: str, context: Context, suggestion: Suggestion) -> str:
    end = context.anchor + suggestion.replace_length
    return text[: context.anchor] + suggestion.text + text[end:]


def check(marked: str, raw: str, expected: str | None, language: str = "python") -> None:
    """Expect the whole document once the suggestion is taken, or None where there is none."""
    text, context = context_of(marked, language)
    suggestion = suggest(context, raw, 0)
    assert (suggestion and applied(text, context, suggestion)) == expected


@pytest.mark.parametrize(
    ("marked", "raw", "expected"),
    [
        ("foo(<|>)", "x)", "foo(x)"),
        ("foo(<|>)", "x", "foo(x)"),
        ("foo(<|>)", "bar(x)", "foo(bar(x))"),
        ("foo(<|>)", "bar(x))", "foo(bar(x))"),
        ("foo( <|> )", "x)", "foo( x )"),
        ("if foo(<|>)", "x):", "if foo(x):"),
        ("if foo(<|>):", "x):", "if foo(x):"),
        ("if foo(<|>):", "x): pass", "if foo(x): pass"),
        ("f(g(<|>))", "x))", "f(g(x))"),
        ("f(g(<|>))", "x).y", "f(g(x).y)"),
        ("f(g(<|>))", "x).y)", "f(g(x).y)"),
        ("f(g(<|>)", "), y)", "f(g(), y)"),
        ("x = (<|>", "a)", "x = (a)"),
        ('print("<|>")', 'hello")', 'print("hello")'),
        ('print("<|>")', 'hello", x)', 'print("hello", x)'),
        ('print("it\'s <|>")', 'me (you)")', 'print("it\'s me (you)")'),
        ("x = d[<|>]", "'a']", "x = d['a']"),
        ("foo(<|>, y)", "x, y)", "foo(x, y)"),
        ("foo(<|>self.x)", "args", "foo(argsself.x)"),
        ("x = <|> + 1", "a + 1", "x = a + 1"),
        ("return <|>value", "self.value + 1", "return self.value + 1"),
        ("foo(<|>) == 1", "x) == 2", "foo(x) == 1"),
        ("foo(<|>) and g()", "x) or h(y)", "foo(x) and g()"),
        ("foo(<|>)", ")", None),
        ("x = [<|>]", "]", None),
    ],
)
def test_the_rest_of_the_line_is_never_doubled(marked: str, raw: str, expected: str | None) -> None:
    check(marked, raw, expected)


@pytest.mark.parametrize(
    ("marked", "raw", "expected"),
    [
        ("x = foo(a)<|>\n", ")", None),
        ("x = foo(a<|>\n", "))", "x = foo(a)\n"),
        ("x = foo(<|>\n", "a), b)", "x = foo(a), b\n"),
        ("foo(\n    a<|>\n)\n", ")", None),
        ("foo(\n    a,\n    b<|>\n)\n", "[1])", "foo(\n    a,\n    b[1]\n)\n"),
        ("foo(\n    bar(a<|>\n)\n", "))", "foo(\n    bar(a)\n)\n"),
        ("foo(\n    a,\n<|>\n", ")", "foo(\n    a,\n)\n"),
        ("x = '(' + foo(a<|>\n", ")", "x = '(' + foo(a)\n"),
        ("x = 'so (<|>\n", "it) is'", "x = 'so (it) is'\n"),
        ('"""Say (<|>\n', "it) again.", '"""Say (it) again.\n'),
    ],
)
def test_a_closer_closes_something(marked: str, raw: str, expected: str | None) -> None:
    check(marked, raw, expected)


@pytest.mark.parametrize(
    ("marked", "raw", "expected"),
    [
        ("x = <|>", "1\ny = 2\n", "x = 1"),
        ("x = <|>", " 1", "x = 1"),
        ("x =<|>", " 1  ", "x = 1"),
        ("x = <|>", "", None),
        ("x = <|>", "  \n\t", None),
        ("x = 1<|>", "\ny = 2", None),
        ("x = 1\n<|>", "x = 1\n", None),
        ("x = 1\nx =<|>", " 1\n", "x = 1\nx = 1"),
        ("<|>\nx = 1\n", "x = 1\n", None),
        ("if x:\n    y\n    <|>", "    z = 1", "if x:\n    y\n    z = 1"),
        ("x = 1\r\ny = <|>\r\n", "2\r\nz", "x = 1\r\ny = 2\r\n"),
    ],
)
def test_a_line_is_one_line(marked: str, raw: str, expected: str | None) -> None:
    check(marked, raw, expected)


HEADER = "def f(x):\n    <|>"
BELOW_COMMENT = "def f():\n    a = 1\n    # Next.\n    <|>\n\n    b = 2\n    c = 3\n"
TABS = "def f(x):\n\tif x:\n\t\t<|>"
DOC = '"""Doc.\n\nMore.\n"""\n    return x'


@pytest.mark.parametrize(
    ("marked", "raw", "expected"),
    [
        (HEADER, "return x\n\n\ndef g():\n", "def f(x):\n    return x"),
        (HEADER, "y = x\n\n    return y\nz = 1", "def f(x):\n    y = x\n\n    return y"),
        (HEADER, "\n    return x", "def f(x):\n    return x"),
        (HEADER, "    return x\n", "def f(x):\n    return x"),
        (HEADER, "y = x  \n    return y ", "def f(x):\n    y = x\n    return y"),
        (HEADER, "y = x\r\n    return y\r\n", "def f(x):\n    y = x\n    return y"),
        (HEADER, DOC + "\n", HEADER.replace(CARET, DOC)),
        ("def f(x):\n<|>", "    return x\n", "def f(x):\n    return x"),
        ("def f(x):\n<|>", "return x\n", None),
        ("def f(x):<|>", "\n    return x\ny = 1", "def f(x):\n    return x"),
        ("def f(x):<|>", " return x\n\ny = 1", "def f(x): return x"),
        ("def f(\n        x):<|>", "\n    return x\ny", "def f(\n        x):\n    return x"),
        ("if x:\r\n    <|>\r\n", "y\n    z", "if x:\r\n    y\r\n    z\r\n"),
        (TABS, "y = x\n        return y", TABS.replace(CARET, "y = x\n\t\treturn y")),
        ("if x:\n    <|>\nreturn y\n", "y = x\nreturn y\n", "if x:\n    y = x\nreturn y\n"),
        ("# Sum.\n<|>\n", "total = 1\nx = 2\n\nother = 3", "# Sum.\ntotal = 1\nx = 2\n"),
        ("if x:\n    # Why.\n    <|>\n", "y\n\n    z\n", "if x:\n    # Why.\n    y\n\n    z\n"),
        (BELOW_COMMENT, "x = 1\n    b = 2\n    c", BELOW_COMMENT.replace(CARET, "x = 1")),
    ],
)
def test_a_block_ends_where_its_indentation_does(
    marked: str, raw: str, expected: str | None
) -> None:
    check(marked, raw, expected)


@pytest.mark.parametrize(
    ("marked", "raw", "expected"),
    [
        ("function f() {\n  <|>\n}\n", "return 1;\n}\n", "function f() {\n  return 1;\n}\n"),
        ("function f() {\n  <|>\n", "return 1;\n}\nf()", "function f() {\n  return 1;\n}\n"),
        ("function f() {<|>}", "\n  return 1;\n}\nf()", "function f() {\n  return 1;\n}"),
        ("function f() {<|>}", "\n  return 1;\n", "function f() {\n  return 1;\n}"),
        ("f(() => {<|>})", "\n  g();\n})", "f(() => {\n  g();\n})"),
    ],
)
def test_braces_close_once(marked: str, raw: str, expected: str | None) -> None:
    check(marked, raw, expected, "javascript")


def test_a_block_is_at_most_twenty_four_lines() -> None:
    _, context = context_of(HEADER, "python")
    suggestion = suggest(context, "".join(f"x{n} = 1\n    " for n in range(99)), 2)
    assert suggestion is not None
    assert len(suggestion.text.splitlines()) == 24
    assert suggestion.candidate_index == 2


CONTROL = [
    *("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|fim_pad|>", "<|endoftext|>"),
    *("<|file_separator|>", "<|im_end|>", "<|EOT|>", "<|mask:0|>", "<file_sep>", "</s>"),
    *("<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<fim-middle>", "<[fim-suffix]>"),
    *("<\uff5cfim\u2581begin\uff5c>", "<\uff5cfim\u2581hole\uff5c>", "<\uff5cfim\u2581end\uff5c>"),
    *("<\uff5cend\u2581of\u2581sentence\uff5c>", "\x00", "\ufffd", "<redacted:x>"),
    *(" <PRE>", " <SUF>", " <MID>", " <EOT>", "[SUFFIX]", "[PREFIX]", "[MIDDLE]"),
]


@pytest.mark.parametrize("token", CONTROL)
def test_control_tokens_never_reach_the_document(token: str) -> None:
    check("x = <|>", f"1{token}", "x = 1")
    check("x = <|>", token, None)
    check(HEADER, f"return x\n{token}", "def f(x):\n    return x")
    if token != "</s>":  # in the middle it is HTML
        check("x = <|>", f"1{token} + 2", "x = 1")


@pytest.mark.parametrize("half", ["<|fim_mid", "<|endoftext|", "<fim_pre", "<\uff5cfim\u2581h"])
def test_half_a_control_token_is_cut(half: str) -> None:
    check("x = <|>", f"1{half}", "x = 1")


def test_operators_that_look_alike_stay() -> None:
    check("f <|>", "<| g x", "f <| g x", "fsharp")
    check("x <|>", "|> g <| h", "x |> g <| h", "elixir")


def test_a_selected_item_is_repeated_and_its_range_kept() -> None:
    snapshot = Snapshot.of("x = pri()\n", language="python")
    context = build(snapshot, 7, path="", selected=Selected(4, 7, "print"))
    suggestion = suggest(context, "er()", 0)
    assert suggestion == Suggestion("printer", 3, 0)
    assert suggest(context, "", 0) is None
    inside = build(Snapshot.of("foo(pri)"), 7, path="", selected=Selected(4, 7, "print"))
    assert suggest(inside, "er):", 0) == Suggestion("printer", 3, 0)


PIECES = st.sampled_from(
    [
        *("foo", "x", "(", ")", "[", "]", "{", "}", '"', "'", ":", ",", " ", "    ", "\n", "\r\n"),
        *("\t", "\\", "#", "é😀", "\ud800", "if x:", "return y", '"""', "<|fim_middle|>", " + 1"),
        *("\f", "\u2028"),
    ]
)
PIECES_TEXT = st.lists(PIECES, max_size=12).map("".join)


@given(
    PIECES_TEXT, PIECES_TEXT, PIECES_TEXT, st.sampled_from(["python", "javascript", "plaintext"])
)
def test_nothing_is_lost_and_nothing_raises(
    before: str, after: str, raw: str, language: str
) -> None:
    snapshot = Snapshot.of(before + after, language=language)
    context = build(snapshot, len(before), path="")
    suggestion = suggest(context, raw, 0)
    if suggestion is None:
        return
    end = context.anchor + suggestion.replace_length
    removed = Counter(snapshot.text[context.anchor : end].replace("\ud800", ""))
    del removed[" "], removed["\t"]
    assert removed <= Counter(suggestion.text)
    assert suggestion.text.strip()
    assert "fim_middle" not in suggestion.text
    if context.mode is Mode.LINE:
        assert not {"\n", "\r"} & set(suggestion.text)
    if not context.suffix.split("\n")[0].strip():
        assert suggestion.text == suggestion.text.rstrip()
