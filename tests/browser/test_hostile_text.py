"""Code, file names and comments that would be a program, were they not shown as text.

What the pages show here would set `window.taken` if one of them forgot to escape it, or would ask
for something that the pages' own policy refuses, which the browser complains of.
"""

from collections.abc import Callable, Iterator

import pytest
from conftest import Person, Place, living
from test_pages import PATHS

EVIL = """'"></textarea></script><img src=x onerror="taken=1"><!--"""  # 64 characters fit anywhere
OpenWindow = Callable[..., Person]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A host to which people told nothing but evil."""
    with living(tmp_path_factory.mktemp("evil"), num_files=6, evil=EVIL) as place:
        yield place


def check(person: Person, path: str) -> None:
    """Look at what is on the screen."""
    assert person.page.evaluate("window.taken") is None, path
    assert person.page.locator("img[src=x]").count() == 0, path
    assert person.complaints == [], path


def test_evil_text_stays_text_on_every_page(person: OpenWindow, place: Place) -> None:
    ada = person("ada")
    ada.go("/admin/completions")
    first = ada.page.locator("a[href^='/admin/completions/']").first.get_attribute("href")
    assert first is not None
    seen = []
    for path in (*PATHS, first, "/admin/completions?text=taken"):
        ada.go(path)
        check(ada, path)
        seen.append((path, EVIL in ada.page.inner_text("body")))
    assert {path for path, is_seen in seen if is_seen} >= {first, "/admin/completions?text=taken"}


def test_evil_text_stays_text_while_pairs_are_judged(person: OpenWindow, place: Place) -> None:
    rae = person("rae")
    rae.go("/admin/review")
    assert EVIL in rae.page.inner_text("body")
    for key in ("a", "s", "u"):
        shown = rae.page.locator(".judge input[name=completion]").input_value()
        rae.page.keyboard.press(key)
        rae.page.wait_for_function(
            "before => document.querySelector('.judge input[name=completion]')?.value !== before",
            arg=shown,
        )
        check(rae, f"after {key}")
    rae.page.keyboard.press("e")
    written = rae.page.wait_for_selector(".edit[open] textarea:focus")
    assert written is not None
    assert EVIL in written.input_value()
    check(rae, "while editing")
    rae.page.keyboard.press("Control+a")
    rae.page.keyboard.type(EVIL)
    before = rae.page.locator(".judge input[name=completion]").input_value()
    rae.page.keyboard.press("Control+Enter")
    rae.page.wait_for_function(
        "before => document.querySelector('.judge input[name=completion]')?.value !== before",
        arg=before,
    )
    check(rae, "after editing")
    rae.go("/admin/review/judgements")
    check(rae, "judgements")
