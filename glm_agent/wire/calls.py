"""Tool calls from their fragments: whole or cut, with or without index, id and type.

Knows the entries of ``tool_calls`` in a delta or a message, and nothing else of a response.

    index >= 0          the call's key; a new id under the same index is the same call, as some hosts
                        send a new id with every fragment, unless both are whole and differ
    index < 0, missing  a name begins a call, what has none belongs to the last one
    type not function   ran on the provider's side: kept as it came, never to be run here
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from glm_agent.messages import HostedCall, JsonObject, ToolCall, ToolCallDelta, ToolCallReady, ToolSpec
from glm_agent.wire import jsontext
from glm_agent.wire.jsontext import an_array, an_object
from glm_agent.wire.markup import split_name


class CallAssembler:
    """Collects the calls of one response. Every call has an id, and no two have the same."""

    __slots__ = ("_by_index", "_drafts", "_ids", "_tools", "_waiting", "hosted")

    def __init__(self, tools: Mapping[str, ToolSpec]) -> None:
        self._tools = tools
        self._drafts: list[_Draft] = []
        self._waiting: list[_Draft] = []
        """Those that were not complete when they were last looked at."""
        self._by_index: dict[int, _Draft] = {}
        self._ids = set[str]()
        self.hosted: list[HostedCall] = []

    def receive(self, entries: Any) -> Iterator[ToolCallDelta | ToolCallReady]:
        """What a ``tool_calls`` array of a delta adds; of a whole message when indexes are set right."""
        for entry in an_array(entries):
            yield from self._entry(an_object(entry))

    def complete(self) -> Iterator[ToolCallReady]:
        """The calls that the end of the response shows to be complete."""
        waiting, self._waiting = self._waiting, []
        for draft in waiting:
            yield from self._ready(draft)
            if not draft.is_ready:
                self._waiting.append(draft)

    def calls(self) -> tuple[ToolCall, ...]:
        """The calls in their order, as far as they came; those without a name nobody could run."""
        return tuple(self._call(draft) for draft in self._drafts if draft.name)

    def _entry(self, entry: JsonObject) -> Iterator[ToolCallDelta | ToolCallReady]:
        if entry.get("type") not in (None, "", "function"):
            hosted = HostedCall(type=str(entry["type"]), data=entry)
            if hosted not in self.hosted:
                self.hosted.append(hosted)
            return
        if not (function := an_object(entry.get("function"))):
            return
        name, arguments = _text(function.get("name")).strip(), _arguments(function.get("arguments"))
        call_id, index = _text(entry.get("id")), entry.get("index")
        draft = self._find(index, call_id, name, arguments)
        is_new = draft is None
        if draft is None:
            yield from self.complete()
            draft = self._open(index, call_id)
        elif draft.is_repeated_by(call_id, arguments):
            return
        yield from draft.extend(name, arguments)
        if is_new and arguments:
            yield from self._ready(draft)

    def _find(self, index: Any, call_id: str, name: str, arguments: str) -> _Draft | None:
        """The call that an entry belongs to; None when it begins one."""
        if _is_index(index):
            draft = self._by_index.get(index)
            return None if draft is None or draft.is_followed_by(call_id, name, arguments) else draft
        if not self._drafts:
            return None
        same = next((draft for draft in self._drafts if call_id and draft.given_id == call_id), None)
        draft = same or self._drafts[-1]
        if not name or not draft.name:
            return draft
        if same is not None:
            return None if draft.is_whole() and jsontext.is_object(arguments) and draft.text() != arguments else draft
        return draft if name == draft.name and not call_id and not draft.is_whole() else None

    def _open(self, index: Any, given_id: str) -> _Draft:
        position = len(self._drafts)
        wanted = given_id or f"call_{position}"
        call_id, n = wanted, 1
        while call_id in self._ids:
            n += 1
            call_id = f"{wanted}_{n}"
        self._ids.add(call_id)
        draft = _Draft(position, call_id, given_id)
        self._drafts.append(draft)
        self._waiting.append(draft)
        if _is_index(index):
            self._by_index[index] = draft
        return draft

    def _ready(self, draft: _Draft) -> Iterator[ToolCallReady]:
        if draft.is_ready or not draft.name:
            return
        call = self._call(draft)
        if jsontext.is_object(call.arguments):
            draft.is_ready = True
            yield ToolCallReady(call=call)

    def _call(self, draft: _Draft) -> ToolCall:
        name, arguments = split_name(draft.name, draft.text(), self._tools)
        return ToolCall(id=draft.id, name=name, arguments=arguments if arguments.strip() else "{}")


class _Draft:
    """A call that is being written."""

    __slots__ = ("_pieces", "_shown", "given_id", "id", "is_ready", "name", "position")

    def __init__(self, position: int, call_id: str, given_id: str) -> None:
        self.position, self.id, self.given_id = position, call_id, given_id
        self.name = ""
        self.is_ready = False
        self._pieces: list[str] = []
        self._shown = 0

    def text(self) -> str:
        return "".join(self._pieces)

    def is_whole(self) -> bool:
        return jsontext.is_object(self.text())

    def extend(self, name: str, arguments: str) -> Iterator[ToolCallDelta]:
        """Add a fragment; it is shown as soon as the name is known."""
        self.name = self.name or name
        self._pieces.append(arguments)
        if self.name:
            new = "".join(self._pieces[self._shown :])
            self._shown = len(self._pieces)
            yield ToolCallDelta(index=self.position, arguments=new, id=self.id, name=self.name)

    def is_repeated_by(self, call_id: str, arguments: str) -> bool:
        """Whether an entry brings again what is here: complete after complete."""
        if not arguments.endswith("}") or not jsontext.is_object(arguments) or not self.is_whole():
            return False
        return arguments == self.text() or (call_id != "" and call_id == self.given_id)

    def is_followed_by(self, call_id: str, name: str, arguments: str) -> bool:
        """Whether an entry under the same index is another call: some hosts number every call 0."""
        if not name or not call_id or call_id == self.given_id or not self.name:
            return False
        if not self.text():
            return name != self.name
        return self.is_whole() and (name != self.name or jsontext.is_object(arguments))


def _is_index(index: Any) -> bool:
    return isinstance(index, int) and index >= 0


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _arguments(value: Any) -> str:
    """Arguments as text: the documents show an object, servers send a string."""
    if value is None or isinstance(value, str):
        return value or ""
    return jsontext.dumps(value).decode()
