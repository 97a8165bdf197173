"""Tools in processes of their own: what goes over, what comes back, and that nothing is left."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio
import pytest

from glm_agent import Agent, ConfigurationError, ToolCall, ToolContext, ToolResult, tool
from glm_agent.registry import ToolRegistry
from glm_agent.simulate import ScriptedModel
from glm_agent.testing import ToolTester

FILE = Path(__file__).parent / "servers" / "isolated_tools.py"


def load(file: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TOOLS = load(FILE, "isolated_tools")


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return request.param


def is_running(pid: int) -> bool:
    """Whether the process is there and no zombie, which an init that does not reap would leave."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def ended(pids: list[int]) -> None:
    with anyio.fail_after(60):
        while any(is_running(pid) for pid in pids):  # noqa: ASYNC110 (a process has no event to wait for)
            await anyio.sleep(0.01)


async def written(file: Path) -> str:
    with anyio.fail_after(60):
        while not await anyio.Path(file).exists():  # noqa: ASYNC110
            await anyio.sleep(0.01)
    return await anyio.Path(file).read_text()


@pytest.mark.anyio
async def test_an_isolated_tool_runs_in_a_process_and_a_group_of_its_own():
    pid, group = (await ToolTester(TOOLS.where).call("where")).value
    assert pid == group != os.getpid()
    await ended([pid])


def test_arguments_arrive_as_what_they_are():
    assert ToolTester(TOOLS.typed).call_sync("typed", day="2026-01-31").content == "2026 date 2"
    assert "arguments.day: got" in ToolTester(TOOLS.typed).call_sync("typed", day="x").content


@pytest.mark.anyio
async def test_progress_questions_deps_and_the_session_reach_it(capfd: pytest.CaptureFixture[str]):
    tester = ToolTester(TOOLS.says, deps={"n": 1}, session="s7", answers=[True])
    outcome = await tester.call("says")
    assert outcome.content == "{'n': 1} s7 test-says True"
    assert outcome.progress == ("begun", "half", outcome.content)
    assert [question.text for question in tester.asked] == ["Go on?"]
    out, err = capfd.readouterr()
    assert (out, "on stdout" in err) == ("", True)


@pytest.mark.anyio
async def test_it_calls_other_tools_of_the_run():
    @tool(read_only=True)
    def other(n: int) -> int:
        """Twice."""
        return 2 * n

    model = ScriptedModel([ToolCall(id="1", name="calls", arguments="{}"), "done"])
    result = await Agent(model, tools=[TOOLS.calls, other]).run("go")
    assert [m.content for m in result.messages if isinstance(m, ToolResult)] == ["40"]
    assert "from here: no agent runs this call" in await content(TOOLS.calls, "{}")


async def content(function: Any, arguments: str, **more: Any) -> str:
    call = ToolCall(id="1", name=function.spec.name, arguments=arguments)
    return (await ToolRegistry([function], **more).call(call, ToolContext(call=call))).content


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("told", "word for word"),
        ("error", "KeyError: 'x'"),
        ("system exit", "SystemExit: bye"),
        ("exit", "ProcessDied: the tool's process ended without a result (exit code 3)"),
        ("crash", "ProcessDied: the tool's process ended without a result (ended by SIGSEGV)"),
    ],
)
def test_failures_are_told_as_if_they_had_happened_here_and_a_crash_is_one_of_them(how: str, said: str):
    outcome = ToolTester(TOOLS.fails).call_sync("fails", how=how)
    assert (outcome.content, outcome.is_error) == (said, True)


@pytest.mark.anyio
async def test_messages_of_its_exceptions_are_kept_back_when_asked():
    assert await content(TOOLS.fails, '{"how": "error"}', expose_errors=False) == "the tool failed; why is not shown"


@pytest.mark.anyio
async def test_a_cancelled_call_ends_the_process_and_all_it_started(tmp_path: Path):
    pids: list[int] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(content, TOOLS.hangs, f'{{"file": "{tmp_path}/pids"}}'))
        pids = [int(pid) for pid in (await written(tmp_path / "pids")).split()]
        assert all(is_running(pid) for pid in pids)
        tasks.cancel_scope.cancel()
    assert len(pids) == 2
    await ended(pids)


@pytest.mark.anyio
async def test_a_call_that_takes_too_long_is_ended_and_not_hung(tmp_path: Path):
    bounded = tool(isolated=True, timeout_seconds=1.5, name="hangs")(TOOLS.hangs.function)
    said = await content(bounded, f'{{"file": "{tmp_path}/pids"}}')
    assert said.startswith("timed out after 1.5 seconds")
    assert not bounded.is_hung
    if (tmp_path / "pids").exists():
        await ended([int(pid) for pid in (tmp_path / "pids").read_text().split()])


@pytest.mark.anyio
async def test_nothing_that_it_started_outlives_the_call():
    await ended([(await ToolTester(TOOLS.leaves_something_running).call("leaves_something_running")).value])


@pytest.mark.anyio
async def test_a_large_result_comes_over_whole_and_is_cut_here():
    kept: list[str | bytes] = []
    call = ToolCall(id="1", name="large", arguments="{}")
    context = ToolContext(call=call, keep=lambda text: str(kept.append(text)))
    result = await ToolRegistry([TOOLS.large]).call(call, context)
    assert len(result.content) <= 400
    assert [len(text) for text in kept] == [5_000_000]


@pytest.mark.anyio
async def test_deps_that_cannot_go_over_are_said_and_do_not_matter_to_tools_without_a_context():
    import threading

    lock = threading.Lock()
    said = (await ToolTester(TOOLS.says, deps=lock).call("says")).content
    assert said.startswith("deps of type 'lock' cannot be handed to 'says'")
    assert not (await ToolTester(TOOLS.where, deps=lock).call("where")).is_error


def test_the_process_ends_when_the_agents_process_is_killed(tmp_path: Path):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from isolated_tools import hangs\n"
        "from glm_agent.testing import ToolTester; ToolTester(hangs).call_sync('hangs', file=sys.argv[2])"
    )
    agent = subprocess.Popen([sys.executable, "-c", code, str(FILE.parent), str(tmp_path / "pids")])
    pids = [int(pid) for pid in anyio.run(written, tmp_path / "pids").split()]
    agent.kill()
    agent.wait(60)
    anyio.run(ended, pids)


def test_tools_of_a_script_and_of_a_folder_of_plugins_are_found(tmp_path: Path):
    source = (
        "from glm_agent import tool\nfrom .prices import PRICE\n\n\n@tool(isolated=True)\n"
        "def price() -> int:\n    '''The price.'''\n    return PRICE\n"
    )
    (tmp_path / "prices.py").write_text("PRICE = 7\n")
    (tmp_path / "stock.py").write_text(source)
    assert ToolTester(tmp_path / "stock.py").call_sync("price").content == "7"
    script = tmp_path / "script.py"
    script.write_text(
        source.replace("from .prices import PRICE", "PRICE = 8")
        + "\nif __name__ == '__main__':\n    from glm_agent.testing import ToolTester\n"
        "    print(ToolTester(price).call_sync('price').content)\n"
    )
    said = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=True)
    assert said.stdout == "8\n"


class Shop:
    def price(self) -> int:
        return 1


@pytest.mark.parametrize("function", [lambda: 1, Shop().price, partial(is_running, 1), Shop])
def test_what_another_process_cannot_find_is_refused_when_it_is_decorated(function: Any):
    with pytest.raises(ConfigurationError, match=r"cannot be isolated: another process imports it"):
        tool(isolated=True, name="x")(function)
