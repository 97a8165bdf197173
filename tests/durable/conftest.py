"""What the tests of ``durable`` share: databases of their own, and an engine that is closed after each test."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from glm_agent.durable import engine as engines
from glm_agent.durable.address import Address
from glm_agent.durable.database import Database

sys.path.insert(0, str(Path(__file__).parents[1] / "servers"))
sys.path.insert(0, str(Path(__file__).parent))
from postgres import Postgres, is_there, running
from tool_world import World


@pytest.fixture(scope="session")
def postgres() -> Generator[Postgres]:
    """A PostgreSQL server of this test run."""
    if not is_there():
        pytest.skip("no Python package carries PostgreSQL for this platform: name a server, GLM_AGENT_TEST_POSTGRES=…")
    with running() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_template(postgres: Postgres) -> str:
    """The name of a database that has its tables already: making them takes a second."""
    url = postgres.new_database()
    database = Database(Address.parse(url))
    database.prepare()
    database.close()
    return urlsplit(url).path[1:]


@pytest.fixture
def postgres_url(postgres: Postgres, postgres_template: str) -> str:
    """The address of a database of this test alone."""
    return postgres.new_database(template=postgres_template)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/runs.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    """A database of each kind."""
    return str(request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url"))


@pytest.fixture(autouse=True)
def closed_engine() -> Generator[None]:
    yield
    engines.close()


@pytest.fixture
def world(tmp_path: Path, request: pytest.FixtureRequest) -> Generator[Callable[[str], World]]:
    made: list[World] = []

    def new(url: str) -> World:
        made.append(World(tmp_path, url))
        return made[-1]

    yield new
    for each in made:
        each.close()
