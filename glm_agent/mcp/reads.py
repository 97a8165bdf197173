"""What is read from a server and changes nothing there: asked once more where the connection was lost meanwhile."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import anyio

from glm_agent.errors import MCPServerError
from glm_agent.mcp.config import ServerConfig
from glm_agent.mcp.failure import Lost, Refused, SessionLost, sentence, shown
from glm_agent.mcp.openings import Openings
from glm_agent.messages import JsonObject

if TYPE_CHECKING:
    from mcp.types import CallToolResult

    from glm_agent.mcp.link import Link
    from glm_agent.mcp.skills import Skill

_T = TypeVar("_T")


class Reads:
    """What a server offers beside its tools. Every method starts it where needed, and raises ``MCPServerError``."""

    def __init__(self, config: ServerConfig, openings: Openings) -> None:
        self.config = config
        self.openings = openings
        """The way to the server."""

    async def resources(self) -> list[JsonObject]:
        """The server's resources and templates, in the protocol's words."""
        return await self.asked(lambda link: link.offers.resources(), "it did not list its resources in time")

    async def prompts(self) -> list[JsonObject]:
        """The server's prompts, in the protocol's words."""
        return await self.asked(lambda link: link.offers.prompts(), "it did not list its prompts in time")

    async def read_resource(self, uri: str) -> CallToolResult:
        """One resource, as the content of a result."""
        return await self.asked(lambda link: link.offers.read_resource(uri), "it did not give the resource in time")

    async def get_prompt(self, name: str, arguments: dict[str, str]) -> CallToolResult:
        """One prompt's messages, as the content of a result."""
        return await self.asked(
            lambda link: link.offers.get_prompt(name, arguments), "it did not give the prompt in time"
        )

    async def complete(self, ref: JsonObject, name: str, value: str, given: dict[str, str]) -> list[str]:
        """What the server suggests for an argument; ``ref`` names a prompt or a template."""
        late = "it did not suggest values in time"
        return await self.asked(lambda link: link.offers.complete(ref, name, value, given), late)

    async def skills(self) -> tuple[Skill, ...]:
        """The skills that the server offers; nothing of them is read."""
        return await self.asked(lambda link: link.offers.skills(), "it did not list its skills in time")

    async def load_skill(self, skill: Skill) -> dict[str, bytes]:
        """The files of a skill by their addresses, SKILL.md first; what is not as listed is refused."""
        uris = dict.fromkeys((skill.uri, *(file.uri for file in skill.files)))
        found: dict[str, bytes] = {}
        for uri in uris:
            late = f"it did not give the file {uri!r} in time"
            found[uri] = await self.asked(partial(_skill_file, skill=skill, uri=uri), late)
        return found

    async def asked(self, ask: Callable[[Link], Awaitable[_T]], late: str) -> _T:
        """The answer; ``late`` is what is said of a server that does not give it in the time of a start."""
        for is_last in (False, True):
            owner, link = await self.openings.ready()
            try:
                with anyio.fail_after(self.config.startup_timeout_seconds):
                    return await ask(link)
            except TimeoutError:
                raise self._error(late) from None
            except Refused as error:
                raise self._error(str(error)) from None
            except SessionLost as error:
                await owner.stop()
                if is_last:
                    raise self._error(str(error)) from None
            except Lost as error:
                await self.openings.ended(owner)
                if is_last:
                    raise self._error(str(error)) from None
        raise AssertionError("the last round returns or raises")

    def sentence(self, what: str) -> str:
        """What happened to the server, fit to be shown."""
        return sentence(self.config, shown(self.config, what))

    def _error(self, what: str) -> MCPServerError:
        return MCPServerError(self.sentence(what), server=self.config.name)


def _skill_file(link: Link, *, skill: Skill, uri: str) -> Awaitable[bytes]:
    return link.offers.skill_file(skill, uri)
