"""``glm-agent mcp login``: a person agrees in a browser, and the token is kept for runs without a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from glm_agent.cli import phrases
from glm_agent.cli.exits import fail, reporting, say
from glm_agent.cli.mcp_servers import play_beside, read, show

if TYPE_CHECKING:
    from glm_agent.cli.foreground import Foreground
    from glm_agent.mcp.config import ServerConfig


def login(
    server: Annotated[str, typer.Argument(metavar="SERVER", help="A name from the configuration, or an address.")],
    *,
    mcp_config: Annotated[
        list[str] | None, typer.Option("--mcp-config", help="A configuration file. Else ./.mcp.json.")
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open a browser; the address is always shown as well.")] = True,
) -> None:
    """Log in to an HTTP server, and keep its token where later runs find it.

    The browser may be on another machine: paste the address of the page that does not load there.

    Example: glm-agent mcp login https://example.com/mcp
    """
    with reporting():
        is_address = server.startswith(("http://", "https://"))
        configs = read([server] if is_address else mcp_config)
        chosen = configs if is_address else [config for config in configs if config.name == server]
        if not chosen:
            fail(f"there is no server {server!r}; there are {', '.join(config.name for config in configs)}")
        (config,) = chosen
        if config.transport == "stdio":
            fail(f"{server!r} is a program: it is given its keys in 'env'")
        number = play_beside(lambda foreground: _login(config, foreground, opens_browser=browser), [config])
    say(f"logged in to {config.name}, which offers {phrases.count(number, 'tool')}")


async def _login(config: ServerConfig, foreground: Foreground, *, opens_browser: bool) -> int:
    from glm_agent.cli.approvals import is_interactive
    from glm_agent.mcp.callbacks import Callbacks
    from glm_agent.mcp.login import LoopbackLogin
    from glm_agent.mcp.server import ServerConnection

    def read() -> str | None:
        try:
            return foreground.read_line()
        except EOFError:
            return None

    async def paste() -> str | None:
        return await foreground.ask(read)

    port = config.oauth.callback_port if config.oauth else 0
    pasting = paste if is_interactive() else None
    with LoopbackLogin(show=say, port=port, opens_browser=opens_browser, paste=pasting) as person:
        connection = ServerConnection(config, callbacks=Callbacks(login=person), on_event=show)
        try:
            return len(await connection.tools())
        finally:
            await connection.aclose()
