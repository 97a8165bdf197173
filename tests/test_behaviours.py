"""The table of behaviours is true: every test it names is there, and the page shows it as it is."""

from __future__ import annotations

import ast
import sys
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
sys.path.insert(0, str(TESTS))
from behaviours import BEHAVIOURS, PAGE, Behaviour, page_with_table  # noqa: E402


@cache
def names_in(module: str) -> frozenset[str]:
    tree = ast.parse((TESTS / f"{module}.py").read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=lambda one: one.id)
def test_every_behaviour_has_a_source_and_a_test_that_is_there(behaviour: Behaviour) -> None:
    module, _, name = behaviour.test.partition("::")
    assert name in names_in(module)
    assert behaviour.source
    assert behaviour.sentence


def test_no_two_behaviours_have_one_id() -> None:
    ids = [one.id for one in BEHAVIOURS]
    assert len(set(ids)) == len(ids)


def test_the_page_shows_the_table_as_it_is() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == page_with_table(page), "run: python tests/behaviours.py"
