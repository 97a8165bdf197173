"""What went wrong -> our exceptions: of the HTTP client (a test proves the table complete), and of GLM's own words."""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx2

from glm_agent.errors import (
    AgentError,
    ConfigurationError,
    ContentFiltered,
    ContextOverflow,
    ModelConnectionError,
    ModelError,
    ModelProtocolError,
    ModelTimeout,
)
from glm_agent.messages import ModelResponse
from glm_agent.wire.failure import failure, redact


def transport_error(error: Exception, *, url: str, request_id: str = "", secrets: Sequence[str] = ()) -> AgentError:
    """What an exception of httpx2 means. ``secrets`` never appear in the message."""
    said = redact(str(error), secrets) or type(error).__name__
    match error:
        case httpx2.HTTPStatusError():
            # Only a hook of the user's own client raises it.
            return failure(status_code=error.response.status_code, body=b"", request_id=request_id, secrets=secrets)
        case httpx2.InvalidURL() | httpx2.UnsupportedProtocol():
            return ConfigurationError(f"the address '{url}' cannot be used ({said}): check the base URL")
        case httpx2.LocalProtocolError():
            return ConfigurationError(f"the request to '{url}' cannot be sent ({said}): check the key and the client")
        case _:
            kind, what, is_retryable = _meaning(error, said)
            message = f"{what} '{url}' ({said})"
            return kind(message, request_id=request_id, is_retryable=is_retryable)


def accepted(response: ModelResponse) -> ModelResponse:
    """The response, unless GLM's word for why it ended is a failure; the status was 200 all the same.

    Source: docs.bigmodel.cn, error codes, 2026-07-11: failures of a stream show in ``finish_reason``.
    """
    request_id = response.request_id or response.id
    match response.finish_reason:
        case "network_error":
            raise ModelConnectionError(
                "the model's server lost its answer (finish_reason network_error)",
                request_id=request_id,
                is_retryable=True,
                response=response,
            )
        case "model_context_window_exceeded":
            raise ContextOverflow(
                f"prompt and answer do not fit the window of model '{response.model}': shorten the conversation",
                request_id=request_id,
                response=response,
            )
        case "sensitive":
            raise ContentFiltered(
                "the provider's safety system cut the answer (finish_reason sensitive): "
                "what was shown of it may have to be withdrawn",
                request_id=request_id,
                response=response,
            )
        case _:
            return response


def _meaning(error: Exception, said: str) -> tuple[type[ModelError], str, bool]:
    """Class, beginning of the sentence, and whether the same request may succeed later."""
    match error:
        case httpx2.ConnectTimeout() | httpx2.PoolTimeout():
            return ModelTimeout, "no connection in time to", True
        case httpx2.TimeoutException():
            return ModelTimeout, "the connection fell silent:", True
        case httpx2.ConnectError() if _is_certificate(error):
            return ModelConnectionError, "the certificate is not accepted of", False
        case httpx2.ConnectError():
            return ModelConnectionError, "no connection to", True
        case httpx2.ProxyError():
            # 407 and its kin: the same proxy refuses the same request again.
            return ModelConnectionError, "the proxy refused the way to", not said.lstrip().startswith("4")
        case httpx2.NetworkError() | httpx2.RemoteProtocolError():
            return ModelConnectionError, "the connection broke to", True
        case httpx2.DecodingError() | httpx2.SSEError():
            return ModelProtocolError, "the answer cannot be decoded from", True
        case httpx2.TooManyRedirects():
            return ModelConnectionError, "too many redirects at", False
        case _:
            return ModelConnectionError, "the request failed to", False


def _is_certificate(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """What ``Retry-After`` asks for, as seconds or as a date; None where it is missing or makes no sense."""
    text = headers.get("retry-after", "").strip()
    try:
        seconds = float(text)
    except ValueError:
        return _until(text, headers.get("date", ""))
    # Written so that NaN is no wait either.
    return seconds if 0 <= seconds < float("inf") else None


def _until(text: str, now: str) -> float | None:
    try:
        then = parsedate_to_datetime(text)
        began = parsedate_to_datetime(now) if now else datetime.now(UTC)
        return max(0.0, (then - began).total_seconds())
    except (TypeError, ValueError, OverflowError):
        return None
