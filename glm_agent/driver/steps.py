"""Where the answers of a turn are kept: the steps seam, and the steps that keep nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from glm_agent.messages import Decision, Fact, ToolCall, ToolResult


@dataclass(frozen=True, kw_only=True, slots=True)
class Intent:
    """On record before a ``write`` call runs, so that a later process knows it may have happened."""

    key: str
    """The call's idempotency key; of a call that a person let run again, with the attempt: see ``intent_key``."""
    call_id: str
    name: str
    holder: str
    """``Steps.holder`` of the process that began it."""
    kind: Literal["intent"] = "intent"


@dataclass(frozen=True, kw_only=True, slots=True)
class NestedCall:
    """A call that a tool made, with what came of it: on record beside the conversation, no part of it."""

    key: str
    """The nested call's idempotency key; a ``write`` call has an intent with the same one."""
    parent_key: str
    """The key of the call that made it."""
    call: ToolCall
    result: ToolResult
    kind: Literal["nested_call"] = "nested_call"


Record: TypeAlias = Fact | Intent | NestedCall


class Slot(Protocol):
    """One place in the order of a turn's records."""

    async def run(self, answer: Callable[[], Awaitable[Record]]) -> Record:
        """The record kept here; where there is none, make it and keep it before returning."""
        ...


class Steps(Protocol):
    """Where answers are kept."""

    @property
    def holder(self) -> str:
        """Differs with every opening of the store, so that another process's intents are told from ours."""
        ...

    @property
    def allows_early(self) -> bool:
        """Whether a ``read`` call may start before the response that asks for it is on record."""
        ...

    def reserve(self) -> Slot:
        """The next slot; drawn in the model's call order, before anything runs at once."""
        ...

    def gate(self) -> AbstractAsyncContextManager[None]:
        """Held while an answer is made, so that a store can drain before it closes."""
        ...

    def nested(self, key: str) -> NestedCall | None:
        """The nested call of this key that came to its end, also in another process; None where none did."""
        ...

    def begun(self) -> frozenset[str]:
        """Ids of the open calls that have an intent on record: they may have taken effect."""
        ...

    def decisions(self) -> Sequence[Decision]:
        """What other processes left for the calls that wait now; gone once it is kept as a fact."""
        ...


class _InlineSlot:
    async def run(self, answer: Callable[[], Awaitable[Record]]) -> Record:
        return await answer()


class InlineSteps:
    """Keeps nothing."""

    holder = ""
    allows_early = True

    def reserve(self) -> Slot:
        return _SLOT

    def gate(self) -> AbstractAsyncContextManager[None]:
        return nullcontext()

    def nested(self, key: str) -> NestedCall | None:  # noqa: ARG002
        return None

    def begun(self) -> frozenset[str]:
        return frozenset()

    def decisions(self) -> Sequence[Decision]:
        return ()


_SLOT = _InlineSlot()
