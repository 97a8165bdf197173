"""Every request of a replay against what was sent: by hash first, word for word where it differs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal, NoReturn, TypeAlias

from glm_agent.errors import ConfigurationError
from glm_agent.journal.divergence import Change, Divergence, changed_parts, changes
from glm_agent.messages import Fact, ModelRequest, ModelResponse, SentRequest, TurnStarted
from glm_agent.models.catalog import ModelInfo, lookup
from glm_agent.models.record import asked_again, body_hash
from glm_agent.turn import pending, rebuild
from glm_agent.wire.dialects import DIALECTS, Dialect
from glm_agent.wire.encode import BodyParts, encode_parts

Outcome: TypeAlias = Literal["same", "not compared"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplayedStep:
    """One model request, made again."""

    number: int
    """Of the request within the session, from 1."""
    turn: int
    outcome: Outcome
    """``not compared``: there is no hash on record, or a policy of the caller's changed more than is kept."""
    hash: str = ""
    """SHA-256 of the body that is made now."""


class Diverged(Exception):
    """The replay ends here: what follows was said to something else."""

    def __init__(self, divergence: Divergence) -> None:
        super().__init__(divergence.reason)
        self.divergence = divergence


class Comparison:
    """The requests of one session, compared one after the other."""

    def __init__(
        self,
        facts: Sequence[Fact],
        *,
        bodies: Mapping[str, bytes],
        catalog: Mapping[str, ModelInfo] | None,
        dialects: Iterable[Dialect],
    ) -> None:
        self._facts, self._bodies, self._catalog = facts, bodies, catalog
        self._dialects = {**DIALECTS, **{dialect.name: dialect for dialect in dialects}}
        self._places = [at for at, fact in enumerate(facts) if isinstance(fact, ModelResponse)]
        starts = [fact.turn if isinstance(fact, TurnStarted) else 0 for fact in facts]
        self._turns = [*accumulate(starts, _latest)]
        self.steps: list[ReplayedStep] = []

    def check(self, request: ModelRequest, response: ModelResponse) -> None:
        """Make the request that ``response`` answers again, from the turn's own; ``Diverged`` where it is another."""
        sent = response.sent
        if sent is None or (sent.edit is not None and not sent.edit.is_whole):
            self._add("not compared")
            return
        request = asked_again(request, sent.edit)
        try:
            parts = self._parts(request, sent)
        except ConfigurationError as error:
            self.end(f"the request cannot be made now: {error}")
        made = body_hash(parts)
        if made != sent.hash:
            self._explain(request, parts, sent)
        self._add("same", made)

    def end(self, reason: str, *, found: tuple[Change, ...] = (), has_recorded: bool = False) -> NoReturn:
        """Raise ``Diverged`` at the step that comes now."""
        step = len(self.steps) + 1
        raise Diverged(
            Divergence(step=step, turn=self._turn(step), reason=reason, changes=found, has_recorded=has_recorded)
        )

    def _add(self, outcome: Outcome, made: str = "") -> None:
        number = len(self.steps) + 1
        self.steps.append(ReplayedStep(number=number, turn=self._turn(number), outcome=outcome, hash=made))

    def _explain(self, request: ModelRequest, parts: BodyParts, sent: SentRequest) -> NoReturn:
        recorded = self._bodies.get(sent.hash) or self._from_facts(sent)
        if recorded is not None:
            found = changes(recorded, parts.joined())
            self.end("the request is another one than was sent", found=found, has_recorded=True)
        found = changed_parts(sent, parts, request.messages)
        where = "it differs in the parts named" if found else "it differs in a message before the latest step"
        self.end(f"the request is another one than was sent: {where}", found=found)

    def _from_facts(self, sent: SentRequest) -> bytes | None:
        """The request as it was sent, where the facts still say it: then tools that ran again changed it."""
        (asked, *_) = pending(rebuild(self._facts[: self._before(len(self.steps) + 1)]))
        if not isinstance(asked, ModelRequest):
            return None
        parts = self._parts(asked_again(asked, sent.edit), sent)
        return parts.joined() if body_hash(parts) == sent.hash else None

    def _parts(self, request: ModelRequest, sent: SentRequest) -> BodyParts:
        dialect = self._dialects.get(sent.dialect)
        if dialect is None:
            raise ConfigurationError(
                f"it was sent in the dialect '{sent.dialect}', which is none of glm-agent's own; in Python, "
                "replay(…, dialects=[…]) takes the Dialect that the model was made with"
            )
        info = lookup(sent.model, overrides=self._catalog)
        return encode_parts(request, model=sent.model, capabilities=info.capabilities, dialect=dialect)

    def _turn(self, step: int) -> int:
        """The number of the turn that a step belongs to."""
        return self._turns[self._before(step) - 1]

    def _before(self, step: int) -> int:
        """How many facts stand before a step's response."""
        return self._places[step - 1] if step <= len(self._places) else len(self._facts)


def _latest(before: int, now: int) -> int:
    """A turn's number holds for the facts behind its start."""
    return now or before
