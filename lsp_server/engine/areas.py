"""Turns method and path of a request into the part of the host that it wants to enter.

Pure. What is not named here belongs to `admin`: a route that is added later is closed until
somebody opens it. Knows nothing of tokens.
"""

from feedback_store.access import Area
from feedback_store.adapter_routes import TAR_TYPE
from feedback_store.adapter_tar import MAX_BYTES

FORM_TYPE = "application/x-www-form-urlencoded"
JSON_TYPE = "application/json"
MAX_BODY_BYTES = 4 * 1024 * 1024
_FORMS = frozenset({"/admin/login", "/admin/logout"})
_OPEN = ("/health", "/admin/login", "/admin/logout", "/admin/static")
_EDITOR = ("/v1/hone", "/v1/events")
_TRAINER = ("/v1/adapters",)
_JUDGING = ("/admin/review",)


def area_of(method: str, path: str) -> Area:
    """Return the area of a request."""
    if _is_within(path, _OPEN):
        return Area.OPEN
    if _is_within(path, _EDITOR):
        return Area.COMPLETIONS
    if _is_within(path, _TRAINER):
        return Area.ADAPTERS
    looks = method in ("GET", "HEAD") and _is_within(path, ("/admin",))
    return Area.REVIEW if looks or _is_within(path, _JUDGING) else Area.ADMIN


def is_page(path: str) -> bool:
    """Tell whether a path belongs to the pages, where a log-in cookie counts."""
    return _is_within(path, ("/admin",))


def content_types(path: str) -> tuple[str, ...]:
    """Return what a body sent to `path` may be: HTML forms for pages, tar for adapters, JSON."""
    if path in _FORMS:
        return (FORM_TYPE,)
    if _is_within(path, _TRAINER):
        return (TAR_TYPE,)
    return (FORM_TYPE, JSON_TYPE) if is_page(path) else (JSON_TYPE,)


def max_body_bytes(path: str) -> int:
    """Return how large a body sent to `path` may be."""
    return MAX_BYTES if _is_within(path, _TRAINER) else MAX_BODY_BYTES


def _is_within(path: str, roots: tuple[str, ...]) -> bool:
    return any(path == root or path.startswith(root + "/") for root in roots)
