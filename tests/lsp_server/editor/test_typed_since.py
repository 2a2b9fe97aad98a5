"""What was typed since a question: found exactly, whatever window of the text was served."""

from hypothesis import given
from hypothesis import strategies as st

from lsp_server.editor.context import Context, build
from lsp_server.editor.document import Snapshot
from lsp_server.editor.requests import Typed, typed_since


def place(marked: str) -> Context:
    """Return the context of a text whose cursor is written `<|>`."""
    snapshot = Snapshot.of(marked.replace("<|>", ""), language="python")
    return build(snapshot, marked.index("<|>"), path="a.py", selected=None)


@given(st.text("ab\n\r ", max_size=30), st.text("ab\n ", max_size=8), st.text("ab\n ", max_size=30))
def test_typed_since_finds_exactly_what_was_inserted(before: str, typed: str, after: str) -> None:
    served = _context(before, after, len(before))
    now = _context(before + typed, after, len(before) + len(typed))
    assert typed_since(served, now) == Typed(typed)
    assert typed_since(now, served) is None or not typed


def test_typed_since_compares_windows_that_begin_elsewhere() -> None:
    long = "abcdefgh" * 4_000
    served, now = place(f"{long}<|>\n"), place(f"{long}xyz<|>\n")
    assert typed_since(served, now) == Typed("xyz")
    below = "abcdefgh\n" * 4_000
    served, now = place(f"{long}<|>\n{below}"), place(f"{long}f(<|>)\n{below}")
    assert typed_since(served, now) == Typed("f(", ")")
    assert typed_since(served, place(f"{long}f(<|>)!\n{below}")) is None
    assert typed_since(served, place(f"{long[:-1]}Qxyz<|>\n")) is None


def _context(prefix: str, suffix: str, anchor: int) -> Context:
    return Context(
        prefix=prefix,
        suffix=suffix,
        mode="line",
        language="python",
        path="",
        line=0,
        anchor=anchor,
        replace_end=anchor,
        mid_identifier=False,
        popup_open=False,
        indent="",
    )
