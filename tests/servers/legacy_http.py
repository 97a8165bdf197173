"""A streamable HTTP server of protocol 2025-11-25, by hand, in a thread: it can forget its sessions and fail.

Without the SDK, whose server would speak the newer protocol, which has no sessions.
"""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from threaded import threaded

TOOL = {"name": "echo", "description": "Echo.", "inputSchema": {"type": "object"}}


class LegacyServer(ThreadingHTTPServer):
    """The server and what a test may turn on it."""

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.sessions: set[str] = set()
        self.calls: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.lost_status = 404
        self.failures: list[tuple[int, str, bytes]] = []
        """Answers to the next calls: status, content type, body."""
        self.is_locked = False
        self.drops = 0
        """Calls whose connection is cut without an answer."""
        self.capabilities: dict[str, Any] = {"tools": {}}
        self.tools: list[dict[str, Any]] = [TOOL, {"name": "odd", "inputSchema": {}}]
        self.answers: dict[str, Callable[[Any], Any]] = {}
        """What answers the parameters of other methods; what is raised as ``ValueError`` is refused."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/mcp"


class _Handler(BaseHTTPRequestHandler):
    server: LegacyServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._reply(405, b"")

    def do_DELETE(self) -> None:
        self.server.sessions.discard(self.headers.get("mcp-session-id", ""))
        self._reply(200, b"")

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.headers.append({name.lower(): value for name, value in self.headers.items()})
        method, session = request["method"], self.headers.get("mcp-session-id")
        if self.server.is_locked:
            self._reply(401, b"{}")
        elif method == "initialize":
            session = f"s{len(self.server.headers)}"
            self.server.sessions.add(session)
            info = {"name": "legacy", "version": "1"}
            capabilities = self.server.capabilities
            result = {"protocolVersion": "2025-11-25", "capabilities": capabilities, "serverInfo": info}
            self._result(request, result, session)
        elif session is None:
            self._reply(400, b"Bad Request: no session", "text/plain")
        elif session not in self.server.sessions:
            self._reply(self.server.lost_status, b'{"error": "Bad Request: No valid session ID provided"}')
        elif "id" not in request:
            self._reply(202, b"")
        elif method == "tools/list":
            self._result(request, {"tools": self.server.tools})
        elif method in self.server.answers:
            self._answer(request, self.server.answers[method])
        else:
            self._call(request)

    def _call(self, request: Any) -> None:
        self.server.calls.append(request["params"].get("arguments"))
        if self.server.drops:
            self.server.drops -= 1
            self.close_connection = True
            self.connection.close()
        elif self.server.failures:
            status, kind, body = self.server.failures.pop(0)
            self._reply(status, body, kind)
        else:
            text = json.dumps(request["params"].get("arguments"))
            self._result(request, {"content": [{"type": "text", "text": text}]})

    def _answer(self, request: Any, answer: Callable[[Any], Any]) -> None:
        if self.server.drops:
            self.server.drops -= 1
            self.close_connection = True
            self.connection.close()
            return
        try:
            self._result(request, answer(request.get("params") or {}))
        except ValueError as error:
            refused = {"jsonrpc": "2.0", "id": request["id"], "error": {"code": -32602, "message": str(error)}}
            self._reply(200, json.dumps(refused).encode())

    def _result(self, request: Any, result: Any, session: str = "") -> None:
        body = json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}).encode()
        self._reply(200, body, session=session)

    def _reply(self, status: int, body: bytes, kind: str = "application/json", session: str = "") -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        if session:
            self.send_header("mcp-session-id", session)
        self.end_headers()
        self.wfile.write(body)


def legacy_server(port: int = 0) -> AbstractContextManager[LegacyServer]:
    return threaded(LegacyServer(port))
