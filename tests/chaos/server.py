"""A stdio MCP server by hand, which starts fast: one tool that writes, and a line on the ledger for its process."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from typing import Any

TOOL = {
    "name": "ship",
    "description": "Ship something.",
    "inputSchema": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
}


def entry(sql: str, *values: Any) -> None:
    connection = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)
    connection.execute(sql, values)
    connection.close()


def answer(method: str, params: dict[str, Any]) -> Any:
    match method:
        case "initialize":
            version = params["protocolVersion"]
            return {
                "protocolVersion": version if version <= "2025-11-25" else "2025-11-25",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "post", "version": "1"},
            }
        case "tools/list":
            return {"tools": [TOOL]}
        case "tools/call":
            name = params["arguments"]["name"]
            entry("INSERT INTO began VALUES ('post__ship', ?)", name)
            entry("INSERT INTO done VALUES ('post__ship', ?, '')", name)
            return {"content": [{"type": "text", "text": f"ship {name} done"}]}
        case "ping":
            return {}
        case _:
            return None


entry("INSERT INTO processes VALUES (?, 'server')", os.getpid())
for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message or "method" not in message:
        continue
    result = answer(message["method"], message.get("params") or {})
    unknown = {"error": {"code": -32601, "message": "unknown"}}
    reply = {"jsonrpc": "2.0", "id": message["id"], **({"result": result} if result is not None else unknown)}
    print(json.dumps(reply), flush=True)
