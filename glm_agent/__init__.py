"""An MCP and tool-calling agent framework for GLM models.

    from glm_agent import Agent, tool

Names are imported at first use, so that ``import glm_agent`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from glm_agent.agent import Agent, Budget
    from glm_agent.errors import (
        AgentError,
        AuthenticationError,
        ConfigurationError,
        ContentFiltered,
        ContextOverflow,
        JournalError,
        MCPServerError,
        ModelConnectionError,
        ModelError,
        ModelProtocolError,
        ModelStatusError,
        ModelTimeout,
        QuotaExhausted,
        RateLimited,
        ToolError,
        TurnError,
    )
    from glm_agent.messages import (
        ApprovalDecision,
        ApprovalRequested,
        AudioPart,
        Event,
        FilePart,
        ImagePart,
        Message,
        ModelRequest,
        ModelResponse,
        ModelSettings,
        OutcomeDecision,
        OutcomeUnknown,
        Part,
        ToolCall,
        ToolResult,
        ToolSpec,
        TurnResult,
        Usage,
        UserMessage,
        VideoPart,
        messages_from_json,
        messages_to_json,
    )
    from glm_agent.models.account import SignedKey
    from glm_agent.models.catalog import ModelInfo, Price
    from glm_agent.models.endings import Endings
    from glm_agent.models.endpoints import GLMClient
    from glm_agent.models.model import Model
    from glm_agent.permissions import Policy
    from glm_agent.registry import ToolContext, ToolRegistry, Tools, tool
    from glm_agent.wire.hosted import HostedMCP, Retrieval, WebSearch

_ROOMS = {
    "glm_agent.agent": "Agent Budget",
    "glm_agent.errors": "AgentError AuthenticationError ConfigurationError ContentFiltered ContextOverflow "
    "JournalError MCPServerError ModelConnectionError ModelError ModelProtocolError ModelStatusError ModelTimeout "
    "QuotaExhausted RateLimited ToolError TurnError",
    "glm_agent.messages": "ApprovalDecision ApprovalRequested AudioPart Event FilePart ImagePart Message ModelRequest "
    "ModelResponse ModelSettings OutcomeDecision OutcomeUnknown Part ToolCall ToolResult ToolSpec "
    "TurnResult Usage UserMessage VideoPart messages_from_json messages_to_json",
    "glm_agent.models.account": "SignedKey",
    "glm_agent.models.catalog": "ModelInfo Price",
    "glm_agent.models.endings": "Endings",
    "glm_agent.models.endpoints": "GLMClient",
    "glm_agent.models.model": "Model",
    "glm_agent.permissions": "Policy",
    "glm_agent.registry": "ToolContext ToolRegistry Tools tool",
    "glm_agent.wire.hosted": "HostedMCP Retrieval WebSearch",
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names.split()}

__all__ = [
    "Agent",
    "AgentError",
    "ApprovalDecision",
    "ApprovalRequested",
    "AudioPart",
    "AuthenticationError",
    "Budget",
    "ConfigurationError",
    "ContentFiltered",
    "ContextOverflow",
    "Endings",
    "Event",
    "FilePart",
    "GLMClient",
    "HostedMCP",
    "ImagePart",
    "JournalError",
    "MCPServerError",
    "Message",
    "Model",
    "ModelConnectionError",
    "ModelError",
    "ModelInfo",
    "ModelProtocolError",
    "ModelRequest",
    "ModelResponse",
    "ModelSettings",
    "ModelStatusError",
    "ModelTimeout",
    "OutcomeDecision",
    "OutcomeUnknown",
    "Part",
    "Policy",
    "Price",
    "QuotaExhausted",
    "RateLimited",
    "Retrieval",
    "SignedKey",
    "ToolCall",
    "ToolContext",
    "ToolError",
    "ToolRegistry",
    "ToolResult",
    "ToolSpec",
    "Tools",
    "TurnError",
    "TurnResult",
    "Usage",
    "UserMessage",
    "VideoPart",
    "WebSearch",
    "__version__",  # pyright: ignore[reportUnsupportedDunderAll]
    "messages_from_json",
    "messages_to_json",
    "tool",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("glm-agent")
    if name not in _ROOM_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_ROOM_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
