"""Processes are killed while they work: nothing is lost, nothing happens twice, and what is unknown is told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CHAOS = Path(__file__).parent / "chaos"


@pytest.mark.parametrize(
    "how", ["--seed 7 --kills 3 --tasks 8 --steps 3", "--every-record --tasks 1 --steps 1 --seed 327"]
)
def test_whatever_is_killed_nothing_is_lost_and_nothing_happens_twice(how: str) -> None:
    command = [sys.executable, str(CHAOS), *how.split()]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ", 0 times" not in done.stdout
