"""The client under test of the MCP conformance suite: python client.py URL.

The suite names a scenario in MCP_CONFORMANCE_SCENARIO and gives data in MCP_CONFORMANCE_CONTEXT. Nothing here knows
the protocol: what a scenario asks for is chosen, and ``glm_agent.mcp`` does it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import anyio
import httpx2

from glm_agent.errors import MCPServerError
from glm_agent.mcp.authorization import IdentityProvider, OAuth
from glm_agent.mcp.callbacks import Callbacks
from glm_agent.mcp.config import ServerConfig
from glm_agent.mcp.elicitation import accept_defaults
from glm_agent.mcp.failure import Refused
from glm_agent.mcp.server import ServerConnection
from glm_agent.mcp.token_store import MemoryTokens

SCENARIO = os.environ.get("MCP_CONFORMANCE_SCENARIO", "")
CONTEXT: dict[str, Any] = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT") or "{}")
METADATA_URL = "https://conformance-test.local/client-metadata.json"
ARGUMENTS: Mapping[str, Mapping[str, Any]] = {"add_numbers": {"a": 5, "b": 3}}


class Redirected:
    """A person who agrees to everything: the suite's login page answers with a redirect at once."""

    redirect_uri = "http://localhost:3000/callback"

    async def authorize(self, url: str) -> Mapping[str, str]:
        async with httpx2.AsyncClient() as client:
            response = await client.get(url, follow_redirects=False)
        return dict(parse_qsl(urlsplit(response.headers["location"]).query))


def oauth() -> OAuth:
    """The authorization that the scenario's data describe."""
    client = {key: CONTEXT[key] for key in ("client_id", "client_secret") if key in CONTEXT}
    match SCENARIO:
        case "auth/client-credentials-jwt":
            return OAuth(
                grant="client_credentials",
                client_authentication="private_key_jwt",
                private_key=CONTEXT["private_key_pem"],
                signing_algorithm=CONTEXT["signing_algorithm"],
                **client,
            )
        case "auth/client-credentials-basic":
            return OAuth(grant="client_credentials", **client)
        case "auth/wif-jwt-bearer":
            return OAuth(grant="jwt_bearer", assertion=CONTEXT["valid_jwt"], **client)
        case "auth/enterprise-managed-authorization":
            identity = IdentityProvider(
                token_endpoint=CONTEXT["idp_token_endpoint"],
                client_id=CONTEXT["idp_client_id"],
                id_token=CONTEXT["idp_id_token"],
            )
            return OAuth(grant="enterprise", identity_provider=identity, **client)
        case _:
            return OAuth(client_metadata_url=METADATA_URL, is_dpop=SCENARIO.startswith("auth/dpop"), **client)


async def call_tools(server: ServerConnection) -> None:
    """Call what the server offers, with the arguments that the scenario names, or its schema asks for."""
    tools = {tool.name: tool for tool in await server.tools()}
    calls = CONTEXT.get("toolCalls") or [
        {"name": name, "arguments": ARGUMENTS.get(name) or arguments(tool.input_schema)} for name, tool in tools.items()
    ]
    for call in calls:
        try:
            await server.call(call["name"], call["arguments"])
        except Refused as error:
            print(f"{call['name']}: {error}", file=sys.stderr)


def arguments(schema: dict[str, Any]) -> dict[str, Any]:
    """One value for each argument that is required."""
    values: dict[str, Any] = {"string": "text", "integer": 1, "number": 1, "boolean": True, "object": {}, "array": []}
    properties = schema.get("properties", {})
    return {name: values.get(properties.get(name, {}).get("type"), "text") for name in schema.get("required", [])}


async def echo_schemas(server: ServerConnection) -> None:
    """Send the schema of each tool back as it came."""
    tools = await server.tools()
    for tool in tools:
        print(tool.name, json.dumps(tool.input_schema), file=sys.stderr)
    for tool in tools:
        await server.call(tool.name, {name: first_schema(tools) for name in tool.input_schema.get("properties", {})})


def first_schema(tools: Any) -> dict[str, Any]:
    return dict(tools[0].input_schema)


async def load_skills(server: ServerConnection) -> None:
    for skill in await server.skills():
        if not SCENARIO.endswith("no-prefetch"):
            try:
                await server.load_skill(skill)
            except MCPServerError as error:
                print(f"{skill.name}: {error}", file=sys.stderr)


async def main() -> None:
    config = ServerConfig(name="suite", transport="http", url=sys.argv[-1], oauth=oauth(), timeout_seconds=25)
    if SCENARIO == "auth/enterprise-managed-authorization":
        config = replace(config, oauth=replace(oauth(), issuer=await issuer(config.url)))
    callbacks = Callbacks(elicit=accept_defaults, login=Redirected(), tokens=MemoryTokens())
    server = ServerConnection(config, callbacks=callbacks)
    try:
        if SCENARIO.startswith("sep-2640"):
            await load_skills(server)
        elif SCENARIO == "json-schema-2020-12-preservation":
            await echo_schemas(server)
        else:
            await call_tools(server)
    finally:
        await server.aclose()


async def issuer(url: str) -> str:
    """The authorization server of the suite, which an enterprise would have configured."""
    parts = urlsplit(url)
    async with httpx2.AsyncClient() as client:
        found = await client.get(f"{parts.scheme}://{parts.netloc}/.well-known/oauth-protected-resource{parts.path}")
    return str(found.json()["authorization_servers"][0])


if __name__ == "__main__":
    anyio.run(main)
