"""What a call that changes something must not leave open: which of two values is meant, whether true is a 1. Pure.

For text that fits already. Texts for numbers and numbers for texts lose nothing and are no matter of this file.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic_core import ErrorDetails, SchemaValidator, ValidationError


class Ambiguous(ValueError):
    """One name stands in an object twice; says which, and with what."""


def refuse_repeats(text: str) -> None:
    """Nothing, where each name stands once in its object, or where the text is no JSON at all.

    Raises:
        Ambiguous: JSON readers take the last value, and nobody knows that it was the one that was meant.
    """
    try:
        json.loads(text, object_pairs_hook=once)
    except Ambiguous:
        raise
    except (ValueError, RecursionError):
        return


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these members, for a JSON reader. Raises ``Ambiguous``."""
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    names = [name for name, _ in pairs]
    repeated = next(name for name in members if names.count(name) > 1)
    values = [_short(value) for name, value in pairs if name == repeated]
    raise Ambiguous(f"the name {_short(repeated)} stands there {len(values)} times, with {' and '.join(values[:4])}")


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:80]}…"


def taken_for_numbers(text: str | bytes, core: SchemaValidator) -> list[ErrorDetails]:
    """The places where ``true`` or ``false`` would be used as something else than a boolean."""
    data = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    if b"true" not in data and b"false" not in data:
        return []
    try:
        core.validate_json(data, strict=True)
    except ValidationError as error:
        # What else is too strict (a text for a number) is wanted as it is.
        return [detail for detail in error.errors(include_url=False) if isinstance(detail["input"], bool)]
    return []
