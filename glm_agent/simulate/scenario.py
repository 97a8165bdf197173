"""The scenario format, version 1, as data: what a file may hold, each key with its meaning.

Reading files and saying where an error stands is ``scenario_file``; giving the answers is ``play``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from glm_agent.simulate.json_values import is_object
from glm_agent.simulate.scenario_base import (
    Arguments,
    Expression,
    Filled,
    JsonSchema,
    Pattern,
    Strict,
    Template,
    as_list,
    either,
)
from glm_agent.simulate.scenario_faults import Fault, Faults, RandomFaults

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
        return either(handler(core), {"type": ["string", "boolean"]})


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
        return either(handler(core), short, {"type": "string"})


class Step(Strict):
    """One answer of the model, or a block of them."""

    name: str = ""
    """For people and error messages."""
    think: Template | None = None
    """The reasoning."""
    say: Template | None = None
    """The visible text."""
    calls: Annotated[list[Call], BeforeValidator(as_list, json_schema_input_type=list[Call] | Call)] = Field(
        default_factory=list[Call]
    )
    """Calls, made in parallel."""
    finish: str | None = None
    """The ``finish_reason``; by default what the step has decides."""
    when: When | None = None
    """The step is left out where this does not hold."""
    expect: Annotated[
        list[Expression], BeforeValidator(as_list, json_schema_input_type=list[Expression] | Expression)
    ] = Field(default_factory=list[str])
    """The request is refused where one of these is false."""
    fault: Fault | None = None
    """What goes wrong first."""
    faults: Faults = Field(default_factory=list[Fault])
    """What goes wrong first, one after the other."""
    hosted: list[Filled] = Field(default_factory=list[Filled])
    """Entries of ``tool_calls`` that the provider ran itself: ``{type: mcp, mcp: {…}}``; texts are templates."""
    extra: Filled = Field(default_factory=dict[str, Any])
    """More top-level fields of the body or the last chunk, such as ``web_search``; texts are templates."""
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
        says = [key for key in ("think", "say", "calls", "hosted", "finish") if getattr(self, key) not in (None, [])]
        if self.steps is not None and (says or self.all_faults):
            raise ValueError("a block has 'steps' and says nothing itself: move the rest into one of them")
        if self.steps is None and not says and not any(fault.times == "always" for fault in self.all_faults):
            raise ValueError("a step needs 'say', 'think', 'calls', 'hosted', 'finish' or 'steps'")
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
