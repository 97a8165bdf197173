"""Scenario files: what they may hold, where an error in them stands, and what their templates know."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from glm_agent.errors import ConfigurationError
from glm_agent.simulate.scenario import Scenario
from glm_agent.simulate.scenario_file import ScriptFile, read_scenario, scenario_of, scenario_schema
from glm_agent.simulate.templates import TemplateFault, evaluate, fill, render

EVERYTHING = r"""
version: 1
name: everything
description: one of each
model: glm-4.7
seed: 5
vars: {limit: 3, names: [a, b]}
context_window: 9000
concurrency: 4
pace: {think_seconds: 0.5, chunk_seconds: 0.02, chunk_characters: 12}
quirks: {call_index: -1}
random_faults: {rate: 0.1, at_most: 1, faults: [html, {status: 429, code: 1302}]}
turns:
  - name: first
    when: {user: "how (?P<much>many|much)", system: s, result: r, tools: [stock], model: glm-*, expression: "1 < 2"}
    steps:
      - name: look
        think: Hm
        say: Let me see
        calls:
          - stock: {sku: "{{ match.much }}"}
          - list
          - {name: read, for_each: results.list, arguments: {path: "{{ item }}"}, id: "call_{{ loop_index }}"}
          - {name: broken, arguments: '{"path": "'}
        finish: tool_calls
        when: results | length > 0
        expect: [limit == 3]
        usage: {prompt_tokens: 5}
        hosted: [{type: mcp, id: m, mcp: {name: "{{ n }}"}}]
        extra: {web_search: [{link: "{{ user }}"}]}
        pace: {chunk_seconds: 0}
        quirks: {no_object: true}
        optional: true
        faults: [cut, {stall_after: 3, times: 2}]
      - repeat: 2
        until: results.poll == "done"
        steps:
          - calls: {poll: }
            fault: {error_after: 1, form: bare, code: "1234"}
      - say: Done
  - steps: [{say: 5}]
"""


def write(folder: Path, text: str, *, name: str = "scenario.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def problem(folder: Path, text: str, *, name: str = "scenario.yaml") -> str:
    with pytest.raises(ConfigurationError) as error:
        read_scenario(write(folder, text, name=name))
    return str(error.value).replace(f"{folder}/", "")


def test_a_file_may_hold_everything(tmp_path: Path) -> None:
    scenario = read_scenario(write(tmp_path, EVERYTHING))
    assert isinstance(scenario, Scenario)
    look, block, _ = scenario.all_turns[0].steps
    assert [call.name for call in look.calls] == ["stock", "list", "read", "broken"]
    assert look.calls[3].arguments == '{"path": "'
    assert [fault.kind for fault in look.all_faults] == ["cut_after", "stall_after"]
    assert block.steps is not None
    assert block.steps[0].calls[0].arguments == {}
    assert scenario.all_turns[1].steps[0].say == "5"


def test_the_published_schema_is_that_of_the_code_and_accepts_what_the_code_accepts() -> None:
    published = (Path(__file__).parents[1] / "docs" / "scenario.schema.json").read_text(encoding="utf-8")
    assert published == scenario_schema(), "write scenario_schema() to docs/scenario.schema.json"
    jsonschema.validate(yaml.safe_load(EVERYTHING), json.loads(published))


PROBLEMS: dict[str, tuple[str, str]] = {
    "an unknown key": (
        "version: 1\nsteps:\n  - sey: Hi\n",
        "scenario 'scenario.yaml', line 3, column 5: unknown key 'sey'; did you mean 'say'? (at steps.0)",
    ),
    "an unknown key far from all others": (
        "version: 1\nsteps: [{say: Hi}]\npace: {zzz: 1}\n",
        "line 3, column 8: unknown key 'zzz'; known here: think_seconds, chunk_seconds, chunk_characters (at pace)",
    ),
    "a wrong type": ("version: 1\nsteps: {}\n", "line 2, column 1: Input should be a valid list (at steps)"),
    "no version": ("steps: [{say: Hi}]\n", "line 1, column 1: 'version' is missing"),
    "another version": ("version: 2\nsteps: [{say: Hi}]\n", "line 1, column 1: Input should be 1 (at version)"),
    "no steps": ("version: 1\n", "a scenario has either 'steps' or 'turns'"),
    "steps and turns": (
        "version: 1\nsteps: [{say: a}]\nturns: [{steps: [{say: a}]}]\n",
        "a scenario has either 'steps' or 'turns'",
    ),
    "a step that says nothing": ("version: 1\nsteps:\n  - name: x\n", "line 3, column 5: a step needs 'say', 'think'"),
    "a block that speaks": (
        "version: 1\nsteps:\n  - say: a\n    steps: [{say: b}]\n",
        "line 3, column 5: a block has 'steps' and says nothing itself",
    ),
    "a broken template": (
        "version: 1\nsteps:\n  - say: '{{ results.'\n",
        "line 3, column 5: the template cannot be read:",
    ),
    "a broken template deep in arguments": (
        "version: 1\nsteps:\n  - calls:\n    - add: {a: [1, '{% if %}']}\n",
        "line 4, column 7: the template cannot be read:",
    ),
    "a broken expression": ("version: 1\nsteps:\n  - {say: a, when: 1 +}\n", "the expression '1 +' cannot be read:"),
    "a broken pattern": (
        "version: 1\nturns:\n  - when: {user: '('}\n    steps: [{say: a}]\n",
        "line 3, column 12: the regular expression '(' cannot be read:",
    ),
    "a fault of two kinds": (
        "version: 1\nsteps:\n  - {say: a, fault: {status: 500, html: 502}}\n",
        "this one has status and html (at steps.0.fault)",
    ),
    "a fault nobody knows": ("version: 1\nsteps: [{say: a, fault: cutt}]\n", "unknown key 'cutt'; did you mean 'cut'?"),
    "a key twice": (
        "version: 1\nsteps: [{say: a,\n  say: b}]\n",
        "line 3, column 3: key 'say' stands twice in one mapping",
    ),
    "no YAML": ("version: 1\nsteps: [\n", "line 3, column 1: expected the node content, but found '<stream end>'"),
    "a tab": ("version: 1\n\tsteps: []\n", "line 2, column 1: found character '\\t' that cannot start any token"),
    "nothing": ("", "scenario 'scenario.yaml' is empty: it begins with 'version: 1'"),
    "a list": ("- 1\n", "scenario 'scenario.yaml' is not a mapping: it begins with 'version: 1'"),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_an_error_says_what_and_where(tmp_path: Path, name: str) -> None:
    text, sentence = PROBLEMS[name]
    assert sentence in problem(tmp_path, text)


def test_several_errors_are_told_at_once(tmp_path: Path) -> None:
    told = problem(tmp_path, "version: 1\nsteps: [" + ", ".join("{sey: a}" for _ in range(7)) + "]\n")
    assert len(told.splitlines()) == 6
    assert told.endswith("and 2 more")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path / "none.py"):
        with pytest.raises(ConfigurationError, match=f"scenario '{path}' does not exist"):
            read_scenario(path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_scenario(tmp_path / "binary.yaml")


def test_a_python_file_defines_a_scenario_or_a_function(tmp_path: Path) -> None:
    scenario = read_scenario(write(tmp_path, "scenario = {'steps': [{'say': 'a'}]}", name="a.py"))
    assert isinstance(scenario, Scenario)
    assert isinstance(read_scenario(write(tmp_path, "def answer(request): ...", name="b.py")), ScriptFile)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("x = 1", "defines neither 'scenario' (a mapping) nor 'answer' (a function)"),
        ("def answer(:", "line 1, column 12: SyntaxError"),
        ("\n1 / 0", "line 2: ZeroDivisionError: division by zero"),
        ("scenario = {'steps': [{'sey': 1}]}", "unknown key 'sey'; did you mean 'say'? (at steps.0)"),
    ],
)
def test_a_broken_python_file_says_where(tmp_path: Path, text: str, sentence: str) -> None:
    assert sentence in problem(tmp_path, text, name="scenario.py")


# -- templates ------------------------------------------------------------------------------------------------

NAMES: dict[str, Any] = {
    "n": 5,
    "flag": True,
    "none": None,
    "text": "a <b> & 数\n\nb 12.5 and 7\n",
    "data": {"items": [1, 2], "keys": "k", "deep": {"x": None}},
    "list": ["x", "y"],
}

RENDERED = {
    "{{ n }} {{ flag }} {{ none }}": "5 true null",
    "{{ data }}": '{"items": [1, 2], "keys": "k", "deep": {"x": null}}',
    "{{ data.items | length }} {{ data.keys }}": "2 k",
    "{{ text | tojson }}": '"a <b> & 数\\n\\nb 12.5 and 7\\n"',
    "{{ text | lines | length }}": "2",
    "{{ text | regex('b (\\\\d+)') }}": "12",
    "{{ text | regex('z+') }}": "",
    "{{ text | regex_all('\\\\d+') | join('+') }}": "12+5+7",
    "{{ text | number + 1 }}": "13.5",
    "{% for x in list %}\n- {{ x }}\n{% endfor %}\nend": "- x\n- y\nend",
    "{{ '[1, 2]' | fromjson | sum }}": "3",
    "no template: 50% {a}": "no template: 50% {a}",
}


@pytest.mark.parametrize("template", RENDERED)
def test_templates_print_json_and_text(template: str) -> None:
    assert render(template, NAMES) == RENDERED[template]


def test_a_single_expression_keeps_its_type_in_arguments() -> None:
    filled = fill(
        {"a": "{{ data.items }}", "b": "n={{ n }}", "{{ n }}": ["{{ flag }}", 1], "c": "{{ n }}{{ n }}"}, NAMES
    )
    assert filled == {"a": [1, 2], "b": "n=5", "5": [True, 1], "c": "55"}


@pytest.mark.parametrize(
    "template",
    [
        "{{ unknown }}",
        "{{ data.unknown }}",
        "{{ n.__class__.__mro__ }}",
        "{{ data.update({'a': 1}) }}",
        "{{ 1 / 0 }}",
        "{{ 'x' | number }}",
        "{{ 'x' | fromjson }}",
        "{{ none.x }}",
        "{{ n + 'x' }}",
    ],
)
def test_what_cannot_be_filled_in_is_a_fault(template: str) -> None:
    for attempt in (render, fill, evaluate):
        with pytest.raises(TemplateFault):
            attempt(template, NAMES)


def test_expressions_take_braces_or_none() -> None:
    assert evaluate("n > 4", NAMES) is True
    assert evaluate("{{ n > 4 }}", NAMES) is True


def test_a_mapping_needs_no_version() -> None:
    assert scenario_of({"steps": [{"say": "a"}]}).version == 1
