"""The table of ``docs/tools.md``: the same functions as tools of three frameworks.

Run it where ``pydantic-ai-slim`` and ``openai-agents`` are installed; no test needs them::

    python tests/signatures/compare.py
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER))
sys.setrecursionlimit(5_000)

from agents import function_tool  # noqa: E402
from functions import FUNCTIONS  # noqa: E402
from pydantic_ai import Tool  # noqa: E402

OURS: dict[str, Any] = json.loads((FOLDER / "schemas.json").read_text())


def pydantic_ai(function: Any) -> Any:
    made = Tool(function).tool_def
    return made.description, made.parameters_json_schema


def openai_agents(function: Any) -> Any:
    made = function_tool(function)
    return made.description, made.params_json_schema


def cell(read: Any) -> str:
    """Bytes of the schema, and what a model has to cope with in it."""
    try:
        _, schema = read()
    except Exception as error:
        return f"refused: {type(error).__name__}"
    text = json.dumps(schema, ensure_ascii=False)
    marks = [word for word, sign in (("`$ref`", '"$ref"'), ("null", '"null"'), ("titles", '"title"')) if sign in text]
    if '"properties": {}' in text and schema.get("required") == [] and not schema["properties"]:
        marks = []
    return " ".join([f"{len(text.encode()):,}", *marks])


def row(name: str, function: Any) -> list[str]:
    ours = OURS[name]
    return [
        f"`{name}`",
        cell(lambda: (ours["description"], ours["parameters"])),
        cell(lambda: pydantic_ai(function)),
        cell(lambda: openai_agents(function)),
    ]


if __name__ == "__main__":
    head = ["function", "glm_agent", *(f"{name} {version(name)}" for name in ("pydantic-ai-slim", "openai-agents"))]
    rows = [row(name, function) for name, function in FUNCTIONS.items()]
    for line in (head, ["---", "---:", "---:", "---:"], *rows):
        print(f"| {' | '.join(line)} |")
