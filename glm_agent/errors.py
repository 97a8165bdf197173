"""Every exception of the package, split by whose fault it is and what to do about it.

    AgentError
      ConfigurationError          yours, found before any I/O: says what to write instead
      TurnError                   yours: the driver answered what nobody asked
      ModelError                  .request_id  .is_retryable
        ModelConnectionError      no answer came
          ModelTimeout
        ModelStatusError          .status_code  .code (GLM's business code)
          AuthenticationError
          RateLimited
          QuotaExhausted
        ContextOverflow           1261, or finish_reason model_context_window_exceeded with HTTP 200
        ContentFiltered           1300 or 1301, or finish_reason sensitive with HTTP 200
        ModelProtocolError        theirs: the stream broke the format
      ToolError                   raise it in a tool to tell the model something word for word
      MCPServerError              .server
      JournalError

A message says what happened, to which thing (in quotes), and what to do. Constructors take facts and
write that sentence, so that it reads the same wherever the error is raised.
"""

from __future__ import annotations

import copyreg
from typing import Any


class AgentError(Exception):
    """Root of everything this package raises on purpose.

    When it leaves ``Agent.run`` it carries what was said until then, so that nothing is lost.
    """

    messages: tuple[Any, ...] = ()
    """The conversation up to the error; pass it as ``messages=`` to go on."""
    session: str = ""
    """The session's id; with a journal, ``--resume`` takes it."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Constructors take keywords, and the default would call them without.
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


class ConfigurationError(AgentError):
    """Something the user wrote cannot work; found before any network traffic."""


class TurnError(AgentError):
    """A fact came that answers nothing that is pending: a defect of the driver, not of the user."""


class ModelError(AgentError):
    """The model gave no usable answer."""

    def __init__(
        self,
        message: str,
        *,
        request_id: str = "",
        is_retryable: bool = False,
        response: Any = None,
    ) -> None:
        super().__init__(f"{message} (request {request_id})" if request_id else message)
        self.request_id = request_id
        """The id to quote to the provider; empty when none was seen."""
        self.is_retryable = is_retryable
        """Whether the same request, sent again, may succeed."""
        self.response = response
        """The ``ModelResponse`` that came with HTTP 200 and a failing ``finish_reason``, where there is one."""


class ModelConnectionError(ModelError):
    """No answer came: refused, reset, name not found, certificate not accepted."""


class ModelTimeout(ModelConnectionError):
    """Nothing came for longer than the allowed silence."""


class ModelStatusError(ModelError):
    """The server answered with an error status or an error body."""

    def __init__(
        self,
        message: str,
        *,
        status_code: int,
        code: str = "",
        request_id: str = "",
        is_retryable: bool = False,
        retry_after_seconds: float | None = None,
        resets_at: str = "",
    ) -> None:
        super().__init__(message, request_id=request_id, is_retryable=is_retryable)
        self.status_code = status_code
        """The HTTP status; 200 when the error came inside a stream."""
        self.code = code
        """GLM's business code, such as ``"1302"``; empty when the body had none."""
        self.retry_after_seconds = retry_after_seconds
        """What the server asked to wait, in seconds, where it said so."""
        self.resets_at = resets_at
        """When a used-up allowance begins anew, as the server wrote it (its own local time); empty: it did not say."""


class AuthenticationError(ModelStatusError):
    """The key is missing, wrong, expired or not allowed to do this."""


class RateLimited(ModelStatusError):
    """Too many requests at once, or the model is overloaded: later it may work."""


class QuotaExhausted(ModelStatusError):
    """No balance, no plan, or the plan's window is used up: waiting a moment does not help."""


class ContextOverflow(ModelError):
    """Prompt and answer do not fit the model's window."""


class ContentFiltered(ModelError):
    """The provider's safety system refused the input or cut the answer."""


class ModelProtocolError(ModelError):
    """The server's answer broke the format, or ended before it was complete."""


class ToolError(AgentError):
    """Raise it inside a tool: the model reads the message word for word, and the run goes on."""


class MCPServerError(AgentError):
    """An MCP server could not be started, reached, or did not answer properly."""

    def __init__(self, message: str, *, server: str) -> None:
        super().__init__(message)
        self.server = server
        """The server's name in the configuration."""


class JournalError(AgentError):
    """A session could not be stored, read, or is held by another process."""
