"""The command line: a front door. ``main`` is the ``glm-agent`` command.

Typer and rich are imported here only, and by nobody who asks for the version. The turn itself knows
nothing of terminals: everything shown comes from its events.
"""

from __future__ import annotations

import sys

from glm_agent.cli.streams import is_somewhere, let_stderr_fail, open_missing


def main() -> None:
    """Run the command line of this process."""
    open_missing()
    let_stderr_fail()
    if sys.argv[1:] in (["--version"], ["-V"]):
        from glm_agent import __version__

        print(f"glm-agent {__version__}")  # noqa: T201
        return
    if not is_somewhere():
        sys.stderr.write("error: the working directory is gone: change into one that exists\n")
        sys.exit(2)
    from glm_agent.cli.app import run_app

    run_app()
