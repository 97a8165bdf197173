"""``ModelSettings`` -> the request's fields, as the model and the host at hand spell them.

Nothing is clamped in silence: a value that the server would refuse is refused here, before any I/O.
What a host has no word for (``do_sample`` outside Zhipu's servers) is left out.

Source: OpenAPI of docs.bigmodel.cn, 2026-07-11; thinking and effort per model: docs.z.ai, October 2026.
"""

from __future__ import annotations

from glm_agent.errors import ConfigurationError
from glm_agent.messages import JsonObject, ModelSettings
from glm_agent.wire.capabilities import Capabilities
from glm_agent.wire.dialects import Dialect

_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_NEAREST = {"none": "low", "minimal": "low", "medium": "high", "xhigh": "max"}
"""What the 5.3 family makes of the words it does not have. Source: the Coding endpoint's mapping."""
_META = frozenset({"user_info", "bot_info", "user_name", "bot_name"})


def settings_fields(
    settings: ModelSettings, *, model: str, capabilities: Capabilities, dialect: Dialect, has_tools: bool
) -> JsonObject:
    """The fields of the request that follow from the settings; ``ConfigurationError`` on a bad value."""
    _check(settings, model, capabilities)
    fields: JsonObject = {
        "temperature": _float(settings.temperature),
        "top_p": _float(settings.top_p),
        "max_tokens": settings.max_tokens,
        "stop": list(settings.stop) or None,
        "response_format": {"type": settings.response_format} if settings.response_format else None,
        **dialect.always,
        **_thinking(settings, model, capabilities, dialect),
    }
    if dialect.is_native:
        fields["do_sample"] = settings.do_sample
        fields["user_id"] = settings.user_id
        fields["watermark_enabled"] = settings.watermark_enabled
        fields["sensitive_word_check"] = _word_check(settings.sensitive_word_check)
        fields["meta"] = settings.meta or None
        fields["tool_stream"] = True if settings.tool_stream and has_tools and capabilities.tool_stream else None
    else:
        fields["user"] = settings.user_id
    return {name: value for name, value in fields.items() if value is not None}


def effort(settings: ModelSettings, model: str, capabilities: Capabilities) -> str | None:
    """The word for ``reasoning_effort`` that this model has for the wanted one; None: none is sent."""
    wanted = settings.reasoning_effort
    if settings.thinking is False and capabilities.thinking == "forced":
        wanted = "low"
    if wanted is None or capabilities.thinking == "none":
        return None
    known = capabilities.efforts
    if known is None or wanted in known:
        return wanted
    if not known:
        return None
    if wanted not in _NEAREST:
        raise _refused("reasoning_effort", wanted, f"one of {', '.join(known)}", model)
    return _NEAREST[wanted]


def _word_check(is_wanted: bool | None) -> JsonObject | None:
    return None if is_wanted is None else {"type": "ALL", "status": "ENABLE" if is_wanted else "DISABLE"}


def _is_off(settings: ModelSettings, capabilities: Capabilities) -> bool:
    """Whether thinking is to be switched off, by this model's own means."""
    if capabilities.thinking == "forced":
        return False
    # Where a model has the toggle only, no effort means no thinking.
    return settings.thinking is False or (
        settings.thinking is None and settings.reasoning_effort == "none" and capabilities.efforts == ()
    )


def _thinking(settings: ModelSettings, model: str, capabilities: Capabilities, dialect: Dialect) -> JsonObject:
    if capabilities.thinking == "none":
        return {}
    is_off, word = _is_off(settings, capabilities), effort(settings, model, capabilities)
    match dialect.spelling:
        case "glm":
            on: JsonObject = {"type": "enabled", "clear_thinking": settings.clear_thinking}
            return {"thinking": {"type": "disabled"}} if is_off else {"thinking": on, "reasoning_effort": word}
        case "openrouter":
            return {"reasoning": _openrouter(settings, word, is_off=is_off)}
        case "chat_template":
            kwargs: JsonObject = {"enable_thinking": not is_off, "clear_thinking": settings.clear_thinking}
            return {"chat_template_kwargs": kwargs, "reasoning_effort": None if is_off else word}
        case "dashscope":
            return {"enable_thinking": not is_off, "reasoning_effort": None if is_off else word}
        case "cerebras":
            return {"clear_thinking": settings.clear_thinking, "disable_reasoning": is_off or None}


def _openrouter(settings: ModelSettings, word: str | None, *, is_off: bool) -> JsonObject | None:
    if is_off:
        return {"enabled": False}
    if word is not None:
        return {"effort": "xhigh" if word == "max" else word}
    return {"enabled": True} if settings.thinking else None


def _check(settings: ModelSettings, model: str, capabilities: Capabilities) -> None:
    most = capabilities.max_output_tokens
    _check_range("temperature", settings.temperature, 0, 1, model)
    _check_range("top_p", settings.top_p, 0.01, 1, model)
    _check_range("max_tokens", settings.max_tokens, 1, most, model)
    if len(settings.stop) > 4 or not all(settings.stop):
        raise _refused("stop", list(settings.stop), "at most 4 words, none of them empty", model)
    if settings.user_id is not None and not 6 <= len(settings.user_id) <= 128:
        raise _refused("user_id", settings.user_id, "6 to 128 characters", model)
    if settings.reasoning_effort is not None and capabilities.efforts is not None:
        words = (*_EFFORTS, *capabilities.efforts)
        if settings.reasoning_effort not in words:
            raise _refused("reasoning_effort", settings.reasoning_effort, f"one of {', '.join(_EFFORTS)}", model)
    if settings.meta is not None and not (settings.meta.keys() <= _META and _are_texts(settings.meta)):
        raise _refused("meta", settings.meta, f"texts for {', '.join(sorted(_META))}", model)
    if settings.thinking and capabilities.thinking == "none":
        raise _refused("thinking", True, "not set, since the model does not think", model)


def _float(value: float | None) -> float | None:
    """Also of an integer, which would be written otherwise once the settings have been stored."""
    return None if value is None else float(value)


def _are_texts(values: JsonObject) -> bool:
    return all(isinstance(value, str) for value in values.values())


def _check_range(name: str, value: float | None, low: float, high: float, model: str) -> None:
    # Written so that NaN is refused too.
    if value is not None and not low <= value <= high:
        raise _refused(name, value, f"{low:g} to {high:g}" if high <= 1 else f"{low} to {high}", model)


def _refused(name: str, value: object, allowed: str, model: str) -> ConfigurationError:
    return ConfigurationError(f"the setting '{name}' is {value!r}, which model '{model}' does not accept: {allowed}")
