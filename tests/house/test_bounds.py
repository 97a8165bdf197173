"""Bounds of waits in tests: one that must not be reached is a minute at least, since machines halt."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1]
FIRST = {"fail_after", "wait", "join"}
"""Waits whose first argument is a bound."""
NAMED = FIRST | {"communicate", "run", "check_call", "check_output", "result", "exception", "wait_for"}
"""Waits with a bound called ``timeout``."""
MEANT_TO_BE_REACHED, LEAST = 1, 60


def bounds(tree: ast.AST) -> Iterator[ast.Constant]:
    """The seconds of every wait that are written as a number."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and name_of(node.func) in NAMED:
            given = [keyword.value for keyword in node.keywords if keyword.arg == "timeout"]
            if name_of(node.func) in FIRST:
                given += node.args[:1]
            for value in given:
                if isinstance(value, ast.Constant) and isinstance(value.value, int | float):
                    yield value


def name_of(called: ast.expr) -> str:
    return called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")


def test_no_wait_is_bounded_so_that_a_slow_machine_fails_it() -> None:
    found = [
        (f"{file.relative_to(TESTS)}:{bound.lineno}", bound.value)
        for file in sorted(TESTS.rglob("*.py"))
        for bound in bounds(ast.parse(file.read_text()))
    ]
    assert len(found) > 100
    assert [(place, seconds) for place, seconds in found if MEANT_TO_BE_REACHED <= seconds < LEAST] == []
