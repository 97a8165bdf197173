"""The provider's endpoints beside chat completions, as plain typed functions."""

from glm_agent.models.endpoints.client import GLMClient

__all__ = ["GLMClient"]
