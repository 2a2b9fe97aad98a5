"""A cursor becomes a context: what is asked, how much of it, and what stays put while typing."""

import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback_store.schemas import MAX_PREFIX_CHARACTERS, MAX_SUFFIX_CHARACTERS, Mode
from lsp_server.editor.context import Context, Selected, build
from lsp_server.editor.document import Snapshot

CARET = "<|>"
LINE, BLOCK = Mode.LINE, Mode.BLOCK


def at_caret(marked: str, language: str = "python", selected: str | None = None) -> Context:
    """Build the context of text with a caret; `selected` would replace the word before it."""
    before, _, after = marked.partition(CARET)
    snapshot = Snapshot.of(before + after, language=language)
    start = len(before) - len(before.split(" ")[-1].split(".")[-1])
    item = None if selected is None else Selected(start, len(before), selected)
    return build(snapshot, len(before), path="a.py", selected=item)


def check(marked: str, mode: Mode, language: str = "python") -> None:
    context = at_caret(marked, language)
    before, _, after = marked.partition(CARET)
    assert context.mode is mode
    assert (context.prefix, context.suffix) == (before, after)
    assert context.anchor == context.replace_end == len(before)


@pytest.mark.parametrize(
    ("marked", "mode"),
    [
        ("def f(x):<|>", BLOCK),
        ("def f(x):\n    <|>", BLOCK),
        ("def f(x):\n    <|>\n\n\ndef g(): pass\n", BLOCK),
        ("def f(x):\r\n    <|>\r\n\r\nx = 1\r\n", BLOCK),
        ("def f(\n    x,\n) -> dict[str, int]:\n    <|>", BLOCK),
        ("def f(x,\n      y):\n    <|>\n\nz = 1\n", BLOCK),
        ("def f(x):\n<|>", BLOCK),
        ('def f(x):\n    """Return x."""\n    <|>', BLOCK),
        (
            "class A:\n    def f(self):\n        if self:\n            <|>\n        return 1\n",
            BLOCK,
        ),
        ("try:\n    x\nexcept E:\n    <|>", BLOCK),
        ("match x:\n    case [1, *_]:\n        <|>", BLOCK),
        ("def f():\n    x = 1\n    # Sum the rows.\n    <|>\n", BLOCK),
        ("# Read a file.\n<|>\n\nx = 1\n", BLOCK),
        ("if (a and\n        b):<|>", BLOCK),
        ("x = 1\n<|>", LINE),
        ("def f(x):\n    return <|>", LINE),
        ("def f(x):\n    y = 1\n    <|>", LINE),
        ("def f(x):\n    <|>\n    return x\n", LINE),
        ("def f(x):<|>\n    return x\n", LINE),
        ("# Read a file.\n<|>\nx = 1\n", LINE),
        ('def f(x):\n    """Sum.\n\n    Args:\n        <|>', LINE),
        ('x = """\n# no comment\n<|>', LINE),
        ("d = {\n    'a':\n        <|>\n}", LINE),
        ("d = {'a':<|>}", LINE),
        ("f = lambda x:<|>", LINE),
        ("d = {\n" + " 'key': 1,\n" * 900 + " 'last':<|>", LINE),
        ('"""' + "text\n" * 500 + '"""\ndef f():\n' + "    x = 1\n" * 500 + "    if x:<|>", BLOCK),
        ("x:<|>", LINE),
        ("a[1:<|>]", LINE),
        ("foo(<|>)", LINE),
        ("for x in <|>items:", LINE),
        ("", LINE),
        (":<|>", LINE),
        ("def f():\n    x = 'it''s:<|>'", LINE),
    ],
)
def test_python_syntax_decides_how_much_is_asked(marked: str, mode: Mode) -> None:
    check(marked, mode)


@pytest.mark.parametrize(
    ("marked", "language", "mode"),
    [
        ("function f(x) {\n  <|>\n}\n", "javascript", BLOCK),
        ("function f(x) {<|>}", "javascript", BLOCK),
        ("function f(x) {\n  <|>\n  return x;\n}\n", "javascript", LINE),
        ("let x = <|>;", "javascript", LINE),
        ("  let y = 1;\n  // Sum the rows.\n  <|>\n}\n", "javascript", BLOCK),
        ("fn f() -> u8 {\n    <|>\n}\n", "rust", BLOCK),
        ("if x then\n  <|>\nend\n", "lua", BLOCK),
        ("#include <stdio.h>\n<|>\n", "c", LINE),
        ("steps:\n  <|>\n", "yaml", BLOCK),
        ("Dear all:\n<|>", "plaintext", LINE),
        ("# Title\n<|>", "markdown", LINE),
    ],
)
def test_other_languages_go_by_indentation(marked: str, language: str, mode: Mode) -> None:
    check(marked, mode, language)


@pytest.mark.parametrize(
    ("marked", "inside"),
    [("na<|>me", True), ("name<|>", False), ("<|>name", False), ("a<|>.b", False), ("é<|>1", True)],
)
def test_a_caret_inside_a_word_is_known(marked: str, inside: bool) -> None:
    assert at_caret(marked).mid_identifier is inside


def test_a_selected_item_is_part_of_the_prefix_and_of_what_is_replaced() -> None:
    context = at_caret("x = os.pa<|>\n", selected="path")
    assert context.prefix == "x = os.path"
    assert (context.suffix, context.selected_text) == ("\n", "path")
    assert (context.anchor, context.replace_end, context.popup_open) == (7, 9, True)


@pytest.mark.parametrize(
    "item", [Selected(5, 2, "x"), Selected(0, 99, "x"), Selected(0, 3, "x" * 9999)]
)
def test_a_senseless_selected_item_is_only_a_popup(item: Selected) -> None:
    context = build(Snapshot.of("abc\ndef"), 3, path="", selected=item)
    assert (context.prefix, context.anchor, context.replace_end) == ("abc", 3, 3)
    assert context.popup_open


def test_the_prefix_start_stays_put_while_somebody_types() -> None:
    text = "".join(f"line number {n} of a long file\n" for n in range(2_000))
    typed, starts = "value = compute(first, second)\n" * 30, set()
    for length in range(len(typed)):
        snapshot = Snapshot.of(text + typed[:length] + text, language="python")
        context = build(snapshot, len(text) + length, path="")
        starts.add(context.anchor - len(context.prefix))
        assert snapshot.text[: context.anchor].endswith("\n" + context.prefix)
    assert len(starts) <= 2


@given(
    st.text(alphabet="ab \n\r:#\"'(é😀\ud800", max_size=60), st.integers(-5, 70), st.integers(0, 9)
)
def test_any_text_and_any_cursor_give_a_context(piece: str, offset: int, times: int) -> None:
    text = piece * 10**times if times < 4 else piece
    context = build(Snapshot.of(text, language="python"), offset * 10**times, path="")
    assert len(context.prefix) <= MAX_PREFIX_CHARACTERS
    assert len(context.suffix) <= MAX_SUFFIX_CHARACTERS
    (context.prefix + context.suffix).encode()
    clean = text.replace("\ud800", "\ufffd")
    assert clean[: context.anchor].endswith(context.prefix)
    assert clean[context.replace_end :].startswith(context.suffix)
    if times == 0:
        assert context.prefix + context.suffix == clean


def test_two_megabytes_in_one_line_stay_cheap(processor_s: Callable[..., float]) -> None:
    snapshot = Snapshot.of("x = 1; " * 300_000, language="python")
    assert processor_s(lambda: build(snapshot, 1_000_000, path="")) < 0.02
    context = build(snapshot, 1_000_000, path="")
    assert context.mode is LINE
    assert len(context.prefix) > 8_000


@pytest.mark.usefixtures("no_collections")
def test_ten_thousand_lines_take_under_five_milliseconds() -> None:
    body = "".join(
        f"    def method_{n}(self, x):\n        return x + {n}\n\n" for n in range(5_000)
    )
    text = f"class Long:\n{body}    def last(self):\n        "
    snapshot = Snapshot.of(text + "\n" + body, language="python")
    build(Snapshot.of("if x:\n    ", language="python"), 10, path="")  # loads the grammar
    times = []
    for _ in range(20):
        begun = time.thread_time()
        context = build(snapshot, len(text), path="")
        times.append(time.thread_time() - begun)
        assert context.mode is BLOCK
    assert sorted(times)[10] < 0.005


def test_what_cannot_travel_or_be_stored_gives_way_to_a_replacement_character() -> None:
    context = build(Snapshot.of("a\0b\ud800c"), 2, path="")
    assert (context.prefix, context.suffix) == ("a\ufffd", "b\ufffdc")
