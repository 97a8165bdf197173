"""A raw MCP server on standard input and output that does one thing wrong: python nasty.py FAULT [FILE].

Speaks protocol 2025-11-25 by hand, without the SDK, so that it can break the rules. FILE counts its starts.
"""

# ruff: noqa: PLR0912

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

FAULT = sys.argv[1]
KNOWN = ("initialize", "tools/list", "tools/call")
STARTS = Path(sys.argv[2]) if len(sys.argv) > 2 else None
OBJECT = {"type": "object", "properties": {"n": {"type": "integer"}}}
GOOD: dict[str, Any] = {"name": "good", "description": "Works.", "inputSchema": OBJECT}

if FAULT == "die_once_reading":
    GOOD["annotations"] = {"readOnlyHint": True}

if FAULT == "breaks_output_schema":
    GOOD["outputSchema"] = {"type": "object", "required": ["sum"], "properties": {"sum": {"pattern": "^(a+)+$"}}}

TOOLS: dict[str, list[Any]] = {
    "empty_schema": [{"name": "bad", "inputSchema": {}}],
    "no_schema": [{"name": "bad"}],
    "null_schema": [{"name": "bad", "inputSchema": None}],
    "any_root": [{"name": "bad", "inputSchema": {"anyOf": [{"type": "object"}, {"type": "string"}]}}],
    "array_root": [{"name": "bad", "inputSchema": {"type": "array"}}],
    "bad_output_schema": [{"name": "bad", "inputSchema": OBJECT, "outputSchema": {"type": "array"}}],
    "bad_annotations": [{"name": "bad", "inputSchema": OBJECT, "annotations": "yes", "icons": 3, "title": []}],
    "bad_properties": [{"name": "bad", "inputSchema": {"type": "object", "properties": [], "required": "n"}}],
    "no_name": [{"inputSchema": OBJECT}, 7, None],
    "two_names": [{**GOOD, "description": "The second."}],
    "hidden_text": [{**GOOD, "name": "b\u202ead", "description": "See\u200b \x1b[31mred\U000e0041\U000e0042 it."}],
    "long_description": [{**GOOD, "name": "bad", "description": "x" * 9000}],
    "odd_names": [{**GOOD, "name": "a b/c"}, {**GOOD, "name": "a_b_c"}, {**GOOD, "name": "l" * 90}],
    "hints": [
        {**GOOD, "name": "reads", "annotations": {"readOnlyHint": True}},
        {**GOOD, "name": "sets", "annotations": {"idempotentHint": True}},
    ],
}

CONTENT: dict[str, Any] = {
    "unknown_block": {"content": [{"type": "hologram", "x": 1}]},
    "no_content": {},
    "null_content": {"content": None},
    "text_content": {"content": "plain"},
    "one_block": {"content": {"type": "text", "text": "alone"}},
    "image_without_type": {"content": [{"type": "image", "data": "AAAA"}]},
    "surrogate": {"content": [{"type": "text", "text": "a\ud800b"}]},
    "structured_only": {"structuredContent": {"sum": 3}},
    "structured_list": {"structuredContent": [1, 2]},
    "structured_both": {"content": [{"type": "text", "text": "3"}], "structuredContent": {"sum": 3}},
    "odd_error_flag": {"content": [{"type": "text", "text": "no"}], "isError": "true"},
    "bad_meta": {"content": [{"type": "text", "text": "kept"}], "_meta": 5},
    "bad_block_field": {"content": [{"type": "text", "text": "kept", "annotations": 5}]},
    "media": {
        "content": [
            {"type": "image", "data": "iVBORw0KGgo=", "mimeType": "image/png"},
            {"type": "image", "data": "!!", "mimeType": "image/png"},
            {"type": "audio", "data": "AAAA", "mimeType": "audio/wav"},
            {"type": "resource_link", "uri": "file:///x", "mimeType": "text/plain"},
            {"type": "resource", "resource": {"uri": "file:///y", "text": "words"}},
            {"type": "resource", "resource": {"uri": "file:///z", "blob": "AAAA"}},
        ]
    },
}


def send(message: Any) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def answer(request: dict[str, Any], result: Any) -> None:
    message = {"jsonrpc": "2.0", "id": request["id"], "result": result}
    if FAULT == "pretty":
        print(json.dumps(message, indent=2), flush=True)
    else:
        send(message)


def initialize(request: dict[str, Any]) -> None:
    if FAULT == "hang_start":
        return
    if FAULT == "bare_handshake":
        answer(request, {"protocolVersion": "2025-11-25", "capabilities": None, "instructions": 7})
        return
    info = {"name": "nasty", "version": "1"}
    answer(request, {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": info})


def list_tools(request: dict[str, Any]) -> None:
    if FAULT == "endless_pages":
        page = int((request.get("params") or {}).get("cursor") or 0)
        answer(request, {"tools": [{**GOOD, "name": f"good{page}"}], "nextCursor": str(page + 1)})
    elif FAULT == "repeating_cursor":
        answer(request, {"tools": [GOOD], "nextCursor": "again"})
    elif FAULT == "empty_cursor":
        answer(request, {"tools": [GOOD], "nextCursor": ""})
    elif FAULT == "null_tools":
        answer(request, {"tools": None})
    elif FAULT == "grows":
        GOOD["name"] = "good" if not GOOD.get("grown") else "better"
        answer(request, {"tools": [{key: value for key, value in GOOD.items() if key != "grown"}]})
    else:
        answer(request, {"tools": [GOOD, *TOOLS.get(FAULT, [])]})


def call_tool(request: dict[str, Any]) -> None:
    arguments = request["params"].get("arguments") or {}
    text = {"content": [{"type": "text", "text": json.dumps(arguments)}]}
    if FAULT in CONTENT:
        answer(request, CONTENT[FAULT])
    elif FAULT == "die_in_call" or (FAULT.startswith("die_once") and starts() == 1):
        print("out of memory", file=sys.stderr, flush=True)
        os._exit(9)
    elif FAULT == "deaf" and starts() == 1:
        answer(request, text)
        os.close(0)
        time.sleep(600)
    elif FAULT == "hang_call" and arguments.get("n") == 1:
        return
    elif FAULT == "big":
        answer(request, {"content": [{"type": "text", "text": "x" * (10 << 20)}]})
    elif FAULT == "id_last":
        size = arguments["n"]
        send({"result": {"content": [{"type": "text", "text": "x" * size}]}, "jsonrpc": "2.0", "id": request["id"]})
    elif FAULT == "error_text":
        send({"jsonrpc": "2.0", "id": request["id"], "error": "just text"})
    elif FAULT == "error_code":
        send({"jsonrpc": "2.0", "id": request["id"], "error": {"code": -32000, "message": "not today"}})
    elif FAULT == "no_version":
        send({"id": request["id"], "result": text, "error": None})
    elif FAULT == "batch":
        send([{"jsonrpc": "2.0", "id": request["id"], "result": text}])
    elif FAULT == "text_id":
        send({"jsonrpc": "2.0", "id": str(request["id"]), "result": text})
    elif FAULT == "grows":
        GOOD["grown"] = True
        send({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
        answer(request, text)
    elif FAULT == "environment":
        answer(request, {"content": [{"type": "text", "text": json.dumps(dict(os.environ))}]})
    elif FAULT == "meta":
        answer(request, {"content": [{"type": "text", "text": json.dumps(request["params"].get("_meta"))}]})
    elif FAULT == "progress":
        token = request["params"]["_meta"]["progressToken"]
        for done in (1, 2):
            params = {"progressToken": token, "progress": done, "total": 2, "message": f"step {done}"}
            send({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})
        answer(request, text)
    else:
        answer(request, text)


def starts() -> int:
    assert STARTS is not None
    return len(STARTS.read_text().splitlines())


def main() -> None:
    if STARTS is not None:
        with STARTS.open("a") as file:
            print(os.getpid(), file=file)
    if FAULT == "die_at_start":
        print("\x1b[31mmissing API_KEY\x1b[0m", file=sys.stderr, flush=True)
        sys.exit(3)
    if FAULT == "usage_on_stdout":
        print("Usage: nasty --key KEY", flush=True)
        sys.exit(2)
    if FAULT == "flood":
        for _ in range(3_000):
            send({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "debug", "data": "x" * 100}})
    if FAULT == "noise":
        print('Starting up…\n{}\n[]\n42\n{"level": "info"}\n{broken', flush=True)
        print("x" * 300_000, file=sys.stderr, flush=True)
    if FAULT == "ignores_term":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if FAULT == "child":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        assert STARTS is not None
        with STARTS.open("a") as file:
            print(child.pid, file=file)
    for line in sys.stdin:
        request = json.loads(line)
        if FAULT == "slow_reader" and request.get("method") == "tools/list":
            answer(request, {"tools": [GOOD]})
            time.sleep(1)
            continue
        match request.get("method"):
            case "initialize" if FAULT != "modern_only":
                initialize(request)
            case "tools/list":
                list_tools(request)
            case "tools/call":
                call_tool(request)
            case "server/discover" if FAULT == "hang_start":
                pass
            case _ if FAULT == "silent" and "id" in request and request["method"] not in KNOWN:
                pass
            case "server/discover" if FAULT in ("no_result_type", "modern_only"):
                found = {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}
                answer(request, {**found, "ttlMs": 0, "cacheScope": "private"})
            case _ if "id" in request:
                error = {"code": -32601, "message": "Method not found"}
                send({"jsonrpc": "2.0", "id": request["id"], "error": error})
            case _:
                pass
    if FAULT in ("ignores_eof", "ignores_term"):
        time.sleep(600)


main()
