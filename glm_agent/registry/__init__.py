"""Tools: the seam, functions as tools, and the registry that finds, runs and bounds them."""

from glm_agent.registry.decorator import tool
from glm_agent.registry.function import FunctionTool
from glm_agent.registry.registry import ToolRegistry, as_tool
from glm_agent.registry.seams import Outcome, Tool, ToolContext, Tools

__all__ = ["FunctionTool", "Outcome", "Tool", "ToolContext", "ToolRegistry", "Tools", "as_tool", "tool"]
