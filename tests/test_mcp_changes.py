"""Tool lists that change while a server runs, in both eras of the protocol, and when a server may be started again."""

import sys
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glm_agent.mcp.config import ServerConfig
from glm_agent.mcp.definition import from_json, to_json
from glm_agent.mcp.failure import Refused
from glm_agent.mcp.lock import Locked
from glm_agent.mcp.remembered import Memory
from glm_agent.mcp.restarts import LEFT_ALONE_AFTER, LEFT_ALONE_SECONDS, MAX_WAIT_SECONDS, Restarts
from glm_agent.mcp.server import ServerConnection
from glm_agent.messages import Event, Notice

GROWING = str(Path(__file__).parent / "servers" / "growing.py")
CONFIG = ServerConfig(
    name="g", command=sys.executable, args=(GROWING,), timeout_seconds=60.0, startup_timeout_seconds=60.0
)


class Told(Memory):
    """A memory that says when it was told something."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.tools: list[set[str]] = []
        self.grown = anyio.Event()

    def keep(self, config, *, tools, ttl_seconds, is_legacy) -> None:  # type: ignore[no-untyped-def]
        super().keep(config, tools=tools, ttl_seconds=ttl_seconds, is_legacy=is_legacy)
        self.tools.append({tool.name for tool in tools})
        if "new" in self.tools[-1]:
            self.grown.set()


async def names(connection: ServerConnection) -> set[str]:
    return {tool.name for tool in await connection.tools()}


async def lists(connection: ServerConnection) -> int:
    """How often the server was asked for its tools."""
    result = await connection.call("lists", {})
    return int(result.content[0].text)  # type: ignore[union-attr]


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_a_server_of_old_that_says_much_of_its_changes_is_asked_once(tmp_path: Path) -> None:
    memory = Told(tmp_path)
    memory.keep(CONFIG, tools=[], ttl_seconds=0, is_legacy=True)
    events: list[Event] = []
    connection = ServerConnection(CONFIG, memory=memory, on_event=events.append)
    with anyio.fail_after(60):
        assert await names(connection) == {"grow", "lists"}
        assert connection.protocol_version == "2025-11-25"
        before = await lists(connection)
        await connection.call("grow", {})
        await memory.grown.wait()
        assert await lists(connection) == before + 1
        assert "new" in await names(connection)
        assert await lists(connection) == before + 1
        await connection.aclose()
    changed = [event for event in events if isinstance(event, Notice) and "have changed" in event.text]
    assert [event.text for event in changed] == ["its tools have changed: 3 tools from the next turn on"]


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_a_server_of_now_is_subscribed_to_from_the_second_turn_on(tmp_path: Path) -> None:
    memory = Told(tmp_path)
    connection = ServerConnection(CONFIG, memory=memory)
    with anyio.fail_after(60):
        assert await names(connection) == {"grow", "lists"}
        assert connection.protocol_version == "2026-07-28"
        await names(connection)
        link = connection.openings.link
        assert link is not None
        while not link.changes.are_heard:  # noqa: ASYNC110
            await anyio.sleep(0.01)
        await connection.call("grow", {})
        await memory.grown.wait()
        asked = await lists(connection)
        for _ in range(3):
            assert "new" in await names(connection)
        assert await lists(connection) == asked, "a change is told, nobody has to ask"
        await connection.aclose()


@pytest.mark.anyio
async def test_what_was_not_accepted_is_told_while_the_server_runs(tmp_path: Path) -> None:
    memory = Told(tmp_path)
    memory.keep(CONFIG, tools=[], ttl_seconds=0, is_legacy=True)
    events: list[Event] = []
    known = ServerConnection(CONFIG)
    accepted = Locked(tools={tool.name: from_json(to_json(tool)) for tool in await known.tools()})
    await known.aclose()
    connection = ServerConnection(CONFIG, memory=memory, locked=accepted, on_event=events.append)
    with anyio.fail_after(60):
        await connection.call("grow", {})
        await memory.grown.wait()
        assert "its tool 'new' is not in the lock file" in str(events)
        assert await names(connection) == {"grow", "lists"}
        with pytest.raises(Refused, match="not in the lock file"):
            await connection.call("new", {})
        await connection.aclose()


@pytest.mark.anyio
async def test_a_server_that_is_no_longer_of_old_is_asked_after_all(tmp_path: Path) -> None:
    modern_only = Path(__file__).parent / "servers" / "nasty.py"
    config = ServerConfig(name="n", command=sys.executable, args=(str(modern_only), "modern_only"))
    memory = Memory(tmp_path)
    memory.keep(config, tools=[], ttl_seconds=0, is_legacy=True)
    connection = ServerConnection(config, memory=memory)
    with anyio.fail_after(60):
        assert await names(connection) == {"good"}
        assert connection.protocol_version == "2026-07-28"
        await connection.aclose()
    assert not memory.load(config).is_legacy


@pytest.mark.anyio
async def test_a_server_of_old_is_not_asked_for_the_newer_protocol_again(tmp_path: Path) -> None:
    # It never answers what it does not know, which costs ten seconds each time it is asked.
    silent = Path(__file__).parent / "servers" / "nasty.py"
    config = ServerConfig(name="n", command=sys.executable, args=(str(silent), "silent"), startup_timeout_seconds=9)
    memory = Memory(tmp_path)
    memory.keep(config, tools=[], ttl_seconds=0, is_legacy=True)
    connection = ServerConnection(config, memory=memory)
    assert await names(connection) == {"good"}
    await connection.aclose()


# -- restarts ---------------------------------------------------------------------------------------------


def waits(restarts: Restarts, failures: int) -> list[float]:
    """The wait after each failure."""
    found: list[float] = []
    for _ in range(failures):
        restarts.failed(100.0)
        found.append(restarts.wait(100.0))
    return found


def test_the_first_failure_is_free_and_each_further_one_doubles_the_wait() -> None:
    assert waits(Restarts(chance=lambda: 1.0), 7) == [0, 1, 2, 4, 8, 16, 32]


def test_a_server_that_keeps_failing_is_left_alone_then_tried_once() -> None:
    restarts = Restarts(chance=lambda: 0.0)
    assert waits(restarts, LEFT_ALONE_AFTER)[-1] == LEFT_ALONE_SECONDS
    assert restarts.wait(100.0 + LEFT_ALONE_SECONDS) == 0
    assert waits(restarts, 1) == [LEFT_ALONE_SECONDS]
    restarts.succeeded()
    assert waits(restarts, 2) == [0, 0.5]


@given(st.floats(0, 1), st.integers(2, LEFT_ALONE_AFTER - 1))
def test_chance_shortens_a_wait_to_no_less_than_half(chance: float, failures: int) -> None:
    full = waits(Restarts(chance=lambda: 1.0), failures)[-1]
    assert full / 2 <= waits(Restarts(chance=lambda: chance), failures)[-1] <= full <= MAX_WAIT_SECONDS


def test_a_server_that_was_there_for_long_has_not_failed_in_a_row() -> None:
    restarts = Restarts(chance=lambda: 1.0)
    waits(restarts, 5)
    restarts.failed(100.0, lived_seconds=11)
    assert restarts.wait(100.0) == 0
