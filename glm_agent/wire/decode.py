"""Chunks of a chat completion -> deltas, and at the end one ``ModelResponse``.

Knows the frames of a stream and the ways in which GLM and its other hosts break them; what a chunk holds is
``answer``'s. Knows no sockets, no clock, no retries: what is wrong is raised as an error that says
whether trying again may help.

One stream can hold two generations: the server starts anew under another id and cuts the first one's last
frame (zai-org/GLM-5#66). Then everything before is void, ``Restarted`` says so, and the new one counts
alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias, cast

from glm_agent.errors import ModelProtocolError
from glm_agent.messages import JsonObject, ModelResponse, ToolCall, ToolSpec
from glm_agent.wire import jsontext, sse
from glm_agent.wire.answer import Addition, Answer, word
from glm_agent.wire.failure import failure, is_failure
from glm_agent.wire.jsontext import an_array, an_object
from glm_agent.wire.markup import rescue

RESTART_LIMIT = 3
"""Generations that may be thrown away in one stream; a host that names every chunk anew exceeds it."""

_DONE = b"[DONE]"


@dataclass(frozen=True, kw_only=True, slots=True)
class Restarted:
    """The server began again within the stream: everything decoded before is void."""

    reason: str


Decoded: TypeAlias = Addition | Restarted


def decode_body(body: JsonObject, *, tools: Sequence[ToolSpec] = (), request_id: str = "") -> ModelResponse:
    """The response in a body that came without streaming; raises as ``ResponseDecoder`` does."""
    decoder = ResponseDecoder(tools=tools, request_id=request_id)
    decoder.receive(body)
    return decoder.finish()


class ResponseDecoder:
    """Decodes one answer: ``feed`` it bytes of the stream (or ``receive`` chunks), then ``finish``.

    ``tools`` are those of the request: markup that a host left in the text becomes a call only when it
    names one of them. Raises ``ModelProtocolError`` on broken frames, and what ``failure`` makes
    of an error inside the stream.
    """

    def __init__(
        self,
        *,
        tools: Sequence[ToolSpec] = (),
        request_id: str = "",
        secrets: Sequence[str] = (),
        rescues_markup: bool = True,
    ) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._request_id = request_id
        self._secrets = secrets
        self._rescues_markup = rescues_markup
        self._events = sse.Decoder()
        self._answer = Answer(self._tools)
        self._restarts = 0
        self.received = 0
        """Chunks received so far."""
        self.is_done = False
        """Whether ``[DONE]`` came; what follows it is not read."""
        self.warnings: list[str] = []
        """What was odd and could be mended, for people."""

    @property
    def is_finished(self) -> bool:
        """Whether a ``finish_reason`` came, so that the answer is complete although the stream may go on."""
        return self._answer.finish_reason != "" and not self._answer.broken

    def feed(self, data: bytes) -> Iterator[Decoded]:
        """What these bytes of an event stream add."""
        for event in self._events.feed(data):
            yield from self.decode(event)

    def close(self) -> Iterator[Decoded]:
        """What the end of the stream adds."""
        for event in self._events.close():
            yield from self.decode(event)

    def decode(self, event: sse.ServerSentEvent) -> Sequence[Decoded]:
        """What one event adds."""
        name, data = event
        if self.is_done:
            return []
        if data == _DONE:
            self.is_done = True
            return []
        try:
            chunk = jsontext.loads(data)
        except ValueError:
            return self._decode_oddity(name, data)
        if not isinstance(chunk, dict):
            return []
        return self.receive(cast("JsonObject", chunk), is_error=name == "error")

    def receive(self, chunk: JsonObject, *, is_error: bool = False) -> Sequence[Decoded]:
        """What one chunk, or one whole body, adds."""
        if is_error or "error" in chunk or "choices" not in chunk:
            self._raise_failure(chunk, is_error=is_error)
        self.received += 1
        choices = an_array(chunk.get("choices"))
        restarted = self._begin(word(chunk.get("id"))) if choices else None
        answer = self._answer
        if answer.broken:
            raise _protocol_error(f"a frame of the stream is no JSON: {answer.broken!r}", self._request_id)
        if answer.brings_news(chunk):
            answer.keep(chunk)
        added = answer.choose(an_object(choices[0])) if choices else []
        return added if restarted is None else [restarted, *added]

    def finish(self) -> ModelResponse:
        """The whole response; ``ModelProtocolError`` when the stream ended before it was complete."""
        answer = self._answer
        if answer.broken:
            raise _protocol_error(f"a frame of the stream is no JSON: {answer.broken!r}", self._request_id)
        if not answer.finish_reason:
            raise _protocol_error("the answer ended before it was complete: no finish_reason came", self._request_id)
        response = answer.response(self._request_id)
        if self._rescues_markup and response.finish_reason == "stop" and not response.tool_calls:
            response = self._rescued(response)
        return response

    def _decode_oddity(self, name: str, data: bytes) -> list[Decoded]:
        text = data.strip()
        if text == _DONE:
            self.is_done = True
            return []
        if name == "error":
            raise failure(status_code=200, body=text, request_id=self._request_id, secrets=self._secrets)
        if not text or name not in ("", "message"):
            return []
        found: list[Decoded] = []
        for piece in _pieces(text):
            if piece is None:
                self._answer.break_off(text)
            else:
                found += self.decode(sse.ServerSentEvent("", piece))
        return found

    def _raise_failure(self, chunk: JsonObject, *, is_error: bool) -> None:
        if is_error or is_failure(chunk):
            raise failure(status_code=200, body=chunk, request_id=self._request_id, secrets=self._secrets)

    def _begin(self, chunk_id: str) -> Restarted | None:
        """Note which generation a chunk belongs to; another one than before starts anew."""
        old = self._answer.id
        if chunk_id in ("", old):
            return None
        if old:
            self._restarts += 1
            self._answer = Answer(self._tools)
        if self._restarts > RESTART_LIMIT:
            raise ModelProtocolError(
                "the server began its answer anew again and again, each time under another id",
                request_id=self._request_id,
            )
        self._answer.id = chunk_id
        reason = f"the server began its answer anew within the stream ('{old}', then '{chunk_id}')"
        return Restarted(reason=reason) if old else None

    def _rescued(self, response: ModelResponse) -> ModelResponse:
        """The response with the calls that the host left as markup at the end of the text, or of the thinking."""
        text, found = rescue(response.text, self._tools)
        if not found and not response.text.strip():
            _, found = rescue(response.reasoning, self._tools)
        if not found:
            return response
        names = ", ".join(repr(call.name) for call in found)
        self.warnings.append(f"tool calls were found as markup in the model's text and taken out of it: {names}")
        calls = (ToolCall(id=f"call_{i}", name=call.name, arguments=call.arguments) for i, call in enumerate(found))
        return replace(response, text=text, tool_calls=tuple(calls))


def _protocol_error(message: str, request_id: str) -> ModelProtocolError:
    return ModelProtocolError(message, request_id=request_id, is_retryable=True)


def _pieces(text: bytes) -> Iterator[bytes | None]:
    """The JSON texts in data that is none as a whole; None where one is broken.

    Some hosts forget the blank line between events; and a second generation cuts the first one's
    frame anywhere: ``{"id":"A","object":"chat.cdata: {"id":"B",…}``.
    """
    for line in map(bytes.strip, text.split(b"\n")):
        if line in (b"", _DONE) or _is_json(line):
            yield line
        else:
            yield None
            yield next(filter(_is_json, _inner(line)), b"")


def _inner(line: bytes) -> Iterator[bytes]:
    """What may be a frame within a broken one; a few tries, since a frame is cut once."""
    at = 0
    for _ in range(8):
        at = line.find(b"data:", at) + 5
        if at < 5:
            return
        yield line[at:].strip()


def _is_json(text: bytes) -> bool:
    try:
        jsontext.loads(text)
    except ValueError:
        return False
    return True
