"""What a docstring says about a function and its parameters, or a class and its attributes. Pure."""

from __future__ import annotations

import inspect
import re
from typing import Literal

_Style = Literal["google", "numpy", "sphinx"]

_FIELDS = re.compile(
    r"^\s*:(param|parameter|arg|argument|key|keyword|returns?|rtype|raises?|type|[ci]?var)\b[^:\n]*:", re.MULTILINE
)
_UNDERLINED = re.compile(r"^\s*[A-Z][A-Za-z ]+\n\s*-{3,}\s*$", re.MULTILINE)
_HEADED = re.compile(
    r"^\s*(Args|Arguments|Params|Parameters|Keyword Args|Keyword Arguments|Other Parameters|Other Args|Returns?"
    r"|Yields?|Raises|Examples?|Attributes|Warns|Receives)\s*:\s*$",
    re.MULTILINE | re.IGNORECASE,
)


def describe(docstring: str | None) -> tuple[str, dict[str, str]]:
    """The text before and between the sections, and one description for each parameter or attribute.

    Reads the Google, NumPy and Sphinx styles; a docstring without sections is text as a whole.
    """
    text = inspect.cleandoc(docstring or "")
    style = _style(text)
    return (text, {}) if style is None else _parse(text, style)


def _style(text: str) -> _Style | None:
    if _FIELDS.search(text):
        return "sphinx"
    if _UNDERLINED.search(text):
        return "numpy"
    return "google" if _HEADED.search(text) else None


def _parse(text: str, style: _Style) -> tuple[str, dict[str, str]]:
    # griffe takes 0.14 s to import: only a docstring with sections pays for it.
    from griffe import Docstring

    options = {} if style == "sphinx" else {"warn_unknown_params": False, "warn_missing_types": False}
    sections = Docstring(text).parse(style, warnings=False, **options)
    said = [str(section.value) for section in sections if section.kind.value == "text"]
    parameters: dict[str, str] = {}
    for section in sections:
        if section.kind.value in ("parameters", "other parameters", "attributes"):
            parameters |= {entry.name.lstrip("*"): entry.description.strip() for entry in section.value}
    return "\n\n".join(said).strip(), parameters
