"""Task groups that raise what went wrong, not a group of it."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Generic, TypeVar, cast

_T = TypeVar("_T")


class unwrapped(Generic[_T]):
    """A task group whose error is the error itself: callers catch what they know, not groups of it."""

    # A class, not a generator: every turn holds one, and with a thousand turns at once each object counts.

    def __init__(self, group: AbstractAsyncContextManager[_T]) -> None:
        self._group = group

    async def __aenter__(self) -> _T:
        return await self._group.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            if await self._group.__aexit__(kind, error, trace):
                return True
        except BaseExceptionGroup as errors:
            error = errors
        if isinstance(error, BaseExceptionGroup):
            raise _first(cast("BaseException", error))  # out here it keeps its own cause and context
        return None


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return error
