"""A session run once more, offline, from its record: the same driver, the model's answers as recorded.

Every request's body is made anew from the facts by today's code and compared with the recorded hash. The first one
that differs ends the replay.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

from glm_agent.driver import Driver
from glm_agent.errors import TurnError
from glm_agent.journal.comparison import Comparison, Diverged, ReplayedStep
from glm_agent.journal.divergence import Divergence
from glm_agent.journal.recorded import EndOfRecord, RecordedModel, RecordedTools, Run, runs
from glm_agent.messages import ApprovalDecision, ApprovalRequested, Fact, TurnResult, TurnStarted
from glm_agent.models.catalog import ModelInfo
from glm_agent.registry import Tools
from glm_agent.turn import Turn, cancel, pending, receive
from glm_agent.wire.dialects import Dialect


@dataclass(frozen=True, kw_only=True, slots=True)
class Replay:
    """What came of a replay."""

    session: str
    steps: tuple[ReplayedStep, ...]
    """The requests up to the first that differs, which is not among them."""
    divergence: Divergence | None = None
    """The first difference; None: there is none."""

    @property
    def is_identical(self) -> bool:
        """Whether every request that could be compared is the recorded one, byte for byte."""
        return self.divergence is None

    @property
    def not_compared(self) -> int:
        """Steps without a hash to compare with."""
        return sum(step.outcome == "not compared" for step in self.steps)


async def replay(
    facts: Sequence[Fact],
    *,
    tools: Tools | None = None,
    bodies: Mapping[str, bytes] | None = None,
    catalog: Mapping[str, ModelInfo] | None = None,
    dialects: Iterable[Dialect] = (),
) -> Replay:
    """Run a session once more.

    Args:
        facts: The whole session's, from its beginning.
        tools: Run every call again on these; without them, what is on record answers.
        bodies: Requests as they were sent, by hash, such as ``Cassette.bodies``: then a difference is shown word for
            word.
        catalog: What the agent was given as ``catalog=``.
        dialects: Of hosts that glm-agent does not know: what models were given as ``dialect=``.

    Raises:
        TurnError: The facts are no session.
    """
    if not facts or not isinstance(facts[0], TurnStarted):
        raise TurnError("these facts are no session: its first one is turn_started")
    comparison = Comparison(facts, bodies=bodies or {}, catalog=catalog, dialects=dialects)
    divergence = None
    try:
        await _replay(facts, comparison, tools)
    except Diverged as diverged:
        divergence = diverged.divergence
    return Replay(session=facts[0].session, steps=tuple(comparison.steps), divergence=divergence)


async def _replay(facts: Sequence[Fact], comparison: Comparison, tools: Tools | None) -> None:
    assert isinstance(facts[0], TurnStarted)
    turn = recorded = Turn(started=facts[0])
    for run in runs(facts):
        try:
            turn = await _drive(turn, run, comparison, tools)
            recorded = reduce(receive, (*run.opening, *run.answers), recorded)
        except TurnError as error:
            comparison.end(f"what is on record answers nothing that is asked now: {error}")
        if tools is None:
            if turn.messages != recorded.messages[: len(turn.messages)]:
                comparison.end("the same answers make another history now")
            turn = recorded


async def _drive(turn: Turn, run: Run, comparison: Comparison, tools: Tools | None) -> Turn:
    """The turn after one more run of the driver."""
    if not run.answers:
        return _begun(turn, run)
    model = RecordedModel(run, name=turn.started.model, check=comparison.check)
    driver = Driver(
        turn=_with_closed_calls(turn, run),
        model=model,
        tools=tools or RecordedTools(run, model),
        approve=_Absent(run),
    )
    try:
        await driver.run(*run.opening)
    except EndOfRecord:
        return driver.turn
    if model.left:
        (ended, *_) = pending(driver.turn)
        assert isinstance(ended, TurnResult)
        comparison.end(f"the turn ends before this request now: {ended.stop_reason} {ended.detail}".rstrip())
    return driver.turn


def _with_closed_calls(turn: Turn, run: Run) -> Turn:
    """The turn; where the run begins the next one, with no call open."""
    first = run.opening[0]
    if isinstance(first, TurnStarted) and first.turn != turn.started.turn:
        for fact in cancel(turn, reason="the turn was left and a new message came"):
            turn = receive(turn, fact)
    return turn


def _begun(turn: Turn, run: Run) -> Turn:
    """The turn of a run that was cut off before anything was answered, perhaps before anything was said."""
    turn = _with_closed_calls(turn, run)
    for fact in run.opening:
        turn = receive(turn, fact)
    return turn


class _Absent:
    """The person, who says nothing: what they decided stands at the beginning of the next run."""

    def __init__(self, run: Run) -> None:
        self._run = run

    async def __call__(self, request: ApprovalRequested) -> ApprovalDecision | None:
        if request.call_id in self._run.decided:
            raise EndOfRecord
        return None
