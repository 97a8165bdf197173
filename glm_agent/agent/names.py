"""Names to objects: models, tools, servers, policies. Porches are imported here, at first use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glm_agent.errors import ConfigurationError
from glm_agent.messages import JsonObject
from glm_agent.permissions import Policy
from glm_agent.registry import Tools
from glm_agent.registry.asking import Asker
from glm_agent.wire.hosted import HostedTool

if TYPE_CHECKING:
    from glm_agent.mcp.servers import MCPServers
    from glm_agent.models.output import Output
    from glm_agent.registry.results import KeptResults


def listed(given: Any, *, argument: str) -> list[Any]:
    """Many things as a list. One thing where many belong is a slip: a text would be taken letter by letter."""
    if isinstance(given, str | Path | Mapping) or not isinstance(given, Iterable):
        raise ConfigurationError(f"{argument}= takes a list, and got {given!r}: write {argument}=[…] around it")
    return [*given]  # pyright: ignore[reportUnknownVariableType]


def servers_maker(servers: Iterable[Any], *, ask: Asker | None = None) -> Callable[[], MCPServers | None]:
    """What makes the MCP servers of one event loop; their configuration is read now.

    ``ask`` answers the questions of the servers; without it they are told that nobody is there.
    """
    given = listed(servers, argument="mcp_servers")
    if not given:
        return lambda: None
    from glm_agent.mcp import remembered
    from glm_agent.mcp.callbacks import Callbacks
    from glm_agent.mcp.elicitation import decline
    from glm_agent.mcp.servers import MCPServers
    from glm_agent.mcp.sources import read_servers

    configs, warnings = read_servers(given)
    callbacks = Callbacks(elicit=ask or decline)
    return lambda: MCPServers(configs, warnings=warnings, callbacks=callbacks, memory=remembered.of_user())


async def searched(tools: Tools, *, model: str, share: float) -> Tools:
    """The tools, those of MCP servers behind a search where they would take more than the share of the context."""
    from glm_agent.mcp.deferred import deferring
    from glm_agent.models.catalog import lookup

    return await deferring(tools, context_tokens=lookup(model).context_tokens, share=share)


def split_hosted(given: Iterable[Any]) -> tuple[list[Any], tuple[JsonObject, ...]]:
    """Our tools, and the entries of those that the provider runs."""
    items = listed(given, argument="tools")
    hosted = tuple(item.entry for item in items if isinstance(item, HostedTool))
    return [item for item in items if not isinstance(item, HostedTool)], hosted


def tools(given: Iterable[Any]) -> tuple[Any, ...]:
    """Functions and tools as they are, each once, names loaded; a broken plugin that was named is an error."""
    found: list[Any] = []
    for item in given:
        if not isinstance(item, str | Path):
            found.append(item)
            continue
        from glm_agent.plugins import load_tools

        loaded = load_tools([str(item)])
        if loaded.broken:
            raise ConfigurationError(f"the tools {str(item)!r} cannot be loaded: {loaded.broken[0]}")
        found.extend(loaded.tools)
    return tuple({id(item): item for item in found}.values())


def output(kind: Any) -> Output | None:
    """What final answers must be: by a type, a JSON Schema or a file with one; None for plain text."""
    if kind is None or kind is str:
        return None
    from glm_agent.models.output import OutputSchema

    source = "output_type="
    if isinstance(kind, str | Path):
        source, kind = f"the file {str(kind)!r}", _yaml_mapping(Path(kind), example='{"type": "object"}')
    if not isinstance(kind, Mapping):
        return _output_type(kind)
    try:
        return OutputSchema(dict(kind))  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    except ValueError as error:
        raise ConfigurationError(f"{source} holds no JSON Schema: {error}") from error


def _output_type(kind: Any) -> Output:
    from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError

    from glm_agent.models.output import OutputType

    try:
        found = OutputType(kind)
        assert found.instructions  # its JSON Schema can be made
    except (PydanticUserError, PydanticUndefinedAnnotation, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigurationError(
            f"output_type= takes a type that JSON can hold, and got {kind!r} ({reason}):"
            " write output_type=int, list[str], a class with annotated fields, or a JSON Schema as a mapping"
        ) from error
    return found


def policy(given: Policy | Mapping[str, Any] | str | Path | None) -> Policy:
    """The policy itself, or read from a mapping or a YAML file."""
    if given is None:
        return Policy()
    if isinstance(given, Policy):
        return given
    if isinstance(given, Mapping):
        return Policy.from_mapping(given, source="permissions")
    if not isinstance(given, str | Path):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError(f"permissions= takes a Policy, a mapping or a YAML file, and got {given!r}")
    return Policy.from_mapping(_yaml_mapping(Path(given), example='deny: ["git__*"]'), source=str(given))


def results(keep: bool | None, folder: Path | None) -> AbstractContextManager[KeptResults | None]:
    """Where results too long for the model are kept: with the session, else in a folder that goes with the run."""
    if keep is False or (keep is None and folder is None):
        return nullcontext()
    from glm_agent.registry.results import KeptResults  # and with it pydantic, at first use

    return closing(KeptResults(folder))


def _yaml_mapping(path: Path, *, example: str) -> Mapping[str, Any]:
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"the file {str(path)!r} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, ValueError) as error:  # no UTF-8, or a null byte in the name
        raise ConfigurationError(f"the file {str(path)!r} is not YAML: {error}") from error
    if not isinstance(content, Mapping):
        raise ConfigurationError(f"the file {str(path)!r} must hold a mapping, such as '{example}'")
    return content  # pyright: ignore[reportUnknownVariableType]
