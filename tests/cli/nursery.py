"""Starts command lines by forking a process that has imported everything: real processes, without the start-up time.

Each line of stdin is ``{"argv", "cwd", "environ", "stdin", "stdout", "stderr"}`` with the names of files; the
exit code is written to stdout.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import warnings

import deaths

IMPORTED = (
    "glm_agent.agent glm_agent.agent.task glm_agent.cli.app glm_agent.cli.batch glm_agent.cli.job glm_agent.cli.mcp"
    " glm_agent.cli.run glm_agent.cli.sessions glm_agent.cli.tools glm_agent.cli.view glm_agent.journal"
    " glm_agent.models.glm glm_agent.plugins glm_agent.simulate.server griffe pydantic.type_adapter rich.live"
    " rich.markdown yaml"
)


def main() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in IMPORTED.split():
            importlib.import_module(name)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            become(json.loads(line))
            return
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def become(request: dict[str, object]) -> None:
    """Be the command line that was asked for."""
    os.chdir(str(request["cwd"]))
    os.environ.clear()
    os.environ.update(request["environ"])  # type: ignore[call-overload]
    for number, name, flags in ((0, "stdin", os.O_RDONLY), (1, "stdout", os.O_WRONLY), (2, "stderr", os.O_WRONLY)):
        os.dup2(os.open(str(request[name]), flags), number)
    # What was buffered of the requests belongs to the parent.
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.argv = ["glm-agent", *request["argv"]]  # type: ignore[misc]
    if number := os.environ.pop("DIES_AT", ""):
        deaths.at(int(number))
    from glm_agent.cli import main as glm_agent

    glm_agent()


if __name__ == "__main__":
    main()
