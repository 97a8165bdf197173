"""Thinking aloud between calls, for models and settings that do not think by themselves."""

from __future__ import annotations

from glm_agent import tool


@tool(read_only=True)
def think(thought: str) -> str:
    """Think something through before you go on; nothing happens and nobody else sees it.

    Use it after a result that changes the plan, and before a step that cannot be taken back: list what is
    known, which rules hold, and what follows.

    Args:
        thought: What you think.
    """
    return "noted: go on" if thought.strip() else "the thought was empty: go on"
