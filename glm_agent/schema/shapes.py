"""Telling JSON's containers apart, in a way type checkers understand."""

from typing import Any, TypeGuard

from glm_agent.messages import JsonObject


def is_object(value: Any) -> TypeGuard[JsonObject]:
    """Whether a value read from JSON is an object."""
    return isinstance(value, dict)


def is_array(value: Any) -> TypeGuard[list[Any]]:
    """Whether a value read from JSON is an array."""
    return isinstance(value, list)
