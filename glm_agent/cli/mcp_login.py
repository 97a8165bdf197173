"""``glm-agent mcp login``: a person agrees in a browser, and the token is kept for runs without a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from glm_agent.cli import phrases
from glm_agent.cli.exits import fail, reporting, say
from glm_agent.cli.mcp_servers import play_beside, read, show

if TYPE_CHECKING:
    from glm_agent.cli.foreground import Foreground
    from glm_agent.mcp.callbacks import Callbacks
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
        if any(header.lower() == "authorization" for header in config.headers):
            fail(f"{server!r} has its key in 'headers', which is sent instead of any token: take it out to log in")
        is_in, number = play_beside(lambda foreground: _login(config, foreground, opens_browser=browser), [config])
    done = f"logged in to {config.name}, which" if is_in else f"{config.name} asks for no login, and names none; it"
    say(f"{done} offers {phrases.count(number, 'tool')}")


async def _login(config: ServerConfig, foreground: Foreground, *, opens_browser: bool) -> tuple[bool, int]:
    """Whether there is a token now, and how many tools the server offers."""
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
        callbacks = Callbacks(login=person)
        connection = ServerConnection(config, callbacks=callbacks, on_event=show)
        try:
            number = len(await connection.tools())
        finally:
            await connection.aclose()
        return await _has_token(config, callbacks), number


async def _has_token(config: ServerConfig, callbacks: Callbacks) -> bool:
    """Whether a token is kept; a server that lists its tools to everybody may want one for a call, and is asked."""
    from glm_agent.errors import MCPServerError
    from glm_agent.mcp.connect import authorization
    from glm_agent.mcp.failure import Refused, sentence, shown

    known = authorization(config, callbacks)
    try:
        return known is not None and (known.has_token or await known.log_in())
    except Refused as error:
        raise MCPServerError(sentence(config, shown(config, str(error))), server=config.name) from None
