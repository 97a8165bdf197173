"""Asking a person while also listening for what other processes decide."""

from __future__ import annotations

from contextlib import nullcontext

import anyio

from glm_agent.driver.groups import unwrapped
from glm_agent.driver.loop import Approver
from glm_agent.driver.steps import Steps
from glm_agent.messages import ApprovalDecision, ApprovalRequested

POLL_SECONDS = 0.5
"""A look into the inbox is one read of a file; a person does not notice the half second."""


def heeding(approve: Approver, steps: Steps) -> Approver:
    """The approver, whose question is withdrawn (cancelled) when the decision comes through the steps first."""

    async def ask(request: ApprovalRequested) -> ApprovalDecision | None:
        decisions = list[ApprovalDecision | None]()

        async def person() -> None:
            decisions.append(await approve(request))
            tasks.cancel_scope.cancel()

        async def elsewhere() -> None:
            while (decision := _left(steps, request)) is None:  # noqa: ASYNC110 (no process can wake another one)
                await anyio.sleep(POLL_SECONDS)
            decisions.append(decision)
            tasks.cancel_scope.cancel()

        async with unwrapped(nullcontext()), anyio.create_task_group() as tasks:
            tasks.start_soon(elsewhere)
            tasks.start_soon(person)
        return decisions[0]

    return ask


def _left(steps: Steps, request: ApprovalRequested) -> ApprovalDecision | None:
    for decision in steps.decisions():
        if isinstance(decision, ApprovalDecision) and decision.call_id == request.call_id:
            return decision
    return None
