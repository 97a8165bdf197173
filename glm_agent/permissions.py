"""May this call run? Pure: the call, what the tool is, the policy and what was granted decide.

Nothing here asks a person, reads a file or runs a tool: ``PermittedTools`` does, on these decisions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from typing import Any, Literal, get_args

from glm_agent.errors import ConfigurationError
from glm_agent.messages import ToolSpec

Verdict = Literal["allow", "ask", "deny"]
UnknownOutcome = Literal["tell", "stop"]


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
    unknown_outcome: UnknownOutcome = "tell"
    """When a process died within a ``write`` call and nothing can find out what came of it: ``tell`` the model, or
    ``stop`` the turn with ``needs_decision`` until a person has looked."""

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
            if not isinstance(patterns, list) or not all(isinstance(p, str) for p in patterns):  # pyright: ignore[reportUnknownVariableType]
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


def decide(spec: ToolSpec, policy: Policy, *, granted: frozenset[str] = frozenset()) -> Decision:
    """The decision on calls of this tool; ``granted`` names tools a person let through for the session."""
    name = spec.name
    if rule := _matching(name, policy.deny):
        return Decision(verdict="deny", rule=f"deny {rule}", reason=f"the policy does not allow {name!r} (deny {rule})")
    if name in granted:
        return Decision(verdict="allow", rule="granted for this session")
    if rule := _matching(name, policy.ask):
        return Decision(verdict="ask", rule=f"ask {rule}", reason=f"the policy wants a person to agree (ask {rule})")
    if policy.allow is not None and not _matching(name, policy.allow):
        return Decision(verdict="deny", rule="not in allow", reason=f"the policy does not allow {name!r}")
    if spec.needs_approval and name not in (policy.allow or ()):
        return Decision(verdict="ask", rule="needs_approval", reason=f"{name!r} wants a person to agree to every call")
    return Decision(verdict="allow")


def _matching(name: str, patterns: tuple[str, ...]) -> str | None:
    return next((pattern for pattern in patterns if fnmatchcase(name, pattern)), None)
