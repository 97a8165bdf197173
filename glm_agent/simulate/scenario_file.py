"""Reading a scenario from a YAML or Python file, and saying where an error in it stands."""

from __future__ import annotations

import json
import os
import runpy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import ValidationError

from glm_agent.errors import ConfigurationError
from glm_agent.simulate.json_values import JsonObject, object_in
from glm_agent.simulate.scenario import Scenario

_SHOWN = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class ScriptFile:
    """A Python file that answers with a function."""

    answer: Callable[..., Any]
    name: str


def read_scenario(path: str | Path) -> Scenario | ScriptFile:
    """What the file holds; ``ConfigurationError`` with file, line and column where it is wrong."""
    path = Path(path)
    if path.suffix == ".py":
        return _read_python(path)
    text = _text_of(path)
    node = _compose(text, path)
    value = _construct(node)
    if not isinstance(value, dict):
        raise ConfigurationError(f"scenario '{path}' is not a mapping: it begins with 'version: 1'")
    return _check(cast(dict[str, Any], value), source=str(path), node=node)


def scenario_of(value: Mapping[str, Any], *, source: str = "in Python") -> Scenario:
    """The scenario that a mapping describes; ``version`` may be left out here."""
    return _check({"version": 1, **value}, source=source, node=None)


def scenario_schema() -> str:
    """The JSON Schema of the format, as text."""
    schema = Scenario.model_json_schema()
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "GLM agent scenario, version 1",
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigurationError(f"scenario '{path}' does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"scenario '{path}' cannot be read: {error}") from None


def _compose(text: str, path: Path) -> yaml.Node:
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigurationError(f"scenario '{path}'{where}: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise ConfigurationError(f"scenario '{path}' is no YAML: {error}") from None
    if node is None:
        raise ConfigurationError(f"scenario '{path}' is empty: it begins with 'version: 1'")
    if twice := _twice(node):
        where = f"line {twice.start_mark.line + 1}, column {twice.start_mark.column + 1}"
        raise ConfigurationError(f"scenario '{path}', {where}: key '{twice.value}' stands twice in one mapping")
    return node


def _construct(node: yaml.Node) -> Any:
    loader = yaml.SafeLoader("")
    try:
        return cast(Any, loader).construct_document(node)
    finally:
        loader.dispose()


def _twice(node: yaml.Node) -> yaml.ScalarNode | None:
    """A key that stands twice in its mapping: YAML would silently keep the last."""
    if isinstance(node, yaml.MappingNode):
        seen = set[str]()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen and key.value != "<<":
                    return key
                seen.add(key.value)
            if found := _twice(value):
                return found
    elif isinstance(node, yaml.SequenceNode):
        return next((found for item in node.value if (found := _twice(item))), None)
    return None


def _check(value: dict[str, Any], *, source: str, node: yaml.Node | None) -> Scenario:
    try:
        return Scenario.model_validate(value)
    except ValidationError as error:
        problems = [
            _problem(detail, source=source, node=node)
            for detail in cast(list[JsonObject], error.errors(include_url=False))
        ]
    rest = [f"and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
    raise ConfigurationError("\n".join([*problems[:_SHOWN], *rest]))


def _problem(detail: JsonObject, *, source: str, node: yaml.Node | None) -> str:
    place = list(detail["loc"])
    context = object_in(detail, "ctx")
    where = _where(node, place, key=context.get("key"))
    sentence = str(detail["msg"]).removeprefix("Value error, ")
    if detail["type"] == "missing":
        sentence = f"'{place[-1]}' is missing"
        place = place[:-1]
    path = ".".join(str(part) for part in place)
    return f"scenario '{source}'{where}: {sentence}" + (f" (at {path})" if path else "")


def _where(node: yaml.Node | None, place: list[Any], *, key: str | None) -> str:
    """Line and column of the innermost part of ``place`` that stands in the file."""
    if node is None:
        return ""
    mark = node.start_mark
    for part in [*place, *([key] if key else [])]:
        found = _child(node, part)
        if found is None:
            continue
        mark, node = found
    return f", line {mark.line + 1}, column {mark.column + 1}"


def _child(node: yaml.Node, part: Any) -> tuple[yaml.Mark, yaml.Node] | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part].start_mark, node.value[part]
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == part:
                return key.start_mark, value
    return None


def _read_python(path: Path) -> Scenario | ScriptFile:
    if not os.path.isfile(path):
        raise ConfigurationError(f"scenario '{path}' does not exist")
    try:
        names = runpy.run_path(str(path), run_name="glm_agent_scenario")
    except Exception as error:
        raise ConfigurationError(f"scenario '{path}'{_line(error, path)}: {type(error).__name__}: {error}") from error
    if callable(answer := names.get("answer")):
        return ScriptFile(answer=answer, name=path.name)
    value = names.get("scenario")
    if isinstance(value, Scenario):
        return value
    if isinstance(value, Mapping):
        return scenario_of(cast(Mapping[str, Any], value), source=str(path))
    raise ConfigurationError(f"scenario '{path}' defines neither 'scenario' (a mapping) nor 'answer' (a function)")


def _line(error: Exception, path: Path) -> str:
    """The line of the file in which the error was raised, where there is one."""
    if isinstance(error, SyntaxError) and error.lineno:
        return f", line {error.lineno}, column {error.offset or 1}"
    trace, line = error.__traceback__, None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return f", line {line}" if line else ""
