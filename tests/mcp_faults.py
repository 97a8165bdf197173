"""Twenty-six faults of MCP servers, as data, and what a client makes of them: python tests/mcp_faults.py [ours] [sdk].

A fault is survived when the good tool of the server answers as it should, twice, or where that cannot be, says what is
wrong within the time of a call and answers the next time. ``sdk`` is the official SDK's own client with its own
transport, asked the same.
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio

SERVER = str(Path(__file__).parent / "servers" / "nasty.py")
BOUND_SECONDS = 120.0
CALL_SECONDS = {"hang_call": 3.0}
"""How long a call is waited for, where that is what the fault is about."""
GOOD = '{"n": 2}'


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that a server does wrong."""

    id: str
    sentence: str
    says: str = GOOD
    """What stands in the second answer."""
    first: str = ""
    """What stands in the first answer; an error where ``is_error_first``."""
    is_error_first: bool = False
    is_error: bool = False
    """Whether the second answer is an error too, since the server says one."""


FAULTS = (
    Fault(id="empty_schema", sentence="a tool's schema is {}"),
    Fault(id="no_schema", sentence="a tool has no schema"),
    Fault(id="null_schema", sentence="a tool's schema is null"),
    Fault(id="any_root", sentence="a tool's schema begins with anyOf and no type"),
    Fault(id="bad_output_schema", sentence="a tool's output schema is that of an array"),
    Fault(id="bad_annotations", sentence="hints, icons and the title of a tool are of other types"),
    Fault(id="bad_properties", sentence="the properties of a schema are a list"),
    Fault(id="no_name", sentence="an entry of the list has no name, others are no objects"),
    Fault(id="empty_cursor", sentence="the list ends with an empty cursor"),
    Fault(id="endless_pages", sentence="the list never ends"),
    Fault(id="repeating_cursor", sentence="the list gives the same cursor for ever"),
    Fault(id="bare_handshake", sentence="the answer to initialize lacks its name, and capabilities are null"),
    Fault(id="no_result_type", sentence="protocol 2026-07-28 without resultType"),
    Fault(id="unknown_block", sentence="a block of the result is of no known type", says="hologram"),
    Fault(id="no_content", sentence="a result has no content", says=""),
    Fault(id="null_content", sentence="the content of a result is null", says=""),
    Fault(id="text_content", sentence="the content of a result is a text", says="plain"),
    Fault(id="image_without_type", sentence="a picture does not say its type", says="AAAA"),
    Fault(id="breaks_output_schema", sentence="a result breaks its schema, whose pattern runs for ever"),
    Fault(id="error_text", sentence="an error is a text", says="just text", is_error=True, is_error_first=True),
    Fault(id="text_id", sentence="the number of a request comes back as a text"),
    Fault(id="pretty", sentence="a message stands on several lines"),
    Fault(id="noise", sentence="words and broken JSON stand between the messages"),
    Fault(id="big", sentence="a result has ten megabytes", says="xxxx"),
    Fault(id="hang_call", sentence="a call is never answered", is_error_first=True),
    Fault(id="die_once", sentence="the server dies in a call", is_error_first=True, first="exited with code 9"),
)

Call = Callable[[str], Awaitable[tuple[bool, str]]]
"""Calls the good tool with these arguments: whether that is an error, and the text."""

Connect = Callable[[str, str], AbstractAsyncContextManager[Call]]
"""Starts the server with a fault, and a file that counts its starts."""


@asynccontextmanager
async def ours(fault: str, starts: str) -> AsyncGenerator[Call]:
    from glm_agent.mcp.servers import MCPServers
    from glm_agent.messages import ToolCall
    from glm_agent.registry import ToolContext, ToolRegistry

    seconds = CALL_SECONDS.get(fault, BOUND_SECONDS)
    entry = {"name": "n", "command": sys.executable, "args": [SERVER, fault, starts], "timeout": seconds}
    async with MCPServers.read([entry], on_event=[].append) as servers:
        registry = ToolRegistry(await servers.tools())

        async def call(arguments: str) -> tuple[bool, str]:
            asked = ToolCall(id="c", name=next(tool.spec.name for tool in registry), arguments=arguments)
            result = await registry.call(asked, ToolContext(call=asked))
            return result.is_error, result.content

        yield call


@asynccontextmanager
async def sdk(fault: str, starts: str) -> AsyncGenerator[Call]:
    from mcp import Client, StdioServerParameters, stdio_client
    from mcp.types import Tool

    parameters = StdioServerParameters(command=sys.executable, args=[SERVER, fault, starts])
    with open("/dev/null", "w") as nowhere:  # noqa: ASYNC230
        transport = stdio_client(parameters, errlog=nowhere)
        async with Client(transport, read_timeout_seconds=CALL_SECONDS.get(fault, BOUND_SECONDS)) as client:
            found: list[Tool] = []
            cursor: str | None = None
            while True:
                page = await client.list_tools(cursor=cursor)
                found += page.tools
                cursor = page.next_cursor
                if cursor is None:
                    break

            async def call(arguments: str) -> tuple[bool, str]:
                try:
                    result = await client.call_tool(found[0].name, json.loads(arguments))
                except Exception as error:
                    return True, str(error)
                return bool(result.is_error), "\n".join(getattr(block, "text", str(block)) for block in result.content)

            yield call


async def outcome(fault: Fault, connect: Connect) -> str:
    """What is wrong; empty where the fault was survived."""
    with tempfile.NamedTemporaryFile() as starts:
        try:
            with anyio.fail_after(BOUND_SECONDS):
                async with connect(fault.id, starts.name) as call:
                    return _judged(fault, await call('{"n": 1}'), await call(GOOD))
        except Exception as error:
            return f"{type(error).__name__}: {error}"[:100]


def _judged(fault: Fault, first: tuple[bool, str], second: tuple[bool, str]) -> str:
    if first[0] != fault.is_error_first or fault.first not in first[1]:
        return f"the first answer was {first!r}"[:200]
    if second[0] != fault.is_error or fault.says not in second[1]:
        return f"the second answer was {second!r}"[:200]
    return ""


def main(names: list[str]) -> int:
    """Print what each client makes of each fault; the exit code says whether ours survived all."""
    logging.disable(logging.CRITICAL)
    clients: dict[str, Connect] = {"ours": ours, "sdk": sdk}
    lost = 0
    for name in names or ["ours"]:
        survived = 0
        for fault in FAULTS:
            wrong = anyio.run(outcome, fault, clients[name])
            survived += not wrong
            print(f"{name:5} {'survived' if not wrong else 'LOST':9} {fault.id:22} {fault.sentence}", flush=True)
            if wrong:
                print(f"      {wrong}", flush=True)
        print(f"{name}: {survived} of {len(FAULTS)} survived", flush=True)
        lost += (len(FAULTS) - survived) * (name == "ours")
    return int(lost > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
