"""The service's other endpoints: search, reader, embeddings, rerank, tokenizer, answers later, files, batches.

Each checks what the documents say it checks; answers follow from the request alone, so that a test can tell what
comes.

Source: OpenAPI of docs.bigmodel.cn, 2026-07-11.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from starlette.routing import Route

from glm_agent.simulate.endpoints.jobs import Answers, Jobs
from glm_agent.simulate.endpoints.lookups import Lookups
from glm_agent.simulate.endpoints.request import Ids


class Endpoints:
    """The endpoints beside chat completions, and what they remember."""

    def __init__(self, answers: Answers) -> None:
        ids = Ids()
        self._lookups, self._jobs = Lookups(ids), Jobs(answers, ids)

    def routes(self, prefix: str) -> Iterator[Route]:
        """The routes below a prefix."""
        return chain(self._lookups.routes(prefix), self._jobs.routes(prefix))
