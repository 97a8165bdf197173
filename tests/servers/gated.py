"""A raw MCP server that says nothing before a file is there: python gated.py FILE.

The file names its tools, each of which answers with its own name; ``!`` in it ends the server with an error.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

GATE = Path(sys.argv[1])


def answer(request: dict[str, Any], result: Any) -> None:
    print(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}), flush=True)


def handle(request: dict[str, Any], names: list[str]) -> None:
    match request.get("method"):
        case "initialize":
            info = {"name": "gated", "version": "1"}
            answer(request, {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": info})
        case "tools/list":
            answer(request, {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in names]})
        case "tools/call":
            answer(request, {"content": [{"type": "text", "text": request["params"]["name"]}]})
        case _ if "id" in request:
            error = {"code": -32601, "message": "Method not found"}
            print(json.dumps({"jsonrpc": "2.0", "id": request["id"], "error": error}), flush=True)
        case _:
            pass


while not GATE.exists() or not GATE.read_text():
    time.sleep(0.01)
if "!" in (said := GATE.read_text()):
    print(said, file=sys.stderr)
    sys.exit(4)
for line in sys.stdin:
    handle(json.loads(line), said.split())
