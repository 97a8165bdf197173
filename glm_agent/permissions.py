"""May this call run? Pure: the call, what the tool is, the policy, what was granted and what was read decide.

Nothing here asks a person, reads a file or runs a tool: ``PermittedTools`` does, on these decisions.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from typing import Any, Literal, cast, get_args

from glm_agent.errors import ConfigurationError
from glm_agent.messages import Message, ModelResponse, ToolResult, ToolSpec

Verdict = Literal["allow", "ask", "deny"]
UnknownOutcome = Literal["tell", "stop"]
_RULES = ("allow", "ask", "deny", "ask_after_untrusted", "deny_after_untrusted")
_NEARLY = 0.7
"""Of 1: two letters that have changed places in a word of four are 0.75."""
_PATTERN = re.compile(r"[*?\[]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """Which tools may run. Patterns are names with ``*`` and ``?``, such as ``git__*``.

    ``deny`` wins over ``ask``, ``ask`` over ``allow``.
    """

    allow: tuple[str, ...] | None = None
    """Only these; an empty one allows nothing, None whatever is not denied. A tool that needs approval is
    approved beforehand where its own name stands here, not by a pattern."""
    ask: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    ask_after_untrusted: tuple[str, ...] = ()
    """Ask about these once text of strangers was read (a web page, a file, a server that is not trusted): what such
    text says is not what the user said."""
    deny_after_untrusted: tuple[str, ...] = ()
    """These do not run any more once it was."""
    unknown_outcome: UnknownOutcome = "tell"
    """When a process died within a ``write`` call and nothing can find out what came of it: ``tell`` the model, or
    ``stop`` the turn with ``needs_decision`` until a person has looked."""

    def __post_init__(self) -> None:
        for name in _RULES:
            patterns = getattr(self, name)
            if patterns is not None and not _are_texts(patterns):
                # A bare text would be taken letter by letter, and so deny nothing of what it names.
                raise ConfigurationError(f'{name!r} of a policy is {patterns!r}: write a list of patterns, ("git__*",)')

    @staticmethod
    def from_mapping(settings: Mapping[str, Any], *, source: str) -> Policy:
        """A policy from a mapping of the same names, with lists of patterns; ``source`` names it in errors."""
        known = [field.name for field in fields(Policy)]
        if unknown := [key for key in settings if key not in known]:
            raise ConfigurationError(f"{source}: unknown key {unknown[0]!r}; known are {', '.join(known)}")
        rules = dict(settings)
        word = rules.pop("unknown_outcome", "tell")
        if word not in get_args(UnknownOutcome):
            raise ConfigurationError(
                f"{source}: 'unknown_outcome' is {word!r}: write tell (the model is told) or stop (a person decides)"
            )
        for key, patterns in rules.items():
            if not _are_texts(patterns):
                raise ConfigurationError(f'{source}: {key!r} must be a list of patterns, such as ["git__*"]')
        return Policy(**{key: tuple(patterns) for key, patterns in rules.items()}, unknown_outcome=word)


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What the policy says of one call, and by which rule."""

    verdict: Verdict
    rule: str = ""
    """The rule as written, such as ``deny git__*``."""
    reason: str = ""
    """One sentence for the model and for people."""


def decide(
    spec: ToolSpec, policy: Policy, *, granted: frozenset[str] = frozenset(), is_tainted: bool = False
) -> Decision:
    """The decision on calls of this tool; ``granted`` names tools a person let through for the session.

    ``is_tainted``: text of strangers was read before the model asked for the call, see ``tainted``.
    """
    name = spec.name
    if rule := _matching(name, policy.deny):
        return Decision(verdict="deny", rule=f"deny {rule}", reason=f"the policy does not allow {name!r} (deny {rule})")
    if is_tainted and (rule := _matching(name, policy.deny_after_untrusted)):
        reason = f"the policy does not allow {name!r} once text of strangers was read (deny_after_untrusted {rule})"
        return Decision(verdict="deny", rule=f"deny_after_untrusted {rule}", reason=reason)
    if name in granted:
        return Decision(verdict="allow", rule="granted for this session")
    if rule := _matching(name, policy.ask):
        return Decision(verdict="ask", rule=f"ask {rule}", reason=f"the policy wants a person to agree (ask {rule})")
    if is_tainted and (rule := _matching(name, policy.ask_after_untrusted)):
        reason = f"text of strangers was read, and then the policy wants a person to agree (ask_after_untrusted {rule})"
        return Decision(verdict="ask", rule=f"ask_after_untrusted {rule}", reason=reason)
    if policy.allow is not None and not _matching(name, policy.allow):
        return Decision(verdict="deny", rule="not in allow", reason=f"the policy does not allow {name!r}")
    if spec.needs_approval and name not in (policy.allow or ()):
        return Decision(verdict="ask", rule="needs_approval", reason=f"{name!r} wants a person to agree to every call")
    return Decision(verdict="allow")


def misspelt(policy: Policy, names: Sequence[str]) -> list[str]:
    """A sentence for each rule that names no tool, and nearly one: it would look as if it held."""
    rules = ((rule, pattern) for rule in _RULES for pattern in cast("Sequence[str]", getattr(policy, rule) or ()))
    return [
        f"the rule '{rule} {pattern}' names no tool that is here: did you mean {close[0]!r}?"
        for rule, pattern in rules
        if not _PATTERN.search(pattern) and pattern not in names
        if (close := difflib.get_close_matches(pattern, names, n=1, cutoff=_NEARLY))
    ]


def tainted(messages: Sequence[Message], *, call_id: str) -> bool:
    """Whether the model had read text of strangers when it asked for this call.

    Results of calls beside it do not count: they came after it was asked for. A call whose response is not among the
    messages yet was asked for after all of them.
    """
    at = len(messages)
    while at and isinstance(messages[at - 1], ToolResult):
        at -= 1
    beside = [message for message in messages[at:] if isinstance(message, ToolResult)]
    response = messages[at - 1] if at else None
    is_asked = isinstance(response, ModelResponse) and any(call.id == call_id for call in response.tool_calls)
    read = messages[:at] if is_asked and all(result.call_id != call_id for result in beside) else messages
    return any(isinstance(message, ToolResult) and message.is_untrusted for message in read)


def _are_texts(given: Any) -> bool:
    return isinstance(given, list | tuple | set | frozenset) and all(
        isinstance(each, str) for each in cast("list[Any]", given)
    )


def _matching(name: str, patterns: tuple[str, ...]) -> str | None:
    return next((pattern for pattern in patterns if fnmatchcase(name, pattern)), None)
