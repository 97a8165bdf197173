"""Tools: the seam, functions as tools, and the registry that finds, runs and bounds them."""

from glm_agent.registry.seams import Tool, ToolContext, Tools

__all__ = ["Tool", "ToolContext", "Tools"]
