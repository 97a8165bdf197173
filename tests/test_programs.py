"""Programs of the model that call its tools: what they can do, and what they cannot."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from glm_agent_tools.kernel import has_socket_filter, landlock_version
from glm_agent_tools.programs import run_python
from glm_agent_tools.sandbox import Sandbox

from glm_agent import Agent, Budget, ToolCall, ToolResult, TurnResult, tool
from glm_agent.journal import Journal
from glm_agent.messages import Event
from glm_agent.simulate import ScriptedModel
from glm_agent.testing import Outcome, ToolTester

SOLD: list[str] = []


@tool(read_only=True)
def price(sku: str) -> int:
    """Price."""
    return {"A": 3, "B": 4}[sku]


@tool(read_only=True, untrusted=True)
def orders(month: int) -> list[dict[str, Any]]:
    """Orders of a month."""
    return [{"sku": "AB"[n % 2], "count": n} for n in range(month * 1_000)]


@tool
def sell(sku: str) -> str:
    """Sell."""
    SOLD.append(sku)
    return f"sold {sku}"


def run(code: str, *, deps: Any = None, **more: Any) -> Outcome:
    return ToolTester(price, orders, sell, run_python, deps=deps).call_sync("run_python", code=code, **more)


def printed(outcome: Outcome) -> str:
    """What the program printed, without the note at the end."""
    text, _, note = outcome.content.rpartition("[")
    assert "tool calls" in note
    return text.strip()


def test_tools_are_functions_and_only_what_is_printed_comes_back():
    outcome = run("total = sum(price(sku=o['sku']) * o['count'] for o in orders(month=1)[:40])\nprint(total)")
    assert printed(outcome) == str(sum((3, 4)[n % 2] * n for n in range(40)))
    assert "[41 tool calls; " in outcome.content


def test_a_result_is_read_as_json_where_it_is_and_is_the_whole():
    assert printed(run("print(len(orders(month=60)), repr(sell(sku='A')))")) == "60000 'sold A'"


def test_functions_classes_and_comprehensions_of_the_program_find_tools_too():
    code = (
        "class Shop:\n    def price(self, sku):\n        return price(sku=sku)\n"
        "def both():\n    return [Shop().price(s) for s in 'AB']\nprint(both(), len('x'))"
    )
    assert printed(run(code)) == "[3, 4] 1"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("price(sku='C')", "ToolError: KeyError: 'C'"),
        ("price()", "ToolError: arguments.sku: missing, wanted string."),
        ("price('A')", "TypeError: price() takes arguments by name only, such as price(argument=…)"),
        ("prise(sku='A')", "Did you mean 'price'?"),
        ("x = 1\nprint('so far')\nx / 0", "    x / 0\n"),
        ("import sys; sys.exit(3)", "failed with exit code 3"),
        ("print('a'", "SyntaxError: '(' was never closed"),
        ("raise SystemExit('bye')", "bye"),
    ],
)
def test_what_goes_wrong_is_told_with_the_programs_own_lines(code: str, said: str):
    outcome = run(code)
    assert outcome.is_error
    assert said in outcome.content
    assert "runner" not in outcome.content


def test_a_program_may_handle_what_a_tool_refuses():
    code = "try:\n    price(sku='C')\nexcept ToolError as e:\n    print('caught', e)"
    assert printed(run(code)) == "caught KeyError: 'C'"


def test_a_program_that_does_not_end_is_ended():
    # On a machine that takes a second to begin a program, this one gets more.
    outcomes = (run("print('begun', flush=True)\nwhile True: pass", timeout_seconds=time) for time in (1, 10, 40))
    outcome = next((each for each in outcomes if "begun" in each.content), run("pass"))
    assert re.search(r"stopped after (1|10|40) seconds", outcome.content)
    assert "begun" in outcome.content


# -- what it cannot do

confined = pytest.mark.skipif(not (landlock_version() and has_socket_filter()), reason="the kernel cannot confine")


@confined
@pytest.mark.parametrize(
    "code",
    [
        "open('{outside}/secret').read()",
        "open('{outside}/new', 'w')",
        "import os; os.listdir('{outside}')",
        "import os; os.unlink('{outside}/secret')",
        "import os; os.symlink('{outside}/secret', 'link'); open('link').read()",
        "import subprocess; subprocess.run(['cat', '{outside}/secret'], check=True)",
        "import socket; socket.create_connection(('127.0.0.1', 9))",
        "import socket; socket.socket(socket.AF_UNIX)",
        "import ctypes; ctypes.CDLL(None).fopen(b'{outside}/secret', b'r') or 1 / 0",
        "open(f'/proc/{{__import__(\"os\").getppid()}}/environ').read()",
    ],
)
def test_files_and_sockets_are_out_of_reach(tmp_path: Path, code: str):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("hidden treasure")
    outcome = run(code.format(outside=outside))
    assert outcome.is_error, outcome.content
    assert "hidden treasure" not in outcome.content
    assert [file.name for file in outside.iterdir()] == ["secret"]


@confined
def test_what_commands_are_allowed_elsewhere_does_not_help_a_program(tmp_path: Path):
    (tmp_path / "secret").write_text("x")
    allowed = Sandbox(network=True, read=(str(tmp_path),), write=(str(tmp_path),))
    assert run(f"open('{tmp_path}/secret')", deps=allowed).is_error
    assert run("import socket; socket.socket()", deps=allowed).is_error


def test_the_agents_environment_is_not_the_programs(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ZAI_API_KEY", "a-secret-key")
    assert "a-secret-key" not in printed(run("import os; print(dict(os.environ))"))


@pytest.mark.parametrize("line", ["not json", "[]", '{"name": "price"}', '{"name": "price", "arguments": 3}'])
def test_writing_to_the_line_of_calls_oneself_ends_the_program_and_nothing_else(line: str):
    outcome = run(f"import os, sys, time; os.write(int(sys.argv[2]), {(line + chr(10)).encode()!r}); time.sleep(60)")
    assert outcome.is_error
    assert "the program was stopped after 0 calls: the program wrote what is no call" in outcome.content


# -- under an agent: permissions, budget, events, journal


def script(code: str) -> ScriptedModel:
    return ScriptedModel([ToolCall(id="c", name="run_python", arguments=json.dumps({"code": code})), "done"])


def play(code: str, **more: Any) -> tuple[TurnResult, ToolResult | None, list[Event]]:
    SOLD.clear()
    events: list[Event] = []
    agent = Agent(script(code), tools=[price, orders, sell, run_python], observers=[events.append], **more)
    result = agent.run_sync("go")
    return result, next((m for m in result.messages if isinstance(m, ToolResult)), None), events


@pytest.mark.parametrize(
    ("permissions", "said"),
    [
        ({"deny": ["sell"]}, "denied: the policy does not allow 'sell'"),
        ({"allow": ["run_python"]}, "denied: the policy does not allow 'sell'"),
        ({"ask": ["sell"]}, "waits for a person's approval, which a program cannot"),
    ],
)
def test_permissions_hold_inside_of_a_program(permissions: Mapping[str, Any], said: str):
    _, result, _ = play("sell(sku='A')", permissions=permissions)
    assert result is not None
    assert said in result.content
    assert SOLD == []


def test_a_program_cannot_call_itself():
    _, result, _ = play("run_python(code='sell(sku=\"A\")')")
    assert result is not None
    assert "cannot be called from here" in result.content
    assert SOLD == []


def test_the_budget_of_calls_ends_program_and_turn():
    result, _, _ = play("while True: sell(sku='A')", budget=Budget(max_tool_calls=5))
    assert result.stop_reason == "budget"
    assert len(SOLD) == 4  # the program itself is one


def test_calls_of_a_program_are_seen_and_kept_and_what_it_read_is_untrusted(tmp_path: Path):
    path = tmp_path / "journal.db"
    _, result, events = play("orders(month=1); sell(sku='A')", journal=path, session="one")
    assert result is not None
    assert result.is_untrusted
    assert [e.call.name for e in events if e.kind == "tool_started"] == ["run_python", "orders", "sell"]
    with Journal(path) as journal:
        kinds = [line.record.kind for line in journal.records("one")]
    answer = "model_response"
    assert kinds[2:] == [answer, "intent", "nested_call", "intent", "nested_call", "tool_result", answer]


@pytest.mark.anyio
async def test_a_cancelled_program_is_gone():
    @tool
    def tell(pid: int) -> None:
        """Tell."""
        pids.append(pid)
        told.set()

    pids: list[int] = []
    told = threading.Event()
    model = script("import os, time\ntell(pid=os.getpid())\ntime.sleep(600)")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Agent(model, tools=[tell, run_python]).run, "go")
        assert await anyio.to_thread.run_sync(told.wait, 60)
        tasks.cancel_scope.cancel()
    with anyio.fail_after(60):
        while any(map(is_there, pids)):  # noqa: ASYNC110 (a process has no event to wait for)
            await anyio.sleep(0.01)


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_example_shows_fewer_steps_and_tokens_for_the_same_answer():
    main = Path(__file__).parent.parent / "examples" / "08_program" / "main.py"
    environ = {name: value for name, value in os.environ.items() if name != "MODEL"}
    done = subprocess.run([sys.executable, main], capture_output=True, text=True, timeout=120, check=False, env=environ)
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^(\w[\w ]+?)\s+(\d+)\s+([\d,]+)\s+([\d,]+)\s{3}(.+)$", done.stdout, re.MULTILINE)
    answers = {answer for *_, answer in rows}
    assert len(answers) == 1
    assert "owes" in answers.pop()
    ten, once, program = [(int(steps), int(tokens.replace(",", ""))) for _, steps, tokens, *_ in rows]
    assert (ten[0], once[0], program[0]) == (6, 3, 2)
    assert program[1] * 5 < once[1] < ten[1]
