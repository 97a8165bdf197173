"""The journal: sessions kept as an append-only log of facts in one SQLite file; no server.

    journal    Journal: open, list, read, export, import, fork, delete, prune
    session    Session: one session open for writing, which is what the driver calls Steps
    summary    SessionSummary: what a list of sessions shows, kept up to date with every record
    records    records <-> JSON text, and the lines of an export
    remembered what this process has parsed of sessions, and the turns they made
    inbox      decisions on calls that wait, left by other processes
    search     where a text stands in what was said and done
    spilled    results that were too long for the model, in exports
    store      the protocol of all stores of sessions, and the rules of ids and headers
    kept       what all stores of sessions do in the same way
    moving     a session from one store to another
    fork       a session's beginning as a session of its own
    replay     a session run once more, offline; with recorded, comparison and divergence
    lock       one writer per session, named
    database   the file: its place, its mode, its schema and migrations, its errors

It keeps what the driver hands it and gives it back. It must not know how a turn goes on, what a
tool is, or who reads the events. Importing it opens nothing.
"""

from glm_agent.journal.journal import Journal
from glm_agent.journal.session import Session
from glm_agent.journal.store import new_session_id
from glm_agent.journal.summary import SessionSummary

__all__ = ["Journal", "Session", "SessionSummary", "new_session_id"]
