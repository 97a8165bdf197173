"""The protocol's own suites, which others wrote: our client and our server pass every leg that checks something."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "conformance"))
from suite import Leg, Outcome, Unavailable, client_outcomes, legs, server_outcomes

CLIENT_LEGS, SERVER_LEGS = 64, 65
CHECKS_NOTHING = "tasks-status-notifications"
"""The suite skips it until it is rewritten."""


def listed(side: str) -> list[Leg]:
    try:
        return legs(side)
    except Unavailable as error:
        pytest.skip(str(error))


def failed(chosen: list[Leg], run: Callable[[list[Leg], int], list[Outcome]]) -> list[str]:
    """What is not passed. On a busy machine a leg that measures waits may fail: those are run again, one by one."""
    again = [outcome.leg for outcome in run(chosen, 2) if not outcome.is_passed]
    return [f"{outcome.leg}: {outcome.why}" for outcome in run(again, 1) if not outcome.is_passed] if again else []


def test_the_client_passes_every_leg_of_the_conformance_suite() -> None:
    chosen = listed("client")
    assert len(chosen) == CLIENT_LEGS
    assert failed(chosen, client_outcomes) == []


def test_the_server_passes_every_leg_that_checks_something() -> None:
    chosen = listed("server")
    assert len(chosen) == SERVER_LEGS
    assert failed([leg for leg in chosen if leg.scenario != CHECKS_NOTHING], server_outcomes) == []
