"""The composition root: settings in, a driven turn out. The only room that turns names into objects."""

from glm_agent.agent.agent import Agent
from glm_agent.agent.budget import Budget

__all__ = ["Agent", "Budget"]
