"""What tools want to know, asked in the terminal."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from glm_agent.cli.questions import ask
from glm_agent.registry.asking import DISMISSED, Question

FORM: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}, "colour": {"enum": ["red", "blue"]}},
    "required": ["name"],
}


def answered(schema: dict[str, Any], *lines: str, **asked: Any) -> tuple[Any, str]:
    """The answer when the person types these lines and then ends the input, and what was shown."""
    left = iter(lines)

    def read_line() -> str:
        for line in left:
            return line
        raise EOFError

    shown = io.StringIO()
    question = Question(text="Well\x1b[2J?", schema=schema, **(asked or {"tool": "deploy"}))
    return ask(Console(file=shown, width=200), read_line, question), shown.getvalue()


@pytest.mark.parametrize(
    ("schema", "lines", "answer"),
    [
        ({"type": "boolean"}, ["y"], True),
        ({"type": "boolean"}, ["No"], False),
        ({"type": "boolean"}, ["perhaps", "yes"], True),
        ({"type": "boolean"}, [""], None),
        ({"type": "boolean"}, [], DISMISSED),
        ({"type": "boolean"}, ["perhaps"], DISMISSED),
        ({"enum": ["red", "blue"]}, ["2"], "blue"),
        ({"enum": ["red", "blue"]}, ["green", "red"], "red"),
        ({"enum": [10, 20], "type": "integer"}, ["20"], 20),
        ({"enum": ["red"]}, [""], None),
        ({"type": "string"}, ["  some text "], "some text"),
        ({"type": "string"}, [""], None),
        ({"type": "integer"}, ["3"], 3),
        ({"type": "integer"}, ["three", "3"], 3),
        ({"type": "integer", "minimum": 1, "maximum": 3}, ["0", "4", "2"], 2),
        ({"type": "string", "format": "date"}, ["tomorrow", "2026-01-31"], "2026-01-31"),
        ({"type": "object"}, ['{"a": 1}'], {"a": 1}),
        ({"type": "array"}, ["[1, 2]"], [1, 2]),
        ({}, [""], None),
        (FORM, ["Ann", "", "2"], {"name": "Ann", "colour": "blue"}),
        (FORM, ["Ann", "7", ""], {"name": "Ann", "age": 7}),
        (FORM, ["", "Ann", "", ""], {"name": "Ann"}),
        (FORM, ["!"], None),
        (FORM, ["Ann", "!"], None),
        (FORM, ["Ann"], DISMISSED),
    ],
)
def test_answers_are_what_the_schema_wants_and_silence_declines(schema: dict[str, Any], lines: list[str], answer: Any):
    assert answered(schema, *lines)[0] == answer


def test_what_a_tool_writes_cannot_steer_the_terminal():
    _, shown = answered({"type": "boolean"}, "y")
    assert "deploy asks: Well" in shown
    assert "\x1b[2J" not in shown


PROPOSED: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "title": "Full name", "description": "As in the passport.", "minLength": 2},
        "size": {"oneOf": [{"const": "s", "title": "Small"}, {"const": "l", "title": "Large"}], "default": "l"},
        "extras": {"type": "array", "items": {"enum": ["milk", "sugar"]}, "maxItems": 1},
        "hot": {"type": "boolean", "default": True},
    },
    "required": ["name"],
}


def test_a_form_of_a_server_says_what_each_field_takes_and_proposes_what_the_server_does():
    answer, shown = answered(PROPOSED, "A", "Ann", "", "sugar", "", "y", server="shop")
    assert answer == {"name": "Ann", "size": "l", "extras": ["sugar"], "hot": True}
    for said in ("MCP server 'shop' asks", "Full name (needed)", "As in the passport.", "please write 2 or more"):
        assert said in shown
    assert "[1] Small, [2] Large" in shown
    assert "size [Large]>" in shown
    assert "hot [yes]>" in shown


def test_what_goes_to_a_server_is_looked_at_and_edited_before():
    again = ["Bob", "1", "", "n", "yes"]
    answer, shown = answered(PROPOSED, "Ann", "", "sugar", "", "perhaps", "e", *again, server="shop")
    assert answer == {"name": "Bob", "size": "s", "extras": ["sugar"], "hot": False}
    assert "Full name [Ann]>" in shown
    assert answered(PROPOSED, "Ann", "", "", "", "n", server="shop")[0] is None


def test_of_very_many_choices_the_first_are_shown_and_all_can_be_written():
    answer, shown = answered({"enum": [f"c{number}" for number in range(5000)]}, "nothing", "c4711")
    assert answer == "c4711"
    assert "[50] c49" in shown
    assert "… and 4,950 more" in shown
    assert "choose one of c0, c1" in shown
    assert len(shown) < 2500


@pytest.mark.parametrize(
    ("url", "lines", "answer", "warning"),
    [
        ("https://login.example/x?y=1", ["y"], True, ""),
        ("https://login.example/x?y=1", ["n"], None, ""),
        ("https://login.example/x?y=1", [""], None, ""),
        ("https://login.example/x?y=1", [], DISMISSED, ""),
        ("https://xn--pple-43d.com/", ["y"], True, "letters that may look like others"),
        ("http://example.com/", ["y"], True, "not encrypted"),
        ("https://bank.example@evil.example/", ["y"], True, "before the @"),
    ],
)
def test_an_address_is_shown_whole_with_its_host_and_never_opened(
    url: str, lines: list[str], answer: Any, warning: str
):
    said, shown = answered({"type": "boolean"}, *lines, server="shop", url=url)
    assert said is answer
    assert url in shown
    assert warning in shown


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
