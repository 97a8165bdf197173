"""A model's name to a model: ``glm-5.3``, ``openrouter:z-ai/glm-5.3``, ``simulate:scenario.yaml``."""

from __future__ import annotations

import difflib
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from glm_agent.errors import ConfigurationError
from glm_agent.models.model import Model
from glm_agent.models.retry import RetryingModel
from glm_agent.wire.dialects import DIALECTS, Dialect

if TYPE_CHECKING:
    import httpx2

    from glm_agent.simulate.server import SimulatorServer


class Connection(NamedTuple):
    """A model, and what closes its connections."""

    model: Model
    aclose: Callable[[], Awaitable[None]]


def model_maker(
    model: str | Model,
    *,
    api_key: str | None,
    base_url: str | None,
    client: httpx2.AsyncClient | None,
    environ: Mapping[str, str] = os.environ,
) -> Callable[[], Connection]:
    """What makes the model on an event loop.

    A name that cannot be right is refused now. The key is looked for when the model is made, so that a
    module with an agent in it can be imported on a machine without one.
    """
    if not isinstance(model, str):
        connection = Connection(model, _stays_open)
        return lambda: connection
    provider, name = _split(model)

    def make() -> Connection:
        from glm_agent.models.glm import GLMModel  # and with it the HTTP client, at first use

        if provider == "simulate":
            server = _simulator(name)
            glm = GLMModel(server.model, api_key=server.api_key, base_url=server.base_url, client=client)
        else:
            dialect = DIALECTS[provider or _provider_by_key(environ)]
            key, url = api_key or _key(dialect, name, environ), base_url or _base_url(dialect, environ)
            glm = GLMModel(name, api_key=key, base_url=url, client=client, dialect=dialect)
        return Connection(RetryingModel(glm), glm.aclose)

    return make


def _split(model: str) -> tuple[str, str]:
    """Provider and name; no provider where the text before the colon is part of the name (``…/glm-5.3:free``)."""
    provider, colon, name = model.partition(":")
    if not model.strip() or (colon and not (provider and name)):
        raise ConfigurationError(f"the model {model!r} is not a name: write one such as 'glm-5.3-flash'")
    if not colon or "/" in provider or provider.lower().startswith("glm-"):
        return "", model
    known = ["simulate", *DIALECTS]
    if provider not in known:
        close = difflib.get_close_matches(provider, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
        raise ConfigurationError(f"the provider {provider!r} of the model {model!r} is unknown: {hint}")
    return provider, name


def _provider_by_key(environ: Mapping[str, str]) -> str:
    """Zhipu's two sites have separate accounts: the key that is set says which one is meant."""
    is_mainland = environ.get("ZHIPUAI_API_KEY") and not (environ.get("ZAI_API_KEY") or environ.get("GLM_API_KEY"))
    return "bigmodel" if is_mainland else "zai"


def _key(dialect: Dialect, model: str, environ: Mapping[str, str]) -> str:
    key = next(filter(None, (environ.get(name, "").strip() for name in dialect.key_names)), "")
    if not key and dialect.needs_key:
        raise ConfigurationError(
            f"no API key for the model {model!r}: set {' or '.join(dialect.key_names)}, or pass api_key=; "
            "to try things without a key, use the built-in simulator: model 'simulate:directive'"
        )
    return key


def _base_url(dialect: Dialect, environ: Mapping[str, str]) -> str:
    return next(filter(None, (environ.get(name, "").strip() for name in dialect.base_url_names)), dialect.base_url)


def _simulator(scenario: str) -> SimulatorServer:
    from glm_agent.simulate.embedded import embedded

    return embedded(scenario)


async def _stays_open() -> None:
    """A model that somebody else made is theirs to close."""
