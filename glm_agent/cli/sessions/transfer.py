"""Sessions as files: ``glm-agent sessions export``."""

from __future__ import annotations

from glm_agent.cli import formats
from glm_agent.cli.exits import reporting
from glm_agent.cli.sessions.arguments import Id


def export(session: Id) -> None:
    """A session as lines of JSON on stdout: a header with the format's version, then every record.

    Example: glm-agent sessions export 20261122-213108-5f3a9c > session.jsonl
    """
    from glm_agent.journal import Journal

    with reporting():
        for line in Journal().export(session):
            formats.write(f"{line}\n")
