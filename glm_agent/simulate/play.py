"""The players that answer from a scenario's steps or from a Python function.

Where a request stands in a scenario is ``walk``; what is kept here is only which steps were used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from glm_agent.messages import ToolCall
from glm_agent.simulate.answer import Answer, NoAnswer
from glm_agent.simulate.conversation import Conversation
from glm_agent.simulate.json_values import JsonObject, is_array, is_object
from glm_agent.simulate.scenario import Call, Pace, Quirks, Scenario, Settings, Step, Turn, UsageFigures, leaves
from glm_agent.simulate.scenario_file import ScriptFile, scenario_of
from glm_agent.simulate.templates import TemplateFault, evaluate, fill, render, to_json
from glm_agent.simulate.walk import Lost, Walk

_Manner = TypeVar("_Manner", Pace, Quirks)


class ScenarioPlayer:
    """Answers from a scenario."""

    def __init__(self, scenario: Scenario, *, source: str = "") -> None:
        self.scenario = scenario
        self.source = source or scenario.name
        """Where the scenario comes from, for messages."""
        self._used = set[int]()
        self._places = {
            id(step): _label(number, turn, place, step)
            for number, turn in enumerate(scenario.all_turns, start=1)
            for place, step in leaves(turn.steps)
        }
        self._optional = {id(step) for turn in scenario.all_turns for _, step in leaves(turn.steps) if step.optional}

    @property
    def settings(self) -> Settings:
        return self.scenario

    def answer(self, request: Conversation) -> Answer:
        walk = Walk(self.scenario, request)
        try:
            walk.to_the_end()
            self._used.update(map(id, walk.taken))
            step, names = walk.asked()
            return self._say(step, names)
        except Lost as lost:
            raise NoAnswer(self._lost(lost, request)) from None

    def unused_steps(self) -> list[str]:
        return [place for key, place in self._places.items() if key not in self._used and key not in self._optional]

    def _say(self, step: Step, names: JsonObject) -> Answer:
        try:
            for expression in step.expect:
                if not evaluate(expression, names):
                    raise TemplateFault(f"'expect: {expression}' does not hold")
            answer = _spoken(step, names, self.scenario)
        except TemplateFault as fault:
            raise NoAnswer(f"scenario '{self.source}', {self._places[id(step)]}: {fault}") from None
        self._used.add(id(step))
        return answer

    def _lost(self, lost: Lost, request: Conversation) -> str:
        last = request.messages[-1]
        said = str(last.get("content") or "")
        shown = said if len(said) <= 200 else said[:200] + "…"
        source = f"scenario '{self.source}' has no step for this request"
        return f"{source}: {lost}; the last message is {last['role']}: {shown!r}"


class ScriptPlayer:
    """Answers from the function of a Python file."""

    def __init__(self, script: ScriptFile) -> None:
        self._script = script
        self._settings = Settings(name=script.name)

    @property
    def settings(self) -> Settings:
        return self._settings

    def answer(self, request: Conversation) -> Answer:
        try:
            said = self._script.answer(request)
            if isinstance(said, str):
                return Answer(text=said)
            if is_object(said):
                return _spoken(_step(said), {}, self._settings)
        except Exception as error:
            raise NoAnswer(
                f"scenario '{self._script.name}': answer() failed: {type(error).__name__}: {error}"
            ) from error
        raise NoAnswer(f"scenario '{self._script.name}': answer() returned {said!r}, neither a text nor a step")

    def unused_steps(self) -> list[str]:
        return []


def _step(said: JsonObject) -> Step:
    """The step that a function returned: its texts are no templates."""
    spoken = {
        key: _literal(value) if key in ("say", "think", "calls", "hosted", "extra") else value
        for key, value in said.items()
    }
    return scenario_of({"steps": [spoken]}, source="answer()").all_turns[0].steps[0]


def _literal(value: Any) -> Any:
    """The value with its texts written so that a template gives them back as they are."""
    if isinstance(value, str):
        return "{{ " + to_json(value) + " }}" if "{" in value else value
    if is_array(value):
        return [_literal(item) for item in value]
    if is_object(value):
        return {key: _literal(item) for key, item in value.items()}
    return value


def _label(number: int, turn: Turn, place: str, step: Step) -> str:
    named = f" '{turn.name}'" if turn.name else ""
    return f"turn {number}{named}, step {place}" + (f" '{step.name}'" if step.name else "")


def _spoken(step: Step, names: JsonObject, settings: Settings) -> Answer:
    """What a step says with its templates filled in."""
    return Answer(
        text=render(step.say or "", names),
        reasoning=render(step.think or "", names),
        calls=tuple(made for call in step.calls for made in _calls(call, names)),
        hosted=tuple(fill(step.hosted, names)),
        extra=fill(step.extra, names),
        finish=step.finish or "",
        usage=step.usage or UsageFigures(),
        pace=_over(settings.pace, step.pace),
        quirks=_over(settings.quirks, step.quirks),
        faults=tuple(step.all_faults),
    )


def _over(general: _Manner, special: _Manner | None) -> _Manner:
    """The general settings, with those that the step sets itself."""
    if special is None:
        return general
    return general.model_copy(update={key: getattr(special, key) for key in special.model_fields_set})


def _calls(call: Call, names: JsonObject) -> Iterator[ToolCall]:
    if call.for_each is None:
        yield _call(call, names)
        return
    items = evaluate(call.for_each, names)
    try:
        items = list(items)
    except TypeError:
        raise TemplateFault(f"'for_each: {call.for_each}' is {items!r}, which is no list") from None
    for number, item in enumerate(items):
        yield _call(call, {**names, "item": item, "loop_index": number})


def _call(call: Call, names: JsonObject) -> ToolCall:
    arguments: Any = fill(call.arguments, names)
    return ToolCall(
        id=render(call.id, names) if call.id else "",
        name=call.name,
        arguments=arguments if isinstance(arguments, str) else to_json(arguments),
    )
