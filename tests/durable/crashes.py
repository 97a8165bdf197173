"""A turn that is killed after its n-th record, and gone on with in a new process under changed rules.

    python crashes.py URL FOLDER N…   for each n, whether the first process was killed

Everything is imported once; every process is a fork that has nothing open.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio

from glm_agent import Agent, tool
from glm_agent.durable.session import DatabaseSession
from glm_agent.durable.sessions import DatabaseSessions
from glm_agent.messages import ModelResponse, ToolCall
from glm_agent.registry import ToolContext
from glm_agent.simulate import ScriptedModel


def main(url: str, folder: Path, *places: int) -> None:
    ledgers = {n: folder / f"ledger-{n}" for n in places}
    for n, ledger in ledgers.items():
        ledger.touch()
        code = forked(partial(first_life, url, f"s{n}", ledger, n))
        print(json.dumps({"n": n, "killed": code == -signal.SIGKILL}), flush=True)
    sys.exit(forked(lambda: [second_life(url, f"s{n}", ledger) for n, ledger in ledgers.items()]))


def forked(run: Callable[[], object]) -> int:
    process = os.fork()
    if process:
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    try:
        run()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def tools(ledger: Path, *, is_new: bool) -> list[Any]:
    def note(line: str) -> None:
        with ledger.open("a") as file:
            file.write(f"{line}\n")

    @tool(read_only=True)
    def look() -> str:
        """Look."""
        note("look")
        return "seen"

    @tool(idempotent=True)
    def pay(context: ToolContext) -> str:
        """Pay."""
        note(f"pay {context.idempotency_key}")
        return "paid"

    @tool(destructive=True)
    async def mail(context: ToolContext) -> str:
        """Send."""
        note("mail")
        return "sent"

    @tool(read_only=True)
    def count() -> int:
        """Count."""
        return 1

    return [look, pay, mail, *([count] if is_new else [])]


def script(*, skip: int = 0) -> ScriptedModel:
    asked = [ToolCall(id=name, name=name, arguments="{}") for name in ("look", "pay", "mail")]
    again = [ToolCall(id="mail2", name="mail", arguments="{}")]
    steps: list[Any] = [
        ModelResponse(tool_calls=tuple(asked), finish_reason="tool_calls"),
        ModelResponse(tool_calls=tuple(again), finish_reason="tool_calls"),
        "done",
    ]
    return ScriptedModel(steps[skip:])


def first_life(url: str, session: str, ledger: Path, records: int) -> None:
    write, left = DatabaseSession._write, [records]

    def counted(self: DatabaseSession, *arguments: Any) -> None:
        write(self, *arguments)
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)

    DatabaseSession._write = counted  # type: ignore[method-assign]
    agent = Agent(script(), tools=tools(ledger, is_new=False), journal=url, instructions="first")
    anyio.run(lambda: agent.run("go", session=session))


def second_life(url: str, session: str, ledger: Path) -> None:
    with DatabaseSessions(url) as store:
        said = [fact for fact in store.facts(session) if isinstance(fact, ModelResponse)]
        is_begun = any(fact.kind == "user_message" for fact in store.facts(session))
    agent = Agent(
        script(skip=len(said)), tools=tools(ledger, is_new=True), journal=url, instructions="second", max_steps=9
    )
    run = (lambda: agent.resume(session)) if is_begun else (lambda: agent.run("go", session=session))
    result = anyio.run(run)
    assert (result.stop_reason, result.output) == ("end_turn", "done"), result
    (ledger.parent / f"{ledger.name}.messages").write_text(
        "\n".join(message.content for message in result.messages if message.kind == "tool_result")
    )


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:]))
