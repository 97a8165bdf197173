"""The scenario format, version 1, as data: what a file may hold, each key with its meaning.

Reading files and saying where an error stands is ``scenario_file``; giving the answers is ``play``.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema, PydanticCustomError

from glm_agent.simulate.json_values import is_array, is_object
from glm_agent.simulate.templates import check_expression, check_template

JsonSchema = dict[str, Any]


def _template(value: Any) -> Any:
    if isinstance(value, bool | int | float):
        return str(value)
    if isinstance(value, str):
        check_template(value)
    return value


def _expression(value: Any) -> Any:
    if isinstance(value, bool | int | float):
        return str(value)
    if isinstance(value, str):
        check_expression(value)
    return value


def _templates(value: Any) -> Any:
    """Every text inside a JSON value is a template."""
    if isinstance(value, str):
        check_template(value)
    elif is_object(value):
        for key, item in value.items():
            _templates(key)
            _templates(item)
    elif is_array(value):
        for item in value:
            _templates(item)
    return value


def _pattern(value: Any) -> Any:
    if isinstance(value, str):
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"the regular expression {value!r} cannot be read: {error}") from error
    return value


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str | dict | bool) else value


Template = Annotated[str, BeforeValidator(_template)]
Expression = Annotated[str, BeforeValidator(_expression)]
Pattern = Annotated[str, BeforeValidator(_pattern)]
Arguments = Annotated[dict[str, Any] | list[Any] | str, BeforeValidator(_templates)]


class Strict(BaseModel):
    """A mapping of the format: an unknown key is an error that names the nearest known one."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, value: Any) -> Any:
        if is_object(value):
            for key in value:
                if key not in cls.model_fields:
                    raise _unknown(str(key), list(cls.model_fields))
        return value


def _unknown(key: str, known: list[str]) -> PydanticCustomError:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"known here: {', '.join(known)}"
    return PydanticCustomError("unknown_key", "unknown key '{key}'; {hint}", {"key": key, "hint": hint})


def _either(schema: JsonSchema, *shorter: JsonSchema) -> JsonSchema:
    return {"anyOf": [schema, *shorter]}


# -- what is matched ----------------------------------------------------------------------------------


class When(Strict):
    """A condition on a request: all that is given must hold."""

    user: Pattern | None = None
    """Regular expression, found in the message that began the turn; its groups are ``match``."""
    system: Pattern | None = None
    """Regular expression, found in the system messages."""
    result: Pattern | None = None
    """Regular expression, found in the text of the last tool result."""
    tools: list[str] | None = None
    """All of these tools are offered; an empty list: none is offered."""
    model: str | None = None
    """The model id matches this shell pattern, such as ``glm-5*``."""
    expression: Expression | None = None
    """The expression is true."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"expression": value} if isinstance(value, str | bool) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchema:
        return _either(handler(core), {"type": ["string", "boolean"]})


# -- how it is said -----------------------------------------------------------------------------------


class Pace(Strict):
    """How fast an answer comes."""

    think_seconds: float = Field(default=0.0, ge=0, le=3600)
    """The wait before the first byte."""
    chunk_seconds: float = Field(default=0.0, ge=0, le=3600)
    """The wait before each chunk."""
    chunk_characters: int | None = Field(default=None, ge=1)
    """Length of a piece of text; by default about a word."""


class Quirks(Strict):
    """Spellings in which some GLM servers differ from today's."""

    call_index: int | None = None
    """The ``index`` of every call in a stream; the calls' chunks then carry ``finish_reason`` too."""
    object_arguments: bool = False
    """``arguments`` are an object instead of a text."""
    usage_chunk: bool = False
    """``usage`` comes in a chunk of its own, without choices."""
    no_object: bool = False
    """Chunks and bodies have no ``object``."""
    null_content: bool = False
    """``content`` is null beside calls."""
    same_call_ids: bool = False
    """Call ids start again in every response."""


class UsageFigures(Strict):
    """Figures of ``usage`` that replace the counted ones."""

    prompt_tokens: int | None = Field(default=None, ge=0)
    completion_tokens: int | None = Field(default=None, ge=0)
    cached_tokens: int | None = Field(default=None, ge=0)
    reasoning_tokens: int | None = Field(default=None, ge=0)


# -- what goes wrong ----------------------------------------------------------------------------------

_SHORT_FAULTS: dict[str, dict[str, Any]] = {
    "html": {"html": 502},
    "empty": {"empty": 200},
    "disconnect": {"disconnect": True},
    "cut": {"cut_after": 1},
    "end": {"end_after": 1},
    "stall": {"stall_after": 0},
    "restart": {"restart_after": 2},
    "malformed": {"malformed_after": 1},
    "error": {"error_after": 1},
    "duplicate": {"duplicate_after": 1},
    "huge": {"huge_after": 0},
    "endless": {"endless": "text"},
    "drip": {"drip": 64},
    "network_error": {"finish": "network_error"},
}
_KINDS = (
    "status",
    "html",
    "empty",
    "disconnect",
    "cut_after",
    "end_after",
    "stall_after",
    "restart_after",
    "malformed_after",
    "error_after",
    "duplicate_after",
    "huge_after",
    "endless",
    "drip",
    "encoding",
    "finish",
)


class Fault(Strict):
    """Something that goes wrong instead of an answer, or in the middle of it; exactly one kind."""

    status: int | None = Field(default=None, ge=200, le=599)
    """An HTTP status with an error body."""
    html: int | None = Field(default=None, ge=200, le=599)
    """A gateway's HTML page with this status."""
    empty: int | None = Field(default=None, ge=200, le=599)
    """This status and no body."""
    disconnect: bool | None = None
    """The connection is reset before the first byte."""
    cut_after: int | None = Field(default=None, ge=0)
    """The connection is closed after so many chunks."""
    end_after: int | None = Field(default=None, ge=0)
    """The stream ends properly after so many chunks, without finish and ``[DONE]``."""
    stall_after: int | None = Field(default=None, ge=0)
    """Nothing comes after so many chunks; the connection stays open."""
    restart_after: int | None = Field(default=None, ge=0)
    """A frame is cut and a second generation with a new id follows on the same connection."""
    malformed_after: int | None = Field(default=None, ge=0)
    """A frame that is no JSON comes after so many chunks."""
    error_after: int | None = Field(default=None, ge=0)
    """An error frame comes inside the stream, and nothing after it."""
    duplicate_after: int | None = Field(default=None, ge=1)
    """This chunk, counted from 1, comes twice."""
    huge_after: int | None = Field(default=None, ge=0)
    """One line of ``bytes`` bytes comes after so many chunks."""
    endless: Literal["text", "line"] | None = None
    """Text that never ends, or a line that never ends."""
    drip: int | None = Field(default=None, ge=1)
    """The answer comes in pieces of so many bytes."""
    encoding: Literal["bom", "crlf", "invalid", "split"] | None = None
    """Bytes that a decoder must bear."""
    finish: str | None = None
    """HTTP 200 with this ``finish_reason``, without text and usage."""

    code: str = ""
    """GLM's business code, with ``status`` and ``error_after``."""
    message: str = ""
    """The error's sentence."""
    retry_after: str | None = None
    """The header ``Retry-After``, as written."""
    headers: dict[str, str] = Field(default_factory=dict[str, str])
    """More response headers."""
    body: str | None = None
    """The response's body, sent as it is."""
    form: Literal["data", "event", "bare"] = "data"
    """How the error stands in the stream: a data frame, an ``event: error``, a bare line."""
    bytes: int = Field(default=64 * 2**20, ge=1, le=2**30)
    """Length of the huge line."""
    times: int | Literal["always"] = 1
    """For how many attempts of the same request."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if isinstance(value, str):
            if value not in _SHORT_FAULTS:
                raise _unknown(value, list(_SHORT_FAULTS))
            return _SHORT_FAULTS[value]
        if is_object(value):
            loose: dict[str, Any] = {key: str(value[key]) for key in ("code", "retry_after") if key in value}
            return {**value, **loose}
        return value

    @model_validator(mode="after")
    def _one_kind(self) -> Fault:
        given = [kind for kind in _KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(
                f"a fault is exactly one of {', '.join(_KINDS)}; this one has {' and '.join(given) or 'none'}"
            )
        return self

    @property
    def kind(self) -> str:
        return next(kind for kind in _KINDS if getattr(self, kind) is not None)

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchema:
        return _either(handler(core), {"enum": list(_SHORT_FAULTS)})


Faults = Annotated[list[Fault], BeforeValidator(_as_list)]


class RandomFaults(Strict):
    """Faults that come by chance, drawn from the scenario's seed."""

    rate: float = Field(ge=0, le=1)
    """Probability for each request."""
    faults: Faults = Field(min_length=1)
    """One of these."""
    at_most: int = Field(default=2, ge=0)
    """So often for the same request."""


# -- what is said -------------------------------------------------------------------------------------


class Call(Strict):
    """One call that the model makes: ``TOOL: {arguments}``, ``TOOL``, or with these keys."""

    name: str = Field(min_length=1)
    arguments: Arguments = Field(default_factory=dict[str, Any])
    """Templates inside; a text is sent as it is, also where it is no JSON."""
    for_each: Expression | None = None
    """A list: one call for each ``item``."""
    id: Template | None = None
    """The call's id, instead of one that is drawn."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"name": value}
        if is_object(value) and len(value) == 1 and not isinstance(value.get("name"), str):
            ((name, arguments),) = value.items()
            return {"name": name, "arguments": {} if arguments is None else arguments}
        return value

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchema:
        short = {"type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": True}
        return _either(handler(core), short, {"type": "string"})


class Step(Strict):
    """One answer of the model, or a block of them."""

    name: str = ""
    """For people and error messages."""
    think: Template | None = None
    """The reasoning."""
    say: Template | None = None
    """The visible text."""
    calls: Annotated[list[Call], BeforeValidator(_as_list)] = Field(default_factory=list[Call])
    """Calls, made in parallel."""
    finish: str | None = None
    """The ``finish_reason``; by default what the step has decides."""
    when: When | None = None
    """The step is left out where this does not hold."""
    expect: Annotated[list[Expression], BeforeValidator(_as_list)] = Field(default_factory=list[str])
    """The request is refused where one of these is false."""
    fault: Fault | None = None
    """What goes wrong first."""
    faults: Faults = Field(default_factory=list[Fault])
    """What goes wrong first, one after the other."""
    usage: UsageFigures | None = None
    pace: Pace | None = None
    quirks: Quirks | None = None
    optional: bool = False
    """Not using the step is no error."""
    steps: list[Step] | None = Field(default=None, min_length=1)
    """A block of steps, instead of something to say."""
    repeat: Expression | None = None
    """The step or block is given so often."""
    until: Expression | None = None
    """It is repeated until this is true."""

    @model_validator(mode="after")
    def _says_something(self) -> Step:
        says = [key for key in ("think", "say", "calls", "finish") if getattr(self, key) not in (None, [])]
        if self.steps is not None and (says or self.all_faults):
            raise ValueError("a block has 'steps' and says nothing itself: move the rest into one of them")
        if self.steps is None and not says and not any(fault.times == "always" for fault in self.all_faults):
            raise ValueError("a step needs 'say', 'think', 'calls', 'finish' or 'steps'")
        return self

    @property
    def all_faults(self) -> list[Fault]:
        return [*([self.fault] if self.fault else []), *self.faults]


class Turn(Strict):
    """What the model does with one user message."""

    name: str = ""
    when: When | None = None
    """The user message that begins this turn; without it, the next one that nothing else matches."""
    steps: list[Step] = Field(min_length=1)


class Settings(Strict):
    """What holds for a whole scenario."""

    name: str = ""
    description: str = ""
    model: str = "glm-5.3-flash"
    """The model id that an agent with this scenario asks for."""
    seed: int = 0
    """From which ids, times and random faults are drawn."""
    vars: dict[str, Any] = Field(default_factory=dict[str, Any])
    """Constants for the templates."""
    pace: Pace = Pace()
    quirks: Quirks = Quirks()
    context_window: int | None = Field(default=None, ge=1)
    """Tokens of prompt and answer, instead of the model's."""
    concurrency: int | None = Field(default=None, ge=1)
    """Requests at the same time; one more is refused with 429 and code 1302."""
    random_faults: RandomFaults | None = None


class Scenario(Settings):
    """A whole scenario file."""

    version: Literal[1]
    """Version of the format."""
    steps: list[Step] | None = Field(default=None, min_length=1)
    """The steps of a scenario with one conversation."""
    turns: list[Turn] | None = Field(default=None, min_length=1)
    """Steps per user message."""

    @model_validator(mode="after")
    def _steps_or_turns(self) -> Scenario:
        if (self.steps is None) == (self.turns is None):
            raise ValueError("a scenario has either 'steps' or 'turns'")
        return self

    @property
    def all_turns(self) -> list[Turn]:
        return self.turns if self.turns is not None else [Turn(steps=self.steps or [])]


def leaves(steps: list[Step], *, path: str = "") -> Iterator[tuple[str, Step]]:
    """The steps that say something, each with its number such as ``2.1``."""
    for number, step in enumerate(steps, start=1):
        place = f"{path}{number}"
        if step.steps is not None:
            yield from leaves(step.steps, path=f"{place}.")
        else:
            yield place, step
