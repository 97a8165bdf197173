"""The model under the limits and checks of one turn."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from glm_agent.agent.budget import Budget
from glm_agent.messages import ModelSettings, Usage
from glm_agent.models.budget import BudgetedModel
from glm_agent.models.catalog import ModelInfo, cost_usd
from glm_agent.models.choice import ChoiceModel
from glm_agent.models.endings import Endings, EndingsModel
from glm_agent.models.model import Model
from glm_agent.models.purse import PursedModel
from glm_agent.models.repeats import RepeatLimitModel
from glm_agent.models.view import ContextPolicy, ViewedModel

if TYPE_CHECKING:
    from glm_agent.models.output import Output


def wrapped(
    model: Model,
    *,
    context: ContextPolicy | None,
    budget: Budget,
    spent: Usage,
    catalog: Mapping[str, ModelInfo] | None,
    endings: Endings | None,
    settings: ModelSettings,
    output: Output | None,
) -> Model:
    """The model with every wrapper that the settings ask for, the innermost being what is nearest to the wire."""
    # Innermost, so that every other wrapper sees the turn's own history and not what is sent of it.
    if context is not None:
        model = ViewedModel(model, context)
    # Inside of what asks once more (endings, output), because that is paid for too.
    cost = partial(cost_usd, model.name, overrides=catalog)
    if budget.max_tokens is not None or budget.max_cost_usd is not None:
        model = BudgetedModel(
            model, max_tokens=budget.max_tokens, max_cost_usd=budget.max_cost_usd, cost_usd=cost, spent=spent
        )
    if budget.purse is not None:
        model = PursedModel(model, purse=budget.purse, cost_usd=cost)
    model = EndingsModel(model, endings=endings)
    if settings.tool_choice not in (None, "auto"):
        model = ChoiceModel(model)
    if budget.max_repeats is not None:
        model = RepeatLimitModel(model, max_repeats=budget.max_repeats)
    return output.checked(model) if output is not None else model
