"""The keys of a configuration entry in every dialect, and what each one sets. Pure: one table, one function a key.

Source: Claude Code ``.mcp.json``, VS Code ``mcp.json``, Cursor ``mcp.json``, Gemini ``settings.json`` and Codex
``config.toml`` as documented in November 2026.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from glm_agent.mcp import names, values
from glm_agent.mcp.config import ServerConfig, Transport
from glm_agent.mcp.oauth_fields import read_oauth

_KINDS: Mapping[str, Transport] = {
    "stdio": "stdio",
    "local": "stdio",
    "http": "http",
    "https": "http",
    "remote": "http",
    "streamable": "http",
    "streamablehttp": "http",
    "sse": "sse",
}

_SAMPLING_TOKENS = 20_000
"""What ``"sampling": true`` allows a server in all."""

Field = Callable[[ServerConfig, str, Any, values.Context], ServerConfig]


def _command(config: ServerConfig, key: str, value: Any, context: values.Context) -> ServerConfig:
    if isinstance(value, list):
        words = values.texts(cast("list[object]", value), context, key)
        return replace(config, command=words[0] if words else "", args=(*words[1:], *config.args))
    return replace(config, command=values.text(value, context, key))


def _args(config: ServerConfig, key: str, value: Any, context: values.Context) -> ServerConfig:
    return replace(config, args=(*config.args, *values.texts(value, context, key)))


def _env(config: ServerConfig, key: str, value: Any, context: values.Context) -> ServerConfig:
    return replace(config, env={**config.env, **values.mapping(value, context, key)})


def _env_vars(config: ServerConfig, key: str, value: Any, context: values.Context) -> ServerConfig:
    """Names of our own variables to pass on; those that are not set are left out."""
    environ = context.variables.environ
    passed = {name: environ[name] for name in values.texts(value, context, key) if name in environ}
    return replace(config, env={**passed, **config.env})


def _env_file(config: ServerConfig, key: str, value: Any, context: values.Context) -> ServerConfig:
    path = context.variables.folder / Path(values.text(value, context, key)).expanduser()
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        context.fail(key, says=f"cannot be read: {error}")
    pairs = (line.strip().removeprefix("export ").partition("=") for line in lines if not line.lstrip().startswith("#"))
    read = {name.strip(): _unquoted(text.strip()) for name, equals, text in pairs if equals}
    return replace(config, env={**read, **config.env})


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def _cwd(config: ServerConfig, key: str, value: Any, context: values.Context) -> ServerConfig:
    return replace(config, cwd=values.text(value, context, key))


def _url(config: ServerConfig, key: str, value: Any, context: values.Context) -> ServerConfig:
    return replace(config, url=values.text(value, context, key))


def _headers(config: ServerConfig, key: str, value: Any, context: values.Context) -> ServerConfig:
    return replace(config, headers={**config.headers, **values.mapping(value, context, key)})


def _env_headers(config: ServerConfig, key: str, value: Any, context: values.Context) -> ServerConfig:
    named = values.mapping(value, context, key)
    found = {header: values.variable(name, context, key, header) for header, name in named.items()}
    return replace(config, headers={**config.headers, **found})


def _bearer(config: ServerConfig, key: str, value: Any, context: values.Context) -> ServerConfig:
    token = values.variable(value, context, key)
    return replace(config, headers={**config.headers, "Authorization": f"Bearer {token}"})


def _transport(config: ServerConfig, key: str, value: Any, context: values.Context) -> ServerConfig:
    word = values.text(value, context, key)
    transport = _KINDS.get(word.lower().replace("-", "").replace("_", ""))
    if transport is None:
        context.fail(key, says=f"is {word!r}. Write one of stdio, http, sse")
    return replace(config, transport=transport)


def _allow(config: ServerConfig, key: str, value: Any, context: values.Context) -> ServerConfig:
    if key == "tools" and isinstance(value, Mapping):
        return config  # Codex keeps approval modes of single tools here.
    return replace(config, allow=values.texts(value, context, key))


def _deny(config: ServerConfig, key: str, value: Any, context: values.Context) -> ServerConfig:
    return replace(config, deny=values.texts(value, context, key))


def _prefix(config: ServerConfig, key: str, value: Any, context: values.Context) -> ServerConfig:
    prefix = values.text(value, context, key)
    if prefix and names.clean(prefix) != prefix:
        context.fail(key, says=f"is {prefix!r}. Use letters, digits, '_' and '-' only")
    return replace(config, prefix=prefix)


def _timeout(config: ServerConfig, key: str, value: Any, context: values.Context) -> ServerConfig:
    return replace(config, timeout_seconds=_seconds(values.number(value, context, key), key, context))


def _task_timeout(config: ServerConfig, key: str, value: Any, context: values.Context) -> ServerConfig:
    return replace(config, task_timeout_seconds=_seconds(values.number(value, context, key), key, context))


def _startup(config: ServerConfig, key: str, value: Any, context: values.Context) -> ServerConfig:
    return replace(config, startup_timeout_seconds=_seconds(values.number(value, context, key), key, context))


def _seconds(number: float, key: str, context: values.Context) -> float:
    """Seconds that a number means: the key may name its unit, else the dialect does."""
    if key.endswith(("_sec", "_seconds", "Seconds")):
        return number
    if key.endswith(("_ms", "Ms")):
        return number / 1000
    # Cline counts in seconds where the others count in milliseconds, and nobody means half a second.
    return number if number < 1000 else number * context.seconds_per_unit


def _trust(config: ServerConfig, key: str, value: Any, context: values.Context) -> ServerConfig:
    return replace(config, is_trusted=values.flag(value, context, key))


def _optional(config: ServerConfig, key: str, value: Any, context: values.Context) -> ServerConfig:
    is_set = values.flag(value, context, key)
    return replace(config, is_optional=is_set if key == "optional" else not is_set)


def _sampling(config: ServerConfig, key: str, value: Any, context: values.Context) -> ServerConfig:
    if isinstance(value, bool):
        return replace(config, sampling_tokens=_SAMPLING_TOKENS if value else 0)
    return replace(config, sampling_tokens=int(values.number(value, context, key)))


def _resources(config: ServerConfig, key: str, value: Any, context: values.Context) -> ServerConfig:
    return replace(config, offers_resources=values.flag(value, context, key))


def _oauth(config: ServerConfig, key: str, value: Any, context: values.Context) -> ServerConfig:
    return replace(config, oauth=read_oauth(value, context, key))


SAYS_TRANSPORT = ("type", "transport", "transportType")

FIELDS: Mapping[str, Field] = {
    **dict.fromkeys(SAYS_TRANSPORT, _transport),
    "command": _command,
    "args": _args,
    "env": _env,
    "environment": _env,
    "env_vars": _env_vars,
    "envFile": _env_file,
    **dict.fromkeys(("cwd", "workingDirectory"), _cwd),
    **dict.fromkeys(("url", "httpUrl", "serverUrl"), _url),
    **dict.fromkeys(("headers", "http_headers"), _headers),
    "env_http_headers": _env_headers,
    "bearer_token_env_var": _bearer,
    **dict.fromkeys(("allow", "tools", "includeTools", "allowedTools", "enabled_tools", "enabledTools"), _allow),
    **dict.fromkeys(("deny", "excludeTools", "excludedTools", "disabled_tools", "disabledTools"), _deny),
    **dict.fromkeys(("prefix", "toolPrefix"), _prefix),
    **dict.fromkeys(("timeout", "timeout_seconds", "timeoutSeconds", "tool_timeout_sec", "toolTimeout"), _timeout),
    **dict.fromkeys(
        ("startup_timeout", "startupTimeout", "startup_timeout_sec", "startup_timeout_ms", "startup_timeout_seconds"),
        _startup,
    ),
    **dict.fromkeys(("task_timeout", "taskTimeout", "task_timeout_seconds"), _task_timeout),
    **dict.fromkeys(("trust", "trusted"), _trust),
    **dict.fromkeys(("optional", "required"), _optional),
    "sampling": _sampling,
    "resources": _resources,
    "oauth": _oauth,
}

NOT_ACTED_ON: Mapping[str, str] = {
    **dict.fromkeys(
        ("autoApprove", "alwaysAllow", "default_tools_approval_mode"),
        "what may run without asking is said in the permissions",
    ),
    **dict.fromkeys(("auth", "scopes", "oauth_resource"), "write it into 'oauth', or put a token into 'headers'"),
    "headersHelper": "put the header into 'headers', from a variable",
    **dict.fromkeys(("sandbox", "sandboxEnabled"), "the server runs without a sandbox of ours"),
    **dict.fromkeys(("dev", "keep_alive", "supports_parallel_tool_calls"), "it changes nothing here"),
}

FOR_PEOPLE = frozenset({"name", "title", "description", "icon", "gallery", "version", "comment", "_comment", "//"})
"""Keys that say nothing to a program."""
