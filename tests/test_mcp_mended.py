"""How a tool that GLM sees differs from what its server says."""

from __future__ import annotations

from typing import Any

import pytest

from glm_agent.mcp.config import ServerConfig
from glm_agent.mcp.definition import Definition
from glm_agent.mcp.mended import mended
from glm_agent.mcp.normalize import repair_result
from glm_agent.mcp.server import ServerConnection
from glm_agent.mcp.tools import offer


def said(**definition: Any) -> tuple[str, ...]:
    (tool,) = offer(ServerConnection(ServerConfig(name="s", command="x")), [Definition(**definition)])
    return mended(tool.listed, tool.spec)


PLAIN = {"type": "object", "properties": {"a": {"type": "string", "title": "A"}}, "required": ["a"]}


@pytest.mark.parametrize(
    ("definition", "expected"),
    [
        ({"name": "t", "description": "Plain.", "input_schema": PLAIN | {"$schema": "x", "title": "T"}}, []),
        ({"name": "t", "description": "Plain.\n", "input_schema": {}}, []),
        ({"name": "a b"}, ["its name is 'a b' on the server"]),
        ({"name": "t", "description": "see\u200bn\u202e"}, ["2 characters that nobody sees were removed"]),
        ({"name": "t", "description": "x" * 5000}, ["its description of 5,000 characters was cut to 4,096"]),
        (
            {"name": "t", "input_schema": {"type": "object", "properties": {"a": {"if": {"type": "string"}}}}},
            ["its schema is written without if"],
        ),
        ({"name": "t", "input_schema": {"type": "object", "properties": {"$ref": {"type": "string"}}}}, []),
    ],
)
def test_what_is_passed_on_otherwise_than_it_came_is_said(definition: dict[str, Any], expected: list[str]) -> None:
    found = said(**definition)
    assert len(found) == len(expected)
    assert all(wanted in sentence for wanted, sentence in zip(expected, found, strict=True))


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (None, "its inputSchema is missing"),
        ("text", "its inputSchema is no object"),
        ({}, "its inputSchema says no type"),
        ({"type": "array"}, 'its inputSchema is for "array", not for an object'),
        ({"type": "object", "required": "a"}, "its inputSchema has odd 'required'"),
        ({"properties": []}, "its inputSchema says no type and has odd 'properties'"),
        ({"type": "object"}, ""),
        ({"type": ["object", "null"]}, ""),
    ],
)
def test_what_was_mended_to_be_read_at_all_stands_at_the_tool(schema: object, expected: str) -> None:
    tool: dict[str, Any] = {"name": "t", "inputSchema": schema, "_meta": {"theirs": 1}}
    repair_result("tools/list", {"tools": [tool]}, is_modern=False, is_valid=lambda _: True)
    assert tool["_meta"].get("glm-agent/mended", []) == ([expected] if expected else [])
    assert tool["_meta"]["theirs"] == 1
