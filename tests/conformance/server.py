"""The server under test of the MCP conformance suite: python server.py PORT.

``glm_agent.serve`` with the fixtures that the scenarios name. Most of them are plain tools of a registry; those that
ask the client something, and the resources and prompts, are written here in the SDK's words.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import anyio
from mcp import MCPError, types
from mcp.server.streamable_http import EventMessage, EventStore
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, PromptsListChanged, ToolsListChanged

from glm_agent import ToolContext, ToolRegistry, tool
from glm_agent.messages import AudioPart, ImagePart, ToolResult, ToolSpec
from glm_agent.registry import Tool
from glm_agent.serve.listen import serve_http
from glm_agent.serve.offers import Context, Offer, Outcome, Request
from glm_agent.serve.server import ToolServer

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
WAV = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
BUS = InMemorySubscriptionBus()


# -- tools of a registry


@tool
def greet(name: str) -> str:
    """Say hello."""
    return f"Hello, {name}!"


@tool(name="test_simple_text")
def simple_text() -> str:
    """A text."""
    return "This is a simple text response for testing."


@tool(name="test_error_handling")
def error_handling() -> str:
    """An error."""
    raise ValueError("This tool intentionally returns an error for testing")


@tool(name="test_tool_with_progress")
async def progress(context: ToolContext) -> str:
    """Progress."""
    for done in (0, 50, 100):
        context.progress(done=done, total=100)
        await anyio.sleep(0.05)
    return "done"


@tool
async def slow_compute(seconds: float = 1) -> str:
    """Wait."""
    await anyio.sleep(seconds)
    return f"computed for {seconds} s"


class Media(Tool):
    """A tool whose result is a picture or a sound."""

    def __init__(self, name: str, part: ImagePart | AudioPart) -> None:
        self.part = part
        self._spec = ToolSpec(name=name, description=name, parameters={"type": "object", "properties": {}})

    @property
    def spec(self) -> ToolSpec:
        return self._spec

    async def run(self, call: Any, context: ToolContext) -> ToolResult:
        return ToolResult(call_id=call.id, attachments=(self.part,))


REGISTRY = ToolRegistry(
    [
        greet,
        simple_text,
        error_handling,
        progress,
        slow_compute,
        Media("test_image_content", ImagePart(url=f"data:image/png;base64,{PNG}")),
        Media("test_audio_content", AudioPart(data=WAV)),
    ]
)


# -- tools that speak the protocol themselves

OFFERS: list[Offer] = []
OBJECT: dict[str, Any] = {"type": "object", "properties": {}}


def offered(name: str, schema: dict[str, Any] = OBJECT, **settings: Any) -> Callable[[Any], Any]:
    def add(run: Any) -> Any:
        definition = types.Tool(name=name, description=name.replace("_", " "), input_schema=schema)
        OFFERS.append(Offer(tool=definition, run=run, **settings))
        return run

    return add


def text(said: str) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(type="text", text=said)])


def form(message: str, properties: dict[str, Any], required: list[str] | None = None) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if required is not None:
        schema["required"] = required
    return {"method": "elicitation/create", "params": {"message": message, "requestedSchema": schema}}


def question(message: str, name: str, kind: str = "string") -> dict[str, Any]:
    return form(message, {name: {"type": kind}}, [name])


def sample(prompt: str, max_tokens: int) -> dict[str, Any]:
    content = {"role": "user", "content": {"type": "text", "text": prompt}}
    return {"method": "sampling/createMessage", "params": {"messages": [content], "maxTokens": max_tokens}}


def required(requests: dict[str, Any], state: str | None = None) -> types.InputRequiredResult:
    data: dict[str, Any] = {"resultType": "input_required", "inputRequests": requests}
    return types.InputRequiredResult.model_validate(data | ({"requestState": state} if state else {}))


def answers(request: Any) -> dict[str, Any]:
    """What the client has answered, with what is no answer left out."""
    given = request.params.input_responses or {}
    return {key: value for key, value in given.items() if value is not None}


def accepted(answer: Any) -> dict[str, Any]:
    return (answer.content or {}) if getattr(answer, "action", "") == "accept" else {}


@offered("test_embedded_resource")
async def embedded(request: Request) -> Outcome:
    resource = types.TextResourceContents(
        uri="test://embedded-resource", mime_type="text/plain", text="This is an embedded resource content."
    )
    return types.CallToolResult(content=[types.EmbeddedResource(type="resource", resource=resource)])


@offered("test_multiple_content_types")
async def mixed(request: Request) -> Outcome:
    resource = types.TextResourceContents(
        uri="test://mixed-content-resource", mime_type="application/json", text='{"test":"data","value":123}'
    )
    return types.CallToolResult(
        content=[
            types.TextContent(type="text", text="Multiple content types test:"),
            types.ImageContent(type="image", data=PNG, mime_type="image/png"),
            types.EmbeddedResource(type="resource", resource=resource),
        ]
    )


async def write_log(request: Request, said: str) -> None:
    await request.context.session.send_log_message("info", said, related_request_id=request.context.request_id)


@offered("test_tool_with_logging")
@offered("test_logging_tool")
async def logging_tool(request: Request) -> Outcome:
    for said in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await write_log(request, said)
        await anyio.sleep(0.05)
    return text("logged")


@offered("test_sampling", {"type": "object", "properties": {"prompt": {"type": "string"}}, "required": ["prompt"]})
async def sampling(request: Request) -> Outcome:
    content = types.TextContent(type="text", text=request.arguments["prompt"])
    message = types.SamplingMessage(role="user", content=content)
    said = await request.context.session.create_message(messages=[message], max_tokens=100)
    return text(f"LLM response: {getattr(said.content, 'text', said.content)}")


async def ask_form(request: Request, message: str, schema: dict[str, Any]) -> types.ElicitResult:
    return await request.context.session.elicit_form(message, schema, request.context.request_id)


@offered("test_elicitation", {"type": "object", "properties": {"message": {"type": "string"}}, "required": ["message"]})
async def elicitation(request: Request) -> Outcome:
    fields = {name: {"type": "string", "description": name} for name in ("username", "email")}
    schema = {"type": "object", "properties": fields, "required": ["username", "email"]}
    answer = await ask_form(request, request.arguments["message"], schema)
    return text(f"User response: action={answer.action}, content={json.dumps(answer.content)}")


DEFAULTS: dict[str, Any] = {
    "name": {"type": "string", "default": "John Doe"},
    "age": {"type": "integer", "default": 30},
    "score": {"type": "number", "default": 95.5},
    "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
    "verified": {"type": "boolean", "default": True},
}
ORDINALS = ("First", "Second", "Third")
OPTIONS = ["option1", "option2", "option3"]
ENUMS: dict[str, Any] = {
    "untitledSingle": {"type": "string", "enum": OPTIONS},
    "titledSingle": {
        "type": "string",
        "oneOf": [
            {"const": f"value{n}", "title": f"{t} Option"} for n, t in enumerate(("First", "Second", "Third"), 1)
        ],
    },
    "legacyEnum": {
        "type": "string",
        "enum": ["opt1", "opt2", "opt3"],
        "enumNames": ["Option One", "Option Two", "Option Three"],
    },
    "untitledMulti": {"type": "array", "items": {"type": "string", "enum": OPTIONS}},
    "titledMulti": {
        "type": "array",
        "items": {"anyOf": [{"const": f"value{n}", "title": f"{t} Choice"} for n, t in enumerate(ORDINALS, 1)]},
    },
}


@offered("test_elicitation_sep1034_defaults")
async def elicit_defaults(request: Request) -> Outcome:
    answer = await ask_form(request, "Please check", {"type": "object", "properties": DEFAULTS, "required": []})
    return text(f"Elicitation completed: action={answer.action}, content={json.dumps(answer.content)}")


@offered("test_elicitation_sep1330_enums")
async def elicit_enums(request: Request) -> Outcome:
    answer = await ask_form(request, "Please choose", {"type": "object", "properties": ENUMS, "required": []})
    return text(f"Elicitation completed: action={answer.action}, content={json.dumps(answer.content)}")


@offered("test_reconnection")
async def reconnection(request: Request) -> Outcome:
    if request.context.close_sse_stream is not None:
        await anyio.sleep(0.1)
        await request.context.close_sse_stream()
        await anyio.sleep(0.2)
    return text("Reconnection test completed successfully")


@offered("test_streaming_elicitation")
async def streaming_elicitation(request: Request) -> Outcome:
    return await input_elicitation(request)


@offered("test_missing_capability")
async def missing_capability(request: Request) -> Outcome:
    capabilities = request.context.session.client_capabilities
    if capabilities is None or capabilities.sampling is None:
        raise MCPError(-32021, "Client did not declare sampling", {"requiredCapabilities": {"sampling": {}}})
    return text("sampling is there")


@offered("test_trigger_tool_change")
async def tool_change(request: Request) -> Outcome:
    await BUS.publish(ToolsListChanged())
    return text("changed")


@offered("test_trigger_prompt_change")
async def prompt_change(request: Request) -> Outcome:
    await BUS.publish(PromptsListChanged())
    return text("changed")


@offered(
    "test_header_tool",
    {
        "type": "object",
        "properties": {
            "region": {"type": "string", "x-mcp-header": "Region"},
            "query": {"type": "string"},
        },
        "required": ["region"],
    },
)
async def header_tool(request: Request) -> Outcome:
    return text(json.dumps(request.arguments))


@offered(
    "json_schema_2020_12_tool",
    {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {
            "address": {
                "$anchor": "addressDef",
                "type": "object",
                "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
            }
        },
        "properties": {
            "name": {"type": "string"},
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": {"type": "string"},
            "email": {"type": "string"},
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": False,
    },
)
async def json_schema(request: Request) -> Outcome:
    return text(json.dumps(request.arguments))


# -- input rounds


@offered("test_input_required_result_elicitation")
async def input_elicitation(request: Request) -> Outcome:
    name = accepted(answers(request).get("user_name")).get("name")
    if not isinstance(name, str):
        return required({"user_name": question("What is your name?", "name")})
    return text(f"Hello, {name}!")


@offered("test_input_required_result_sampling")
async def input_sampling(request: Request) -> Outcome:
    said = answers(request).get("capital_question")
    if not hasattr(said, "content"):
        return required({"capital_question": sample("What is the capital of France?", 100)})
    return text(f"The model says: {getattr(said.content, 'text', '')}")


@offered("test_input_required_result_list_roots")
async def input_roots(request: Request) -> Outcome:
    found = answers(request).get("client_roots")
    if not hasattr(found, "roots"):
        return required({"client_roots": {"method": "roots/list", "params": {}}})
    return text(", ".join(str(root.uri) for root in found.roots))


@offered("test_input_required_result_tampered_state")
@offered("test_input_required_result_request_state")
async def input_state(request: Request) -> Outcome:
    if request.params.request_state != "confirming" or "confirm" not in answers(request):
        return required({"confirm": question("Please confirm", "ok", "boolean")}, "confirming")
    return text("state-ok")


@offered("test_input_required_result_multiple_inputs")
async def input_many(request: Request) -> Outcome:
    given = answers(request)
    if not {"user_name", "greeting", "client_roots"} <= set(given):
        asked = {
            "user_name": question("What is your name?", "name"),
            "greeting": sample("Generate a greeting", 50),
            "client_roots": {"method": "roots/list", "params": {}},
        }
        return required(asked, "asked")
    return text(f"Hello, {accepted(given['user_name']).get('name')}")


@offered("test_input_required_result_multi_round")
async def input_rounds(request: Request) -> Outcome:
    given, state = answers(request), request.params.request_state or ""
    if state.startswith("2 ") and "step2" in given:
        return text(f"{state[2:]} likes {accepted(given['step2']).get('color')}")
    if state == "1" and "step1" in given:
        name = accepted(given["step1"]).get("name")
        return required({"step2": question("Step 2: What is your favorite color?", "color")}, f"2 {name}")
    return required({"step1": question("Step 1: What is your name?", "name")}, "1")


@offered("test_input_required_result_capabilities")
async def input_capabilities(request: Request) -> Outcome:
    if answers(request):
        return text("answered")
    declared = request.context.session.client_capabilities or types.ClientCapabilities()
    asked: dict[str, Any] = {}
    if declared.sampling is not None:
        asked["sample"] = sample("Say something", 50)
    if declared.elicitation is not None:
        asked["name"] = question("What is your name?", "name")
    return required(asked) if asked else text("nothing can be asked")


# -- tasks


@offered("failing_job", tasks="must")
async def failing_job(request: Request) -> Outcome:
    await anyio.sleep(1)
    return types.CallToolResult(content=[types.TextContent(type="text", text="the job failed")], is_error=True)


@offered("protocol_error_job", tasks="may")
async def protocol_error_job(request: Request) -> Outcome:
    raise RuntimeError("a fault inside")


@offered("confirm_delete", {"type": "object", "properties": {"filename": {"type": "string"}}}, tasks="must")
async def confirm_delete(request: Request) -> Outcome:
    assert request.ask is not None
    answer = await request.ask({"confirm": question("Delete it?", "confirm", "boolean")})
    return text(f"deleted: {answer['confirm']}")


@offered("multi_input", tasks="must")
async def multi_input(request: Request) -> Outcome:
    assert request.ask is not None
    answer = await request.ask({"first": question("First?", "name"), "second": question("Second?", "name")})
    return text(json.dumps(sorted(answer)))


def ask_name(request: Request) -> types.InputRequiredResult | None:
    known = "name" in accepted(answers(request).get("user_name"))
    return None if known else required({"user_name": question("What is your name?", "name")}, "asking")


@offered("test_tool_with_task", tasks="must", before=ask_name)
async def tool_with_task(request: Request) -> Outcome:
    return text(f"done for {accepted(answers(request)['user_name'])['name']}")


# -- resources, prompts, completion

RESOURCES = {
    "test://static-text": ("text/plain", "This is the content of the static text resource."),
    "test://static-binary": ("image/png", None),
    "test://watched-resource": ("text/plain", "Watched."),
}


async def list_resources(context: Context, params: Any) -> types.ListResourcesResult:
    return types.ListResourcesResult(
        resources=[
            types.Resource(uri=uri, name=uri.rpartition("/")[2], description=uri, mime_type=kind)
            for uri, (kind, _) in RESOURCES.items()
        ]
    )


async def list_templates(context: Context, params: Any) -> types.ListResourceTemplatesResult:
    template = types.ResourceTemplate(
        uri_template="test://template/{id}/data",
        name="template",
        description="A template",
        mime_type="application/json",
    )
    return types.ListResourceTemplatesResult(resource_templates=[template])


async def read_resource(context: Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
    uri = str(params.uri)
    if uri.startswith("test://template/") and uri.endswith("/data"):
        key = uri.removeprefix("test://template/").removesuffix("/data")
        said = json.dumps({"id": key, "templateTest": True, "data": f"Data for ID: {key}"})
        contents: Any = types.TextResourceContents(uri=uri, mime_type="application/json", text=said)
    elif uri in RESOURCES:
        kind, said_or_none = RESOURCES[uri]
        if said_or_none is None:
            contents = types.BlobResourceContents(uri=uri, mime_type=kind, blob=PNG)
        else:
            contents = types.TextResourceContents(uri=uri, mime_type=kind, text=said_or_none)
    else:
        raise MCPError(types.INVALID_PARAMS, "Resource not found", {"uri": uri})
    return types.ReadResourceResult(contents=[contents])


def words(said: str) -> dict[str, Any]:
    return {"role": "user", "content": {"type": "text", "text": said}}


def prompt_messages(name: str, arguments: dict[str, str]) -> list[dict[str, Any]]:
    match name:
        case "test_simple_prompt":
            return [words("This is a simple prompt for testing.")]
        case "test_prompt_with_arguments":
            return [words(f"Prompt with arguments: arg1='{arguments['arg1']}', arg2='{arguments['arg2']}'")]
        case "test_prompt_with_embedded_resource":
            resource = {"uri": arguments["resourceUri"], "mimeType": "text/plain"}
            resource["text"] = "Embedded resource content for testing."
            embedded_one = {"role": "user", "content": {"type": "resource", "resource": resource}}
            return [embedded_one, words("Please process the embedded resource above.")]
        case "test_prompt_with_image":
            image = {"role": "user", "content": {"type": "image", "data": PNG, "mimeType": "image/png"}}
            return [image, words("Please analyze the image above.")]
        case _:
            raise MCPError(types.INVALID_PARAMS, f"Unknown prompt: {name}")


PROMPTS: dict[str, list[str]] = {
    "test_simple_prompt": [],
    "test_prompt_with_arguments": ["arg1", "arg2"],
    "test_prompt_with_embedded_resource": ["resourceUri"],
    "test_prompt_with_image": [],
    "test_input_required_result_prompt": [],
}


async def list_prompts(context: Context, params: Any) -> types.ListPromptsResult:
    return types.ListPromptsResult(
        prompts=[
            types.Prompt(
                name=name,
                description=name,
                arguments=[types.PromptArgument(name=a, description=a, required=True) for a in arguments],
            )
            for name, arguments in PROMPTS.items()
        ]
    )


async def get_prompt(context: Context, params: types.GetPromptRequestParams) -> Any:
    if params.name == "test_input_required_result_prompt":
        given: Any = (params.input_responses or {}).get("user_context")
        if not accepted(given):
            return required({"user_context": question("What context should the prompt use?", "context")})
        return types.GetPromptResult.model_validate({"messages": [words(f"Context: {accepted(given)}")]})
    return types.GetPromptResult.model_validate({"messages": prompt_messages(params.name, params.arguments or {})})


async def complete(context: Context, params: types.CompleteRequestParams) -> types.CompleteResult:
    values = [word for word in ("paris", "park", "party") if word.startswith(params.argument.value)]
    return types.CompleteResult(completion=types.Completion(values=values, total=len(values), has_more=False))


async def empty(context: Context, params: Any) -> types.EmptyResult:
    return types.EmptyResult()


class Events(EventStore):
    """The events of streams, so that a client that was cut off gets the rest."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []

    async def store_event(self, stream_id: Any, message: Any) -> str:
        self.events.append((stream_id, message))
        return str(len(self.events))

    async def replay_events_after(self, last_event_id: Any, send_callback: Any) -> Any:
        at = int(last_event_id)
        stream = self.events[at - 1][0]
        for number, (stream_id, message) in enumerate(self.events[at:], at + 1):
            if stream_id == stream and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream


async def main(port: int) -> None:
    handlers = {
        "on_list_resources": list_resources,
        "on_list_resource_templates": list_templates,
        "on_read_resource": read_resource,
        "on_subscribe_resource": empty,
        "on_unsubscribe_resource": empty,
        "on_subscriptions_listen": ListenHandler(BUS),
        "on_list_prompts": list_prompts,
        "on_get_prompt": get_prompt,
        "on_completion": complete,
    }
    server = ToolServer(REGISTRY, name="conformance", tasks=["slow_compute"], extra=OFFERS, handlers=handlers).server
    server.add_request_handler("logging/setLevel", types.SetLevelRequestParams, empty)
    options = {"event_store": Events(), "retry_interval": 500}
    await serve_http(server, port=port, on_ready=lambda url: print(url, flush=True), options=options)


if __name__ == "__main__":
    anyio.run(main, int(sys.argv[1]))
