"""The same requests through ``aiohttp``, whose parser is in C: for hundreds of runs at once, on asyncio alone.

Costs 80 ms of CPU to import, so it is for processes that live: pass ``client=FastClient()`` to the agent. Needs
the extra ``fast``.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from importlib import import_module
from typing import Any
from urllib.request import getproxies

import httpx2

from glm_agent.errors import ConfigurationError


class FastClient:
    """Takes the place of an ``httpx2.AsyncClient`` as ``client=`` of an agent or a model.

    One object belongs to one event loop; close it there. ``timeout`` is httpx2's. Proxies of the environment are
    used. Raises ``ConfigurationError`` where the extra ``fast`` is not installed.
    """

    def __init__(self, *, timeout: httpx2.Timeout | None = None) -> None:
        try:
            self._aiohttp: Any = import_module("aiohttp")
        except ImportError:
            raise ConfigurationError(
                "FastClient needs the package 'aiohttp': pip install 'glm-agent[fast]', or leave out client="
            ) from None
        self._timeout = timeout or httpx2.Timeout(300.0, connect=10.0)
        self._session: Any = None
        self.is_closed = False

    @asynccontextmanager
    async def stream(
        self, method: str, url: httpx2.URL, *, content: bytes, headers: httpx2.Headers
    ) -> AsyncGenerator[httpx2.Response, None]:
        """Send a request; the block reads the response."""
        session = self._session = self._session or self._opened()
        with self._translated():
            asked = session.request(method, str(url), data=content, headers=headers, allow_redirects=False)
            async with asked as answer:
                body = _Body(self, answer.content)
                yield httpx2.Response(answer.status, headers=answer.raw_headers, stream=body)

    async def aclose(self) -> None:
        self.is_closed = True
        if self._session is not None:
            await self._session.close()

    def _opened(self) -> Any:
        aiohttp, timeout = self._aiohttp, self._timeout
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=50.0),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=timeout.connect, sock_read=timeout.read),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=bool(getproxies()),  # with it, every request reads ~/.netrc in a thread
        )

    @contextmanager
    def _translated(self) -> Generator[None]:
        """Exceptions of ``aiohttp`` as those of ``httpx2``."""
        aiohttp = self._aiohttp
        try:
            yield
        except (aiohttp.ConnectionTimeoutError, aiohttp.ServerTimeoutError) as error:
            is_connecting = isinstance(error, aiohttp.ConnectionTimeoutError)
            raise (httpx2.ConnectTimeout if is_connecting else httpx2.ReadTimeout)(str(error)) from error
        except aiohttp.ClientConnectorError as error:
            raise httpx2.ConnectError(str(error)) from error
        except (aiohttp.ClientOSError, ConnectionError) as error:
            raise httpx2.ReadError(str(error)) from error
        except (aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError, aiohttp.ClientResponseError) as error:
            raise httpx2.RemoteProtocolError(str(error)) from error
        except aiohttp.ClientError as error:
            raise httpx2.TransportError(str(error)) from error
        except TimeoutError as error:
            raise httpx2.ReadTimeout(str(error)) from error


class _Body(httpx2.AsyncByteStream):
    """The body of one response, one piece for each read of the socket."""

    def __init__(self, client: FastClient, content: Any) -> None:
        self._client, self._content = client, content

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        with self._client._translated():  # pyright: ignore[reportPrivateUsage]
            while data := await self._content.readany():
                yield data
