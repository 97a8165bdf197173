"""The command line: a front door. ``main`` is the ``glm-agent`` command.

Typer and rich are imported here only, and by nobody who asks for the version. The turn itself knows
nothing of terminals: everything shown comes from its events.
"""

from __future__ import annotations

import sys

from glm_agent.cli.streams import open_missing


def main() -> None:
    """Run the command line of this process."""
    open_missing()
    if sys.argv[1:] in (["--version"], ["-V"]):
        from glm_agent import __version__

        print(f"glm-agent {__version__}")  # noqa: T201
        return
    from glm_agent.cli.app import run_app

    run_app()
