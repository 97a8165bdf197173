"""Making room: ``glm-agent sessions delete``."""

from __future__ import annotations

from glm_agent.cli.exits import reporting, say
from glm_agent.cli.sessions.arguments import Id


def delete(session: Id) -> None:
    """Delete a session for good.

    Example: glm-agent sessions delete 20261122-213108-5f3a9c
    """
    from glm_agent.cli.options import forget
    from glm_agent.journal import Journal

    with reporting():
        journal = Journal()
        journal.delete(session)
        forget(journal, session)
    say(f"deleted '{session}'")
