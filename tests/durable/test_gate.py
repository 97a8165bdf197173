"""The gate over workers: places are the server's, shared, freed when their holder dies, and halved for all."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import psycopg
import pytest

from glm_agent.durable import gate_in
from glm_agent.durable.file_gate import FileGate
from glm_agent.durable.gate import GateServer
from glm_agent.errors import JournalError, QuotaExhausted, RateLimited
from glm_agent.messages import ModelRequest, ModelResponse
from glm_agent.models.limit import LimitedModel

pytestmark = pytest.mark.anyio
ACCOUNT = "ab" * 32

New = Callable[..., GateServer | FileGate]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["postgresql", "sqlite"])
def gate(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[New]:
    """Gates of several processes, each with a connection or locks of its own."""
    opened: list[GateServer | FileGate] = []
    path = tmp_path / "runs.db"
    url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else f"sqlite:///{path}"

    def new(**settings: Any) -> GateServer | FileGate:
        opened.append(gate_in(url, **settings))
        return opened[-1]

    yield new
    for each in opened:
        each.close()


def test_places_are_shared_and_freed_when_their_holder_dies(postgres_url: str) -> None:
    one, two = GateServer(postgres_url, bound=2), GateServer(postgres_url, bound=2)
    assert {one.take(ACCOUNT), two.take(ACCOUNT)} == {(0, 0, 2), (1, 0, 2)}
    assert one.take(ACCOUNT) is two.take(ACCOUNT) is None
    assert one.take("cd" * 32) is not None, "another account has places of its own"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        pids = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = %s AND pid <> pg_backend_pid()"
        ((pid,),) = connection.execute(f"SELECT DISTINCT pid FROM ({pids}) AS held LIMIT 1", (1,)).fetchall()
        connection.execute("SELECT pg_terminate_backend(%s)", (pid,))
        while connection.execute(pids, (1,)).fetchall():
            pass
    found = two.take(ACCOUNT)
    assert found is not None
    one.close()
    two.close()


def test_places_of_a_process_on_a_file_are_free_when_it_is_killed(tmp_path: Path) -> None:
    gate = FileGate(tmp_path / "runs.db", bound=2)
    hold = (
        "import sys; from pathlib import Path; from glm_agent.durable.file_gate import FileGate\n"
        "gate = FileGate(Path(sys.argv[1]), bound=2); print(gate.take(sys.argv[2]), flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", hold, str(tmp_path / "runs.db"), ACCOUNT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "(0, 0, 2)\n"
        assert gate.take(ACCOUNT) == (1, 0, 2)
        assert gate.take(ACCOUNT) is None
        other.kill()
    assert gate.take(ACCOUNT) == (0, 0, 2)
    gate.close()


def test_a_damaged_file_of_a_gate_is_begun_anew(tmp_path: Path) -> None:
    gate = FileGate(tmp_path / "runs.db")
    first = gate.take(ACCOUNT)
    assert first == (0, 0, None)
    gate.refused(ACCOUNT, round=0)
    assert gate.take(ACCOUNT) is None
    (state,) = (tmp_path / "runs.db.gates").rglob("state")
    state.write_text("{")
    assert gate.take(ACCOUNT) == (1, 0, None)
    gate.close()


def test_a_refusal_halves_it_for_all_and_successes_add_one_up_to_the_bound(gate: New) -> None:
    one, two = gate(), gate()
    taken = [server.take(ACCOUNT) for server in (one, one, two, two, two, two)]
    assert all(each is not None and each[2] is None for each in taken), "no limit is known"
    for _ in range(3):
        one.refused(ACCOUNT, round=0)
    two.refused(ACCOUNT, round=0)
    for server, each in zip((one, one, two, two, two, two), taken, strict=True):
        assert each is not None
        server.give(ACCOUNT, each[0])
    assert [one.take(ACCOUNT), two.take(ACCOUNT), one.take(ACCOUNT)] == [(0, 1, 3), (1, 1, 3), (2, 1, 3)]
    assert two.take(ACCOUNT) is None, "those of one round were refused once"
    two.grow(ACCOUNT, round=0)
    assert two.take(ACCOUNT) is None, "a success of before the refusal says nothing"
    two.grow(ACCOUNT, round=1)
    assert two.take(ACCOUNT) == (3, 1, 4)
    three = gate(bound=2)
    assert three.take(ACCOUNT) is None
    three.grow(ACCOUNT, round=1)
    one.give(ACCOUNT, 0)
    assert one.take(ACCOUNT) == (0, 1, 2)


class Counted:
    """A model that knows how many of its requests run at once, over all who ask it, and waits for the first of them."""

    name = "counted"

    def __init__(self, *, together: int = 1) -> None:
        self.together = together
        self.running = self.most = self.asked = 0
        self.lock = threading.Lock()
        self.refuses: Exception | None = None

    async def stream(self, request: ModelRequest) -> Any:
        with self.lock:
            self.running += 1
            self.asked += 1
            self.most = max(self.most, self.running)
        try:
            await anyio.sleep(0.002)
            while self.most < self.together:  # noqa: ASYNC110
                await anyio.sleep(0.002)
            if self.refuses is not None:
                raise self.refuses
            yield ModelResponse(text="ok")
        finally:
            with self.lock:
                self.running -= 1


async def ask(model: Any, outcomes: list[Any]) -> None:
    try:
        outcomes.extend([event async for event in model.stream(ModelRequest(model="m"))])
    except (QuotaExhausted, RateLimited) as error:
        outcomes.append(error)


async def test_requests_of_all_processes_together_stay_within_the_bound(gate: New) -> None:
    model, outcomes = Counted(together=2), list[Any]()
    processes = [LimitedModel(model, limit=gate(bound=3).limit(ACCOUNT)) for _ in range(3)]
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            for each in processes:
                for _ in range(15):
                    tasks.start_soon(ask, each, outcomes)
    assert [each.text for each in outcomes] == ["ok"] * 45
    assert model.most <= 3


async def test_a_dead_key_costs_one_request_of_each_process_that_waits(gate: New) -> None:
    model, outcomes = Counted(), list[Any]()
    model.refuses = QuotaExhausted("no", status_code=429, code="1113")
    limited = LimitedModel(model, limit=gate(bound=1).limit(ACCOUNT))
    with anyio.fail_after(60):
        await ask(limited, outcomes)  # from now on, the limit is known here
        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(ask, limited, outcomes)
    assert (model.asked, len(outcomes)) == (2, 21)
    model.refuses = None
    await ask(limited, outcomes)
    assert outcomes[-1].text == "ok"


async def test_who_is_cancelled_while_waiting_leaves_no_place_taken(gate: New) -> None:
    server = gate(bound=1)
    limit, held = server.limit(ACCOUNT), gate(bound=1)
    taken = held.take(ACCOUNT)
    assert taken is not None
    with anyio.move_on_after(0.1):
        await limit.enter()
    held.give(ACCOUNT, taken[0])
    with anyio.fail_after(60):
        place = await limit.enter()
        limit.leave(place, outcome=True)
        assert (await limit.enter()).slot == 0


def test_a_server_that_is_gone_is_said() -> None:
    with pytest.raises(JournalError, match=r"'postgresql://nobody@127.0.0.1:9/none' cannot be asked for a place"):
        GateServer("postgresql://nobody@127.0.0.1:9/none").take(ACCOUNT)
