"""What a failing answer means: an HTTP status or an error body -> one exception of ours.

The one place that knows GLM's business codes. The status alone says little: 429 is also "no balance"
and "no plan". The message text says nothing reliable either: its language follows ``Accept-Language``.

Source: error table of docs.bigmodel.cn, 2026-07-11; body shapes from recordings of 2024 to 2026.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from glm_agent.errors import (
    AuthenticationError,
    ContentFiltered,
    ContextOverflow,
    ModelError,
    ModelStatusError,
    QuotaExhausted,
    RateLimited,
)
from glm_agent.messages import JsonObject
from glm_agent.wire import jsontext

EXCERPT_LIMIT = 2_000
"""Characters of a server's own words in a message of ours."""


@dataclass(frozen=True, slots=True)
class _Meaning:
    error: type[ModelError]
    is_retryable: bool
    advice: str


_KEY = _Meaning(AuthenticationError, False, "check the API key, and that it belongs to this base URL")
_ACCOUNT = _Meaning(AuthenticationError, False, "check the state of the account in the provider's console")
_BALANCE = _Meaning(
    QuotaExhausted,
    False,
    "the balance is used up, or the key belongs to a Coding Plan: then use the provider 'coding:'",
)
_PLAN = _Meaning(QuotaExhausted, False, "check what the plan of this key includes")
_WINDOW = _Meaning(QuotaExhausted, False, "the plan's allowance is used up until the time the message names")
_INTERNAL = _Meaning(ModelStatusError, True, "the provider has a problem; trying again may help")
_REQUEST = _Meaning(ModelStatusError, False, "the request is not what this model accepts")
_ELSEWHERE = _Meaning(
    ModelStatusError, False, "the base URL leads to another address, and a key is not sent along: give that one"
)
_MODEL = _Meaning(ModelStatusError, False, "check the model's name, and that this key may use it")
_SLOWER = _Meaning(RateLimited, True, "too many requests at once for this key: run fewer side by side")
_BUSY = _Meaning(RateLimited, True, "the model is overloaded: wait some minutes, or use another model")
_TOO_LONG = _Meaning(ContextOverflow, False, "shorten the conversation, or use a model with a larger window")
_UNSAFE = _Meaning(ContentFiltered, False, "the provider's safety system refused the input or the output")

_CODES: dict[str, _Meaning] = {
    **dict.fromkeys(("1000", "1001", "1002", "1003", "1004", "1005"), _KEY),
    **dict.fromkeys(("1100", "1110", "1111", "1112", "1120", "1121", "1220"), _ACCOUNT),
    "1113": _BALANCE,
    **dict.fromkeys(("1200", "1230", "1234"), _INTERNAL),
    **dict.fromkeys(("1210", "1213", "1214", "1215", "1221", "1222"), _REQUEST),
    **dict.fromkeys(("1211", "1212"), _MODEL),
    "1231": _Meaning(ModelStatusError, True, "the request id was used before; the next attempt gets a new one"),
    "1261": _TOO_LONG,
    **dict.fromkeys(("1300", "1301"), _UNSAFE),
    **dict.fromkeys(("1302", "1303"), _SLOWER),
    "1304": _Meaning(QuotaExhausted, False, "the calls of this day are used up"),
    **dict.fromkeys(("1305", "1312"), _BUSY),
    **dict.fromkeys(("1308", "1310", "1316", "1317", "1318", "1319", "1320", "1321"), _WINDOW),
    **dict.fromkeys(("1309", "1311", "1313", "1314", "1315"), _PLAN),
    # Words of other hosts of GLM.
    "context_length_exceeded": _TOO_LONG,
    "insufficient_quota": _BALANCE,
    "invalid_api_key": _KEY,
}

_STATUSES: dict[int, _Meaning] = {
    **dict.fromkeys((301, 302, 303, 307, 308), _ELSEWHERE),
    401: _KEY,
    402: _BALANCE,
    403: _ACCOUNT,
    404: _Meaning(ModelStatusError, False, "check the base URL and the model's name"),
    407: _Meaning(ModelStatusError, False, "the proxy wants a user and a password: check HTTPS_PROXY"),
    408: _INTERNAL,
    409: _INTERNAL,
    425: _INTERNAL,
    429: _SLOWER,
    501: _REQUEST,
    505: _REQUEST,
}

# vLLM and its kin have no code for it. Source: vLLM's OpenAI server, 2026.
_WINDOW_WORDS = re.compile(r"maximum context length|context length exceeded|prompt is too long", re.IGNORECASE)

_TIME = re.compile(r"\b20\d\d-[01]\d-[0-3]\d[ T][0-2]\d:[0-5]\d(?::[0-5]\d)?")


def is_failure(body: Any) -> bool:
    """Whether a JSON value, whole body or chunk, says that the request failed."""
    if not isinstance(body, dict):
        return False
    known = cast("JsonObject", body)
    return bool(known.get("error")) or ("choices" not in known and "code" in known)


def failure(
    *,
    status_code: int,
    body: bytes | JsonObject,
    request_id: str = "",
    retry_after_seconds: float | None = None,
    secrets: Sequence[str] = (),
) -> ModelError:
    """The exception for an answer that is an error.

    ``body`` is JSON in one of six shapes, HTML, plain text or nothing. ``status_code`` is 200 when
    the error came inside a stream. ``secrets`` never appear in the message.
    """
    code, words, seen_id = _parse(body)
    meaning = _meaning(status_code, code, words)
    said = f" {redact(words, secrets)!r}" if words else ""
    where = f"HTTP {status_code}, code {code}" if code else f"HTTP {status_code}"
    message = f"the model's server answered with an error ({where}){said}: {meaning.advice}"
    request_id = seen_id or request_id
    if issubclass(meaning.error, ModelStatusError):
        return meaning.error(
            message,
            status_code=status_code,
            code=code,
            request_id=request_id,
            is_retryable=meaning.is_retryable,
            retry_after_seconds=retry_after_seconds,
            resets_at=_reset(words) if meaning.error is QuotaExhausted else "",
        )
    return meaning.error(message, request_id=request_id, is_retryable=meaning.is_retryable)


def _reset(words: str) -> str:
    """The time in the words of codes 1308, 1310 and 1316 to 1321, the only place that has it."""
    found = _TIME.search(words)
    return found[0].replace("T", " ") if found else ""


def redact(text: str, secrets: Sequence[str] = ()) -> str:
    """An excerpt of a server's words without the secrets; a GLM key's second half is one too."""
    for secret in secrets:
        for part in (secret, *secret.split(".")):
            if len(part) >= 8:
                text = text.replace(part, "***")
    return text if len(text) <= EXCERPT_LIMIT else text[: EXCERPT_LIMIT - 1] + "…"


def _meaning(status_code: int, code: str, words: str) -> _Meaning:
    if known := _CODES.get(code):
        return known
    if _WINDOW_WORDS.search(words):
        return _TOO_LONG
    # A code such as "500" is the status that a stream, already at 200, could not give any more.
    status = int(code) if status_code == 200 and re.fullmatch(r"[45]\d\d", code) else status_code
    if known := _STATUSES.get(status):
        return known
    return _INTERNAL if status >= 500 or status == 200 else _REQUEST


def _parse(body: bytes | JsonObject) -> tuple[str, str, str]:
    """Code, message and request id of an error body."""
    if isinstance(body, bytes):
        try:
            value = jsontext.loads(body)
        except ValueError:
            return "", _plain(body), ""
        if not isinstance(value, dict):
            return "", _plain(body), ""
        body = cast("JsonObject", value)
    inner = body.get("error")
    error = cast("JsonObject", inner) if isinstance(inner, dict) else body
    # Anthropic's shape has GLM's code in ``type``.
    code = next((str(error[key]) for key in ("code", "type") if _is_code(error.get(key))), "")
    words = next((error[key] for key in ("message", "msg", "detail") if isinstance(error.get(key), str)), None)
    if words is None:
        words = inner if isinstance(inner, str) else jsontext.dumps(body).decode()
    request_id = body.get("request_id")
    return code, words, request_id if isinstance(request_id, str) else ""


def _is_code(value: Any) -> bool:
    return isinstance(value, (str, int)) and not isinstance(value, bool) and value != ""


def _plain(body: bytes) -> str:
    """The words of a page: gateways answer in HTML."""
    text = body[:65_536].decode("utf-8", "replace")
    if "<" in text:
        text = re.sub(r"<(script|style)\b.*?</\1>|<[^>]*>", " ", text, flags=re.DOTALL | re.IGNORECASE)
    return " ".join(text.split())
