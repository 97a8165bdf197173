"""A view of the history around any model: what is sent may be shorter than what is kept."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import TypeAlias

from glm_agent.messages import Message, ModelRequest
from glm_agent.models.model import Model, ModelEvent

ContextPolicy: TypeAlias = Callable[[tuple[Message, ...]], tuple[Message, ...]]
"""What of a history is sent: a pure function; the result must be valid for the wire."""


class ViewedModel:
    """Applies a pure policy to the messages of every request; the turn keeps them whole."""

    def __init__(self, model: Model, policy: ContextPolicy) -> None:
        self._model, self._policy = model, policy

    @property
    def name(self) -> str:
        return self._model.name

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        shown = replace(request, messages=self._policy(request.messages))
        async with aclosing(self._model.stream(shown)) as events:
            async for event in events:
                yield event
