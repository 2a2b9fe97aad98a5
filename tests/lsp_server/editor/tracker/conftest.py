"""A tiny language for what somebody does in an editor, and what Hone must make of it.

`check("x = <|>\\n", script, expected)` opens a document with the caret at `<|>`, plays the script
and compares every event. One step per line; `\\n` in texts is a line break, `_` in names of texts
is literal. Time passes by `wait` and by 100 ms per key.

    offer A foo(1) | bar      the client asks at the caret, the host answers with two candidates
    offer+popup A foo         ... with flags: popup mid explicit unasked replace=N index=N typed=N
    ask / answer A foo        the two halves of an offer; answer+late: to the last request but one
    again A rest              the typed-ahead cache offers what is left, at the caret
    type abc                  one change per key, 100 ms each
    insert abc                one change; swap N abc: replaces N characters after the caret
    keys abc                  several keys as separate edits of one change
    pair ()                   an auto-closed bracket: the caret ends between
    back N / del N            N backspaces / one deletion of N characters before the caret
    cut N                     one deletion of N characters after the caret
    goto text                 the caret to the start of `text` (`goto $`: to the end)
    multi abc @ x @ y         one change: insert at the start of `x` and of `y`
    edits old => new ; ...    one change with several hunks
    whole text                one change that replaces the document
    command A 0 / tell kind A 0 {"json": 1} / save / close / tick MS / wait MS
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import pytest

from feedback_store.schemas import Event, EventKind, event_id_of
from lsp_server.editor.document import Change, Document, Position, PositionEncoding, Span
from lsp_server.editor.tracker import Answered, Tracker, TrackerConfig

UTF32 = PositionEncoding.UTF32
START_MS = 1_000_000


def id_of(name: str) -> UUID:
    return UUID(int=ord(name))


@dataclass
class Desk:
    """An editor with one document, and the tracker that watches it."""

    text: str
    config: TrackerConfig = field(default_factory=TrackerConfig)
    redact: Callable[[str], str] = str
    uri: str = "file:///x.py"

    def __post_init__(self) -> None:
        self.caret = max(0, self.text.find("<|>"))
        self.document = Document(self.uri, "python", 0, self.text.replace("<|>", ""), UTF32)
        self.tracker = Tracker(self.config, self.redact)
        self.now_ms = START_MS
        self.asks: list[tuple[int, str]] = []
        self.events: list[Event] = []
        self.tracker.opened(self.uri, self.document.text, self.now_ms)

    def play(self, script: str) -> None:
        for line in filter(None, map(str.lstrip, script.strip("\n").split("\n"))):
            verb, _, rest = line.partition(" ")
            name, *flags = verb.split("+")
            rest = rest.encode("latin-1", "backslashreplace").decode("unicode_escape")
            getattr(self, f"do_{name}")(rest, *([flags] if flags else []))
            self.events += self.tracker.take_events()

    def change(self, *changes: Change) -> None:
        applied = self.document.apply(changes, self.document.version + 1)
        self.tracker.changed(self.uri, applied, self.document.text, self.now_ms)

    def edit(self, start: int, num_deleted: int, inserted: str) -> Change:
        snapshot = self.document.snapshot()
        ends = (snapshot.position_at(at, UTF32) for at in (start, start + num_deleted))
        return Change(Span(*ends), inserted)

    def do_wait(self, ms: str) -> None:
        self.now_ms += int(ms)

    def do_tick(self, ms: str) -> None:
        self.now_ms += int(ms)
        self.tracker.tick(self.now_ms)

    def do_offer(self, rest: str, flags: Sequence[str] = ()) -> None:
        self.do_ask("")
        self.do_answer(rest, flags)

    def do_ask(self, _: str) -> None:
        self.asks.append((self.caret, self.document.text))
        self.tracker.requested(self.uri, self.caret, self.now_ms)

    def do_answer(self, rest: str, flags: Sequence[str] = (), *, reoffer: bool = False) -> None:
        name, _, texts = rest.partition(" ")
        numbers = {f.split("=")[0]: int(f.split("=")[1]) for f in flags if "=" in f}
        length = numbers.get("replace", 0)
        at, text = self.asks[-2 if "late" in flags else -1]
        self.tracker.answered(
            Answered(
                id_of(name),
                self.uri,
                at,
                length,
                tuple(texts.split(" | ")) if texts else (),
                text[max(0, at - 256) : at],
                text[at + length : at + length + 64],
                popup_open="popup" in flags,
                mid_identifier="mid" in flags,
                explicit_shown="explicit" in flags,
                reoffer=reoffer,
                index=numbers.get("index", 0),
                typed_length=numbers.get("typed", 0),
                is_unasked="unasked" in flags,
            ),
            self.now_ms,
        )

    def do_again(self, rest: str, flags: Sequence[str] = ()) -> None:
        self.do_ask("")
        self.do_answer(rest, flags, reoffer=True)

    def do_type(self, text: str) -> None:
        for key in text:
            self.now_ms += 100
            self.do_insert(key)

    def do_insert(self, text: str) -> None:
        self.change(self.edit(self.caret, 0, text))
        self.caret += len(text)

    def do_swap(self, rest: str) -> None:
        num_replaced, _, text = rest.partition(" ")
        self.change(self.edit(self.caret, int(num_replaced), text))
        self.caret += len(text)

    def do_keys(self, text: str) -> None:
        line = self.document.snapshot().position_at(self.caret, UTF32)
        at = [Position(line.line, line.character + n) for n in range(len(text))]
        self.change(*(Change(Span(a, a), key) for a, key in zip(at, text, strict=True)))
        self.caret += len(text)

    def do_pair(self, text: str) -> None:
        self.change(self.edit(self.caret, 0, text))
        self.caret += 1

    def do_back(self, count: str) -> None:
        for _ in range(int(count)):
            self.now_ms += 100
            self.do_del("1")

    def do_del(self, count: str) -> None:
        self.caret -= int(count)
        self.do_cut(count)

    def do_cut(self, count: str) -> None:
        self.change(self.edit(self.caret, int(count), ""))

    def do_goto(self, text: str) -> None:
        self.caret = len(self.document.text) if text == "$" else self.document.text.index(text)

    def do_multi(self, rest: str) -> None:
        text, *marks = rest.split(" @ ")
        places = sorted((self.document.text.index(mark) for mark in marks), reverse=True)
        self.change(*(self.edit(place, 0, text) for place in places))

    def do_edits(self, rest: str) -> None:
        swaps = [swap.split(" => ") for swap in rest.split(" ; ")]
        found = [(self.document.text.index(old), old, new) for old, new in swaps]
        self.change(*(self.edit(at, len(old), new) for at, old, new in sorted(found)[::-1]))

    def do_whole(self, text: str) -> None:
        self.change(Change(None, text))

    def do_command(self, rest: str) -> None:
        name, index = rest.split()
        self.tracker.command_accepted(id_of(name), int(index), self.now_ms)

    def do_tell(self, rest: str) -> None:
        kind, name, index, *data = rest.split(" ", 3)
        known = kind if kind == "hidden" else EventKind(kind)
        told = json.loads(data[0]) if data else {}
        self.tracker.notified(known, id_of(name), int(index), told, self.now_ms)

    def do_save(self, _: str) -> None:
        self.tracker.saved(self.uri, self.now_ms)

    def do_close(self, _: str) -> None:
        self.tracker.closed(self.uri, self.now_ms)


def shown_as(event: Event) -> str:
    """One event as a line: who, what (`!` if explicit), its text, what is special about it."""
    data = event.data
    what = event.kind.value + ("!" if event.source == "explicit" else "")
    words = [chr(event.completion_id.int), what]
    words += [f"#{event.candidate_index}"] if event.candidate_index else []
    words += [f"{data.after_seconds}s"] if data.after_seconds is not None else []
    words += [repr(data.text)] if data.text is not None else []
    is_partial = event.kind is EventKind.PARTIALLY_ACCEPTED
    words += [f"{data.accepted_length} {data.unit}"] if is_partial else []
    kept = data.retained_characters
    words += [f"keeps {kept}"] if kept is not None else []
    words += ["open"] if data.reaches_suffix is False else []
    words += ["moved"] if data.prefix_intact is False else []
    words += ["reformatted"] if data.reformatted else []
    return " ".join([*words, *filter(None, [data.reason, data.rating])])


def play(text: str, script: str, **desk: object) -> Desk:
    played = Desk(text, **desk)  # type: ignore[arg-type]
    played.play(script)
    return played


def check(text: str, script: str, expected: str, **desk: object) -> Desk:
    """Play a script and compare all events, in order."""
    played = play(text, script, **desk)
    got = [shown_as(event) for event in played.events]
    assert got == [line.strip() for line in expected.strip("\n").split("\n") if line.strip()]
    for event in played.events:
        assert event.event_id == event_id_of(event.completion_id, event.kind, event.ordinal)
    times = [event.occurred_at for event in played.events]
    assert times == sorted(times)
    return played


@pytest.fixture(name="check")
def check_fixture() -> Callable[..., Desk]:
    return check


@pytest.fixture(name="play")
def play_fixture() -> Callable[..., Desk]:
    return play
