"""``glm-agent simulate``: a GLM server on this machine that needs no key."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from glm_agent.cli.exits import reporting, say

if TYPE_CHECKING:
    from glm_agent.simulate import SimulatorServer


def simulate(
    scenario: Annotated[
        str, typer.Argument(help="A scenario file (.yaml, .py), or directive, or echo.", show_default=True)
    ] = "directive",
    *,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free one.")] = 8400,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
) -> None:
    """Serve simulated answers to any OpenAI-compatible client, until Ctrl-C.

    Leaves with 1 when steps of the scenario were never asked for, and names them.

    Example: glm-agent simulate examples/01_repo_report/scenario.yaml --port 8400
    """
    from glm_agent.simulate import serve

    with reporting():
        unused = serve(scenario, host=host, port=port, on_start=_announce)
    for step in unused:
        say(f"not asked for: {step}")
    sys.exit(1 if unused else 0)


def _announce(server: SimulatorServer) -> None:
    say(f"simulating '{server.model}' at {server.base_url} (Ctrl-C ends it)")
    say(f"export ZAI_BASE_URL={server.base_url} ZAI_API_KEY=any.key")
