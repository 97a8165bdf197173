"""What a server asks of us, from the SDK's words into ours and back: questions, samples, roots.

The texts of a server are cleaned on the way in. What is not given in ``Callbacks`` is not offered to the server.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from mcp import types
from pydantic import FileUrl, TypeAdapter, ValidationError

from glm_agent.errors import AgentError
from glm_agent.mcp import elicitation, sanitize
from glm_agent.mcp.callbacks import Callbacks, Note
from glm_agent.mcp.config import ServerConfig
from glm_agent.mcp.elicitation import Answer
from glm_agent.mcp.failure import Refused
from glm_agent.mcp.patience import Patience
from glm_agent.mcp.visits import Visits
from glm_agent.messages import (
    AudioPart,
    ImagePart,
    JsonObject,
    Message,
    ModelRequest,
    ModelResponse,
    ModelSettings,
    Part,
    ToolCall,
    ToolResult,
    ToolSpec,
    UserMessage,
)
from glm_agent.registry.asking import Question

_FINISH = {"stop": "endTurn", "length": "maxTokens", "tool_calls": "toolUse"}
_MAX_VISITS = 5
"""Addresses that one error may name."""
_ELICIT: TypeAdapter[types.ElicitRequestParams] = TypeAdapter(types.ElicitRequestParams)


def _ignored(said: str) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Peer:
    """Answers the requests of one server."""

    config: ServerConfig
    callbacks: Callbacks
    note: Note = _ignored
    patience: Patience = field(default_factory=Patience)
    visits: Visits = field(default_factory=Visits)

    def options(self) -> dict[str, Any]:
        """What is offered to the server, as arguments of the SDK's client."""
        offered: dict[str, Any] = {}
        if self.callbacks.elicit is not None:
            offered["elicitation_callback"] = self.elicit
        if self.callbacks.sampler is not None and self.config.sampling_tokens:
            offered["sampling_callback"] = self.sample
            offered["sampling_capabilities"] = types.SamplingCapability(tools=types.SamplingToolsCapability())
        if self._folders():
            offered["list_roots_callback"] = self.roots
        return offered

    async def elicit(self, _context: Any, params: types.ElicitRequestParams) -> types.ElicitResult:
        """What the person says; declined where nobody is there, and a note says so."""
        if isinstance(params, types.ElicitRequestURLParams):
            answer = await self._visit(params)
        else:
            answer = await self._ask(elicitation.form(self.config.name, params.message, params.requested_schema))
        has_content = answer.action == "accept" and not isinstance(params, types.ElicitRequestURLParams)
        return types.ElicitResult(action=answer.action, content=answer.content if has_content else None)

    async def visited(self, data: Any) -> bool:
        """Whether a person has gone to every address that an error names, as far as is known."""
        named = cast("JsonObject", data).get("elicitations") if isinstance(data, dict) else None
        if not isinstance(named, list) or not named:
            return False
        for item in cast("list[object]", named)[:_MAX_VISITS]:
            try:
                params = types.ElicitRequestURLParams.model_validate({"mode": "url", **cast("JsonObject", item)})
            except (ValidationError, TypeError):
                return False
            if (await self._visit(params, is_waited_for=True)).action != "accept":
                return False
        return True

    def heard(self, message: object) -> None:
        """Take what the server says without being asked, if it is about a question."""
        if isinstance(message, types.ElicitCompleteNotification):
            self.visits.seen(message.params.elicitation_id)

    async def _visit(self, params: types.ElicitRequestURLParams, *, is_waited_for: bool = False) -> Answer:
        question = elicitation.address(self.config.name, params.message, params.url)
        if not elicitation.is_web_page(params.url):
            self.note("it wants somebody to go to an address that is no web page: declined")
            return Answer()
        visit_id = str(params.elicitation_id or "")
        answer = Answer(action="accept")

        async def ask() -> bool:
            nonlocal answer
            answer = await self._ask(question)
            return answer.action == "accept"

        with self.patience.paused():
            if await self.visits.agree(params.url, visit_id, ask) and is_waited_for:
                await self.visits.wait(params.url, visit_id)
        return answer

    async def _ask(self, question: Question) -> Answer:
        asker = self.callbacks.elicit
        if asker is None or asker is elicitation.decline:
            self.note(f"it asks: {question.text!r}. Nobody is here to answer: declined")
            return Answer()
        with self.patience.paused():
            return await elicitation.answered(asker, question)

    async def respond(self, request: JsonObject) -> JsonObject:
        """The answer to a request that came as data, inside a task. Raises ``Refused`` for one that is not offered."""
        method, params = request.get("method"), cast("JsonObject", request.get("params") or {})
        answer: Any
        match method:
            case "elicitation/create":
                answer = await self.elicit(None, _ELICIT.validate_python({"mode": "form", **params}))
            case "sampling/createMessage" if self.callbacks.sampler is not None and self.config.sampling_tokens:
                answer = await self.sample(None, types.CreateMessageRequestParams.model_validate(params))
            case "roots/list" if self._folders():
                answer = await self.roots(None)
            case _:
                raise Refused(f"it asks for {str(method)[:100]!r}, which it was not offered")
        if isinstance(answer, types.ErrorData):
            raise Refused(answer.message)
        return cast("JsonObject", answer.model_dump(mode="json", by_alias=True, exclude_none=True))

    async def roots(self, _context: Any) -> types.ListRootsResult:
        return types.ListRootsResult(
            roots=[types.Root(uri=FileUrl(folder.as_uri()), name=folder.name) for folder in self._folders()]
        )

    def _folders(self) -> list[Path]:
        return [path.resolve() for path in (*self.callbacks.roots, *map(Path, self.config.roots))]

    async def sample(
        self, _context: Any, params: types.CreateMessageRequestParams
    ) -> types.CreateMessageResultWithTools | types.ErrorData:
        sampler = self.callbacks.sampler
        assert sampler is not None, "offered only with a sampler"
        try:
            response = await sampler.answer(
                _request(params),
                server=self.config.name,
                max_tokens=params.max_tokens,
                budget_tokens=self.config.sampling_tokens,
            )
        except (Refused, AgentError) as error:
            return types.ErrorData(code=-1, message=f"the question was not answered: {error}"[:500])
        return types.CreateMessageResultWithTools(
            role="assistant",
            model=response.model or sampler.model,
            content=_blocks(response),
            stop_reason=_FINISH.get(response.finish_reason, response.finish_reason),
        )


def _request(params: types.CreateMessageRequestParams) -> ModelRequest:
    stop = tuple(params.stop_sequences or ())
    settings = ModelSettings(temperature=params.temperature, stop=stop)
    forbids_tools = params.tool_choice is not None and params.tool_choice.mode == "none"
    return ModelRequest(
        model="",
        instructions=sanitize.content(params.system_prompt or ""),
        messages=tuple(message for said in params.messages for message in _messages(said)),
        tools=() if forbids_tools else tuple(_spec(tool) for tool in params.tools or ()),
        settings=settings,
    )


def _spec(tool: types.Tool) -> ToolSpec:
    return ToolSpec(
        name=tool.name,
        description=sanitize.description(tool.description or "") or tool.name,
        parameters=sanitize.schema(tool.input_schema),
    )


def _messages(said: types.SamplingMessage) -> list[Message]:
    blocks: Sequence[Any] = said.content if isinstance(said.content, list) else [said.content]
    if said.role == "assistant":
        calls = [block for block in blocks if isinstance(block, types.ToolUseContent)]
        return [
            ModelResponse(
                text=_text(blocks),
                tool_calls=tuple(
                    ToolCall(id=call.id, name=call.name, arguments=json.dumps(call.input)) for call in calls
                ),
                finish_reason="tool_calls" if calls else "stop",
            )
        ]
    results: list[Message] = [
        ToolResult(
            call_id=block.tool_use_id, content=_text(block.content), is_error=bool(block.is_error), is_untrusted=True
        )
        for block in blocks
        if isinstance(block, types.ToolResultContent)
    ]
    parts = tuple(part for part in map(_part, blocks) if part is not None)
    text = _text(blocks)
    return [*results, *([UserMessage(text=text, attachments=parts)] if text or parts or not results else [])]


def _text(blocks: Sequence[Any]) -> str:
    return "\n".join(sanitize.content(block.text) for block in blocks if isinstance(block, types.TextContent))


def _part(block: object) -> Part | None:
    match block:
        case types.ImageContent(data=data, mime_type=kind):
            return ImagePart(url=f"data:{kind};base64,{data}")
        case types.AudioContent(data=data, mime_type=kind):
            return AudioPart(data=data, format="mp3" if "mp" in kind else "wav")
        case _:
            return None


def _blocks(response: ModelResponse) -> Any:
    calls = [
        types.ToolUseContent(type="tool_use", id=call.id, name=call.name, input=_arguments(call.arguments))
        for call in response.tool_calls
    ]
    text = types.TextContent(type="text", text=response.text)
    if not calls:
        return text
    return [*([text] if response.text else []), *calls]


def _arguments(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
