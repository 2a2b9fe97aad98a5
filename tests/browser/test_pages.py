"""Every admin page in a real browser: readable for everybody, light and dark, wide and narrow."""

from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import Person, Place

from feedback_store.admin.rendering import SECTIONS

OpenWindow = Callable[..., Person]
REVIEWING = (
    "/admin/review?blind=1",
    "/admin/review/bulk?verdict=agree",
    "/admin/review/judgements",
)
PATHS = ("/admin/login", *(path for _, path in SECTIONS), *REVIEWING)
LOOKS = {
    "light": {},
    "dark": {"color_scheme": "dark"},
    "phone": {"width": 390, "height": 844, "has_touch": True},
}


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("path", PATHS)
def test_a_page_has_no_serious_barrier(
    person: OpenWindow, place: Place, path: str, look: str
) -> None:
    ada = person("ada", **LOOKS[look])
    ada.go(path)
    name = path.removeprefix("/admin").strip("/").split("?")[0].replace("/", "-") or "dashboard"
    ada.photograph(f"{name}-{look}{'-blind' if 'blind' in path else ''}", whole=look == "phone")
    found = Axe().run(ada.page).response["violations"]
    barriers = [
        f"{one['id']}: {one['help']}: {one['nodes'][0]['html'][:200]}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
    assert barriers == []
    assert ada.complaints == []  # nothing was blocked by the page's own policy
    width = ada.page.evaluate("document.documentElement.scrollWidth")
    assert width <= ada.page.viewport_size["width"], "the page itself scrolls sideways"
