"""The driver: the only place that awaits a turn.

It asks ``pending``, has it answered through ``Steps``, and ``receive``s. What belongs here is how
answers are got: at once, early, kept, shown, cancelled. What the answers are is decided by the
model, the tools and the turn; a feature wraps one of those and never adds a branch here.
"""

from glm_agent.driver.heeding import heeding
from glm_agent.driver.loop import Approver, Driver
from glm_agent.driver.nested import NestingTools
from glm_agent.driver.observers import Observer, tell
from glm_agent.driver.steps import InlineSteps, Intent, NestedCall, Record, Slot, Steps
from glm_agent.driver.stream import EventStream

__all__ = [
    "Approver",
    "Driver",
    "EventStream",
    "InlineSteps",
    "Intent",
    "NestedCall",
    "NestingTools",
    "Observer",
    "Record",
    "Slot",
    "Steps",
    "heeding",
    "tell",
]
