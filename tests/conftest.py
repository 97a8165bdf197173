"""What all tests share: the event loops they run on."""

import pytest


@pytest.fixture(params=["asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """asyncio; a core test parametrises it over ``["asyncio", "trio"]``."""
    return request.param
