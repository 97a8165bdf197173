"""GLM over HTTP: the only room with an HTTP client."""

from glm_agent.models.glm.model import GLMModel

__all__ = ["GLMModel"]
