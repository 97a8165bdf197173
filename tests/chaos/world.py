"""The world outside: what really happened, on a ledger of its own, and the tools and the model that make it happen.

The ledger is a file that every process opens by itself, so it says what happened also where a process was killed in
between. Each entry is one transaction.
"""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import anyio

from glm_agent import ToolContext, tool
from glm_agent.messages import ModelRequest, ModelResponse, ToolCall, Usage, UserMessage

SCHEMA = """
CREATE TABLE IF NOT EXISTS asked (task TEXT, step INTEGER);
CREATE TABLE IF NOT EXISTS began (kind TEXT, name TEXT);
CREATE TABLE IF NOT EXISTS done (kind TEXT, name TEXT, key TEXT);
CREATE UNIQUE INDEX IF NOT EXISTS payments ON done (key) WHERE kind IN ('pay', 'note');
CREATE TABLE IF NOT EXISTS processes (pid INTEGER, what TEXT);
"""

KINDS = ("look", "pay", "note", "mail", "transfer", "post__ship")


class Ledger:
    """What happened."""

    def __init__(self, path: str | Path) -> None:
        self._path = str(path)

    def _run(self, sql: str, *values: Any) -> list[Any]:
        # A connection of its own for every entry: what holds over a kill is the file.
        with contextlib.closing(sqlite3.connect(self._path, timeout=60, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = OFF")
            return connection.execute(sql, values).fetchall()

    def prepare(self) -> None:
        with contextlib.closing(sqlite3.connect(self._path)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(SCHEMA)

    def asked(self, task: str, step: int) -> int:
        """The model was asked; how often it was, for this step."""
        self._run("INSERT INTO asked VALUES (?, ?)", task, step)
        return int(self._run("SELECT count(*) FROM asked WHERE task = ? AND step = ?", task, step)[0][0])

    def began(self, kind: str, name: str) -> None:
        self._run("INSERT INTO began VALUES (?, ?)", kind, name)

    def did(self, kind: str, name: str, key: str = "") -> None:
        """It has happened; what has a key happens once for each."""
        self._run("INSERT OR IGNORE INTO done VALUES (?, ?, ?)", kind, name, key)

    def has(self, kind: str, name: str) -> bool:
        return bool(self._run("SELECT 1 FROM done WHERE kind = ? AND name = ?", kind, name))

    def lives(self, what: str) -> None:
        self._run("INSERT INTO processes VALUES (?, ?)", os.getpid(), what)

    def count(self) -> int:
        """How much has been begun."""
        return int(self._run("SELECT (SELECT count(*) FROM asked) + (SELECT count(*) FROM began)")[0][0])

    def rows(self, table: str) -> list[Any]:
        return self._run(f"SELECT * FROM {table}")


def tools(ledger: Ledger, *, pause_seconds: float) -> list[Any]:
    """One tool of each kind; ``pause_seconds`` is the most that lies between what a tool does and its return."""

    async def happen(kind: str, name: str, key: str = "") -> str:
        ledger.began(kind, name)
        await anyio.sleep(random.uniform(0, pause_seconds))
        ledger.did(kind, name, key)
        await anyio.sleep(random.uniform(0, pause_seconds))
        return f"{kind} {name} done"

    @tool(read_only=True)
    async def look(name: str) -> str:
        """Read something."""
        return await happen("look", name)

    @tool(idempotent=True)
    async def pay(name: str, context: ToolContext) -> str:
        """Pay somebody who knows the key of a payment."""
        return await happen("pay", name, context.idempotency_key)

    @tool(idempotent=True)
    async def note(name: str, context: ToolContext) -> str:
        """Write a note under a key."""
        return await happen("note", name, context.idempotency_key)

    @tool
    async def mail(name: str) -> str:
        """Send a mail: nobody can say afterwards whether it was sent."""
        return await happen("mail", name)

    def found(name: str) -> str | None:
        return "transferred, as the bank says" if ledger.has("transfer", name) else None

    @tool(reconcile=found)
    async def transfer(name: str) -> str:
        """Move money at a bank that can be asked."""
        return await happen("transfer", name)

    return [look, pay, note, mail, transfer]


class WorldModel:
    """Asks for some of the tools in each of some steps, and for others whenever it is asked once more: by the seed."""

    name = "glm-5.3"

    def __init__(self, ledger: Ledger, *, steps: int, pause_seconds: float, seed: int) -> None:
        self._ledger, self._steps, self._pause, self._seed = ledger, steps, pause_seconds, seed

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelResponse, None]:
        task = next(message.text for message in request.messages if isinstance(message, UserMessage))
        step = sum(isinstance(message, ModelResponse) for message in request.messages)
        times = self._ledger.asked(task, step)
        await anyio.sleep(random.uniform(0, self._pause))
        calls = tuple(self._calls(task, step, times)) if step < self._steps else ()
        text = "" if calls else f"{task} done"
        yield ModelResponse(text=text, tool_calls=calls, usage=Usage(input_tokens=10, output_tokens=10))

    def _calls(self, task: str, step: int, times: int) -> Iterator[ToolCall]:
        chance = random.Random(f"{self._seed}/{task}/{step}/{times}")
        for place in range(chance.randint(1, 4)):
            name = f"{task}/{step}/{place}/{chance.randrange(10**9)}"
            yield ToolCall(id=f"c{place}", name=chance.choice(KINDS), arguments=f'{{"name": "{name}"}}')
