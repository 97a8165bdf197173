"""Which step of a scenario a request has reached: a walk through its messages from the beginning.

Each user message may choose a turn, each assistant message takes a step. Nothing is remembered between
requests, so a conversation that is resumed, replayed or forked finds its place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from fnmatch import fnmatchcase

from glm_agent.simulate.conversation import Conversation, openings
from glm_agent.simulate.json_values import JsonObject
from glm_agent.simulate.scenario import Scenario, Step, Turn, When
from glm_agent.simulate.templates import TemplateFault, evaluate

_MOST_REPEATS = 10_000
_Path = Iterator[tuple[Step, int]]


class Lost(Exception):
    """The walk found no step; says why."""


class Walk:
    """One walk through the messages of a request."""

    def __init__(self, scenario: Scenario, request: Conversation) -> None:
        self._scenario = scenario
        self._turns = scenario.all_turns
        self._request = request
        self._began: list[int] = []
        """Numbers of the turns that began, in order."""
        self._path: _Path | None = None
        self._view = request
        self._start = 0
        self._match: re.Match[str] | None = None
        self._step = 0
        self._coming = 1
        self.taken: list[Step] = []
        """The steps that the answers of the conversation were, whichever process gave them."""

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
            raise Lost(f"no turn begins with the user message {first[:200]!r}")
        self._see(None)
        taken = self._take()
        if taken is None:
            turn = self._began[-1]
            name = f" '{self._turns[turn].name}'" if self._turns[turn].name else ""
            raise Lost(f"all {self._step} steps of turn {turn + 1}{name} were given already")
        step, iteration = taken
        return step, self._names(iteration)

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
        self._view = replace(self._request, end=end, started_at=self._start)
        self._coming = self._step + 1

    def _names(self, iteration: int = 0) -> JsonObject:
        """What the templates know; put together only where one asks, since most steps of a history have none."""
        return {
            **self._scenario.vars,
            **_names(self._view),
            "match": self._match,
            "turn": self._began[-1] + 1,
            "step": self._coming,
            "iteration": iteration,
        }

    def _take(self) -> tuple[Step, int] | None:
        assert self._path is not None
        try:
            taken = next(self._path, None)
        except TemplateFault as fault:
            raise Lost(f"a condition cannot be decided: {fault}") from None
        if taken is not None:
            self._step += 1
            self.taken.append(taken[0])
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
        if step.when is not None and not _holds(step.when, self._view, self._names(iteration))[0]:
            return
        if step.steps is None:
            yield step, iteration
        else:
            yield from self._walk(step.steps)

    def _iterations(self, step: Step) -> Iterator[int]:
        most = 1 if step.repeat is None and step.until is None else _MOST_REPEATS
        if step.repeat is not None:
            most = _number(evaluate(step.repeat, self._names()), step.repeat)
        for iteration in range(most):
            if iteration and step.until is not None and evaluate(step.until, self._names(iteration)):
                return
            yield iteration


def _number(value: object, expression: str) -> int:
    if not isinstance(value, int):
        raise TemplateFault(f"'repeat: {expression}' is {value!r}, which is no number")
    return value


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
        raise Lost(f"'when: {when.expression}' cannot be decided: {fault}") from None
