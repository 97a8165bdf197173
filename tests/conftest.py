"""What all tests share: the event loops they run on, and how hypothesis searches."""

import pytest
from hypothesis import HealthCheck, settings

# A busy machine makes data slow to draw; that says nothing about the code.
settings.register_profile("glm_agent", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("glm_agent")


@pytest.fixture(params=["asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """asyncio; a core test parametrises it over ``["asyncio", "trio"]``."""
    return request.param
