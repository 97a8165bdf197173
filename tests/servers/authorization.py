"""An MCP server that wants a token, and the authorization server it names, on one port of this machine.

By hand, so that tests see what was asked of it and can make it forget or lie.
"""

import json
import secrets
import threading
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

from threaded import threaded

VERSION = "2026-07-28"


class GuardedServer(ThreadingHTTPServer):
    """Both servers, and what a test may turn on them."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.tokens = set[str]()
        self.grants: list[dict[str, str]] = []
        """The forms that came to the token endpoint."""
        self.registrations = 0
        self.expires_in: int | None = 3600
        self.refreshes = True
        self.together: threading.Barrier | None = None
        """Calls wait here for one another: they pass only when all are under way at once."""
        self.authorization_server = self.origin
        self.open = set[str]()
        """Methods that need no token."""

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def url(self) -> str:
        return f"{self.origin}/mcp"

    def grant_types(self) -> list[str]:
        return [grant["grant_type"] for grant in self.grants]


class _Handler(BaseHTTPRequestHandler):
    server: GuardedServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        path, origin = urlsplit(self.path), self.server.origin
        if path.path.startswith("/.well-known/oauth-protected-resource") and self.server.authorization_server:
            self._json({"resource": self.server.url, "authorization_servers": [self.server.authorization_server]})
        elif path.path.startswith("/.well-known/oauth-authorization-server"):
            endpoints = {f"{name}_endpoint": f"{origin}/{name}" for name in ("authorization", "token", "registration")}
            self._json({"issuer": origin, **endpoints, "code_challenge_methods_supported": ["S256"]})
        elif path.path == "/authorization":
            query = dict(parse_qsl(path.query))
            location = f"{query['redirect_uri']}?code=c0de&state={query['state']}"
            self._reply(302, b"", {"location": location})
        else:
            self._reply(405, b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.path == "/registration":
            self.server.registrations += 1
            self._json({**json.loads(body), "client_id": f"client{self.server.registrations}"}, 201)
        elif self.path == "/token":
            self._token({key: values[0] for key, values in parse_qs(body.decode()).items()})
        elif (asked := json.loads(body))["method"] in self.server.open:
            self._call(asked)
        elif self.headers.get("authorization", "").removeprefix("Bearer ") not in self.server.tokens:
            self._reply(401, b"", {"www-authenticate": "Bearer"})
        else:
            self._call(asked)

    def _token(self, form: dict[str, str]) -> None:
        self.server.grants.append(form)
        if form["grant_type"] == "refresh_token" and not self.server.refreshes:
            self._json({"error": "invalid_grant"}, 400)
            return
        token = secrets.token_hex(8)
        self.server.tokens.add(token)
        granted: dict[str, Any] = {"access_token": token, "token_type": "Bearer", "refresh_token": "again"}
        if self.server.expires_in is not None:
            granted["expires_in"] = self.server.expires_in
        self._json(granted)

    def _call(self, request: dict[str, Any]) -> None:
        match request["method"]:
            case "server/discover":
                result: dict[str, Any] = {"supportedVersions": [VERSION], "capabilities": {"tools": {}}}
            case "tools/list":
                result = {"tools": [{"name": "echo", "inputSchema": {"type": "object"}}]}
            case _:
                if self.server.together is not None:
                    self.server.together.wait(60)
                result = {"content": [{"type": "text", "text": "done"}]}
        more = {"resultType": "complete", "ttlMs": 60000, "cacheScope": "private"}
        self._json({"jsonrpc": "2.0", "id": request.get("id"), "result": {**result, **more}})

    def _json(self, value: Any, status: int = 200) -> None:
        self._reply(status, json.dumps(value).encode(), {"content-type": "application/json"})

    def _reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def guarded_server() -> AbstractContextManager[GuardedServer]:
    return threaded(GuardedServer())
