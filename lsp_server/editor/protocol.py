"""Turns LSP-shaped JSON into small frozen values, and offers back into LSP-shaped JSON.

Every field is checked by hand, so that a malformed message costs one error and nothing else. This
module knows the shapes of LSP and of our notifications, but neither pygls nor what they are for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from lsp_server.editor.document import Change, Position, PositionEncoding, Span
from lsp_server.editor.errors import EditorError

if TYPE_CHECKING:
    from lsp_server.editor.host_client import HostState

ACCEPTED_COMMAND = "hone.accepted"
MAX_COMMENT_CHARACTERS = 2_000
MAX_REASON_CHARACTERS = 200
MAX_CORRECTION_CHARACTERS = 16 * 1024
END_OF_TIME_MS = 253_402_300_800_000  # the year 10000, where dates end
_INVOKED = 1
_TEXT_FIELDS = {
    "reason": MAX_REASON_CHARACTERS,
    "comment": MAX_COMMENT_CHARACTERS,
    "correction": MAX_CORRECTION_CHARACTERS,
}
T = TypeVar("T")


class InvalidParams(EditorError):
    """A message lacks a field or holds one of the wrong type; the text names the field."""


@dataclass(frozen=True)
class Opened:
    """`textDocument/didOpen`."""

    uri: str
    language: str
    version: int
    text: str


@dataclass(frozen=True)
class Changed:
    """`textDocument/didChange`, its changes in order."""

    uri: str
    version: int
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Asked:
    """`textDocument/inlineCompletion`; `selected` is the pop-up list's item, if one is open."""

    uri: str
    position: Position
    invoked: bool
    selected: tuple[Span, str] | None


@dataclass(frozen=True)
class About:
    """Which candidate a feedback message is about, and the facts that came with it."""

    completion_id: UUID
    candidate_index: int
    data: Mapping[str, object]


@dataclass(frozen=True)
class Client:
    """What a client says of itself at `initialize`."""

    name: str
    version: str
    record: bool
    options: Mapping[str, object]
    folder_uris: tuple[str, ...]
    exclude: tuple[str, ...] = ()  # patterns beside those of the settings


@dataclass(frozen=True)
class Item:
    """One inline completion to send."""

    completion_id: UUID
    candidate_index: int
    text: str
    start: Position
    end: Position
    filter_text: str | None = None


def client_of(params: object) -> Client:
    """Read `initialize`; whatever is missing or odd counts as not said."""
    raw = _mapping(params)
    info = _mapping(raw.get("clientInfo"))
    options = _mapping(_mapping(raw.get("initializationOptions")).get("hone"))
    folders = raw.get("workspaceFolders") or [{"uri": raw.get("rootUri")}]
    uris = [_mapping(f).get("uri") for f in folders] if isinstance(folders, list) else []
    exclude = options.get("exclude")
    return Client(
        name=str(info.get("name") or "unknown")[:128],
        version=str(info.get("version") or "")[:64],
        record=options.get("record") is True,
        options=options,
        folder_uris=tuple(uri for uri in uris if isinstance(uri, str)),
        exclude=tuple(p for p in exclude if isinstance(p, str))
        if isinstance(exclude, list)
        else (),
    )


def folders_of(params: object) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Read `workspace/didChangeWorkspaceFolders` as (added, removed) URIs."""
    added = _field(params, "event.added", list)
    removed = _field(params, "event.removed", list)
    uris = [tuple(_field(folder, "uri", str) for folder in side) for side in (added, removed)]
    return uris[0], uris[1]


def opened_of(params: object) -> Opened:
    """Read `textDocument/didOpen`."""
    return Opened(
        uri=_field(params, "textDocument.uri", str),
        language=_field(params, "textDocument.languageId", str)[:64],
        version=_field(params, "textDocument.version", int),
        text=_field(params, "textDocument.text", str),
    )


def changed_of(params: object) -> Changed:
    """Read `textDocument/didChange`."""
    version = _mapping(_mapping(params).get("textDocument")).get("version")
    return Changed(
        uri=_field(params, "textDocument.uri", str),
        version=version if isinstance(version, int) else 0,
        changes=tuple(_change_of(change) for change in _field(params, "contentChanges", list)),
    )


def uri_of(params: object) -> str:
    """Read the URI of `didSave`, `didClose` and the like."""
    return _field(params, "textDocument.uri", str)


def asked_of(params: object) -> Asked:
    """Read `textDocument/inlineCompletion`; without a context it counts as automatic."""
    context = _mapping(_mapping(params).get("context"))
    selected = context.get("selectedCompletionInfo")
    return Asked(
        uri=uri_of(params),
        position=_position_of(_field(params, "position", dict)),
        invoked=context.get("triggerKind") == _INVOKED,
        selected=(_span_of(_field(selected, "range", dict)), _field(selected, "text", str))
        if selected is not None
        else None,
    )


def about_of(params: object) -> About:
    """Read a `hone/*` notification about a completion."""
    raw = _mapping(params)
    return About(
        _uuid_of(raw.get("completion_id")), _index_of(raw.get("candidate_index")), _facts_of(raw)
    )


def about_command(arguments: object) -> About:
    """Read the arguments of the accept command: [completion_id, candidate_index]."""
    if not isinstance(arguments, Sequence) or isinstance(arguments, str) or not arguments:
        raise InvalidParams(f"{ACCEPTED_COMMAND} needs arguments [completion_id, candidate_index]")
    return About(_uuid_of(arguments[0]), _index_of(arguments[1] if arguments[1:] else 0), {})


def about_item(params: object) -> About:
    """Read a notification that carries an offered item, as copilot-language-server's do."""
    return about_command(_field(params, "item.command.arguments", list))


def about_part(params: object) -> About:
    """Read a partial accept: an item and how much of it was taken, UTF-16 units, cumulative."""
    about = about_item(params)
    length = _field(params, "acceptedLength", int)
    if length < 0:
        raise InvalidParams(f"acceptedLength is {length}: it must not be negative")
    return About(about.completion_id, about.candidate_index, {"accepted_length": length})


def now_ms_of(params: object) -> int:
    """Read `hone/tick`: epoch milliseconds."""
    now_ms = _field(params, "now_ms", int)
    if not 0 <= now_ms < END_OF_TIME_MS:
        raise InvalidParams(f"now_ms is {now_ms}: it must be milliseconds since 1970")
    return now_ms


def item_json(item: Item) -> dict[str, Any]:
    """Return the item as LSP spells it, its completion id in the command's arguments."""
    raw: dict[str, Any] = {
        "insertText": item.text,
        "range": {"start": _position_json(item.start), "end": _position_json(item.end)},
        "command": {
            "title": "Accepted",
            "command": ACCEPTED_COMMAND,
            "arguments": [str(item.completion_id), item.candidate_index],
        },
    }
    if item.filter_text is not None:
        raw["filterText"] = item.filter_text
    return raw


def status_json(state: "HostState") -> dict[str, Any]:
    """Return `hone/status`."""
    return {
        "state": state.state,
        "model": state.model,
        "adapter": state.adapter,
        "reason": state.reason,
        "trouble": state.trouble,
        "version": state.version,
        "url": state.url,
        "live": state.live.model_dump(mode="json") if state.live else None,
        "today": state.today.model_dump(mode="json") if state.today else None,
    }


def excluded_json(uri: str, reason: str | None) -> dict[str, Any]:
    """Return `hone/excluded`; without a reason the document is no longer left alone."""
    return {"uri": uri, "reason": reason}


def encodings_of(params: object) -> list[str] | None:
    """Return the position encodings that a client offers at `initialize`, best first."""
    general = _mapping(_mapping(_mapping(params).get("capabilities")).get("general"))
    offered = general.get("positionEncodings")
    if not isinstance(offered, list):
        return None
    return [name for name in offered if isinstance(name, str)]


def encoding_of(name: object) -> PositionEncoding:
    """Return the agreed encoding; anything unknown is UTF-16, which every client must speak."""
    try:
        return PositionEncoding(str(getattr(name, "value", name)))
    except ValueError:
        return PositionEncoding.UTF16


def _field(params: object, path: str, kind: type[T]) -> T:
    value: object = params
    for name in path.split("."):
        value = _mapping(value).get(name)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise InvalidParams(f"{path} must be of type {kind.__name__}, not {type(value).__name__}")
    return value


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _position_of(raw: object) -> Position:
    return Position(_field(raw, "line", int), _field(raw, "character", int))


def _span_of(raw: object) -> Span:
    start, end = _field(raw, "start", dict), _field(raw, "end", dict)
    return Span(_position_of(start), _position_of(end))


def _change_of(raw: object) -> Change:
    span = _mapping(raw).get("range")
    return Change(_span_of(span) if span is not None else None, _field(raw, "text", str))


def _uuid_of(value: object) -> UUID:
    try:
        return UUID(str(value))
    except ValueError:
        raise InvalidParams(f"completion_id is {str(value)[:64]!r}: it must be a UUID") from None


def _index_of(value: object) -> int:
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 16:
        raise InvalidParams(f"candidate_index is {str(value)[:64]!r}: it must be 0, 1, 2, ...")
    return value


def _facts_of(raw: Mapping[str, object]) -> dict[str, object]:
    """Keep the fields that our notifications may carry, cut to what an event can hold."""
    facts: dict[str, object] = {}
    for name, longest in _TEXT_FIELDS.items():
        if isinstance(text := raw.get(name), str):
            facts[name] = text[:longest]
    if (rating := raw.get("rating")) in ("up", "down"):
        facts["rating"] = rating
    if raw.get("again") is True:
        facts["again"] = True
    return facts


def _position_json(position: Position) -> dict[str, int]:
    return {"line": position.line, "character": position.character}
