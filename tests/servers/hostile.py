"""An MCP server on standard input and output that is out to hurt its client: python hostile.py WAY.

Speaks protocol 2025-11-25 by hand. What it does is chosen by name; each is something that a client must outlive.
"""

import json
import os
import sys
import threading
import time
from typing import Any

WAY = sys.argv[1]
OBJECT = {"type": "object", "properties": {"n": {"type": "integer"}}}
GOOD: dict[str, Any] = {"name": "good", "description": "Works.", "inputSchema": OBJECT}
OUT = sys.stdout.buffer


def raw(data: bytes) -> None:
    OUT.write(data)
    OUT.flush()


def send(message: Any) -> None:
    raw(json.dumps(message).encode() + b"\n")


def notify(method: str, **params: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "method": method, "params": params}).encode() + b"\n"


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


TREE = {"type": "object", "properties": {"next": {"$ref": "#/$defs/tree"}}}
BOMB = {
    f"d{at}": {"type": "object", "properties": {f"x{k}": {"$ref": f"#/$defs/d{at + 1}"} for k in range(10)}}
    for at in range(12)
}
TOOLS: dict[str, list[dict[str, Any]]] = {
    "deep": [{"name": "bad", "inputSchema": nested(200)}],
    "itself": [
        {"name": "bad", "inputSchema": {"$ref": "#"}},
        {"name": "worse", "inputSchema": {"type": "object", "$defs": {"tree": TREE}, "properties": TREE["properties"]}},
    ],
    "bomb": [
        {"name": "bad", "inputSchema": {"type": "object", "properties": {"a": {"$ref": "#/$defs/d0"}}, "$defs": BOMB}}
    ],
    "huge": [
        {
            "name": "bad",
            "inputSchema": {"type": "object", "properties": {f"p{i}": {"const": "x" * 90} for i in range(9000)}},
        }
    ],
    "same": [GOOD] * 50,
    "nameless": [{"name": "", "inputSchema": OBJECT}] * 50,
}

AT_START: dict[str, list[bytes]] = {
    "binary": [os.urandom(65536) for _ in range(100)] + [b"\n"],
    "words": [b"a line of a log, which says nothing at all\n" * 20_000] * 3,
    "brackets": [b"{\n" * 20_000] * 3,
    "logs": [notify("notifications/message", level="error", data=f"line {k}") for k in range(20_000)],
    "changes": [notify("notifications/tools/list_changed") * 5_000],
    "progress": [notify("notifications/progress", progressToken=99, progress=1) * 5_000],
    "requests": [b'{"jsonrpc": "2.0", "id": "r%d", "method": "evil/request"}\n' % k for k in range(2_000)],
    "nonsense": [
        notify("notifications/progress", progressToken={}, progress="x"),
        b'{"jsonrpc": "2.0", "method": 5}\n{"jsonrpc": "2.0", "id": {"a": 1}, "result": {}}\n',
        b'{"id": null, "result": {}}\nnull\n[]\n"x"\n{"jsonrpc": "2.0", "id": true, "result": {}}\n',
    ],
}


def started() -> None:
    if WAY == "stderr":
        threading.Thread(target=lambda: [os.write(2, b"e" * (1 << 20)) for _ in range(1000)], daemon=True).start()
    for piece in AT_START.get(WAY, []):
        raw(piece)


def initialize(number: Any) -> None:
    info = {"name": f"hostile {os.getpid()}", "version": "1"}
    result = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": info}
    for _ in range(2 if WAY == "twice" else 1):
        send({"jsonrpc": "2.0", "id": number, "result": result})
    if WAY == "leaves":
        print("license expired", file=sys.stderr, flush=True)
        os._exit(5)
    started()


def list_tools(number: Any, cursor: str | None) -> None:
    result: dict[str, Any] = {"tools": [GOOD, *TOOLS.get(WAY, [])]}
    if WAY == "cycle":
        result["nextCursor"] = {None: "a", "a": "b", "b": "c", "c": "a"}[cursor]
    if WAY == "by_name":
        result = {"tools": {"good": {"description": "Works.", "inputSchema": OBJECT}}}
    if WAY == "refuses":
        send({"jsonrpc": "2.0", "id": number, "error": {"code": -32603, "message": "the database is down"}})
        return
    send({"jsonrpc": "2.0", "id": number, "result": {} if WAY == "no_list" else result})


def call(number: Any, given: dict[str, Any]) -> None:
    head = b'{"jsonrpc":"2.0","id":%s,"result":' % json.dumps(number).encode()
    result: dict[str, Any] = {"content": [{"type": "text", "text": json.dumps(given)}]}
    match WAY:
        case "too_deep":
            raw(head + b'{"content":[],"structuredContent":{"a":' + b"[" * 3000 + b"]" * 3000 + b"}}}\n")
        case "too_many_digits":
            raw(head + b'{"content":[],"structuredContent":{"a":' + b"9" * 10_000 + b"}}}\n")
        case "torn":
            raw(head + b'{"content":[{"type":"text" "text":"a comma is missing"}]}}\n')
        case "blocks":
            send({"jsonrpc": "2.0", "id": number, "result": {"content": result["content"] * 30_000}})
        case "contradicts":
            result["structuredContent"] = {"n": "something else"}
            send({"jsonrpc": "2.0", "id": number, "result": result})
        case "late" if given.get("n") == 1:
            threading.Thread(target=answer_late, args=(number,), daemon=True).start()
        case "long_error":
            send({"jsonrpc": "2.0", "id": number, "error": {"code": -1, "message": "e" * 5_000_000}})
        case "shuts_up":
            os.close(1)
            time.sleep(600)
        case _:
            send({"jsonrpc": "2.0", "id": 9999, "result": result})
            send({"jsonrpc": "2.0", "id": number, "result": result})


def answer_late(number: Any) -> None:
    """When the client has given the call up, and has asked for something else."""
    for line in sys.stdin:
        request = json.loads(line)
        if request.get("method") == "tools/call":
            send({"jsonrpc": "2.0", "id": number, "result": {"content": [{"type": "text", "text": "too late"}]}})
            call(request["id"], request["params"].get("arguments") or {})


for line in sys.stdin:
    request = json.loads(line)
    params = request.get("params") or {}
    match request.get("method"):
        case "initialize":
            initialize(request["id"])
        case "tools/list":
            list_tools(request["id"], params.get("cursor"))
        case "tools/call":
            call(request["id"], params.get("arguments") or {})
            if WAY == "late":
                threading.Event().wait()  # the other thread reads on
        case str() if "id" in request:
            send({"jsonrpc": "2.0", "id": request["id"], "error": {"code": -32601, "message": "no"}})
