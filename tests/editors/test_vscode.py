"""A person in VS Code: what is typed, taken and said in a browser ends up in the store, once."""

from collections.abc import Callable
from typing import Any

import pytest
from processes import wait_until

pytestmark = pytest.mark.slow

TEXT = "import os\n\n\ndef main():\n    for index in "
TYPED = "ran"


def test_tab_accepts_and_the_store_knows(open_window: Callable[..., Any], host: Any) -> None:
    window = open_window(TEXT)
    window.type(TYPED)
    window.ghost()
    window.photograph("asks-for-consent")
    assert host.rows("select * from completions") == [], "nobody has agreed yet"
    window.click("Yes")
    window.wait_for_log("status: ready", times=2)
    window.page.locator(".monaco-editor .view-lines").first.click()
    window.press("Control+End")
    for _ in TYPED:
        window.press("Backspace")
    window.type(TYPED)
    offered = window.ghost()
    window.photograph("ghost-text")
    window.press("Tab")
    assert window.saved().startswith(TEXT + TYPED + offered)
    accepted = "select suggestion from outcomes where kind = 'accepted'"
    wait_until(lambda: host.rows(accepted), "the outcome is stored")
    settled = "select 1 from outcomes where kind = 'accepted' and settled_text is not null"
    wait_until(lambda: host.rows(settled), "it is settled after ten quiet seconds")
    ((suggestion,),) = host.rows(accepted)
    assert suggestion.startswith(offered) or (TYPED + offered).endswith(suggestion.split("\n")[0])
    told = host.rows("select source, count(*) from events where kind = 'accepted' group by source")
    assert told == [("explicit", 1)], "the accept command told it, once"
