"""The simulator as an HTTP server on loopback, in a thread of this process: start, address, stop."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import anyio.to_thread
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from glm_agent.errors import ConfigurationError
from glm_agent.simulate.answer import Player
from glm_agent.simulate.app import PREFIXES, Service
from glm_agent.simulate.directive import DirectivePlayer, EchoPlayer
from glm_agent.simulate.scenario import Scenario

BUILT_IN: dict[str, Callable[[], Player]] = {"directive": DirectivePlayer, "echo": EchoPlayer}
"""Scenarios that need no file, by name."""


def player_of(scenario: str | Path | Mapping[str, Any] | Scenario | Player) -> Player:
    """Who answers: a built-in name, a file's path, a mapping, a ``Scenario`` or any ``Player``.

    Raises ``ConfigurationError`` where there is no such scenario, or an error in it.
    """
    if isinstance(scenario, str | Path) and str(scenario) in BUILT_IN:
        return BUILT_IN[str(scenario)]()
    return _read_player(scenario) if isinstance(scenario, Scenario | Mapping | str | Path) else scenario


def _read_player(scenario: str | Path | Mapping[str, Any] | Scenario) -> Player:
    # What is built in needs no YAML.
    from glm_agent.simulate.play import ScenarioPlayer, ScriptPlayer
    from glm_agent.simulate.scenario_file import ScriptFile, read_scenario, scenario_of

    if isinstance(scenario, Scenario):
        return ScenarioPlayer(scenario)
    if isinstance(scenario, Mapping):
        return ScenarioPlayer(scenario_of(scenario))
    if not os.path.exists(scenario):
        known = ", ".join(f"'{name}'" for name in BUILT_IN)
        raise ConfigurationError(f"scenario '{scenario}' is neither a file nor one of {known}")
    read = read_scenario(scenario)
    return ScriptPlayer(read) if isinstance(read, ScriptFile) else ScenarioPlayer(read, source=str(scenario))


class SimulatorServer:
    """A simulated GLM service. A context manager, also an asynchronous one; starting it twice is one start.

    Args:
        scenario: What it answers, see ``player_of``.
        host: Address to listen on; only this machine by default.
        port: 0 for any free one.
    """

    def __init__(
        self,
        scenario: str | Path | Mapping[str, Any] | Scenario | Player = "directive",
        *,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self._player = player_of(scenario)
        self.name = str(scenario) if isinstance(scenario, str | Path) else self._player.settings.name
        """What is simulated, for people: the file or the built-in name."""
        self._service = Service(self._player)
        self._host = host
        self._port = port
        self._running: _Running | None = None

    api_key = "simulator.key"
    """A key that is accepted; every other well-formed one is too."""

    @property
    def base_url(self) -> str:
        """What clients take as their base address; raises ``RuntimeError`` before ``start``."""
        return f"{self.address}{PREFIXES[0]}"

    @property
    def address(self) -> str:
        """``http://host:port``."""
        if self._running is None:
            raise RuntimeError("the simulator is not running: call start(), or use it as a context manager")
        host, port = self._running.place
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @property
    def model(self) -> str:
        """The model id that the scenario is written for."""
        return self._player.settings.model

    @property
    def requests(self) -> list[dict[str, Any]]:
        """Bodies of the accepted requests, in order; of many, the latest 64 MiB."""
        return self._service.requests

    def unused_steps(self) -> list[str]:
        """The scenario's steps that no request has reached."""
        return self._player.unused_steps()

    def assert_done(self) -> None:
        """Raise ``AssertionError`` where steps are left."""
        if left := self.unused_steps():
            raise AssertionError(f"the scenario has {len(left)} steps that nobody asked for: {'; '.join(left)}")

    def start(self) -> SimulatorServer:
        """Listen; returns when requests are answered. ``ConfigurationError`` where the port is taken."""
        if self._running is None:
            self._running = _Running(self._service, _listening(self._host, self._port))
        return self

    def stop(self) -> None:
        """Close all connections and end the thread."""
        running, self._running = self._running, None
        if running is not None:
            running.stop()

    def __enter__(self) -> SimulatorServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> SimulatorServer:
        return await anyio.to_thread.run_sync(self.start)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self.stop)


def serve(
    scenario: str | Path | Mapping[str, Any] | Scenario | Player = "directive",
    *,
    host: str = "127.0.0.1",
    port: int = 8400,
    on_start: Callable[[SimulatorServer], None] | None = None,
) -> list[str]:
    """Serve until SIGINT or SIGTERM; returns the unused steps. For the main thread.

    Args:
        scenario: What is answered, see ``player_of``.
        host: Address to listen on.
        port: 0 for any free one.
        on_start: Called once with the running server, for its address.
    """
    stopped = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        stopped.set()

    with SimulatorServer(scenario, host=host, port=port) as server:
        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            if on_start is not None:
                on_start(server)
            while not stopped.wait(timeout=3600):
                pass
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        return server.unused_steps()


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        raise ConfigurationError(
            f"the simulator cannot listen on '{host}' port {port}: {error}; port 0 takes any free one"
        ) from None


class _Running:
    """One thread with an event loop and uvicorn in it."""

    def __init__(self, service: Service, listener: socket.socket) -> None:
        self.place: tuple[str, int] = listener.getsockname()[:2]
        config = uvicorn.Config(
            service.app(),
            http=_Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            timeout_keep_alive=75,
        )
        self._server = _Server(config)
        self._listener = listener
        self._thread = threading.Thread(target=self._run, name="glm-simulator", daemon=True)
        self._thread.start()
        self._server.is_ready.wait()

    def stop(self) -> None:
        self._server.end()
        self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._server.serve(sockets=[self._listener]))
        finally:
            self._server.is_ready.set()  # also when it failed: nobody may wait for ever


class _Protocol(H11Protocol):
    """HTTP/1.1 with the transport within the application's reach: some faults are a closed socket."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # asyncio sets it only where the listener's protocol number is known: without it each answer waits 40 ms.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.app_state = {**self.app_state, "transport": transport}


class _Server(uvicorn.Server):
    """uvicorn without its ticks of a tenth of a second: tests start and stop many servers."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_ready = threading.Event()
        self._ending: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def end(self) -> None:
        """From any thread."""
        if self._loop is not None and self._ending is not None:
            self._loop.call_soon_threadsafe(self._ending.set)

    async def main_loop(self) -> None:
        self._loop, self._ending = asyncio.get_running_loop(), asyncio.Event()
        await self.on_tick(0)
        self.is_ready.set()
        await self._ending.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=5)
