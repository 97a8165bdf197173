"""What a server logs: in our log as it is, as notices a few at a time."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from glm_agent.mcp.config import ServerConfig
from glm_agent.mcp.server_log import MAX_NOTICES, WITHIN_SECONDS, ServerLog

SERVER = ServerConfig(name="s", command="x", env={"KEY": "hunter22"})


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"level": "error", "data": "plain"}, "it logs: plain"),
        ({"level": "warning", "data": {"message": "in an object"}}, "it logs: in an object"),
        ({"level": "alert", "data": {"code": 7}}, 'it logs: {"code": 7}'),
        ({"level": "emergency", "data": "fire"}, "it logs: fire"),
        ({"level": "error", "logger": "db", "data": "named"}, "it logs: db: named"),
        ({"level": "error", "data": "with \x1b[2Jcodes\u202e"}, "it logs: with codes"),
        ({"level": "info", "data": "quiet"}, None),
        ({"data": "no level"}, None),
        ({"level": "error"}, None),
        ({"level": ["error"], "data": 7}, None),
    ],
)
def test_what_is_a_warning_or_worse_is_a_notice(params: dict[str, Any], said: str | None) -> None:
    notes: list[str] = []
    ServerLog(SERVER, notes.append)(params)
    assert notes == ([said] if said else [])


def test_a_flood_is_cut_and_counted() -> None:
    notes: list[str] = []
    clock = Clock()
    log = ServerLog(SERVER, notes.append, clock=clock)
    for number in range(100):
        log({"level": "error", "data": number})
    assert notes == [f"it logs: {number}" for number in range(MAX_NOTICES)]
    clock.now += WITHIN_SECONDS
    log({"level": "error", "data": "again"})
    assert notes[-1] == f"it logs: again ({100 - MAX_NOTICES} more were left out)"


def test_everything_is_in_our_log_at_its_level(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="glm_agent.mcp.s"):
        log = ServerLog(SERVER, lambda _: None)
        for level in ("debug", "info", "critical"):
            log({"level": level, "data": level})
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("DEBUG", "debug"),
        ("INFO", "info"),
        ("CRITICAL", "critical"),
    ]


def test_a_secret_of_the_configuration_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    notes: list[str] = []
    ServerLog(SERVER, notes.append)({"level": "error", "data": "the key hunter22 is wrong"})
    assert [record.message for record in caplog.records] == ["the key ••• is wrong"]
    assert notes == ["it logs: the key ••• is wrong"]


def test_a_program_without_logging_gets_the_notices_alone(tmp_path: Path) -> None:
    program = """
from glm_agent.mcp.config import ServerConfig
from glm_agent.mcp.server_log import ServerLog
log = ServerLog(ServerConfig(name="s", command="x"), print)
for number in range(100):
    log({"level": "error", "data": number})
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [f"it logs: {number}" for number in range(MAX_NOTICES)]
