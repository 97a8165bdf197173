"""What the real service accepts, as data: each rule with an id, a sentence, a source and its error.

Written from Zhipu's documents and from what people saw, never from our encoder: a request that we spell
wrongly must be refused here. ``check`` runs the rules in order; the first that is broken is the answer.

Sources: "OpenAPI" is the chat-completions schema of docs.bigmodel.cn (2026-07-11); "codes" the error table beside
it; other sources are named in full.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from glm_agent.simulate.json_values import array_in, is_object, object_in
from glm_agent.simulate.service_messages import MESSAGE_RULES
from glm_agent.simulate.service_models import facts_of
from glm_agent.simulate.service_rules import Asked, Refused, Rule
from glm_agent.simulate.service_tools import TOOL_RULES

_KINDS: dict[str, Callable[[Any], bool]] = {
    "a string": lambda value: isinstance(value, str),
    "a boolean": lambda value: isinstance(value, bool),
    "an integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "a number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "an array": lambda value: isinstance(value, list),
    "an object": lambda value: isinstance(value, dict),
}

FIELDS: dict[str, str] = {
    "model": "a string",
    "messages": "an array",
    "stream": "a boolean",
    "tool_stream": "a boolean",
    "thinking": "an object",
    "reasoning_effort": "a string",
    "do_sample": "a boolean",
    "temperature": "a number",
    "top_p": "a number",
    "max_tokens": "an integer",
    "stop": "an array",
    "tools": "an array",
    "tool_choice": "",
    "response_format": "an object",
    "request_id": "a string",
    "user_id": "a string",
    "sensitive_word_check": "an object",
    "watermark_enabled": "a boolean",
    "meta": "an object",
    "seed": "an integer",
    "extra": "an object",
    "stream_options": "an object",
}
"""Every field of a request and its type. The last three are in no schema: zai-sdk has the first two in its
signature, ``stream_options`` was recorded as accepted (z.ai, 2026-07)."""

RANGES: dict[str, tuple[float, float]] = {"temperature": (0, 1), "top_p": (0.01, 1)}
LENGTHS: dict[str, tuple[int, int]] = {"request_id": (6, 64), "user_id": (6, 128)}


def authenticate(headers: Mapping[str, str]) -> str:
    """The key of a request; raises ``Refused``. Source: codes 1000, 1001 (401)."""
    value = headers.get("authorization", "").strip()
    if not value:
        raise Refused(401, "1001", "No Authorization header was received: send 'Authorization: Bearer <key>'")
    key = re.sub(r"^bearer(\s+|$)", "", value, flags=re.IGNORECASE)
    if not re.fullmatch(r"[\x21-\x7e]+", key):
        raise Refused(401, "1000", "Authentication failed: the key in the Authorization header is not well-formed")
    return _signed_with(key) if key.count(".") == 2 else key


def _signed_with(token: str) -> str:
    """The id of the key that a token was signed with. Source: zai-sdk 0.2.3; codes 1003, 1004."""
    try:
        claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
        key, ends = str(claims["api_key"]), float(claims["exp"])
    except (ValueError, KeyError, TypeError):
        return token  # a key may well have two dots
    if ends < time.time() * 1000:  # in milliseconds: a token by the standard ended in 1970
        raise Refused(401, "1003", "Authentication token expired, please regenerate or obtain a new one")
    return key


def check(body: Any, *, is_coding: bool = False) -> None:
    """Raise ``Refused`` for the first rule that a request body breaks.

    Args:
        body: The parsed JSON.
        is_coding: Whether it came to the Coding Plan's endpoint, which forgives more about thinking.
    """
    if not is_object(body):
        raise Refused(400, "1210", "The request body must be a JSON object")
    asked = Asked(body=body, is_coding=is_coding)
    for rule in RULES:
        sentence = next(iter(rule.find(asked)), None)
        if sentence is not None:
            raise Refused(rule.status, rule.code, sentence)


def _missing(asked: Asked) -> Iterator[str]:
    for name in ("model", "messages"):
        if asked.body.get(name) is None:
            yield f"The parameter '{name}' was not received"


def _unknown(asked: Asked) -> Iterator[str]:
    yield from (
        f"Unknown parameter '{name}'" for name, value in asked.body.items() if name not in FIELDS and value is not None
    )


def _types(asked: Asked) -> Iterator[str]:
    for name, kind in FIELDS.items():
        value = asked.body.get(name)
        if value is not None and kind and not _KINDS[kind](value):
            yield f"The parameter '{name}' is illegal: it must be {kind}"


def _model(asked: Asked) -> Iterator[str]:
    if facts_of(asked.body["model"]) is None:
        yield f"The model '{asked.body['model']}' does not exist: check the model code"


def _ranges(asked: Asked) -> Iterator[str]:
    for name, (low, high) in RANGES.items():
        value = asked.body.get(name)
        if value is not None and not low <= value <= high:
            yield f"The parameter '{name}' is illegal: the valid range is [{low},{high}]"


def _lengths(asked: Asked) -> Iterator[str]:
    for name, (low, high) in LENGTHS.items():
        value = asked.body.get(name)
        if value is not None and not low <= len(value) <= high:
            yield f"The parameter '{name}' is illegal: it must have {low} to {high} characters"


def _max_tokens(asked: Asked) -> Iterator[str]:
    value = asked.body.get("max_tokens")
    if value is not None and not 1 <= value <= asked.facts.max_output:
        yield f"The parameter 'max_tokens' is illegal: the valid range is [1,{asked.facts.max_output}]"


def _stop(asked: Asked) -> Iterator[str]:
    words = array_in(asked.body, "stop")
    if len(words) > 4:
        yield "The parameter 'stop' is illegal: at most 4 stop words"
    if any(not isinstance(word, str) or not word for word in words):
        yield "The parameter 'stop' is illegal: it must hold non-empty strings"


def _response_format(asked: Asked) -> Iterator[str]:
    wanted = asked.body.get("response_format")
    if wanted is None:
        return
    if wanted.get("type") not in ("text", "json_object"):
        yield "The parameter 'response_format.type' is illegal: it must be 'text' or 'json_object'"
    yield from (f"Unknown parameter 'response_format.{name}'" for name in wanted if name != "type")


def _thinking(asked: Asked) -> Iterator[str]:
    thinking = asked.body.get("thinking")
    if thinking is None:
        return
    if thinking.get("type", "enabled") not in ("enabled", "disabled"):
        yield "The parameter 'thinking.type' is illegal: it must be 'enabled' or 'disabled'"
    if not isinstance(thinking.get("clear_thinking", True), bool):
        yield "The parameter 'thinking.clear_thinking' is illegal: it must be a boolean"
    yield from (f"Unknown parameter 'thinking.{name}'" for name in thinking if name not in ("type", "clear_thinking"))


def _disabled(asked: Asked) -> Iterator[str]:
    off = object_in(asked.body, "thinking").get("type") == "disabled"
    if off and asked.facts.thinking == "forced" and not asked.is_coding:
        yield "This model always engages in thinking and cannot be disabled; please use low, high, or max"


def _effort(asked: Asked) -> Iterator[str]:
    effort = asked.body.get("reasoning_effort")
    known = asked.facts.efforts
    if effort is not None and known and effort not in known and not asked.is_coding:
        yield f"The parameter 'reasoning_effort' is illegal: this model takes {', '.join(sorted(known))}"


def _word_check(asked: Asked) -> Iterator[str]:
    wanted = asked.body.get("sensitive_word_check")
    if wanted is not None and (wanted.get("type") != "ALL" or wanted.get("status") not in ("ENABLE", "DISABLE")):
        yield "The parameter 'sensitive_word_check' is illegal: type is 'ALL', status 'ENABLE' or 'DISABLE'"


def _meta(asked: Asked) -> Iterator[str]:
    for name, value in object_in(asked.body, "meta").items():
        if name not in ("user_info", "bot_info", "user_name", "bot_name"):
            yield f"Unknown parameter 'meta.{name}'"
        elif not isinstance(value, str):
            yield f"The parameter 'meta.{name}' is illegal: it must be a string"


RULES: tuple[Rule, ...] = (
    Rule("fields.required", "model and messages must be there", "OpenAPI; codes", 400, "1213", _missing),
    Rule("fields.type", "each field has its type", "OpenAPI; codes", 400, "1214", _types),
    Rule("model.known", "the model exists", "codes", 400, "1211", _model),
    Rule("fields.known", "no field that is in no schema", "OpenAPI; reports of 1210 for extras", 400, "1210", _unknown),
    Rule("fields.range", "temperature in [0,1], top_p in [0.01,1]", "OpenAPI", 400, "1214", _ranges),
    Rule("fields.length", "request_id has 6-64 characters, user_id 6-128", "OpenAPI", 400, "1214", _lengths),
    Rule("max_tokens.range", "max_tokens within the model's output limit", "model pages", 400, "1214", _max_tokens),
    Rule("stop.words", "at most four non-empty stop words", "OpenAPI", 400, "1214", _stop),
    Rule("response_format", "text or json_object, no schema", "OpenAPI", 400, "1214", _response_format),
    Rule("thinking.fields", "type enabled or disabled, clear_thinking", "OpenAPI", 400, "1214", _thinking),
    Rule("thinking.forced", "the 5.3 family cannot stop thinking", "seen on z.ai, 2026-08", 400, "1210", _disabled),
    Rule("thinking.effort", "effort values by model", "thinking guide, docs.z.ai 2026-09", 400, "1210", _effort),
    Rule("word_check", "type ALL, status ENABLE or DISABLE", "zai-sdk 0.2.3", 400, "1214", _word_check),
    Rule("meta", "texts for the four roles", "OpenAPI (charglm-4)", 400, "1214", _meta),
    *MESSAGE_RULES,
    *TOOL_RULES,
)
"""Every rule about a body, in the order of checking."""
