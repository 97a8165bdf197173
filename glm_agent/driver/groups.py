"""Task groups that raise what went wrong, not a group of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeVar, cast

_T = TypeVar("_T")


@asynccontextmanager
async def unwrapped(group: AbstractAsyncContextManager[_T]) -> AsyncGenerator[_T, None]:
    """A task group whose error is the error itself: callers catch what they know, not groups of it."""
    error: BaseException | None = None
    try:
        async with group as entered:
            yield entered
    except BaseExceptionGroup as errors:
        error = _first(errors)
    if error is not None:
        raise error  # out here it keeps its own cause and context


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return error
