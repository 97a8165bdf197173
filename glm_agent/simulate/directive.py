"""The models without a scenario: one obeys lines in the user's message, one repeats the message.

So that anyone can try a tool or an MCP server with no key: ``call add {"a": 2, "b": 3}``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from glm_agent.messages import ToolCall
from glm_agent.simulate.answer import Answer
from glm_agent.simulate.conversation import CallRecord, Conversation, openings, text_of
from glm_agent.simulate.scenario import Settings

_LINE = re.compile(
    r"^[ \t]*(?:(?:[-*]|\d+[.)])[ \t]+)?(?P<then>then[ \t]+)?(?P<verb>call|think|say|finish)\b[ \t]*", re.MULTILINE
)
_NAME = re.compile(r"(?P<name>[^\s{(\[\"]+)[ \t]*")

_HELP = """\
I am the simulated model. I obey lines of your message such as

    call TOOL {"argument": 1}    several such lines are parallel calls
    then call TOOL {…}           in the next step, when the results are there
    think TEXT                   a thought before the answer
    say TEXT                     an answer

and then I repeat what the tools returned."""


@dataclass(slots=True)
class _Group:
    """What is done in one step."""

    calls: list[ToolCall] = field(default_factory=list[ToolCall])
    said: list[str] = field(default_factory=list[str])
    thought: list[str] = field(default_factory=list[str])
    finish: str = ""


class DirectivePlayer:
    """Obeys ``call``, ``then``, ``think`` and ``say`` lines of the user's message."""

    settings = Settings(name="directive")

    def answer(self, request: Conversation) -> Answer:
        request = replace(request, started_at=_turn_start(request))
        groups = list(_groups(request.user))
        if not groups:
            return Answer(text=_introduction(request))
        calls = [call for call in request.calls if call.asked_at >= request.turn_start]
        group = groups[request.step - 1] if request.step <= len(groups) else _Group()
        if group.calls and calls and not request.tools:
            group = _Group()  # at its step limit an agent asks once more without tools: then in words
        return Answer(
            text="\n".join(group.said) if group.calls or group.said or group.finish else _repeat(calls),
            reasoning="\n".join(group.thought),
            calls=tuple(group.calls),
            finish=group.finish,
        )

    def unused_steps(self) -> list[str]:
        return []


class EchoPlayer:
    """Answers with what the user said last."""

    settings = Settings(name="echo")

    def answer(self, request: Conversation) -> Answer:
        return Answer(text=request.user)

    def unused_steps(self) -> list[str]:
        return []


def _turn_start(request: Conversation) -> int:
    """Where the turn began; also after an interrupted call, which an agent closes before it passes a new message on."""
    starts = [at for at, after_tool in openings(request.messages) if not after_tool or _is_closed(request, at)]
    return starts[-1] if starts else 0


def _is_closed(request: Conversation, at: int) -> bool:
    """Whether the call before the message never ran to its end, by the words of ``turn.cancel``."""
    before = [message for message in request.messages[:at] if message["role"] == "tool"]
    return bool(before) and text_of(before[-1]).startswith("no result: ")


def _groups(text: str) -> Iterator[_Group]:
    """The steps that the lines of a message ask for."""
    group, end = _Group(), 0
    for match in _LINE.finditer(text):
        if match.start() < end:
            continue  # inside the JSON of the call before
        if match["then"] and group != _Group():
            yield group
            group = _Group()
        end = _obey(group, match["verb"], text, match.end())
    if group != _Group():
        yield group


def _obey(group: _Group, verb: str, text: str, at: int) -> int:
    """Add what a line asks for; returns where the line's directive ends."""
    end = text.find("\n", at) + 1 or len(text)
    rest = text[at:end].strip()
    if verb == "call":
        return _add_call(group, text, at, end)
    if verb == "finish" and re.fullmatch(r"\w+", rest):
        group.finish = rest
    elif verb in ("say", "think") and rest:
        (group.said if verb == "say" else group.thought).append(rest)
    return end


def _add_call(group: _Group, text: str, at: int, line_end: int) -> int:
    """``NAME``, ``NAME {…}``; other text after ``call`` is prose. The JSON may go over several lines."""
    name = _NAME.match(text, at, line_end)
    if name is None:
        return line_end
    arguments, end = _arguments(text, name.end(), line_end)
    if arguments is not None:
        group.calls.append(ToolCall(id="", name=name["name"].rstrip(":"), arguments=arguments))
    return end


def _arguments(text: str, at: int, line_end: int) -> tuple[str | None, int]:
    rest = text[at:line_end].strip()
    if not rest:
        return "{}", line_end
    if rest[0] not in '{["':
        return None, line_end
    try:
        _, end = json.JSONDecoder(strict=False).raw_decode(text, at)
    except ValueError:
        return rest, line_end  # broken JSON goes out as it is: so one sees what becomes of it
    return text[at:end], end


def _repeat(calls: list[CallRecord]) -> str:
    """What the tools returned, as text."""
    answered = [call for call in calls if call.is_answered]
    if not answered:
        return "Done."
    if len(answered) == 1:
        return answered[0].text or "(empty)"
    return "\n".join(f"{call.name}: {call.text}" for call in answered)


def _introduction(request: Conversation) -> str:
    if not request.tools:
        return f"{_HELP}\n\nNo tools are offered."
    return f"{_HELP}\n\nTools offered: {', '.join(request.tools)}."
