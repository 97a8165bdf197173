"""The shape of a rule of the simulated service, and of its refusal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from glm_agent.simulate.service_models import SIMULATED, ModelFacts, facts_of


class Refused(Exception):
    """The service says no: HTTP status, business code and a sentence."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message

    @property
    def body(self) -> dict[str, Any]:
        """The error as it goes over the wire. Source: docs api-code, recorded on both sites."""
        return {"error": {"code": self.code, "message": self.message}}


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A request that is being checked."""

    body: dict[str, Any]
    is_coding: bool = False
    """Whether it came to the Coding Plan's endpoint."""

    @property
    def facts(self) -> ModelFacts:
        return facts_of(str(self.body.get("model"))) or SIMULATED

    @property
    def messages(self) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = self.body["messages"]
        return messages


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that a request must not do."""

    id: str
    sentence: str
    """What must hold."""
    source: str
    status: int
    """HTTP status of the refusal."""
    code: str
    """Business code of the refusal."""
    find: Callable[[Asked], Iterator[str]]
    """What is wrong with a request, as sentences; a rule may count on the rules before it."""
