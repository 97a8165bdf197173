"""A server of protocol 2025-11-25 on standard input and output that asks a person: python asking.py.

Written by hand, without the SDK: it starts at once, and speaks the older protocol only. ``order`` sends a form,
``enter`` names an address, ``admit`` refuses with one until its door has been opened by a file of that name,
``hasty`` takes its question back, ``talk`` writes to its log, ``count`` says how far it is, all too often.
"""

import json
import sys
import time
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
TOOLS = [
    {"name": name, "inputSchema": {"type": "object"}} for name in ("order", "enter", "admit", "hasty", "talk", "count")
]


def send(**message: Any) -> None:
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


def text(message: Any, said: str) -> None:
    send(id=message["id"], result={"content": [{"type": "text", "text": said}]})


class Server:
    """What is remembered between messages."""

    calling: Any = None
    calls = 0

    def admit(self, message: Any) -> None:
        self.calls += 1
        door = Path(message["params"]["arguments"]["door"])
        if door.exists():
            text(message, f"in after {self.calls}")
            return
        error = {"code": -32042, "message": "a login is needed", "data": {"elicitations": [ADDRESS]}}
        send(id=message["id"], error=error)
        if self.calls == 2:
            door.touch()
            send(method="notifications/elicitation/complete", params={"elicitationId": "v1"})

    def hasty(self, message: Any) -> None:
        send(id=2, method="elicitation/create", params=QUESTIONS["order"])
        end = time.monotonic() + 60
        while not Path(message["params"]["arguments"]["door"]).exists() and time.monotonic() < end:
            time.sleep(0.01)
        send(method="notifications/cancelled", params={"requestId": 2})
        text(message, "never mind")

    def talk(self, message: Any) -> None:
        for number in range(20):
            send(method="notifications/message", params={"level": "debug", "data": f"d{number}"})
            data = {"message": f"no. {number}\u202e"}
            send(method="notifications/message", params={"level": "error", "logger": "db", "data": data})
        text(message, "said")

    def count(self, message: Any) -> None:
        token = message["params"]["_meta"]["progressToken"]
        for number in range(1, 201):
            params = {"progressToken": token, "progress": number, "total": 200, "message": f"{number}"}
            send(method="notifications/progress", params=params)
        text(message, "counted")

    def ask(self, message: Any) -> None:
        self.calling = message
        send(id=1, method="elicitation/create", params=QUESTIONS[message["params"]["name"]])


def main() -> None:
    server = Server()
    for line in sys.stdin:
        message = json.loads(line)
        match message.get("method"):
            case "initialize":
                info = {"name": "asking", "version": "1"}
                result = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": info}
                send(id=message["id"], result=result)
                is_able = "elicitation" in message["params"]["capabilities"]
            case "tools/list":
                send(id=message["id"], result={"tools": TOOLS})
            case "tools/call":
                assert is_able, "a client that was not asked may not be asked"
                getattr(server, message["params"]["name"], server.ask)(message)
            case None if message.get("id") == 1:
                text(server.calling, json.dumps(message.get("result") or message.get("error")))
            case "server/discover" | "ping":
                send(id=message["id"], error={"code": -32601, "message": "Method not found"})
            case _:
                pass


if __name__ == "__main__":
    main()
