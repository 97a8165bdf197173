"""The simulator: a GLM server on loopback that needs no key, and a scripted model without HTTP.

    service  service_rules  service_messages  service_tools  service_models
                                      what the real service accepts, as data written from its documents
    scenario  scenario_base  scenario_faults  scenario_file
                                      what the simulated model answers: the format, and reading it
    conversation  templates  walk     a request seen by a scenario: messages, calls, results, its step
    play  directive                   request -> answer: from a scenario, from lines in the user's message
    answer  tokens  encode  faults    answer -> what is counted and cut, GLM's bytes, and what goes wrong with them
    app  server  embedded             the HTTP service, its thread, and one per scenario for ``Agent("simulate:…")``
    scripted                          ``ScriptedModel``: the ``Model`` protocol in the process

Nothing here imports how our client spells a request: one mistake must not pass on both sides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from glm_agent.simulate.scripted import ScriptedModel

if TYPE_CHECKING:
    from glm_agent.simulate.server import SimulatorServer, serve

__all__ = ["ScriptedModel", "SimulatorServer", "serve"]


def __getattr__(name: str) -> Any:
    """The server's parts at first use: they bring starlette, uvicorn, YAML and Jinja2."""
    if name in ("SimulatorServer", "serve"):
        from glm_agent.simulate import server

        return getattr(server, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
