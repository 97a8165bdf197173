"""A plugin: a file with tools. A package would name it as an entry point of the group ``glm_agent.tools``."""

from glm_agent import ToolContext, ToolError, tool


@tool(read_only=True)
def convert(amount: float, unit: str) -> str:
    """Kitchen units as grams or millilitres.

    Args:
        amount: How many.
        unit: cup, tablespoon, teaspoon or ounce.
    """
    units = {"cup": (240, "ml"), "tablespoon": (15, "ml"), "teaspoon": (5, "ml"), "ounce": (28.35, "g")}
    if unit not in units:
        raise ToolError(f"unknown unit {unit!r}: use {', '.join(units)}")
    factor, metric = units[unit]
    return f"{amount * factor:g} {metric}"


@tool
def bake(minutes: int, context: ToolContext) -> str:
    """Bake, and say how far it is."""
    for minute in range(minutes):
        context.progress("baking", done=minute, total=minutes)
    return f"baked for {minutes} minutes"
