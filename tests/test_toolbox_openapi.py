"""APIs as tools: a real application that serves its own description, and the odd things descriptions hold."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import anyio
import pytest
import uvicorn
import yaml
from glm_agent_tools.openapi import openapi_tools
from glm_agent_tools.openapi_document import base_url_of, inlined, load_document, operations, read_document
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse
from starlette.responses import Response as AnyResponse
from starlette.routing import Route

from glm_agent import ConfigurationError
from glm_agent.messages import ToolResult
from glm_agent.testing import ToolTester

pytestmark = pytest.mark.anyio

ARTICLE = {
    "type": "object",
    "required": ["sku"],
    "properties": {
        "sku": {"type": "string", "minLength": 1},
        "units": {"type": "integer", "minimum": 0, "exclusiveMinimum": False},
        "note": {"type": "string", "nullable": True},
        "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Article"}},
    },
}

OK = {"200": {"description": "ok"}}
SKU = {"name": "sku", "in": "path", "required": True, "description": "Article number.", "schema": {"type": "string"}}
NUMBERS = {"type": "array", "items": {"type": "integer"}}

DESCRIPTION: dict[str, Any] = {
    "openapi": "3.0.3",
    "info": {"title": "The shop", "version": "1"},
    "servers": [{"url": "/{stage}", "variables": {"stage": {"default": "v1"}}}],
    "paths": {
        "/articles/{sku}": {
            "parameters": [{"$ref": "#/components/parameters/Sku"}],
            "get": {"operationId": "getArticle", "summary": "One article.", "responses": OK},
            "put": {
                "operationId": "replaceArticle",
                "summary": "Replace one.",
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Article"}}},
                },
                "responses": {"200": {"description": "It"}},
            },
            "delete": {"deprecated": True, "responses": {"204": {"description": "Gone"}}},
        },
        "/articles": {
            "get": {
                "operationId": "list-articles",
                "summary": "All of them.",
                "parameters": [
                    {"name": "tag", "in": "query", "schema": {"type": "array", "items": {"type": "string"}}},
                    {"name": "ids", "in": "query", "explode": False, "schema": NUMBERS},
                    {"name": "filter", "in": "query", "style": "deepObject", "schema": {"type": "object"}},
                    {"name": "X-Trace", "in": "header", "schema": {"type": "string"}},
                    {"name": "Authorization", "in": "header", "schema": {"type": "string"}},
                    {"name": "seen", "in": "cookie", "schema": {"type": "boolean"}},
                ],
                "responses": {"200": {"description": "They"}},
            },
            "post": {
                "operationId": "order",
                "requestBody": {"content": {"application/x-www-form-urlencoded": {"schema": {"type": "object"}}}},
                "responses": {"201": {"description": "Done"}},
            },
        },
        "/upload": {
            "post": {
                "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": {"type": "object"}}}},
                "responses": {"200": {"description": "Done"}},
            },
        },
        "/away": {"get": {"responses": {"302": {"description": "Elsewhere"}}}},
        "/health": {"get": {"responses": {"200": {"description": "ok"}}}},
    },
    "components": {
        "schemas": {"Article": ARTICLE},
        "parameters": {
            "Sku": SKU,
        },
    },
}  # fmt: skip


class Shop:
    """An application on a real port that says what it was asked, and serves its description."""

    def __init__(self) -> None:
        routes = [
            Route("/openapi.json", lambda _: JSONResponse(DESCRIPTION)),
            Route("/v1/away", lambda _: RedirectResponse("http://127.0.0.2/")),
            Route("/v1/health", lambda _: PlainTextResponse("fine")),
            Route("/v1/{rest:path}", self.echo, methods=["GET", "PUT", "POST", "DELETE"]),
        ]
        self.asked: list[dict[str, Any]] = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        config = uvicorn.Config(Starlette(routes=routes), log_level="error", lifespan="off")
        self.server = uvicorn.Server(config)

    async def echo(self, request: Request) -> AnyResponse:
        self.asked.append(
            {
                "call": f"{request.method} {request.scope['raw_path'].decode()}",
                "query": request.url.query,
                "body": (await request.body()).decode(),
                "headers": dict(request.headers),
            }
        )
        status = 404 if "missing" in request.url.path else 200
        return JSONResponse({"path": request.url.path}, status)


@pytest.fixture(scope="module")
def running() -> Generator[Shop]:
    shop = Shop()
    thread = threading.Thread(target=shop.server.run, kwargs={"sockets": [shop.socket]}, daemon=True)
    thread.start()
    yield shop
    shop.server.should_exit = True
    thread.join(60)
    shop.socket.close()


@pytest.fixture
def shop(running: Shop) -> Shop:
    running.asked.clear()
    return running


@pytest.fixture
def tester(shop: Shop) -> ToolTester:
    made = openapi_tools(
        DESCRIPTION, base_url=f"{shop.url}/v1/", headers={"X-Key": "${SHOP_KEY}"}, private=["127.0.0.1"]
    )
    return ToolTester(*made)


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_KEY", "s3cret")


async def ask(tester: ToolTester, name: str, **arguments: Any) -> ToolResult:
    with anyio.fail_after(60):
        return (await tester.call(name, **arguments)).result


# -- what the model is shown


def test_each_operation_becomes_a_tool_with_its_effect(tester: ToolTester) -> None:
    effects = {name: spec.effect for name, spec in tester.specs.items()}
    assert effects == {
        "get_article": "read",
        "replace_article": "idempotent",
        "delete_articles_sku": "idempotent",
        "list_articles": "read",
        "order": "write",
        "get_away": "read",
        "get_health": "read",
    }
    assert all(spec.is_untrusted for spec in tester.specs.values())
    assert tester.specs["delete_articles_sku"].description.endswith("Deprecated.")


def test_parameters_are_shown_without_references_and_without_keys(tester: ToolTester) -> None:
    replace = tester.specs["replace_article"].parameters
    assert replace["required"] == ["sku", "body"]
    assert replace["properties"]["sku"]["description"] == "Article number."
    shown = json.dumps(replace)
    assert "$ref" not in shown
    assert replace["properties"]["body"]["properties"]["units"] == {"type": "integer", "minimum": 0}
    listed = tester.specs["list_articles"].parameters["properties"]
    assert set(listed) == {"tag", "ids", "filter", "x_trace", "seen"}


# -- what is sent


async def test_values_go_where_they_belong(tester: ToolTester, shop: Shop) -> None:
    arguments = {"tag": ["a b", "c"], "ids": [1, 2], "filter": {"size": "XL"}, "x_trace": "t-1", "seen": True}
    result = await ask(tester, "list_articles", **arguments)
    assert json.loads(result.content) == {"status": 200, "body": {"path": "/v1/articles"}}
    (asked,) = shop.asked
    assert asked["call"] == "GET /v1/articles"
    assert asked["query"] == "tag=a+b&tag=c&ids=1%2C2&filter%5Bsize%5D=XL"
    assert (asked["headers"]["x-trace"], asked["headers"]["cookie"]) == ("t-1", "seen=true")
    assert asked["headers"]["x-key"] == "s3cret"
    assert "s3cret" not in str(tester.specs) + result.content


async def test_bodies_are_sent_as_json_or_as_a_form(tester: ToolTester, shop: Shop) -> None:
    await ask(tester, "replace_article", sku="A 1/ü", body={"sku": "A", "note": None})
    await ask(tester, "order", body={"sku": "A&B", "units": 2})
    await ask(tester, "order")
    first, second, third = shop.asked
    assert first["call"] == "PUT /v1/articles/A%201%2F%C3%BC"
    assert json.loads(first["body"]) == {"sku": "A", "note": None}
    assert first["headers"]["idempotency-key"] == "test-replace_article"
    assert second["body"] == "sku=A%26B&units=2"
    assert third["body"] == ""


async def test_an_error_of_the_api_is_an_answer(tester: ToolTester) -> None:
    result = await ask(tester, "get_article", sku="missing")
    assert json.loads(result.content)["status"] == 404
    assert json.loads((await ask(tester, "get_health")).content) == {"status": 200, "body": "fine"}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "body: 'sku' is a required property"),
        ({"sku": ""}, "body['sku']: "),
        ({"sku": "a", "units": -1}, "body['units']: -1"),
        ({"sku": "a", "parts": [{"units": 1}]}, "body['parts'][0]: 'sku' is a required"),
        ([], "body: [] is not of type 'object'"),
    ],
)
async def test_what_does_not_fit_is_not_sent(tester: ToolTester, shop: Shop, body: Any, said: str) -> None:
    result = await ask(tester, "replace_article", sku="A", body=body)
    assert result.is_error
    assert said in result.content
    assert "Nothing was sent" in result.content
    assert shop.asked == []


# -- attacks


@pytest.mark.parametrize("sku", ["..", ".", "", "...", "a\0b"])
async def test_a_value_does_not_change_the_path(tester: ToolTester, shop: Shop, sku: str) -> None:
    result = await ask(tester, "get_article", sku=sku)
    assert result.is_error
    assert shop.asked == []


async def test_a_value_stays_one_segment(tester: ToolTester, shop: Shop) -> None:
    await ask(tester, "get_article", sku="../../admin?x=1#y")
    assert shop.asked[0]["call"] == "GET /v1/articles/..%2F..%2Fadmin%3Fx%3D1%23y"
    result = await ask(tester, "list_articles", x_trace="a\r\nX-Key: forged")
    assert result.is_error
    assert len(shop.asked) == 1


async def test_the_api_cannot_send_the_agent_elsewhere(tester: ToolTester) -> None:
    result = await ask(tester, "get_away")
    assert result.is_error
    assert "'127.0.0.2' (port 80) is not among the hosts" in result.content


async def test_an_api_of_the_own_network_needs_a_word(shop: Shop) -> None:
    made = ToolTester(*openapi_tools(DESCRIPTION, base_url=f"{shop.url}/v1"))
    result = await ask(made, "get_health")
    assert "an address of this machine or its network" in result.content


async def test_a_key_that_is_not_set_is_said(tester: ToolTester, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHOP_KEY")
    assert "has to set SHOP_KEY" in (await ask(tester, "get_health")).content
    assert shop.asked == []


# -- documents


def test_a_reference_to_itself_ends_and_one_to_elsewhere_is_not_fetched() -> None:
    plain = inlined(DESCRIPTION, {"$ref": "#/components/schemas/Article"})
    part = plain["properties"]["parts"]["items"]
    assert part["properties"]["parts"] == {"type": "array", "items": {}}
    assert plain["properties"]["note"] == {"type": ["string", "null"]}
    assert inlined(DESCRIPTION, {"$ref": "http://127.0.0.1:9/x.json#/a"}) == {}
    assert inlined(DESCRIPTION, {"$ref": "other.json/components/schemas/Article"}) == {}
    assert inlined(DESCRIPTION | {"paths": {"x": 1}, "y": {"type": "string"}}, {"$ref": "x/y"}) == {}
    assert inlined({}, {"type": "integer", "minimum": 1, "exclusiveMinimum": True}) == {
        "type": "integer",
        "exclusiveMinimum": 1,
    }


def test_operations_are_chosen_by_name_or_path() -> None:
    assert [each.name for each in operations(DESCRIPTION, only=["get_*"])] == ["get_article", "get_away", "get_health"]
    assert [each.name for each in operations(DESCRIPTION, only=["POST /articles"])] == ["order"]
    with pytest.raises(ConfigurationError, match=r"no operation of 'the mapping' fits nothing"):
        openapi_tools(DESCRIPTION, base_url="http://x.example", only=["nothing"])


def test_the_address_comes_from_the_document_and_where_it_was() -> None:
    assert base_url_of(DESCRIPTION, source="https://shop.example/docs/openapi.json") == "https://shop.example/v1"
    with pytest.raises(ConfigurationError, match="'/v1' is not absolute: give base_url="):
        openapi_tools(DESCRIPTION)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "holds no object"),
        ('{"swagger": "2.0"}', "is Swagger 2.0: convert it"),
        ('{"openapi": "3.0.0"}', "is no OpenAPI 3.0 or 3.1 document"),
        ("a: [", "is neither JSON nor YAML"),
        ("", "holds no object"),
    ],
)
def test_what_is_no_description_is_said(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        read_document(text, source="x.json")


def test_a_description_of_today_is_read_from_yaml(tmp_path: Path) -> None:
    today = DESCRIPTION | {"openapi": "3.1.0", "paths": {"/x": {"get": {"responses": {200: {"description": "ok"}}}}}}
    today["info"] = {"title": "t", "version": "1", "description": "2026-11-22"}
    today["components"] = {"schemas": {"When": {"type": ["string", "null"], "const": None}}}
    (tmp_path / "api.yaml").write_text(yaml.safe_dump(today))
    assert [each.name for each in operations(load_document(tmp_path / "api.yaml"))] == ["get_x"]


# -- the command


def cli(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "glm_agent.cli", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False, input="")


def test_a_served_description_becomes_a_file_of_tools_that_an_agent_uses(shop: Shop, tmp_path: Path) -> None:
    options = ("--header", "X-Key: ${SHOP_KEY}", "--only", "get_*", "--private", "127.0.0.1")
    made = cli("tools", "from-openapi", f"{shop.url}/openapi.json", *options, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert made.stderr == "3 tools in the_shop.py; use them with: --tools ./the_shop.py\n"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["the_shop.openapi.json", "the_shop.py"]
    assert "s3cret" not in (tmp_path / "the_shop.py").read_text()
    task = 'call get_article {"sku": "A-1"}'
    answer = cli("run", task, "--tools", "./the_shop.py", "--model", "simulate:directive", cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert "/v1/articles/A-1" in answer.stdout
    assert shop.asked[0]["headers"]["x-key"] == "s3cret"
    again = cli("tools", "from-openapi", f"{shop.url}/openapi.json", cwd=tmp_path)
    assert (again.returncode, "is there already" in again.stderr) == (2, True)


@pytest.mark.parametrize("spec", ["missing.json", "http://127.0.0.1:9/openapi.json"])
def test_a_description_that_is_not_there_is_said(tmp_path: Path, spec: str) -> None:
    made = cli("tools", "from-openapi", spec, cwd=tmp_path)
    assert made.returncode == 2
    assert made.stderr.startswith("error: the ")
    assert list(tmp_path.iterdir()) == []
