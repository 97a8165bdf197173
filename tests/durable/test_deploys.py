"""A turn killed between any two records goes on in a later version: nothing is asked or done twice."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

CRASHES = Path(__file__).with_name("crashes.py")
RECORDS = 13
"""Of the whole turn: its start, the message, three responses, four calls, the three that change something with two."""


@pytest.mark.parametrize(("database", "places"), [("sqlite", range(1, RECORDS + 1)), ("postgres", (3, 6, 9))])
def test_a_turn_killed_after_any_record_ends_under_changed_rules(
    request: pytest.FixtureRequest, tmp_path: Path, database: str, places: tuple[int, ...]
) -> None:
    command = [sys.executable, CRASHES, request.getfixturevalue(f"{database}_url"), tmp_path, *map(str, places)]
    ran = subprocess.run(command, check=False, capture_output=True, text=True, timeout=240)
    assert ran.returncode == 0, ran.stderr
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    assert sum(line["killed"] for line in lines) >= len(places) - 3  # the last ones found nothing to kill
    for line in lines:
        done = Counter((tmp_path / f"ledger-{line['n']}").read_text().splitlines())
        told = (tmp_path / f"ledger-{line['n']}.messages").read_text()
        assert sum(name.startswith("pay") for name in done) == 1, "one key, however often it was sent"
        assert done["mail"] <= 2, "two calls, none of them twice"
        assert done["mail"] + told.count("unknown outcome") >= 2, "what was not sent for certain is said to be unknown"
