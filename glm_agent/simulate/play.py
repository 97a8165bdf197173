"""Which step of a scenario answers a request, and what that step says.

The place follows from the request's messages alone: the history is walked from its beginning, each user
message chooses a turn, each assistant message takes a step. What is kept is only which steps were used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any, TypeVar

from glm_agent.messages import ToolCall
from glm_agent.simulate.answer import Answer, NoAnswer
from glm_agent.simulate.conversation import Conversation, openings
from glm_agent.simulate.json_values import JsonObject, is_array, is_object
from glm_agent.simulate.scenario import Call, Pace, Quirks, Scenario, Settings, Step, Turn, UsageFigures, When, leaves
from glm_agent.simulate.scenario_file import ScriptFile, scenario_of
from glm_agent.simulate.templates import TemplateFault, evaluate, fill, render, to_json

_MOST_REPEATS = 10_000
_Path = Iterator[tuple[Step, int]]
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
        walk = _Walk(self.scenario, request)
        try:
            walk.to_the_end()
            step, names = walk.asked()
            return self._say(step, names)
        except _Lost as lost:
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

    def _lost(self, lost: _Lost, request: Conversation) -> str:
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
    spoken = {key: _literal(value) if key in ("say", "think", "calls") else value for key, value in said.items()}
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


class _Lost(Exception):
    """The walk found no step; says why."""


class _Walk:
    """One walk through the messages of a request."""

    def __init__(self, scenario: Scenario, request: Conversation) -> None:
        self._scenario = scenario
        self._turns = scenario.all_turns
        self._request = request
        self._began: list[int] = []
        """Numbers of the turns that began, in order."""
        self._path: _Path | None = None
        self._names: JsonObject = {}
        self._start = 0
        self._match: re.Match[str] | None = None
        self._step = 0

    def to_the_end(self) -> None:
        messages = self._request.messages
        opens = dict(openings(messages))
        for at, message in enumerate(messages):
            if at in opens:
                self._hear(at, after_tool=opens[at])
            elif message["role"] == "assistant" and self._path is not None:
                self._see(at)
                self._take()

    def asked(self) -> tuple[Step, JsonObject]:
        """The step that answers now, and the names its templates know."""
        if self._path is None:
            first = self._request.user
            raise _Lost(f"no turn begins with the user message {first[:200]!r}")
        self._see(None)
        taken = self._take()
        if taken is None:
            turn = self._began[-1]
            name = f" '{self._turns[turn].name}'" if self._turns[turn].name else ""
            raise _Lost(f"all {self._step} steps of turn {turn + 1}{name} were given already")
        step, iteration = taken
        return step, {**self._names, "iteration": iteration}

    def _hear(self, at: int, *, after_tool: bool) -> None:
        """A user message: it may begin a turn."""
        view = replace(self._request, end=_run_end(self._request.messages, at), started_at=at)
        chosen = self._choose(view, after_tool=after_tool)
        if chosen is None:
            return
        number, self._match = chosen
        self._began.append(number)
        self._start, self._step = at, 0
        self._path = self._walk(self._turns[number].steps)

    def _choose(self, view: Conversation, *, after_tool: bool) -> tuple[int, re.Match[str] | None] | None:
        matching: list[tuple[int, re.Match[str] | None]] = []
        names = {**self._scenario.vars, **_names(view)}
        for number, turn in enumerate(self._turns):
            if turn.when is None or (after_tool and turn.when.user is None):
                continue
            holds, match = _holds(turn.when, view, names)
            if holds:
                matching.append((number, match))
        if matching:
            return next((found for found in matching if found[0] not in self._began), matching[-1])
        if after_tool and self._began:
            return None
        return next(((number, None) for number, turn in enumerate(self._turns) if self._is_next(number, turn)), None)

    def _is_next(self, number: int, turn: Turn) -> bool:
        return turn.when is None and number not in self._began

    def _see(self, end: int | None) -> None:
        """Let the templates know everything before the message ``end``."""
        view = replace(self._request, end=end, started_at=self._start)
        self._view = view
        self._names = {
            **self._scenario.vars,
            **_names(view),
            "match": self._match,
            "turn": self._began[-1] + 1,
            "step": self._step + 1,
        }

    def _take(self) -> tuple[Step, int] | None:
        assert self._path is not None
        try:
            taken = next(self._path, None)
        except TemplateFault as fault:
            raise _Lost(f"a condition cannot be decided: {fault}") from None
        if taken is not None:
            self._step += 1
        return taken

    def _walk(self, steps: list[Step]) -> _Path:
        """The steps in the order in which they are given; conditions are asked when a step's time has come."""
        for step in steps:
            for iteration in self._iterations(step):
                before = self._step
                yield from self._once(step, iteration)
                if self._step == before:
                    break  # a block of which nothing applies would be repeated for ever

    def _once(self, step: Step, iteration: int) -> _Path:
        names = {**self._names, "iteration": iteration}
        if step.when is not None and not _holds(step.when, self._view, names)[0]:
            return
        if step.steps is None:
            yield step, iteration
        else:
            yield from self._walk(step.steps)

    def _iterations(self, step: Step) -> Iterator[int]:
        most = 1 if step.repeat is None and step.until is None else _MOST_REPEATS
        if step.repeat is not None:
            most = int(evaluate(step.repeat, self._names))
        for iteration in range(most):
            if iteration and step.until is not None and evaluate(step.until, {**self._names, "iteration": iteration}):
                return
            yield iteration


def _run_end(messages: list[JsonObject], at: int) -> int:
    while at < len(messages) and messages[at]["role"] in ("user", "system"):
        at += 1
    return at


def _names(view: Conversation) -> JsonObject:
    """What the templates know of a request."""
    return {
        "results": view.results,
        "all_results": view.all_results,
        "calls": view.calls,
        "user": view.user,
        "users": view.users,
        "system": view.system,
        "model": view.model,
        "tools": view.tools,
        "messages": view.messages,
        "request": view.body,
    }


def _holds(when: When, view: Conversation, names: JsonObject) -> tuple[bool, re.Match[str] | None]:
    match = re.search(when.user, view.user) if when.user is not None else None
    answered = [call.text for call in view.calls if call.is_answered]
    conditions = (
        when.user is None or match is not None,
        when.system is None or re.search(when.system, view.system) is not None,
        when.result is None or (bool(answered) and re.search(when.result, answered[-1]) is not None),
        when.tools is None or (set(when.tools) <= set(view.tools) if when.tools else not view.tools),
        when.model is None or fnmatchcase(view.model, when.model),
    )
    if not all(conditions):
        return False, None
    if when.expression is None:
        return True, match
    try:
        return bool(evaluate(when.expression, {**names, "match": match or names.get("match")})), match
    except TemplateFault as fault:
        raise _Lost(f"'when: {when.expression}' cannot be decided: {fault}") from None


def _label(number: int, turn: Turn, place: str, step: Step) -> str:
    named = f" '{turn.name}'" if turn.name else ""
    return f"turn {number}{named}, step {place}" + (f" '{step.name}'" if step.name else "")


def _spoken(step: Step, names: JsonObject, settings: Settings) -> Answer:
    """What a step says with its templates filled in."""
    return Answer(
        text=render(step.say or "", names),
        reasoning=render(step.think or "", names),
        calls=tuple(made for call in step.calls for made in _calls(call, names)),
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
