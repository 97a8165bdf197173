"""``replay:FILE``: the model of a run that was recorded, answered from its cassette through the real decoder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import anyio.lowlevel

from glm_agent.errors import ConfigurationError
from glm_agent.models.catalog import ModelInfo, lookup
from glm_agent.models.fallback import FallbackModel
from glm_agent.models.model import Model
from glm_agent.models.retry import NEXT_MODEL, RetryingModel
from glm_agent.wire.dialects import DIALECTS, same_host

_NO_KEY = "no-key-is-needed"


def played(path: str | Path, *, catalog: Mapping[str, ModelInfo] | None) -> Model:
    """The model, or the several that answered for each other, with the same retries and none of the waiting."""
    from glm_agent.models.glm import GLMModel
    from glm_agent.models.glm.cassette import Cassette
    from glm_agent.models.glm.player import PlayingClient

    cassette = Cassette.load(path)
    asked = list(dict.fromkeys((each.url, each.model) for each in cassette.exchanges))
    if not asked or not all(name for _, name in asked):
        raise ConfigurationError(f"the cassette '{path}' holds no request to a model: record a run that asks one")
    client = PlayingClient(cassette)
    models = [
        RetryingModel(
            GLMModel(
                name,
                api_key=_NO_KEY,
                base_url=url,
                dialect=_dialect(url),
                client=client,
                info=lookup(name, overrides=catalog),
            ),
            policy=None if at == len(asked) else NEXT_MODEL,
            sleep=_at_once,
        )
        for at, (url, name) in enumerate(asked, start=1)
    ]
    return models[0] if len(models) == 1 else FallbackModel(models)


def _dialect(url: str) -> str:
    """The host that an address belongs to; one that nobody here knows speaks GLM."""
    known = (name for name, dialect in DIALECTS.items() if same_host(url, dialect))
    return max(known, key=lambda name: len(DIALECTS[name].base_url), default="zai")


async def _at_once(seconds: float) -> None:  # noqa: ARG001
    await anyio.lowlevel.checkpoint()
