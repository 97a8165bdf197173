"""Task files: what they say, and what is said about wrong ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glm_agent.agent.budget import Budget
from glm_agent.agent.front_matter import read_front_matter
from glm_agent.agent.task import Task, load_task, task_schema
from glm_agent.errors import ConfigurationError
from glm_agent.messages import ModelSettings
from glm_agent.permissions import Policy

SCHEMA = Path(__file__).parent.parent / "docs" / "task.schema.json"


@pytest.fixture
def task_file(tmp_path: Path) -> Path:
    return tmp_path / "jobs" / "TASK.md"


def load(path: Path, text: str, **parameters: Any) -> Task:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return load_task(path, parameters=parameters)


def complaint(path: Path, text: str, **parameters: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(path, text, **parameters)
    return str(caught.value).replace(f"{path}", "TASK.md")


def test_a_file_without_front_matter_is_all_prompt(task_file: Path):
    task = load(task_file, "\nCount the files.\n\n---\n\nThen stop.\n")
    assert task.prompt == "Count the files.\n\n---\n\nThen stop."
    assert "model" not in task.agent_arguments()


def test_everything_a_task_says_reaches_the_agent(task_file: Path):
    task = load(
        task_file,
        """---
model: glm-5.3-flash
instructions: Be brief.
tools: [files, ./own.py, ../more, package.module:tool]
mcp_servers: [.mcp.json, uvx mcp-server-time, "https://example.org/mcp"]
max_steps: 7
settings: {temperature: 0, thinking: false, stop: [END]}
limits: {max_tokens: 1000, max_cost: 0.5, max_tool_calls: 3, timeout: 60}
permissions: {allow: ["git__*"], ask: [write_file], deny: ["*__push"]}
output: REPORT.md
---
Do it.
""",
    )
    folder = task_file.parent
    assert task.prompt == "Do it."
    assert task.settings.output == "REPORT.md"
    assert task.agent_arguments() == {
        "model": "glm-5.3-flash",
        "instructions": "Be brief.",
        "tools": ["files", str(folder / "own.py"), str(folder / "../more"), "package.module:tool"],
        "mcp_servers": [str(folder / ".mcp.json"), "uvx mcp-server-time", "https://example.org/mcp"],
        "max_steps": 7,
        "settings": ModelSettings(temperature=0, thinking=False, stop=("END",)),
        "budget": Budget(max_tokens=1000, max_cost_usd=0.5, max_tool_calls=3, timeout_seconds=60),
        "permissions": Policy(allow=("git__*",), ask=("write_file",), deny=("*__push",)),
    }


def test_servers_may_be_a_table_a_path_or_nothing(task_file: Path):
    table = load(task_file, "---\nmcp_servers: {git: {command: python, args: [-m, x]}}\n---\nx").agent_arguments()
    assert table["mcp_servers"] == [{"mcpServers": {"git": {"command": "python", "args": ["-m", "x"]}}}]
    path = load(task_file, "---\nmcp_servers: ../servers.json\n---\nx").agent_arguments()
    assert path["mcp_servers"] == [str(task_file.parent / "../servers.json")]
    assert load(task_file, "x").agent_arguments()["mcp_servers"] == []


def test_a_scenario_and_a_policy_are_looked_for_beside_the_task(task_file: Path):
    arguments = load(task_file, "---\nmodel: simulate:s.yaml\npermissions: p.yaml\n---\nx").agent_arguments()
    assert arguments["model"] == f"simulate:{task_file.parent / 's.yaml'}"
    assert arguments["permissions"] == task_file.parent / "p.yaml"
    assert load(task_file, "---\nmodel: simulate:echo\n---\nx").agent_arguments()["model"] == "simulate:echo"


def test_parameters_fill_in_declared_names_only(task_file: Path):
    head = "---\nparams: {who: you, n: 3, price: null}\ninstructions: Speak to ${who}.\n---\n"
    text = head + "${who} ${n} ${price} ${HOME} $who"
    task = load(task_file, text, price="${n}", who="me")
    assert task.prompt == "me 3 ${n} ${HOME} $who"
    assert task.instructions == "Speak to me."


def test_a_missing_or_unknown_parameter_is_named(task_file: Path):
    text = "---\nparams: {repo: null}\n---\n${repo}"
    assert complaint(task_file, text) == "TASK.md: the parameter 'repo' is missing: give --param repo=…"
    assert "did you mean 'repo'?" in complaint(task_file, text, rep="x")
    assert "the task has no 'params'" in complaint(task_file, "x", rep="x")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("---\nmodel: x\ntoolz: [a]\n---\nx", "TASK.md:3:1: unknown key 'toolz': did you mean 'tools'?"),
        ("---\nlimits:\n  max_tokns: 3\n---\nx", "TASK.md:3:3: unknown key 'max_tokns': did you mean 'max_tokens'?"),
        ("---\npermissions: {alow: [x]}\n---\nx", "TASK.md:2:15: unknown key 'alow': did you mean 'allow'?"),
        ("---\nsettings: {zzz: 1}\n---\nx", "TASK.md:2:12: unknown key 'zzz': known are temperature, top_p"),
        ("---\nmodel: [\n---\nx", "TASK.md:3:1: no valid YAML: "),
        ("---\nmodel: \tx: y\n---\nx", "TASK.md:2:8: no valid YAML: "),
        ("---\nmodel: x\nmodel: y\n---\nx", "TASK.md:3:1: the key 'model' stands there twice"),
        ("---\nmodel: x\nx", "TASK.md:1:1: the front matter is not closed"),
        ("---\n- a\n---\nx", "TASK.md:2:1: the front matter must be lines of 'key: value'"),
        ("---\nmodel: 3\n---\nx", "TASK.md:2:1: 'model' must be text, not 3"),
        ("---\nmax_steps: '5'\n---\nx", "TASK.md:2:1: 'max_steps' must be a whole number, not '5'"),
        ("---\nmax_steps: yes\n---\nx", "TASK.md:2:1: 'max_steps' must be a whole number, not True"),
        ("---\nmax_steps: 0\n---\nx", "TASK.md:2:1: 'max_steps' must be greater than or equal to 1, not 0"),
        (
            "---\nsettings: {temperature: 3}\n---\nx",
            "TASK.md:2:12: 'settings.temperature' must be less than or equal to 1",
        ),
        ("---\nlimits:\n---\nx", "TASK.md:2:1: 'limits' must be a table of keys, not None"),
        ("---\ntools: files\n---\nx", "TASK.md:2:1: 'tools' must be a list, not 'files'"),
        ("---\ntools: [files, 3]\n---\nx", "TASK.md:2:16: 'tools.1' must be text, not 3"),
        ("---\nmcp_servers: 3\n---\nx", "TASK.md:2:1: 'mcp_servers' must be a path to a .mcp.json"),
        ("---\nmcp_servers: {git: 3}\n---\nx", "TASK.md:2:15: 'mcp_servers.git' must be a path"),
        ("---\npermissions: 3\n---\nx", "TASK.md:2:1: 'permissions' must be allow, ask and deny"),
        ("---\nmodel: x\n---\n \n", "TASK.md: there is no task"),
        ("---\nmodel: !!python/object/apply:os.abort []\n---\nx", "TASK.md:2:8: no valid YAML: "),
        ("---\nname: &a [*a]\n---\nx", "TASK.md:2:1: 'name' must be text"),
        ("---\nname: " + "[" * 1500 + "\n---\nx", "TASK.md:2:1: no valid YAML: "),
    ],
)
def test_a_mistake_is_named_with_its_line_and_column(task_file: Path, text: str, said: str):
    assert complaint(task_file, text).startswith(said)


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path):
    with pytest.raises(ConfigurationError, match="No such file"):
        load_task(tmp_path / "none.md")
    with pytest.raises(ConfigurationError, match="Is a directory"):
        load_task(tmp_path)
    (tmp_path / "latin.md").write_bytes("Müll\nüber".encode("latin-1"))
    with pytest.raises(ConfigurationError, match=r"latin\.md:1:2: not UTF-8"):
        load_task(tmp_path / "latin.md")


def test_a_mark_and_foreign_line_ends_do_not_matter(tmp_path: Path):
    (tmp_path / "t.md").write_bytes("\ufeff---\r\nmodel: x\r\n---\r\nDo it.\r\n".encode())
    task = load_task(tmp_path / "t.md")
    assert (task.settings.model, task.prompt) == ("x", "Do it.")


def test_aliases_that_multiply_cost_nothing(tmp_path: Path):
    levels = "\n".join(f"  - &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 40))
    (tmp_path / "t.md").write_text(f"---\ntools:\n  - &l0 [x, x]\n{levels}\n---\nx")
    with pytest.raises(ConfigurationError, match=r"'tools.\d+' must be text"):
        load_task(tmp_path / "t.md")


@given(head=st.text(max_size=200), body=st.text(max_size=50))
def test_any_text_is_a_task_or_a_clear_complaint(tmp_path_factory: pytest.TempPathFactory, head: str, body: str):
    path = tmp_path_factory.getbasetemp() / "any.md"
    path.write_bytes(f"---\n{head}\n---\n{body}".encode(errors="replace"))
    try:
        said = load_task(path).prompt
    except ConfigurationError as error:
        said = str(error).removeprefix(f"{path}:")
    assert said.strip()


def test_the_marks_are_those_of_the_file(tmp_path: Path):
    (tmp_path / "t.md").write_text("---\n# a remark\na:\n  - b\n  - c: 1\n---\nx")
    marks = read_front_matter(tmp_path / "t.md").marks
    assert marks == {("a",): (3, 1), ("a", 0): (4, 5), ("a", 1): (5, 5), ("a", 1, "c"): (5, 5)}


def test_the_published_schema_is_the_one_in_use():
    assert json.loads(SCHEMA.read_text(encoding="utf-8")) == task_schema()
