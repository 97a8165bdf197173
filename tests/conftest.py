"""What all tests share: the event loops they run on, how hypothesis searches, and a cache of their own."""

from collections.abc import Iterator
from itertools import count

import pytest
from hypothesis import HealthCheck, settings

# A busy machine makes data slow to draw; that says nothing about the code.
_PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
# The same data every time: a failure comes of a change. ``--hypothesis-profile explore`` looks further.
settings.register_profile("glm_agent", _PATIENT, derandomize=True, database=None)
settings.register_profile("explore", _PATIENT, max_examples=1_000, print_blob=True)
settings.load_profile("glm_agent")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What looks at the sessions of all tests comes last."""
    items.sort(key=lambda item: item.path.name == "test_suite_replays.py")


@pytest.fixture(params=["asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """asyncio; a core test parametrises it over ``["asyncio", "trio"]``."""
    return request.param


_number = count()


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test meets what another one, or the user, has cached; the folder is made by whoever writes to it."""
    # A patch of its own: ``monkeypatch``, begun here, would be undone after the fixtures that look at what it changed.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GLM_AGENT_CACHE_DIR", str(tmp_path_factory.getbasetemp() / f"cache-{next(_number)}"))
        yield
