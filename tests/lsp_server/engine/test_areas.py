"""Which part of the host a path belongs to; what nobody named is for administrators."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback_store.access import Area
from lsp_server.engine.areas import area_of

METHODS = st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])


@pytest.mark.parametrize(
    ("method", "path", "area"),
    [
        ("GET", "/health", Area.OPEN),
        ("POST", "/admin/login", Area.OPEN),
        ("GET", "/admin/static/admin.css", Area.OPEN),
        ("POST", "/v1/hone/completions", Area.COMPLETIONS),
        ("GET", "/v1/hone/status", Area.COMPLETIONS),
        ("POST", "/v1/events", Area.COMPLETIONS),
        ("GET", "/v1/adapters/3f/model.safetensors", Area.ADAPTERS),
        ("PUT", "/v1/adapters/3f", Area.ADAPTERS),
        ("GET", "/admin", Area.REVIEW),
        ("HEAD", "/admin/nights", Area.REVIEW),
        ("POST", "/admin/review/judge", Area.REVIEW),
        ("POST", "/admin/adapters/3f/promote", Area.ADMIN),
        ("DELETE", "/admin", Area.ADMIN),
        ("GET", "/healthy", Area.ADMIN),
        ("GET", "//health", Area.ADMIN),
        ("GET", "/administration", Area.ADMIN),
        ("POST", "/admin/loginx", Area.ADMIN),
        ("GET", "/v1/eventsource", Area.ADMIN),
        ("GET", "/openapi.json", Area.ADMIN),
        ("GET", "/", Area.ADMIN),
        ("GET", "", Area.ADMIN),
    ],
)
def test_the_areas(method: str, path: str, area: Area) -> None:
    assert area_of(method, path) is area


@given(METHODS, st.text())
def test_whatever_is_unknown_is_closed(method: str, path: str) -> None:
    if not path.startswith(("/health", "/admin", "/v1/")):
        assert area_of(method, path) is Area.ADMIN


@given(METHODS, st.text())
def test_only_looking_is_free_for_reviewers(method: str, rest: str) -> None:
    area = area_of(method, "/admin/adapters" + rest)
    assert area in (Area.REVIEW, Area.ADMIN)
    assert area is Area.ADMIN or method in ("GET", "HEAD")
