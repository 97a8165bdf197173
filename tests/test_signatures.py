"""What the model is shown of sixty functions, as snapshots; and that what is shown is what is taken.

After a change that is meant: ``UPDATE_SNAPSHOTS=1 python -m pytest tests/test_signatures.py``, and read the diff.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from glm_agent import tool
from glm_agent.schema import glm_schema, parse_arguments
from glm_agent.schema.example import example

FOLDER = Path(__file__).parent / "signatures"
SNAPSHOTS = FOLDER / "schemas.json"


def functions() -> dict[str, Any]:
    spec = importlib.util.spec_from_file_location("signatures", FOLDER / "functions.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["signatures"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.FUNCTIONS


FUNCTIONS = functions()
TOOLS = {name: tool(name=name)(function) for name, function in FUNCTIONS.items()}
SHOWN = {
    name: {"description": made.spec.description, "parameters": made.spec.parameters} for name, made in TOOLS.items()
}

if os.environ.get("UPDATE_SNAPSHOTS"):
    lines = [f"{json.dumps(name)}: {json.dumps(shown, ensure_ascii=False)}" for name, shown in SHOWN.items()]
    SNAPSHOTS.write_text("{\n" + ",\n".join(lines) + "\n}\n")

KEPT: dict[str, Any] = json.loads(SNAPSHOTS.read_text())


def test_there_are_sixty_functions_and_a_snapshot_of_each():
    assert len(FUNCTIONS) >= 60
    assert list(KEPT) == list(FUNCTIONS)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_signature_gives_the_schema_that_was_kept(name: str):
    assert SHOWN[name] == KEPT[name]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_model_is_shown_no_references_titles_or_defaults_of_null(name: str):
    parameters = TOOLS[name].spec.parameters
    text = json.dumps(parameters)
    assert not any(word in text for word in ('"$ref"', '"$defs"', '"title"', '"default": null'))
    assert glm_schema(parameters) == parameters


@pytest.mark.parametrize("name", FUNCTIONS)
def test_arguments_made_from_the_schema_are_taken(name: str):
    parameters = TOOLS[name].spec.parameters
    every = [[key] for key in parameters["properties"]]
    for places in ((), every):
        parse_arguments(json.dumps(example(parameters, also=places)), TOOLS[name].schema.validator)
