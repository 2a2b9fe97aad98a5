"""A reviewer judges pairs by keyboard in a real browser, and the next night obeys."""

import sqlite3
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

from conftest import Person, Place

from feedback_store.admin.review_facts import is_flipped

OpenWindow = Callable[..., Person]
KEYS = {"agree": "a", "swap": "s", "both_bad": "b", "both_good": "g", "skip": "n"}
NUM_JUDGED = 20
SECONDS_EACH = 6.0  # a hundred in ten minutes
WANTED = "os.fspath(wanted)"
KEPT = 3  # the exit code of a night that promoted nothing


def rows(place: Place, query: str, *values: Any) -> list[tuple[Any, ...]]:
    with sqlite3.connect(f"file:{place.data}/hone.db?mode=ro", uri=True) as database:
        return database.execute(query, values).fetchall()


def newest_pairs(place: Place) -> dict[str, tuple[Any, ...]]:
    """Return (rule, weight, chosen, rejected) of the newest night's pairs, by completion."""
    query = """SELECT completion_id, rule, weight, chosen, rejected FROM preference_pairs
               WHERE run_id = (SELECT run_id FROM training_runs ORDER BY started_at DESC LIMIT 1)"""
    return {row[0]: row[1:] for row in rows(place, query)}


def standing(place: Place) -> dict[str, str]:
    """Return the verdicts that were not undone, by completion."""
    query = "SELECT completion_id, verdict FROM reviews WHERE undone_at IS NULL ORDER BY review_id"
    return dict(rows(place, query))


def pair_on(person: Person) -> str:
    """Return the completion that is shown."""
    return str(person.page.locator(".judge input[name=completion]").input_value())


def press(person: Person, key: str) -> None:
    """Press a key, and wait for another pair."""
    before = pair_on(person)
    person.page.keyboard.press(key)
    person.page.wait_for_function(
        "before => document.querySelector('.judge input[name=completion]')?.value !== before",
        arg=before,
    )


def edit(person: Person, text: str) -> None:
    """Write what should have been suggested; its letters are no keys of the page."""
    before = pair_on(person)
    person.page.keyboard.press("e")
    person.page.wait_for_selector(".edit[open] textarea:focus")
    person.page.keyboard.press("Control+a")
    person.page.keyboard.type(text)
    assert pair_on(person) == before
    person.page.keyboard.press("Control+Enter")
    person.page.wait_for_function(
        "before => document.querySelector('.judge input[name=completion]')?.value !== before",
        arg=before,
    )


def judge_twenty(person: Person) -> dict[str, str]:
    """Judge by keyboard, undo one and judge it otherwise, edit one; return what was meant."""
    meant: dict[str, str] = {}
    verdicts = list(KEYS)
    for number in range(NUM_JUDGED - 2):
        verdict = verdicts[number % len(verdicts)]
        meant[pair_on(person)] = verdict
        press(person, KEYS[verdict])
    wrong = pair_on(person)
    press(person, "a")
    press(person, "u")
    assert pair_on(person) == wrong
    meant[wrong] = "swap"
    press(person, "s")
    meant[pair_on(person)] = "edit"
    edit(person, WANTED)
    return meant


def test_twenty_pairs_by_keyboard_and_the_next_night_obeys(
    person: OpenWindow, place: Place
) -> None:
    rae = person("rae")
    rae.go("/admin/review")
    before = newest_pairs(place)
    begun = time.monotonic()
    meant = judge_twenty(rae)
    assert time.monotonic() - begun < NUM_JUDGED * SECONDS_EACH
    assert standing(place) == meant
    log = rows(place, "SELECT action, count(*) FROM audit_log WHERE who = 'rae' GROUP BY action")
    assert dict(log) == {"judged": NUM_JUDGED + 1, "judgement undone": 1, "logged in": 1}
    assert rae.complaints == []

    # A short night, with real training; 40 held-out positions are too few to promote anything.
    arguments = ("--min-pairs", "50", "--without-evidence")
    place.hone("train", *arguments, expect=KEPT, HONE_TRAIN__LEARN_CODE="false")
    after = newest_pairs(place)
    for key, verdict in meant.items():
        rule, weight, chosen, rejected = before[key]
        expected: dict[str, tuple[Any, ...]] = {
            "agree": ("R9", 2.0, chosen, rejected),
            "swap": ("R9", 2.0, rejected, chosen),
            "both_bad": ("R9", 2.0, None, rejected),
            "both_good": ("R9", 2.0, chosen, None),
            "edit": ("R9", 2.0, WANTED, rejected),
            "skip": (rule, weight, chosen, rejected),
        }
        assert after[key] == expected[verdict], verdict
    assert rows(place, "SELECT count(*) FROM adapters") == [(1,)]
    untouched = before.keys() - meant.keys()
    assert {key: after[key] for key in untouched & after.keys()} == {
        key: before[key] for key in untouched & after.keys()
    }


def test_blind_shows_either_side_on_the_left(person: OpenWindow, place: Place) -> None:
    rae = person("rae", color_scheme="dark")
    rae.go("/admin/review?blind=1")
    meant = {}
    for _ in range(6):
        key = pair_on(rae)
        meant[key] = "swap" if is_flipped(UUID(key)) else "agree"
        press(rae, "1")
    assert meant.items() <= standing(place).items()
    rae.photograph("blind-dark")
    assert rae.complaints == []


def test_forms_do_without_a_script(person: OpenWindow, place: Place) -> None:
    rae = person("rae", java_script_enabled=False)
    rae.go("/admin/review")
    first = pair_on(rae)
    rae.page.get_by_role("button", name="Both bad").click()
    second = pair_on(rae)
    assert second != first
    rae.page.locator(".edit summary").click()
    rae.page.get_by_label("What should have been suggested").fill("plain_form()")
    rae.page.get_by_role("button", name="Save").click()
    assert pair_on(rae) != second
    assert (standing(place)[first], standing(place)[second]) == ("both_bad", "edit")
    rae.page.get_by_role("button", name="Undo").click()
    assert pair_on(rae) == second
    assert second not in standing(place)


def test_two_reviewers_disagree_and_both_see_it(person: OpenWindow, place: Place) -> None:
    rae, bob = person("rae"), person("bob")
    rae.go("/admin/review")
    press(rae, "a")
    bob.go("/admin/review?second=1")
    key = pair_on(bob)
    other = "s" if standing(place)[key] != "swap" else "a"
    press(bob, other)
    assert "but rae said" in bob.page.locator("#said").inner_text()
    bob.go("/admin/review/judgements")
    bob.page.wait_for_selector(".disputed li")
    bob.photograph("judgements", whole=True)


def test_a_bulk_judgement_asks_first_and_can_be_taken_back(
    person: OpenWindow, place: Place
) -> None:
    rae, before = person("rae"), standing(place)
    rae.go("/admin/review")
    rae.page.get_by_role("link", name="Judge in bulk").click()
    rae.page.get_by_label("User", exact=True).select_option("amber-lynx")
    rae.page.get_by_label("Verdict", exact=True).select_option("both_good")
    rae.page.get_by_role("button", name="Count them").click()
    asked = rae.page.locator(".certain button").inner_text()
    rae.photograph("bulk")
    assert standing(place) == before
    rae.page.locator(".certain button").click()
    rae.page.wait_for_selector("h1:has-text('Judgements')")
    good = [list(said.values()).count("both_good") for said in (before, standing(place))]
    assert asked == f"Judge {good[1] - good[0]} pairs: both good"
    rae.page.get_by_role("button", name="Undo the bulk").first.click()
    rae.page.wait_for_selector("tr.undone")
    assert standing(place) == before


def test_somebody_logged_out_is_led_to_the_door(person: OpenWindow, place: Place) -> None:
    rae, before = person("rae"), standing(place)
    rae.go("/admin/review")
    rae.page.context.clear_cookies()
    rae.page.keyboard.press("a")
    rae.page.get_by_label("Token").wait_for()
    assert standing(place) == before
