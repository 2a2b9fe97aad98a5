"""Requests: who is asked, what is offered again, what is cancelled. The cursor is `<|>`."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from feedback_store.schemas import CandidateAnswer, CompletionAnswer, CompletionRequest, Timings
from lsp_server.editor.context import Context, Selected, build
from lsp_server.editor.document import Snapshot
from lsp_server.editor.requests import TAKE_OVER_S, Question, Reply, Requests

URI = "file:///a.py"
TIMINGS = Timings(queue_ms=0, prompt_ms=0, prefill_ms=0, decode_ms=0, engine_ms=0)


def place(marked: str, selected: Selected | None = None, language: str = "python") -> Context:
    offset = marked.index("<|>")
    snapshot = Snapshot.of(marked.replace("<|>", ""), language=language)
    return build(snapshot, offset, path="a.py", selected=selected)


class Stand:
    """Answers each request when told to, and notes who was cancelled."""

    def __init__(self, *texts: str, adapter: str | None = None, show: bool = True) -> None:
        self.texts, self.adapter, self.show = texts, adapter, show
        self.asked: list[CompletionRequest] = []
        self.cancelled: list[UUID] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.news = asyncio.Event()

    async def complete(self, request: CompletionRequest) -> CompletionAnswer | None:
        self.asked.append(request)
        self.news.set()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled.append(request.completion_id)
            raise
        if not self.texts:
            return None
        return CompletionAnswer(
            completion_id=request.completion_id,
            model="m",
            adapter=self.adapter,
            candidates=tuple(
                CandidateAnswer(
                    index=n, text=text, finish_reason="stop", sum_log_prob=0.0, num_tokens=1
                )
                for n, text in enumerate(self.texts)
            ),
            num_prompt_tokens=1,
            num_cached_tokens=0,
            show=self.show,
            timings=TIMINGS,
        )

    async def cancelled_times(self, number: int) -> None:
        async with asyncio.timeout(10):
            while len(self.cancelled) < number:
                await asyncio.sleep(0.005)

    async def asked_times(self, number: int) -> None:
        async with asyncio.timeout(10):
            while len(self.asked) < number:
                self.news.clear()
                await self.news.wait()


def question(
    context: Context | str, *, uri: str = URI, invoked: bool = False, num_candidates: int = 1
) -> Question:
    context = place(context) if isinstance(context, str) else context

    def request() -> CompletionRequest:
        return CompletionRequest(
            completion_id=uuid4(),
            document_id=uri,
            prefix=context.prefix,
            suffix=context.suffix,
            requested_at=datetime.now(UTC),
        )

    return Question(uri, context, request, invoked, num_candidates)


def texts(reply: Reply | None) -> list[str] | None:
    return None if reply is None else [s.text for s in reply.suggestions]


async def check(
    host: Stand, *steps: tuple[str, list[str] | None], asked: int, requests: Requests | None = None
) -> list[Reply | None]:
    """Ask at every step in turn and compare what is offered; `asked` counts what the host saw."""
    requests = requests or Requests(host)
    replies = []
    for marked, expected in steps:
        reply = await requests.answer(question(marked))
        assert texts(reply) == expected, marked
        replies.append(reply)
    assert len(host.asked) == asked
    return replies


async def test_typing_the_first_characters_offers_the_rest_without_asking() -> None:
    replies = await check(
        Stand("return 1"),
        ("def f():\n    <|>\n", ["return 1"]),
        ("def f():\n    r<|>\n", ["eturn 1"]),
        ("def f():\n    retu<|>\n", ["rn 1"]),
        ("def f():\n    re<|>\n", ["turn 1"]),
        asked=1,
    )
    assert len({reply.completion_id for reply in replies}) == 1
    assert [reply.first for reply in replies] == [True, False, False, False]
    assert [reply.typed for reply in replies] == ["", "r", "retu", "re"]


async def test_what_does_not_fit_asks_again() -> None:
    await check(
        Stand("return 1"),
        ("def f():\n    <|>\n", ["return 1"]),
        ("def f():\n    x<|>\n", ["return 1"]),  # typed something else
        ("def f():\n    <|> \n", ["return 1"]),  # another suffix
        ("def g():\n    <|>\n", ["return 1"]),  # another prefix
        ("def g():\n    return 1<|>\n", ["return 1"]),  # nothing left to offer
        asked=5,
    )


async def test_only_candidates_that_still_fit_are_offered_again() -> None:
    replies = await check(
        Stand("alpha", "also", "beta"),
        ("x = <|>\n", ["alpha", "also", "beta"]),
        ("x = al<|>\n", ["pha", "so"]),
        ("x = als<|>\n", ["o"]),
        asked=1,
    )
    assert [s.candidate_index for s in replies[2].suggestions] == [1]
    assert replies[2].texts() == ("o", "o"), "one text per index, for whoever counts by it"


async def test_the_same_text_is_offered_once() -> None:
    await check(Stand("alpha", "alpha", "beta"), ("x = <|>\n", ["alpha", "beta"]), asked=1)


async def test_an_answer_of_another_adapter_empties_the_cache() -> None:
    host = Stand("alpha", adapter="a")
    requests = Requests(host)
    await check(host, ("x = <|>\n", ["alpha"]), asked=1, requests=requests)
    await check(host, ("x = <|>\n", ["alpha"]), asked=1, requests=requests)
    host.adapter, host.texts = "b", ("beta",)
    await check(host, ("y = <|>\n", ["beta"]), ("x = <|>\n", ["beta"]), asked=3, requests=requests)
    requests.adapter_is("c")
    await check(host, ("x = <|>\n", ["beta"]), asked=4, requests=requests)
    requests.adapter_is("b")  # as the last answer said already
    await check(host, ("x = <|>\n", ["beta"]), asked=4, requests=requests)


async def test_a_dismissed_answer_returns_only_when_asked_for() -> None:
    host = Stand("alpha")
    requests = Requests(host)
    reply = await requests.answer(question("x = <|>\n"))
    requests.dismiss(reply.completion_id)
    assert texts(await requests.answer(question("x = <|>\n"))) == []
    assert texts(await requests.answer(question("x = <|>\n", invoked=True))) == ["alpha"]
    assert len(host.asked) == 2


async def test_who_asks_for_more_than_is_at_hand_gets_more_once() -> None:
    host = Stand("alpha")
    requests = Requests(host)
    more = question("x = <|>\n", invoked=True, num_candidates=3)
    assert texts(await requests.answer(question("x = <|>\n"))) == ["alpha"]
    host.texts = ("alpha", "beta", "alpha")
    assert texts(await requests.answer(more)) == ["alpha", "beta"]
    assert texts(await requests.answer(more)) == ["alpha", "beta"]
    assert len(host.asked) == 2, "there are no more than these"


async def test_who_asks_for_more_does_not_wait_for_less() -> None:
    host = Stand("alpha")
    host.gate.clear()
    requests = Requests(host)
    automatic = asyncio.create_task(requests.answer(question("x = <|>\n")))
    await host.asked_times(1)
    more = question("x = <|>\n", invoked=True, num_candidates=3)
    invoked = asyncio.create_task(requests.answer(more))
    await host.asked_times(2)
    host.gate.set()
    assert texts(await invoked) == ["alpha"]
    assert texts(await automatic) is None


async def test_what_the_host_would_not_show_is_not_offered() -> None:
    (reply,) = await check(Stand("alpha", show=False), ("x = <|>\n", []), asked=1)
    assert reply.completion_id


async def test_who_asks_gets_more_than_a_hidden_answer_under_way() -> None:
    host = Stand("alpha", show=False)
    host.gate.clear()
    requests = Requests(host)
    automatic = asyncio.create_task(requests.answer(question("x = <|>\n")))
    await host.asked_times(1)
    invoked = asyncio.create_task(requests.answer(question("x = <|>\n", invoked=True)))
    host.gate.set()
    assert texts(await automatic) is None
    await host.asked_times(2)
    assert texts(await invoked) == []


async def test_no_answer_is_no_reply() -> None:
    await check(Stand(), ("x = <|>\n", None), ("x = a<|>\n", None), asked=2)


async def test_a_selected_item_is_never_answered_from_the_cache() -> None:
    host = Stand("(1)")
    requests = Requests(host)
    for _ in range(2):
        context = place("x = pri<|>\n", Selected(4, 7, "print"))
        assert texts(await requests.answer(question(context))) == ["print(1)"]
    assert len(host.asked) == 2


async def test_a_newer_question_elsewhere_cancels_the_older() -> None:
    host = Stand("alpha")
    host.gate.clear()
    requests = Requests(host)
    older = asyncio.create_task(requests.answer(question("x = <|>\ny = 2\n")))
    await host.asked_times(1)
    newer = asyncio.create_task(requests.answer(question("x = \ny = <|>2\n")))
    assert await older is None
    await host.asked_times(2)
    assert host.cancelled == [host.asked[0].completion_id]
    host.gate.set()
    assert texts(await newer) == ["alpha"]


async def test_documents_do_not_disturb_each_other() -> None:
    host = Stand("alpha")
    host.gate.clear()
    requests = Requests(host)
    tasks = [
        asyncio.create_task(requests.answer(question("x = <|>\n", uri=f"file:///{n}")))
        for n in range(4)
    ]
    await host.asked_times(4)
    host.gate.set()
    assert [texts(reply) for reply in await asyncio.gather(*tasks)] == [["alpha"]] * 4


async def test_a_question_typed_on_takes_over_the_request_under_way() -> None:
    host = Stand("alpha")
    host.gate.clear()
    requests = Requests(host)
    older = asyncio.create_task(requests.answer(question("x = <|>\n")))
    await host.asked_times(1)
    newer = asyncio.create_task(requests.answer(question("x = al<|>\n")))
    assert await older is None
    host.gate.set()
    reply = await newer
    assert (texts(reply), reply.typed, reply.first) == (["pha"], "al", True)
    assert (len(host.asked), host.cancelled) == (1, [])


async def test_typing_on_and_on_keeps_one_request_under_way() -> None:
    host = Stand("alpha")
    host.gate.clear()
    requests = Requests(host)
    tasks = []
    for typed in ("", "a", "al", "alp"):
        tasks.append(asyncio.create_task(requests.answer(question(f"x = {typed}<|>\n"))))
        await host.asked_times(1)
        await asyncio.sleep(0)
    await asyncio.sleep(0.02)
    host.gate.set()
    assert [texts(reply) for reply in await asyncio.gather(*tasks)] == [None, None, None, ["ha"]]
    assert (len(host.asked), host.cancelled) == (1, [])


@pytest.mark.parametrize(
    ("suggested", "marked", "offered"),
    [
        ("print(x, y)", "print(<|>)\n", ("x, y)", 1)),
        ("f([1], {2: 3})", "f([1], {<|>})\n", ("2: 3})", 2)),
        ('f("a", b)', 'f("<|>")\n', ('a", b)', 2)),
        ("print(x, y", "print(<|>)\n", None),  # closes less than the editor did
        ("print(x)", "print(x<|>)\n", None),  # all of it stands there
        ("print(x, y)", "print()<|>)\n", None),
        ("print(x, y)", "print(<|>))\n", None),  # one closer more than the editor inserts
    ],
)
async def test_what_the_editor_closes_by_itself_is_replaced(
    suggested: str, marked: str, offered: tuple[str, int] | None
) -> None:
    host = Stand(suggested)
    requests = Requests(host)
    await requests.answer(question("<|>\n"))
    reply = await requests.answer(question(marked))
    assert len(host.asked) == (1 if offered else 2)
    if offered:
        (rest,) = reply.suggestions
        assert (rest.text, rest.replace_length) == offered


async def test_what_the_editor_closes_adds_to_what_is_replaced_anyway() -> None:
    host = Stand("bar(x)).y")
    requests = Requests(host)
    first = await requests.answer(question("foo(<|>)\n"))
    assert [(s.text, s.replace_length) for s in first.suggestions] == [("bar(x)).y", 1)]
    reply = await requests.answer(question("foo(bar(<|>))\n"))
    assert [(s.text, s.replace_length) for s in reply.suggestions] == [("x)).y", 2)]


async def test_a_request_that_takes_too_long_is_not_waited_for(monkeypatch) -> None:
    monkeypatch.setattr("lsp_server.editor.requests.REUSE_WAIT_S", 0.01)
    host = Stand("alpha")
    host.gate.clear()
    requests = Requests(host)
    older = asyncio.create_task(requests.answer(question("x = <|>\n")))
    await host.asked_times(1)
    newer = asyncio.create_task(requests.answer(question("x = al<|>\n")))
    await host.asked_times(2)
    assert host.cancelled == [host.asked[0].completion_id]
    host.gate.set()
    assert await older is None
    assert texts(await newer) == ["alpha"]


async def test_a_cancelled_question_cancels_the_request() -> None:
    host = Stand("alpha")
    host.gate.clear()
    task = asyncio.create_task(Requests(host).answer(question("x = <|>\n")))
    await host.asked_times(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await host.cancelled_times(1)


async def test_a_question_taken_back_and_asked_again_typed_on_keeps_its_request() -> None:
    host = Stand("alpha")
    host.gate.clear()
    requests = Requests(host)
    older = asyncio.create_task(requests.answer(question("x = <|>\n")))
    await host.asked_times(1)
    older.cancel()
    newer = asyncio.create_task(requests.answer(question("x = a<|>\n")))
    await asyncio.sleep(2 * TAKE_OVER_S)
    assert host.cancelled == []
    host.gate.set()
    assert texts(await newer) == ["lpha"]
    assert len(host.asked) == 1


async def test_an_answer_that_nobody_waits_for_is_told_of() -> None:
    host, unasked = Stand("alpha"), []
    host.gate.clear()
    requests = Requests(host, on_unasked=lambda *about: unasked.append(about))
    older = asyncio.create_task(requests.answer(question("x = <|>\n")))
    await host.asked_times(1)
    older.cancel()
    host.gate.set()
    await asyncio.sleep(2 * TAKE_OVER_S)
    ((uri, served, completion_id),) = unasked
    assert (uri, served.prefix, completion_id) == (URI, "x = ", host.asked[0].completion_id)


async def test_a_closed_document_is_forgotten_and_not_asked_about() -> None:
    host = Stand("alpha")
    requests = Requests(host)
    await requests.answer(question("x = <|>\n"))
    host.gate.clear()
    task = asyncio.create_task(requests.answer(question("y = <|>\n")))
    await host.asked_times(2)
    requests.close_document(URI)
    assert await task is None
    assert host.cancelled == [host.asked[1].completion_id]
    host.gate.set()
    await requests.answer(question("x = <|>\n"))
    assert len(host.asked) == 3


async def test_debounce_asks_only_for_the_last_of_a_burst() -> None:
    host = Stand("alpha")
    requests = Requests(host, debounce_s=0.05)
    burst = [question(f"x = {'q' * n}<|>\n") for n in range(5)]
    replies = await asyncio.gather(*(requests.answer(q) for q in burst))
    assert [texts(reply) for reply in replies] == [None] * 4 + [["alpha"]]
    assert [request.prefix for request in host.asked] == ["x = qqqq"]
    async with asyncio.timeout(0.04):
        assert texts(await requests.answer(question("y = <|>\n", invoked=True))) == ["alpha"]
