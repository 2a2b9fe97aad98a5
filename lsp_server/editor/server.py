"""Turns LSP messages over stdio into calls of a session, and its answers into LSP messages.

The only file here that knows pygls. What pygls would do at a price is left out on purpose: its own
copy of every document (which counts lines differently), typed parsing of every message, pop-ups
about errors. It knows nothing of suggestions, hosts or feedback; those load after `initialize`.
"""

import asyncio
import json
import logging
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from lsprotocol import types
from pygls.exceptions import JsonRpcException, JsonRpcInternalError, JsonRpcInvalidParams
from pygls.io_ import StdoutWriter
from pygls.lsp.server import LanguageServer
from pygls.protocol import (
    JsonRPCNotification,
    JsonRPCRequestMessage,
    JsonRPCResponseMessage,
    LanguageServerProtocol,
)

from lsp_server.editor import protocol as shapes
from lsp_server.editor.config import EditorConfig
from lsp_server.editor.protocol import ACCEPTED_COMMAND, About, InvalidParams
from lsp_server.editor.stdio import Frames, bodies_of

if TYPE_CHECKING:
    from lsp_server.editor.host_client import HostState
    from lsp_server.editor.session import Arrived, Session

logger = logging.getLogger(__name__)

FINISH_S = 2.0  # how long `shutdown` may still deliver feedback
ABOUT_NOTIFICATIONS = ("shown", "hidden", "dismissed", "cycled", "rated")
T = TypeVar("T")


def run(config: EditorConfig) -> None:
    """Serve one editor over stdin and stdout until it says `exit` or goes away."""
    stdin, stdout = sys.stdin.fileno(), sys.stdout.buffer
    # A stray print would otherwise end up in the middle of the protocol.
    sys.stdout = sys.stderr
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it tells of every request
    logging.getLogger("pygls").setLevel(logging.CRITICAL)  # what fails there is reported to us
    server = HoneServer(config)
    try:
        asyncio.run(server.serve(stdin, stdout))
    except (KeyboardInterrupt, BrokenPipeError, asyncio.CancelledError):
        logger.info("the editor is gone")
    finally:
        server.abandon()


class HoneServer(LanguageServer):
    """One server for one editor; the session begins when the editor has introduced itself."""

    protocol: "_Protocol"

    def __init__(self, config: EditorConfig) -> None:
        """Register what the server listens to."""
        super().__init__("hone", version("hone"), protocol_cls=_Protocol)
        self._config = config
        self._client: shapes.Client | None = None
        self._session: Session | None = None
        self._has_begun = False
        self._listen_to_documents()
        self._listen_to_feedback()
        self._answer_requests()

    async def serve(self, stdin: int, stdout: BinaryIO) -> None:
        """Handle messages in order until the editor's end of the pipe closes."""
        self.protocol.set_writer(StdoutWriter(stdout))
        self._end_in_peace()
        frames, num_skipped = Frames(), 0
        async for body in bodies_of(stdin, frames):
            if frames.num_skipped > num_skipped:
                num_skipped = frames.num_skipped
                logger.warning("a message with a broken header was skipped")
            self.protocol.handle_body(body)
            if self._client and not self._has_begun:
                self._begin(self._client)

    def _end_in_peace(self) -> None:
        """Take SIGTERM for the end of the pipe: editors send it when they are in a hurry."""
        serving = asyncio.current_task()
        with suppress(NotImplementedError, RuntimeError):  # Windows, or not the main thread
            if serving:
                asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, serving.cancel)

    def hello(self, params: object) -> None:
        """Note who the client is; called before pygls answers `initialize`."""
        self._client = self._client or shapes.client_of(params)

    def arrived(self, params: object) -> "Arrived | None":
        """Return a question as of now. Raises InvalidParams."""
        asked = shapes.asked_of(params)
        try:
            return self._session.arrived(asked) if self._session else None
        except Exception:
            logger.exception("a question at %s could not be read", asked.position)
            return None

    def abandon(self) -> None:
        """Keep what can be kept: nobody listens any more."""
        if self._session:
            self._session.abandon()

    def report_server_error(self, error: Exception, source: object) -> None:
        """Log what pygls would tell in a pop-up."""
        expected = isinstance(error, JsonRpcException) and not isinstance(
            error, JsonRpcInternalError
        )
        logger.error("%s", error, exc_info=not expected and sys.exc_info()[0] is not None)

    def _begin(self, client: shapes.Client) -> None:
        """Load everything else, now that `initialize` is answered (0.3 s, once)."""
        self._has_begun = True
        encoding = shapes.encoding_of(self.server_capabilities.position_encoding)
        try:
            from lsp_server.editor.session import Session

            session = Session(
                self._config,
                client,
                encoding,
                self._tell_status,
                self._tell_excluded,
                self._tell_leaving,
            )
            session.start()
        except Exception:
            # Dying would make editors start us again and again, with a pop-up for each time.
            logger.exception("nothing will be suggested: the session could not begin")
            return
        self._session = session

    def _tell_status(self, state: "HostState") -> None:
        self.protocol.notify("hone/status", shapes.status_json(state))

    def _tell_excluded(self, uri: str, reason: str | None) -> None:
        self.protocol.notify("hone/excluded", shapes.excluded_json(uri, reason))

    def _tell_leaving(self, record: dict[str, Any]) -> None:
        self.protocol.notify("hone/leaving", record)

    def _on(
        self, method: str, read: Callable[[object], T], act: Callable[["Session", T], None]
    ) -> None:
        """Listen to a notification; one that cannot be read costs one log line."""

        @self.feature(method)
        def heard(params: Any) -> None:
            if self._session is None:
                return
            try:
                act(self._session, read(params))
            except InvalidParams as error:
                logger.warning("%s is ignored: %s", method, error)

    async def _items(self, arrived: "Arrived") -> list[shapes.Item]:
        """Return what to offer; a fault of ours is logged and means nothing to offer."""
        try:
            return await self._session.answer(arrived) if self._session else []
        except Exception:
            # An error in the answer would be a pop-up in some editors.
            logger.exception("a question at %s could not be answered", arrived.asked.position)
            return []

    def _listen_to_documents(self) -> None:
        self._on(types.TEXT_DOCUMENT_DID_OPEN, shapes.opened_of, lambda s, o: s.open(o))
        self._on(types.TEXT_DOCUMENT_DID_CHANGE, shapes.changed_of, lambda s, c: s.change(c))
        self._on(types.TEXT_DOCUMENT_DID_SAVE, shapes.uri_of, lambda s, uri: s.save(uri))
        self._on(types.TEXT_DOCUMENT_DID_CLOSE, shapes.uri_of, lambda s, uri: s.close(uri))
        self._on(
            types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS,
            shapes.folders_of,
            lambda s, folders: s.folders_changed(*folders),
        )

    def _listen_to_feedback(self) -> None:
        for kind in ABOUT_NOTIFICATIONS:
            self._on(f"hone/{kind}", shapes.about_of, _told(kind))
        self._on("textDocument/didShowCompletion", shapes.about_item, _told("shown"))
        self._on("textDocument/didPartiallyAcceptCompletion", shapes.about_part, _told("partial"))
        self._on("hone/tick", shapes.now_ms_of, lambda s, now_ms: s.tick(now_ms))

    def _answer_requests(self) -> None:
        @self.feature(types.TEXT_DOCUMENT_INLINE_COMPLETION, types.InlineCompletionOptions())
        async def complete(arrived: Any) -> dict[str, Any]:
            items = await self._items(arrived) if arrived else []
            return {"items": [shapes.item_json(item) for item in items]}

        @self.feature("hone/look")
        async def look(_: Any) -> None:
            if self._session:
                await self._session.look()

        @self.feature("hone/collected")
        async def collected(_: Any) -> dict[str, Any]:
            return self._session.collected() if self._session else {}

        @self.command(ACCEPTED_COMMAND)
        def accepted(*arguments: Any) -> None:
            try:
                about = shapes.about_command(arguments)
            except InvalidParams as error:
                raise JsonRpcInvalidParams(str(error)) from None
            if self._session:
                self._session.accepted(about)

        @self.feature(types.SHUTDOWN)
        async def shut_down(_: Any) -> None:
            if self._session:
                await self._session.finish(FINISH_S)


def _told(kind: str) -> Callable[["Session", About], None]:
    return lambda session, about: session.told(kind, about)


class _Protocol(LanguageServerProtocol):
    """pygls' protocol on plain JSON: parameters reach handlers as they came."""

    _server: "HoneServer"

    # Without a `method_name` these are no built-in features any more, so pygls keeps no documents
    # of its own and our handlers of these messages are the only ones.
    lsp_text_document__did_open = None  # type: ignore[assignment]
    lsp_text_document__did_change = None  # type: ignore[assignment]
    lsp_text_document__did_close = None  # type: ignore[assignment]
    lsp_notebook_document__did_open = None  # type: ignore[assignment]
    lsp_notebook_document__did_change = None  # type: ignore[assignment]
    lsp_notebook_document__did_close = None  # type: ignore[assignment]
    lsp_workspace__did_change_workspace_folders = None  # type: ignore[assignment]
    lsp_work_done_progress_cancel = None  # type: ignore[assignment]

    def handle_body(self, body: bytes) -> None:
        """Handle one message; a malformed one costs one log line, and an error if it has an id."""
        try:
            data = json.loads(body)
            message = self._message_of(data)
        except (ValueError, TypeError, RecursionError) as error:
            logger.warning("a message of %d bytes cannot be read: %s", len(body), error)
            return
        try:
            self.handle_message(message)
        except Exception:
            logger.exception("a message failed")

    def _message_of(self, data: Any) -> Any:
        if not isinstance(data, dict) or data.get("jsonrpc") != self.VERSION:
            raise ValueError("it is not a JSON-RPC 2.0 object")
        method, params = data.get("method"), data.get("params")
        if method is None and "id" in data:
            return JsonRPCResponseMessage(data["id"], self.VERSION, data.get("result"))
        if not isinstance(method, str):
            raise ValueError("it has neither a method nor an id")
        if "id" not in data:
            return JsonRPCNotification(method, self.VERSION, _pygls_params(method, params))
        if not isinstance(data["id"], str | int):
            raise ValueError("its id is neither a string nor a number")
        if method == types.INITIALIZE:
            self._server.hello(params)
        return JsonRPCRequestMessage(
            data["id"], method, self.VERSION, _pygls_params(method, params)
        )

    def _handle_request(self, msg_id: str | int, method_name: str, params: Any) -> None:
        """Questions are answered from the document as it is now, so they are read before queueing:
        a coroutine starts only after other messages may have changed the document.
        """
        if method_name == types.TEXT_DOCUMENT_INLINE_COMPLETION:
            try:
                params = self._server.arrived(params)
            except InvalidParams as error:
                refused = JsonRpcInvalidParams(str(error)).to_response_error()
                self._send_response(msg_id, error=refused)
                return
        super()._handle_request(msg_id, method_name, params)


def _pygls_params(method: str, params: Any) -> Any:
    """Return what pygls' own handlers read from; everybody else gets the JSON as it is."""
    raw = params if isinstance(params, dict) else {}
    match method:
        case types.INITIALIZE:
            return types.InitializeParams(
                capabilities=types.ClientCapabilities(
                    general=types.GeneralClientCapabilities(position_encodings=_encodings(raw))
                )
            )
        case types.WORKSPACE_EXECUTE_COMMAND:
            arguments = raw.get("arguments")
            return types.ExecuteCommandParams(
                command=str(raw.get("command")),
                arguments=arguments if isinstance(arguments, list) else [],
            )
        case types.SET_TRACE:
            verbose = raw.get("value") == "verbose"
            return types.SetTraceParams(
                types.TraceValue.Verbose if verbose else types.TraceValue.Off
            )
        case types.CANCEL_REQUEST:
            if not isinstance(raw.get("id"), str | int):
                raise ValueError("it cancels nothing that has an id")
            return types.CancelParams(raw["id"])
    return params


def _encodings(raw: object) -> list[types.PositionEncodingKind | str] | None:
    names = shapes.encodings_of(raw)
    known = {kind.value: kind for kind in types.PositionEncodingKind}
    return None if names is None else [known.get(name, name) for name in names]
