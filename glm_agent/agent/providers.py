"""A model's name to a model: ``glm-5.3``, ``openrouter:z-ai/glm-5.3``, ``simulate:scenario.yaml``."""

from __future__ import annotations

import difflib
import os
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from glm_agent.errors import ConfigurationError
from glm_agent.models.catalog import ModelInfo, lookup
from glm_agent.models.fallback import FallbackModel
from glm_agent.models.limit import PATIENCE_SECONDS, LimitedModel, shared_limit
from glm_agent.models.model import Model
from glm_agent.models.retry import NEXT_MODEL, RetryingModel, shared_budget
from glm_agent.wire.dialects import DIALECTS, Dialect, same_host

if TYPE_CHECKING:
    from glm_agent.models.glm.clients import Client
    from glm_agent.simulate.server import SimulatorServer


async def _nothing() -> None:
    """A model that somebody else made is theirs to connect and to close."""


class Connection(NamedTuple):
    """A model, and what closes its connections and opens one before it is needed."""

    model: Model
    aclose: Callable[[], Awaitable[None]] = _nothing
    connect: Callable[[], Coroutine[Any, Any, None]] = _nothing
    """Raises nothing: whoever needs the connection will be told."""


def model_maker(
    model: str | Model,
    *,
    fallback: Sequence[str | Model] = (),
    catalog: Mapping[str, ModelInfo] | None = None,
    api_key: str | None,
    base_url: str | None,
    client: Client | None,
    environ: Mapping[str, str] = os.environ,
) -> Callable[[], Connection]:
    """What makes the model on an event loop; several names (``glm-5.3|glm-5.2``) are one with fallbacks.

    A name that cannot be right is refused now. The key is looked for when the model is made, so that a
    module with an agent in it can be imported on a machine without one. ``api_key`` and ``base_url`` are for
    the names without a provider of their own.
    """
    several = [one for given in (model, *fallback) for one in (given.split("|") if isinstance(given, str) else [given])]
    last = len(several) - 1
    makers = [
        _maker(
            one,
            api_key=api_key,
            base_url=base_url,
            client=client,
            environ=environ,
            catalog=catalog,
            is_first=at == 0,
            is_last=at == last,
        )
        for at, one in enumerate(several)
    ]
    return makers[0] if not last else lambda: _with_fallbacks([make() for make in makers])


def _maker(
    model: str | Model,
    *,
    api_key: str | None,
    base_url: str | None,
    client: Client | None,
    environ: Mapping[str, str],
    catalog: Mapping[str, ModelInfo] | None,
    is_first: bool,
    is_last: bool,
) -> Callable[[], Connection]:
    if not isinstance(model, str):
        connection = Connection(model)
        return lambda: connection
    provider, name = _split(model.strip())
    if provider == "replay":
        if client is not None:
            raise ConfigurationError(f"the model '{model}' sends nothing: leave out client= and --record")
        return lambda: Connection(_played(name, catalog))
    if provider and not is_first:
        api_key = base_url = None  # they belong to the first one's host

    def make() -> Connection:
        from glm_agent.models.glm import GLMModel  # and with it the HTTP client, at first use

        if provider == "simulate":
            server = _simulator(name)
            dialect, name_there, key, url = DIALECTS["zai"], server.model, server.api_key, server.base_url
        else:
            host = provider or _provider_of_url(base_url) or _provider_by_key(environ)
            dialect, name_there = DIALECTS[host], name
            key, url = api_key or _key(dialect, name, environ), base_url or _base_url(dialect, environ)
        info = lookup(name_there, overrides=catalog)
        glm = GLMModel(name_there, api_key=key, base_url=url, client=client, dialect=dialect, info=info)
        return Connection(_persistent(glm, key, name_there, url, is_last=is_last), glm.aclose, glm.connect)

    return make


def _persistent(model: Model, key: str, name: str, url: str, *, is_last: bool) -> Model:
    """The model, sharing limits with all others of its key in this process, and tried again where that helps."""
    limit = shared_limit(key=key, model=name, base_url=url)
    # Where another model can be asked, an overload is not waited for.
    limited = LimitedModel(model, limit=limit, patience_seconds=PATIENCE_SECONDS if is_last else 0.0)
    budget = shared_budget(key=key, model=name, base_url=url)
    return RetryingModel(limited, budget=budget, policy=None if is_last else NEXT_MODEL)


def _with_fallbacks(connections: Sequence[Connection]) -> Connection:
    async def aclose() -> None:
        for connection in connections:
            await connection.aclose()

    return Connection(FallbackModel([connection.model for connection in connections]), aclose, connections[0].connect)


def _provider_of_url(base_url: str | None) -> str:
    """The host that an address belongs to; empty for one that nobody here knows, which then speaks GLM."""
    known = (name for name, dialect in DIALECTS.items() if base_url and same_host(base_url, dialect))
    return max(known, key=lambda name: len(DIALECTS[name].base_url), default="")


def _split(model: str) -> tuple[str, str]:
    """Provider and name; no provider where the text before the colon is part of the name (``…/glm-5.3:free``)."""
    provider, colon, name = model.partition(":")
    if not model.strip() or (colon and not (provider and name)):
        raise ConfigurationError(f"the model {model!r} is not a name: write one such as 'glm-5.3-flash'")
    if not colon or "/" in provider or provider.lower().startswith("glm-"):
        return "", model
    known = ["simulate", "replay", *DIALECTS]
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


def _played(path: str, catalog: Mapping[str, ModelInfo] | None) -> Model:
    from glm_agent.agent.played import played

    return played(path, catalog=catalog)


def _simulator(scenario: str) -> SimulatorServer:
    from glm_agent.simulate.embedded import embedded

    return embedded(scenario)
