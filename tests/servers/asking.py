"""A server of protocol 2025-11-25 on standard input and output that asks a person: python asking.py.

Written by hand, without the SDK: it starts at once, and speaks the older protocol only. ``order`` sends a form,
``enter`` names an address, ``admit`` refuses with one until its door has been opened by a file of that name.
"""

import json
import sys
from pathlib import Path
from typing import Any

FORM = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "title": "Full name", "description": "As in the passport.", "minLength": 2},
        "size": {"type": "string", "enum": ["small", "large"], "default": "large"},
        "hot": {"type": "boolean", "default": True},
    },
    "required": ["name"],
}
ADDRESS = {"mode": "url", "message": "Log in first.", "url": "https://login.example/x", "elicitationId": "v1"}
QUESTIONS: dict[str, dict[str, Any]] = {
    "order": {"mode": "form", "message": "What may\u202e it be?", "requestedSchema": FORM},
    "enter": ADDRESS,
}
TOOLS = [{"name": name, "inputSchema": {"type": "object"}} for name in ("order", "enter", "admit")]


def send(**message: Any) -> None:
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


def main() -> None:
    calling: Any = None
    is_able = False
    calls = 0
    for line in sys.stdin:
        message = json.loads(line)
        match message.get("method"):
            case "initialize":
                is_able = "elicitation" in message["params"]["capabilities"]
                info = {"name": "asking", "version": "1"}
                result = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": info}
                send(id=message["id"], result=result)
            case "tools/list":
                send(id=message["id"], result={"tools": TOOLS})
            case "tools/call" if message["params"]["name"] == "admit":
                calls += 1
                door = Path(message["params"]["arguments"]["door"])
                if door.exists():
                    send(id=message["id"], result={"content": [{"type": "text", "text": f"in after {calls}"}]})
                else:
                    error = {"code": -32042, "message": "a login is needed", "data": {"elicitations": [ADDRESS]}}
                    send(id=message["id"], error=error)
                    if calls == 2:
                        door.touch()
                        send(method="notifications/elicitation/complete", params={"elicitationId": "v1"})
            case "tools/call":
                calling = message["id"]
                assert is_able, "a client that was not asked may not be asked"
                send(id=1, method="elicitation/create", params=QUESTIONS[message["params"]["name"]])
            case None if message.get("id") == 1:
                text = json.dumps(message.get("result") or message.get("error"))
                send(id=calling, result={"content": [{"type": "text", "text": text}]})
            case "server/discover" | "ping":
                send(id=message["id"], error={"code": -32601, "message": "Method not found"})
            case _:
                pass


if __name__ == "__main__":
    main()
