"""What tools want to know, asked in the terminal."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from glm_agent.cli.questions import ask
from glm_agent.registry.asking import Question

FORM: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}, "colour": {"enum": ["red", "blue"]}},
    "required": ["name"],
}


def answered(schema: dict[str, Any], *lines: str) -> tuple[Any, str]:
    """The answer when the person types these lines and then ends the input, and what was shown."""
    left = iter(lines)

    def read_line() -> str:
        for line in left:
            return line
        raise EOFError

    shown = io.StringIO()
    question = Question(text="Well\x1b[2J?", schema=schema, tool="deploy")
    return ask(Console(file=shown, width=200), read_line, question), shown.getvalue()


@pytest.mark.parametrize(
    ("schema", "lines", "answer"),
    [
        ({"type": "boolean"}, ["y"], True),
        ({"type": "boolean"}, ["No"], False),
        ({"type": "boolean"}, ["perhaps", "yes"], True),
        ({"type": "boolean"}, [""], None),
        ({"type": "boolean"}, [], None),
        ({"type": "boolean"}, ["perhaps"], None),
        ({"enum": ["red", "blue"]}, ["2"], "blue"),
        ({"enum": ["red", "blue"]}, ["green", "red"], "red"),
        ({"enum": [10, 20], "type": "integer"}, ["20"], 20),
        ({"enum": ["red"]}, [""], None),
        ({"type": "string"}, ["  some text "], "some text"),
        ({"type": "string"}, [""], None),
        ({"type": "integer"}, ["3"], 3),
        ({"type": "integer"}, ["three"], "three"),
        ({"type": "array"}, ["[1, 2]"], [1, 2]),
        ({}, [""], None),
        (FORM, ["Ann", "", "2"], {"name": "Ann", "colour": "blue"}),
        (FORM, ["Ann", "7", ""], {"name": "Ann", "age": 7}),
        (FORM, [""], None),
        (FORM, ["Ann"], None),
    ],
)
def test_answers_are_what_the_schema_wants_and_silence_declines(schema: dict[str, Any], lines: list[str], answer: Any):
    assert answered(schema, *lines)[0] == answer


def test_what_a_tool_writes_cannot_steer_the_terminal():
    _, shown = answered({"type": "boolean"}, "y")
    assert "deploy asks: Well" in shown
    assert "\x1b[2J" not in shown


def test_a_tool_asks_and_the_person_answers(cli: Any, terminals: list[Any]):
    (cli.folder / "asks.py").write_text(
        "from typing import Literal\nfrom glm_agent import ToolContext, tool\n\n"
        "@tool\ndef deploy(context: ToolContext) -> str:\n    '''Deploy.'''\n"
        "    where = context.ask_sync('Where to?', answer=Literal['test', 'live'])\n"
        "    return f'to {where}, sure: {context.ask_sync(\"Sure?\")}'\n"
    )
    terminal = cli.on_terminal("run", "call deploy {}", "--model", "simulate:directive", "--tools", "./asks.py")
    terminals.append(terminal)
    terminal.wait_for("Where to?")
    terminal.wait_for("[2] live")
    terminal.type("2\n")
    terminal.wait_for("Sure?")
    terminal.type("n\n")
    assert terminal.end() == 0
    assert "to live, sure: False" in terminal.shown
    unattended = cli("run", "call deploy {}", "--model", "simulate:directive", "--tools", "./asks.py")
    assert "to None, sure: None" in unattended.stdout
