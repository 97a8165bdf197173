"""The keys of a configuration entry in every dialect, and what each one sets. Pure: one table, one function a key.

Source: Claude Code ``.mcp.json``, VS Code ``mcp.json``, Cursor ``mcp.json``, Windsurf ``mcp_config.json``, Gemini
``settings.json``, Codex ``config.toml``, Zed ``settings.json``, OpenCode ``opencode.json`` and Copilot CLI
``mcp-config.json`` as documented in November 2026.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, cast

from glm_agent.mcp import http_fields, names, values
from glm_agent.mcp.config import ServerConfig, Transport
from glm_agent.mcp.home import expanded

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

_MODERN = "2026-07-28"
"""From here on a server cannot ask during a call by itself; some that can say they speak this."""

Field = Callable[[ServerConfig, str, Any, values.Context], ServerConfig]


def _command(config: ServerConfig, key: str, value: Any, context: values.Context) -> ServerConfig:
    if isinstance(value, list):
        words = values.texts(cast("list[object]", value), context, key)
        return replace(config, command=words[0] if words else "", args=(*words[1:], *config.args))
    if isinstance(value, Mapping) and "path" in cast("Mapping[str, object]", value):
        # Zed until 2025: the program with its arguments and its environment in an object of its own.
        parts = cast("Mapping[str, Any]", value)
        config = _command(config, key, parts.get("path"), context)
        config = _args(config, key, parts.get("args", []), context)
        return _env(config, key, parts.get("env") or {}, context)
    return replace(config, command=values.text(cast(object, value), context, key))


def _args(config: ServerConfig, key: str, value: Any, context: values.Context) -> ServerConfig:
    return replace(config, args=(*config.args, *values.texts(value, context, key)))


def _env(config: ServerConfig, key: str, value: Any, context: values.Context) -> ServerConfig:
    return replace(config, env={**config.env, **values.mapping(value, context, key)})


def _env_vars(config: ServerConfig, key: str, value: Any, context: values.Context) -> ServerConfig:
    """Names of our own variables to pass on; those that are not set are left out."""
    environ = context.variables.environ
    names_ = [_name_of(item) for item in cast("list[object]", value)] if isinstance(value, list) else value
    passed = {name: environ[name] for name in values.texts(names_, context, key) if name in environ}
    return replace(config, env={**passed, **config.env})


def _name_of(item: object) -> object:
    """A variable's name, also where it stands in a table of its own."""
    return cast("Mapping[str, object]", item).get("name") if isinstance(item, Mapping) else item


def _env_file(config: ServerConfig, key: str, value: Any, context: values.Context) -> ServerConfig:
    path = context.variables.folder / expanded(values.text(value, context, key))
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
    if isinstance(value, Mapping):
        parts = cast("Mapping[str, Any]", value)
        config = _startup(config, key, parts["startup"], context) if "startup" in parts else config
        return _timeout(config, key, parts["request"], context) if "request" in parts else config
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


def _max_message(config: ServerConfig, key: str, value: Any, context: values.Context) -> ServerConfig:
    return replace(config, max_message_bytes=max(1, int(values.number(value, context, key) * 2**20)))


def _protocol(config: ServerConfig, key: str, value: Any, context: values.Context) -> ServerConfig:
    version = values.text(value, context, key)
    if not re.fullmatch(r"20\d\d-\d\d-\d\d", version):
        context.fail(key, says=f"is {version!r}. Write a version, which is a date: 2025-11-25")
    return replace(config, is_legacy=version < _MODERN)


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


def _skills(config: ServerConfig, key: str, value: Any, context: values.Context) -> ServerConfig:
    return replace(config, offers_skills=values.flag(value, context, key))


def _roots(config: ServerConfig, key: str, value: Any, context: values.Context) -> ServerConfig:
    folder = context.variables.folder
    named = values.texts(value, context, key)
    return replace(config, roots=tuple(str(folder / expanded(name)) for name in named))


SAYS_TRANSPORT = ("type", "transport", "transportType")

FIELDS: Mapping[str, Field] = {
    **dict.fromkeys(SAYS_TRANSPORT, _transport),
    "command": _command,
    "args": _args,
    "env": _env,
    "environment": _env,
    "env_vars": _env_vars,
    "envFile": _env_file,
    **dict.fromkeys(("cwd", "workingDirectory", "working_directory"), _cwd),
    **dict.fromkeys(("url", "httpUrl", "serverUrl", "baseUrl"), http_fields.url),
    **dict.fromkeys(("headers", "http_headers"), http_fields.headers),
    "requestOptions": http_fields.request_options,
    "env_http_headers": http_fields.env_headers,
    "bearer_token_env_var": http_fields.bearer,
    "bearer_token": http_fields.token,
    "auth": http_fields.auth,
    **dict.fromkeys(
        ("allow", "tools", "includeTools", "allowedTools", "allowed_tools", "enabled_tools", "enabledTools"), _allow
    ),
    **dict.fromkeys(("deny", "excludeTools", "excludedTools", "disabled_tools", "disabledTools", "deniedTools"), _deny),
    **dict.fromkeys(("prefix", "toolPrefix"), _prefix),
    **dict.fromkeys(("timeout", "timeout_seconds", "timeoutSeconds", "tool_timeout_sec", "toolTimeout"), _timeout),
    **dict.fromkeys(
        ("startup_timeout", "startupTimeout", "startup_timeout_sec", "startup_timeout_ms", "startup_timeout_seconds"),
        _startup,
    ),
    **dict.fromkeys(("task_timeout", "taskTimeout", "task_timeout_seconds"), _task_timeout),
    **dict.fromkeys(("max_message_mb", "maxMessageMb"), _max_message),
    **dict.fromkeys(("trust", "trusted"), _trust),
    **dict.fromkeys(("optional", "required"), _optional),
    "protocol": _protocol,
    "sampling": _sampling,
    "resources": _resources,
    "skills": _skills,
    "roots": _roots,
    "oauth": http_fields.oauth,
}

_NOTHING = "it changes nothing here"

NOT_ACTED_ON: Mapping[str, str] = {
    **dict.fromkeys(
        ("autoApprove", "alwaysAllow", "default_tools_approval_mode", "disabledAutoApproveTools"),
        "what may run without asking is said in the permissions",
    ),
    **dict.fromkeys(
        ("scopes", "oauth_resource", "authProviderType", "targetAudience", "targetServiceAccount", "authentication"),
        "write it into 'oauth', or put a token into 'headers'",
    ),
    "headersHelper": "put the header into 'headers', from a variable",
    **dict.fromkeys(("sandbox", "sandboxEnabled"), "the server runs without a sandbox of ours"),
    **dict.fromkeys(("dev", "keep_alive", "keepAlive", "supports_parallel_tool_calls", "alwaysLoad"), _NOTHING),
    **dict.fromkeys(("watchPaths", "settings", "start_on_launch", "sse_read_timeout"), _NOTHING),
    **dict.fromkeys(("include_tags", "exclude_tags", "registryUrl"), _NOTHING),
}

FOR_PEOPLE = frozenset({"$schema", "id", "name", "title", "description", "icon", "logoUrl", "tags", "provider"}) | {
    *("gallery", "version", "source", "comment", "_comment", "//", "notes"),
}
"""Keys that say nothing to a program."""
