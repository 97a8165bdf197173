"""Templates and expressions of scenarios: Jinja2 in its sandbox, strict about names, exact about JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, cast

from jinja2 import StrictUndefined, TemplateError, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from glm_agent.simulate.conversation import Results
from glm_agent.simulate.json_values import is_array, is_object

_WHOLE = re.compile(r"\s*\{\{((?:(?!\{\{|\}\}).)*)\}\}\s*", re.DOTALL)


class TemplateFault(Exception):
    """A template that cannot be read or filled in: the sentence says why."""


class _Missing(StrictUndefined):
    """An undefined name; of a missing result it says which tools did return something."""

    __slots__ = ()

    @property
    def _undefined_message(self) -> str:
        if isinstance(self._undefined_obj, Results):
            return f"there is no result {self._undefined_name!r} among the {str(self._undefined_obj)[1:-1]}"
        return super()._undefined_message


def render(template: str, names: Mapping[str, Any]) -> str:
    """The text of a template."""
    return str(_guard(lambda: _template(template).render(names)))


def evaluate(expression: str, names: Mapping[str, Any]) -> Any:
    """The value of an expression; braces around it are allowed."""
    value = _guard(lambda: _expression(bare(expression))(**names))
    if isinstance(value, Undefined):
        _guard(lambda: str(value))
    return value


def fill(value: Any, names: Mapping[str, Any]) -> Any:
    """A JSON value with its templates filled in; one that is a single ``{{ expression }}`` keeps the type."""
    if isinstance(value, str):
        return evaluate(value, names) if _WHOLE.fullmatch(value) else render(value, names)
    if is_array(value):
        return [fill(item, names) for item in value]
    if is_object(value):
        return {fill_key(key, names): fill(item, names) for key, item in value.items()}
    return value


def fill_key(key: Any, names: Mapping[str, Any]) -> Any:
    """A key of a JSON object: always text."""
    return render(key, names) if isinstance(key, str) else key


def check_template(template: str) -> None:
    """Raise ``ValueError`` where the template cannot be read."""
    try:
        _template(template)
    except TemplateError as error:
        raise ValueError(f"the template cannot be read: {error}") from error


def check_expression(expression: str) -> None:
    """Raise ``ValueError`` where the expression cannot be read."""
    try:
        _expression(bare(expression))
    except TemplateError as error:
        raise ValueError(f"the expression {expression!r} cannot be read: {error}") from error


def bare(expression: str) -> str:
    """An expression without the braces of a template."""
    match = _WHOLE.fullmatch(expression)
    return match[1].strip() if match else expression.strip()


def to_json(value: Any) -> str:
    """JSON as a tool would print it: Chinese stays Chinese, no HTML escapes."""
    return json.dumps(value, ensure_ascii=False, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, Results):
        return list(value)
    if hasattr(value, "__iter__"):
        return list(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def _guard(action: Callable[[], Any]) -> Any:
    """What the action returns; whatever goes wrong in a template is a ``TemplateFault``."""
    try:
        return action()
    except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise TemplateFault(str(error)) from error


class _Environment(ImmutableSandboxedEnvironment):
    """The sandbox, in which ``value.items`` is the key ``items`` where there is one: tools return such keys."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, Mapping) and attribute in obj:
            return cast(Mapping[str, Any], obj)[attribute]
        return super().getattr(obj, attribute)


@lru_cache(maxsize=1)
def _environment() -> _Environment:
    environment = _Environment(
        undefined=_Missing, finalize=_finalize, trim_blocks=True, lstrip_blocks=True, autoescape=False
    )
    own: dict[str, Any] = {
        "tojson": to_json,
        "fromjson": json.loads,
        "lines": _lines,
        "regex": _regex,
        "regex_all": _regex_all,
        "number": _number,
    }
    environment.filters.update(own)
    return environment


@lru_cache(maxsize=4096)
def _template(text: str) -> Any:
    return _environment().from_string(text)


@lru_cache(maxsize=4096)
def _expression(text: str) -> Callable[..., Any]:
    return _environment().compile_expression(text, undefined_to_none=False)


def _finalize(value: Any) -> Any:
    """What ``{{ value }}`` prints: JSON for what is JSON, not Python's spelling."""
    return to_json(value) if isinstance(value, bool | None | dict | list | tuple | Results) else value


def _lines(text: str) -> list[str]:
    return [line for line in str(text).splitlines() if line.strip()]


def _regex(text: Any, pattern: str) -> str:
    match = re.search(pattern, _text(text), re.MULTILINE)
    return "" if match is None else _first(match)


def _regex_all(text: Any, pattern: str) -> list[str]:
    return [_first(match) for match in re.finditer(pattern, _text(text), re.MULTILINE)]


def _number(text: Any) -> int | float:
    """The first number in a text."""
    if isinstance(text, int | float):
        return text
    match = re.search(r"-?\d+(\.\d+)?", _text(text))
    if match is None:
        raise ValueError(f"there is no number in {_text(text)[:80]!r}")
    return float(match[0]) if match[1] else int(match[0])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else to_json(value)


def _first(match: re.Match[str]) -> str:
    return (match[1] if match.re.groups else match[0]) or ""
