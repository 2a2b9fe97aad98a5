"""The review pages over HTTP, behind the real guard: judging, refusals, text that stays text."""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx import Response
from store_material import NOON, event, served, shown, wire

from feedback_store import access, admin, audit, runs
from feedback_store.access import TokenScope
from feedback_store.admin.review_facts import is_flipped
from feedback_store.completions import record_completions
from feedback_store.database import Database
from feedback_store.entrance import Entrance
from feedback_store.events import append
from feedback_store.seals import Seals
from feedback_store.visits import load_window
from lsp_server.engine.guard import Guard

HOME = "http://127.0.0.1:8750"
EVIL = "<script>alert('x')</script>"
FORM = {"Origin": HOME, "Content-Type": "application/x-www-form-urlencoded"}


@dataclass
class Reviewer:
    """A browser without scripts that is logged in, and reads what is on the page."""

    client: TestClient
    page: str = ""
    fields: dict[str, str] = field(default_factory=dict)

    def open(self, path: str = "/admin/review") -> Response:
        answer = self.client.get(path)
        self.read(answer)
        return answer

    def read(self, answer: Response) -> None:
        self.page = answer.text
        pairs = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', self.page)
        self.fields = {name: html.unescape(value) for name, value in pairs}

    def post(self, path: str, *, headers: dict[str, str] = FORM, **fields: str) -> Response:
        sent = self.fields | fields
        return self.client.post(f"/admin/review/{path}", data=sent, headers=headers)

    def judge(self, verdict: str, **fields: str) -> Response:
        """Press a button, and look at what comes next."""
        answer = self.post("judge", verdict=verdict, **fields)
        assert answer.status_code == 200, answer.text
        self.read(answer)
        return answer

    @property
    def shown(self) -> UUID:
        return UUID(self.fields["completion"])


class Desk:
    """The pages behind the guard, and who sits before them."""

    def __init__(self, database: Database, key: bytes = b"k" * 32) -> None:
        self.database = database
        self.entrance = Entrance(database, "shared-token", Seals(key))
        app = FastAPI()
        app.include_router(admin.review_routes(database, self.entrance))
        app.include_router(admin.sign_in_routes(self.entrance))
        self.app = Guard(app, "127.0.0.1", self.entrance)

    def reviewer(self, name: str = "rae", scope: TokenScope = TokenScope.REVIEWER) -> Reviewer:
        day, now = timedelta(days=1), datetime.now(UTC)
        secret, _ = access.issue(self.database, name, [scope], lifetime=day, now=now, by="root")
        client = TestClient(self.app, base_url=HOME)
        (form,) = re.findall(r'name="form" value="([^"]+)"', client.get("/admin/login").text)
        client.post(
            "/admin/login",
            data={"token": secret, "form": form},
            headers=FORM,
            follow_redirects=False,
        )
        return Reviewer(client)


@pytest.fixture
def desk(database: Database) -> Iterator[Desk]:
    made = Desk(database)
    yield made
    made.entrance.close()


def fill(database: Database, count: int = 3, **changes: Any) -> list[UUID]:
    """Store pairs of a night, the first of them the most interesting."""
    made = [served(**changes) for _ in range(count)]
    keys = [one.request.completion_id for one in made]
    record_completions(database, made)
    for key in keys:
        done = event(key, "diverged", 1, visible_ms=2000)
        append(database, [wire(shown(key)), wire(done)])
    runs.start(database, "night-1", {}, "log")
    row = {"rule": "R2", "chosen": "41", "rejected": "42", "held_out": False, "split": "train"}
    runs.store_pairs(
        database,
        "night-1",
        [{**row, "completion_id": key, "weight": 2.0 - n / 9} for n, key in enumerate(keys)],
    )
    return keys


def said(database: Database) -> dict[UUID, str]:
    """Return the verdicts that count."""
    window = load_window(database, since=NOON)
    return {v.outcome.completion_id: v.judgement.verdict.value for v in window if v.judgement}


def test_a_reviewer_judges_pair_after_pair(desk: Desk, database: Database) -> None:
    first, second, third = fill(database)
    reviewer = desk.reviewer()
    reviewer.open()
    for text in ("0</strong> of 3 judged", "Typed instead", "package/module.py", "+1.0 s"):
        assert text in reviewer.page, text
    assert reviewer.shown == first
    reviewer.judge("agree")
    assert reviewer.shown == second
    reviewer.judge("skip")
    assert reviewer.shown == third
    reviewer.judge("edit", text="40\r\n")
    assert reviewer.shown == second  # what was skipped comes last
    reviewer.judge("swap")
    assert "Everything is judged" in reviewer.page
    assert "33.3% agree with the rules" in reviewer.page
    assert said(database) == {first: "agree", second: "swap", third: "edit"}
    window = {visit.outcome.completion_id: visit for visit in load_window(database, since=NOON)}
    judgement = window[third].judgement
    assert judgement is not None
    assert (judgement.text, judgement.chosen, judgement.rejected) == ("40\n", "41", "42")
    log = [(e.who, e.action, e.reason) for e in audit.entries(database, 4)]
    assert log == [("rae", "judged", verdict) for verdict in ("swap", "edit", "skip", "agree")]


def test_undo_shows_the_pair_again(desk: Desk, database: Database) -> None:
    first, second, _ = fill(database)
    reviewer = desk.reviewer()
    reviewer.open()
    reviewer.judge("both_bad")
    reviewer.judge("both_good")
    reviewer.read(reviewer.post("undo"))
    assert (reviewer.shown, said(database)) == (second, {first: "both_bad"})
    reviewer.read(reviewer.post("undo"))
    assert (reviewer.shown, said(database)) == (first, {})
    reviewer.read(reviewer.post("undo"))
    assert said(database) == {}


def test_a_script_gets_the_part_that_changes(desk: Desk, database: Database) -> None:
    fill(database)
    reviewer = desk.reviewer()
    reviewer.open()
    answer = reviewer.post("judge", headers=FORM | {"X-Hone-Part": "1"}, verdict="agree")
    assert answer.status_code == 200
    assert not answer.history
    assert "<html" not in answer.text
    assert 'data-said="Agreed. 1 of 3 judged"' in answer.text
    reviewer.read(answer)
    answer = reviewer.post("undo", headers=FORM | {"X-Hone-Part": "1"})
    assert 'data-said="Taken back: agreed. 0 of 3 judged"' in answer.text


def test_an_edit_breaks_its_lines_as_the_file_does(desk: Desk, database: Database) -> None:
    fill(database, 1, prefix="a = 1\r\nb = ")
    reviewer = desk.reviewer()
    reviewer.open()
    reviewer.judge("edit", text="f(\r\n  1)")
    (visit,) = load_window(database, since=NOON)
    assert visit.judgement is not None
    assert visit.judgement.text == "f(\r\n  1)"


def test_blind_hides_the_rule_and_shuffles_the_sides(desk: Desk, database: Database) -> None:
    keys = fill(database, 8)
    reviewer = desk.reviewer()
    expected = {}
    for _ in keys:
        reviewer.open("/admin/review?blind=1&rule=R2")
        for text in ("Typed instead", "R2", "+1.0 s", "Chosen", "Rejected", "Why this one"):
            assert f">{text}" not in reviewer.page, text
        sides = re.findall(r'<mark class="[^"]*">(4[12])</mark>', reviewer.page)
        assert sides == (["42", "41"] if is_flipped(reviewer.shown) else ["41", "42"])
        expected[reviewer.shown] = "agree" if sides[0] == "41" else "swap"
        reviewer.judge("left")
    assert said(database) == expected
    assert set(expected.values()) == {"agree", "swap"}
    assert f"of {len(keys)} blind" in reviewer.page
    assert len({is_flipped(uuid4()) for _ in range(50)}) == 2


def test_second_opinions_show_what_the_other_said_only_afterwards(
    desk: Desk, database: Database
) -> None:
    fill(database, 1)
    rae, bob = desk.reviewer("rae"), desk.reviewer("bob")
    rae.open()
    rae.judge("agree")
    bob.open("/admin/review?second=1")
    assert "rae said" not in bob.page
    answer = bob.post("judge", headers=FORM | {"X-Hone-Part": "1"}, verdict="swap")
    assert "Swapped; but rae said agreed" in html.unescape(answer.text)
    bob.open("/admin/review/judgements")
    for text in ("rae said", "<strong>agreed</strong>", "<strong>swapped</strong> (counts)"):
        assert text in bob.page, text


def test_many_pairs_are_judged_after_a_look_and_a_yes(desk: Desk, database: Database) -> None:
    keys = fill(database, 4)
    reviewer = desk.reviewer()
    reviewer.open("/admin/review/bulk?rule=R2&verdict=both_bad")
    assert "Judge 4 pairs: both bad" in reviewer.page
    reviewer.client.get("/admin/review")
    reviewer.open()
    reviewer.judge("agree")  # one less than was shown
    reviewer.open("/admin/review/bulk?rule=R2&verdict=both_bad")
    stale = reviewer.post("bulk", count="4")
    assert stale.status_code == 409
    assert "There are 3 pairs now" in stale.text
    assert len(said(database)) == 1
    reviewer.read(reviewer.post("bulk"))
    assert sorted(said(database).values()) == ["agree", "both_bad", "both_bad", "both_bad"]
    assert audit.entries(database, 1)[0].reason == "both_bad: rule R2"
    reviewer.read(reviewer.post("bulk/undo"))
    assert list(said(database).values()) == ["agree"]
    assert len(keys) == 4


@pytest.mark.parametrize("page", ["", "?blind=1", "/bulk?verdict=agree", "/judgements"])
def test_whatever_is_stored_is_only_text_on_the_page(
    desk: Desk, database: Database, page: str
) -> None:
    evil = served(path=EVIL, language=EVIL[:64], user=EVIL, prefix=f"x = 1\n{EVIL}", suffix=EVIL)
    key = evil.request.completion_id
    record_completions(database, [evil])
    rated = event(key, "rated", 2, rating="down", comment=EVIL, correction=EVIL)
    lost = event(key, "lost", 3, reason=EVIL)
    append(database, [wire(shown(key)), wire(rated), wire(lost)])
    runs.start(database, "night-1", {}, "log")
    pair = {"rule": EVIL[:8], "weight": 1.0, "chosen": EVIL, "rejected": f"a{EVIL}"}
    row = {**pair, "completion_id": key, "held_out": False, "split": "train"}
    runs.store_pairs(database, "night-1", [row])
    reviewer = desk.reviewer(EVIL)
    if page == "/judgements":
        reviewer.open()
        reviewer.judge("edit", text=EVIL)
    reviewer.open(f"/admin/review{page}")
    scripts = re.findall(r"<script[^>]*>", reviewer.page)
    assert all("/admin/static/review.js" in one for one in scripts)
    assert not re.search(r"<[^>]+\s(style|on\w+)=", reviewer.page)
    if page != "?blind=1":
        assert "&lt;script&gt;" in reviewer.page


def test_nothing_comes_from_elsewhere(desk: Desk, database: Database) -> None:
    fill(database)
    answer = desk.reviewer().open()
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    for address in re.findall(r'(?:src|href|action)="([^"]+)"', answer.text):
        assert address.startswith(("/admin", "#")), address
    static = Path(admin.__file__).parent / "static"
    assert "url(" not in (static / "review.css").read_text()
    assert "innerHTML" not in (static / "review.js").read_text()


@pytest.mark.parametrize("path", ["judge", "undo", "bulk", "bulk/undo"])
def test_a_form_that_is_not_ours_changes_nothing(desk: Desk, database: Database, path: str) -> None:
    fill(database)
    reviewer, other = desk.reviewer("rae"), desk.reviewer("eve")
    other.open()
    foreign = other.fields["form"]
    reviewer.open("/admin/review/bulk?rule=R2&verdict=agree")
    count = reviewer.fields
    reviewer.open()
    before = len(audit.entries(database, 99))
    for form in ("", "wrong", foreign, EVIL):
        answer = reviewer.post(path, verdict="agree", form=form, count=count["count"])
        assert answer.status_code == 403, form
    sent = {k: v for k, v in reviewer.fields.items() if k != "form"}
    assert reviewer.client.post(f"/admin/review/{path}", data=sent, headers=FORM).status_code == 403
    for headers in (
        FORM | {"Origin": "http://evil.example"},
        {"Content-Type": FORM["Content-Type"]},
    ):
        assert reviewer.post(path, verdict="agree", headers=headers).status_code == 403
    assert said(database) == {}
    assert len(audit.entries(database, 99)) == before


@pytest.mark.parametrize("scope", [TokenScope.EDITOR, TokenScope.TRAINER])
def test_a_token_for_something_else_judges_nothing(
    desk: Desk, database: Database, scope: TokenScope
) -> None:
    fill(database)
    day, now = timedelta(days=1), datetime.now(UTC)
    secret, _ = access.issue(database, "ed", [scope], lifetime=day, now=now, by="root")
    client = TestClient(desk.app, base_url=HOME)
    told = FORM | {"Authorization": f"Bearer {secret}"}
    for path in ("", "/bulk", "/judgements"):
        assert client.get(f"/admin/review{path}", headers=told).status_code == 403
    for path in ("judge", "undo", "bulk", "bulk/undo"):
        assert client.post(f"/admin/review/{path}", data={}, headers=told).status_code == 403
        assert client.post(f"/admin/review/{path}", data={}, headers=FORM).status_code in (303, 401)
    assert said(database) == {}


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"verdict": "meh"}, 422),
        ({"verdict": ""}, 422),
        ({"verdict": "edit", "text": "  \r\n"}, 422),
        ({"verdict": "edit", "text": "a\0b"}, 422),
        ({"verdict": "edit", "text": "x" * 17_000}, 422),
        ({"verdict": "edit", "text": "x" * 70_000}, 413),
        ({"verdict": "agree", "completion": "' OR 1=1"}, 422),
        ({"verdict": "agree", "completion": str(UUID(int=1))}, 404),
        ({"verdict": "agree", "completion": ""}, 422),
    ],
)
def test_what_is_no_judgement_is_refused(
    desk: Desk, database: Database, fields: dict[str, str], status: int
) -> None:
    fill(database)
    reviewer = desk.reviewer()
    reviewer.open()
    assert reviewer.post("judge", **fields).status_code == status
    assert said(database) == {}


def test_addresses_of_others_do_no_harm(desk: Desk, database: Database) -> None:
    (key, *_) = fill(database)
    reviewer = desk.reviewer()
    assert reviewer.open(f"/admin/review?completion={uuid4()}").status_code == 404
    assert reviewer.open("/admin/review?completion=x").status_code == 422
    assert reviewer.open(f"/admin/review?completion={key}").status_code == 200
    assert reviewer.shown == key
    for query in ("rule=%00", "user=%27%20OR%201=1", "language=" + "x" * 999, "blind=2&second=x"):
        assert reviewer.open(f"/admin/review?{query}").status_code == 200


def test_before_the_first_night_the_page_says_what_to_do(desk: Desk, database: Database) -> None:
    reviewer = desk.reviewer()
    reviewer.open()
    assert "Nothing is recorded yet" in reviewer.page
    record_completions(database, [served()])
    reviewer.open()
    assert "no night has made pairs of them" in reviewer.page
    for page in ("/bulk", "/judgements"):
        assert reviewer.open(f"/admin/review{page}").status_code == 200
