"""The nouns: what is said in a conversation, what is asked of the outside world, and what is shown.

Everything here is data: frozen, comparable, without callables, and writable as JSON. Nothing here
knows how GLM spells it on the wire (``wire.glm`` does) or who answers what (``driver`` does).

    facts     change a turn and are kept:  TurnStarted  UserMessage  ModelResponse  ToolResult
              ApprovalRequested  ApprovalDecision  OutcomeUnknown  OutcomeDecision  HistoryReplaced  TurnStopped
    deltas    fragments of a coming response, shown and never kept: TextDelta ReasoningDelta ToolCallDelta
    notices   for eyes only: ToolStarted ToolProgress ToolFinished Retrying Notice
    events    all of the above; each has a ``kind``
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

if TYPE_CHECKING:
    from pydantic import TypeAdapter

JsonObject: TypeAlias = dict[str, Any]

Effect = Literal["read", "idempotent", "write"]
"""What a repeated call does: nothing new; nothing new under the same key; the thing once more."""

StopReason = Literal[
    "end_turn",
    "max_tokens",
    "refusal",
    "context_overflow",
    "empty",
    "invalid_output",
    "max_steps",
    "budget",
    "loop",
    "needs_approval",
    "needs_decision",
    "cancelled",
    "error",
]
"""Why a turn ended. ``end_turn`` is the only success."""


# -- parts ------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class ImagePart:
    """A picture for a vision model."""

    url: str
    """An ``https:`` address or a ``data:image/…;base64,`` URI."""
    kind: Literal["image"] = "image"


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoPart:
    """A video for a vision model."""

    url: str
    kind: Literal["video"] = "video"


@dataclass(frozen=True, kw_only=True, slots=True)
class FilePart:
    """A document for a model that reads files; GLM takes addresses only, no bytes."""

    url: str
    kind: Literal["file"] = "file"


@dataclass(frozen=True, kw_only=True, slots=True)
class AudioPart:
    """Sound for a voice model."""

    data: str
    """Base64 of the file's bytes."""
    format: str = "wav"
    """``wav`` or ``mp3``."""
    kind: Literal["audio"] = "audio"


Part = ImagePart | VideoPart | FilePart | AudioPart


# -- what a tool is, as data --------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True, weakref_slot=True)
class ToolSpec:
    """A tool as the model and the permissions see it."""

    name: str
    """As offered to the model: ``^[a-zA-Z0-9_-]{1,64}$``."""
    description: str
    parameters: JsonObject
    """JSON Schema of the arguments; the root is an object."""
    effect: Effect = "write"
    is_untrusted: bool = False
    """Whether its results may hold text that strangers wrote."""
    needs_approval: bool = False
    """Whether its author wants a person to agree to every call."""
    source: str = ""
    """Where it comes from, for people: ``module:function`` or ``mcp:server``."""


# -- messages: the conversation -------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """Tokens of one request, or summed over many."""

    input_tokens: int = 0
    """All tokens of the prompt, cached ones included."""
    cached_tokens: int = 0
    """The part of the prompt the provider had in its cache."""
    output_tokens: int = 0
    """All generated tokens, reasoning included."""
    reasoning_tokens: int = 0
    """The part of the output that is reasoning."""

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
        )


@dataclass(frozen=True, kw_only=True, slots=True, weakref_slot=True)
class UserMessage:
    """What the person (or the program) said."""

    text: str
    attachments: tuple[Part, ...] = ()
    kind: Literal["user_message"] = "user_message"


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolCall:
    """One call the model asked for."""

    id: str
    """Opaque; unique within its response, not beyond it: providers reuse ids."""
    name: str
    arguments: str
    """JSON text as the model wrote it; may be broken."""
    kind: Literal["tool_call"] = "tool_call"


@dataclass(frozen=True, kw_only=True, slots=True)
class HostedCall:
    """A tool that ran on the provider's side, already finished: shown and kept, never run here."""

    type: str
    """``mcp``, ``web_search``, ``retrieval``, or a word of the provider we do not know."""
    data: JsonObject
    """The entry as it came."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptMessages:
    """A run of the turn's messages that was sent as it is."""

    first: int
    """Place of the first one in the turn's history, from 0."""
    end: int
    """Place behind the last one."""
    kind: Literal["kept_messages"] = "kept_messages"


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestEdit:
    """What wrappers of the model changed of a turn's request, such as a view of the history. None: nothing."""

    messages: tuple[KeptMessages | UserMessage | ModelResponse | ToolResult, ...] | None = None
    instructions: str | None = None
    tools: tuple[str, ...] | None = None
    """Names of those that were offered, in order."""
    settings: ModelSettings | None = None
    is_whole: bool = True
    """False: what was put in was too long to be kept, so that the request cannot be made again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SentRequest:
    """The request that a response answers: with the facts before it, all that makes its body again."""

    hash: str
    """SHA-256 of the body as sent, in hex; without ``request_id``, and with ``${NAME}`` in the place of secrets."""
    digests: tuple[str, ...] = ()
    """CRC-32 of the body's parts: settings, tools, and each message from the latest response on."""
    model: str = ""
    """The model's id as the host spells it."""
    dialect: str = "zai"
    """The host, as in ``provider:model``."""
    edit: RequestEdit | None = None
    """How it differs from the request that follows from the facts; None: not at all."""


@dataclass(frozen=True, kw_only=True, slots=True, weakref_slot=True)
class ModelResponse:
    """One answer of the model, complete."""

    text: str = ""
    """The visible answer, verbatim: the history must send back exactly what came."""
    reasoning: str = ""
    """The thinking, verbatim."""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str = "stop"
    """Why the model stopped, in GLM's words: ``stop tool_calls length sensitive network_error
    model_context_window_exceeded``; other words are kept as they came."""
    usage: Usage = field(default_factory=Usage)
    model: str = ""
    id: str = ""
    request_id: str = ""
    created: int = 0
    """Seconds since 1970, the provider's clock."""
    hosted_calls: tuple[HostedCall, ...] = ()
    web_search: tuple[JsonObject, ...] = ()
    """Sources of the hosted web search, as they came."""
    video_result: tuple[JsonObject, ...] = ()
    content_filter: tuple[JsonObject, ...] = ()
    audio: JsonObject | None = None
    extra: JsonObject = field(default_factory=dict[str, Any])
    """Top-level fields of the body that nobody here knows, kept as they came."""
    sent: SentRequest | None = field(default=None, repr=False)
    """What was asked; None where the session is not stored, or the model does not say it."""
    kind: Literal["model_response"] = "model_response"


@dataclass(frozen=True, kw_only=True, slots=True, weakref_slot=True)
class ToolResult:
    """What came of one call. Errors are results: the model reads them and goes on."""

    call_id: str
    name: str = ""
    content: str = ""
    attachments: tuple[Part, ...] = ()
    """Pictures and the like; sent in a following user message, since GLM takes only text in a tool's."""
    is_error: bool = False
    is_untrusted: bool = False
    """Whether the text may come from strangers (a web page, an MCP server)."""
    kind: Literal["tool_result"] = "tool_result"


Message = UserMessage | ModelResponse | ToolResult


# -- facts: what changes a turn -------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True, weakref_slot=True)
class ModelSettings:
    """How the model is to answer. None means: not sent, the server's default holds.

    Source: Zhipu OpenAPI of 2026-07-11 (chat completions, text model).
    """

    temperature: float | None = None
    """0 to 1."""
    top_p: float | None = None
    """0.01 to 1."""
    do_sample: bool | None = None
    max_tokens: int | None = None
    """Bound of one response in tokens, thinking included."""
    stop: tuple[str, ...] = ()
    thinking: bool | None = None
    """True: on; False: off where the model can, else the lowest effort; None: the server's default."""
    clear_thinking: bool = False
    """False keeps the reasoning of earlier turns in the model's view, which an agent wants."""
    reasoning_effort: str | None = None
    """``low high max`` on the 5.3 family; ``none`` to ``max`` on 5.2."""
    response_format: Literal["text", "json_object"] | None = None
    tool_stream: bool | None = None
    """Stream arguments in fragments (GLM-4.6 and later)."""
    user_id: str | None = None
    """6 to 128 characters naming the end user."""
    tool_choice: str | None = None
    """``required`` or a tool's name: such a call must come before the answer; ``none``: no tool may be called.

    GLM itself knows ``auto`` only; the rest is done by what is asked and what is offered.
    """
    watermark_enabled: bool | None = None
    """False leaves the mark out of generated sound and pictures (needs a signed waiver)."""
    sensitive_word_check: bool | None = None
    """Whether words are checked; for accounts that may choose."""
    meta: JsonObject | None = None
    """Who plays whom, for the role-play models: ``user_info bot_info user_name bot_name``."""
    hosted_tools: tuple[JsonObject, ...] = ()
    """``web_search``, ``retrieval`` and ``mcp`` entries for the request's tools, in GLM's words."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TurnStarted:
    """What the requests of a turn are made of: data, no callables, no secrets."""

    model: str
    instructions: str = ""
    tools: tuple[ToolSpec, ...] = ()
    settings: ModelSettings = field(default_factory=ModelSettings)
    max_steps: int = 20
    """Model requests before the model is asked once more without tools; at least 1."""
    session: str = ""
    turn: int = 1
    """Number of the turn within its session, from 1. The same number again continues that turn."""
    version: str = ""
    """The version of glm-agent that began or continued it, where the session is stored."""
    kind: Literal["turn_started"] = "turn_started"


@dataclass(frozen=True, kw_only=True, slots=True)
class ApprovalRequested:
    """A call that may run only when a person says so."""

    call_id: str
    name: str
    arguments: str
    rule: str = ""
    """The rule that asks, as written in the policy."""
    reason: str = ""
    kind: Literal["approval_requested"] = "approval_requested"


@dataclass(frozen=True, kw_only=True, slots=True)
class ApprovalDecision:
    """What the person said."""

    call_id: str
    is_approved: bool
    reason: str = ""
    arguments: str | None = None
    """Edited arguments as JSON text; None keeps the model's."""
    scope: Literal["call", "session"] = "call"
    """``session``: the same tool need not ask again in this session."""
    kind: Literal["approval_decision"] = "approval_decision"


@dataclass(frozen=True, kw_only=True, slots=True)
class OutcomeUnknown:
    """A ``write`` call that an earlier process began, and nobody knows what came of it: a person has to look."""

    call_id: str
    name: str
    arguments: str
    reason: str = ""
    kind: Literal["outcome_unknown"] = "outcome_unknown"


@dataclass(frozen=True, kw_only=True, slots=True)
class OutcomeDecision:
    """What the person found out about such a call."""

    call_id: str
    outcome: Literal["done", "failed", "retry"]
    """``done``: it took effect; ``failed``: it did not; ``retry``: it did not, and is to be run again."""
    text: str = ""
    """Of ``done``, its result as the model reads it; of ``failed``, why."""
    kind: Literal["outcome_decision"] = "outcome_decision"


Decision: TypeAlias = ApprovalDecision | OutcomeDecision
"""What a person said about a call that waits."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryReplaced:
    """The conversation is now this one: imported, compacted or edited."""

    messages: tuple[Message, ...]
    reason: str = ""
    kind: Literal["history_replaced"] = "history_replaced"


@dataclass(frozen=True, kw_only=True, slots=True)
class TurnStopped:
    """The turn ends here, and why."""

    stop_reason: StopReason
    detail: str = ""
    """One sentence for a person."""
    usage: Usage = field(default_factory=Usage)
    """Tokens of answers that are no part of the conversation, such as those that did not fit the output type."""
    kind: Literal["turn_stopped"] = "turn_stopped"


Fact = (
    TurnStarted
    | UserMessage
    | ModelResponse
    | ToolResult
    | ApprovalRequested
    | ApprovalDecision
    | OutcomeUnknown
    | OutcomeDecision
    | HistoryReplaced
    | TurnStopped
)


# -- deltas and notices: what is shown --------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class TextDelta:
    """A fragment of the visible answer."""

    text: str
    kind: Literal["text_delta"] = "text_delta"


@dataclass(frozen=True, kw_only=True, slots=True)
class ReasoningDelta:
    """A fragment of the thinking."""

    text: str
    kind: Literal["reasoning_delta"] = "reasoning_delta"


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolCallDelta:
    """A fragment of a call that is being written."""

    index: int
    """Place of the call in its response, from 0."""
    arguments: str = ""
    """The new piece of the JSON text."""
    id: str = ""
    """The call's id, the same in every fragment of one call."""
    name: str = ""
    """The tool's name, the same in every fragment of one call."""
    kind: Literal["tool_call_delta"] = "tool_call_delta"


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolCallReady:
    """A call of a response that is still coming is complete. Between model and driver, not for observers."""

    call: ToolCall
    kind: Literal["tool_call_ready"] = "tool_call_ready"


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolStarted:
    """A call begins to run."""

    call: ToolCall
    kind: Literal["tool_started"] = "tool_started"


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolProgress:
    """A running call says how far it is."""

    call_id: str
    name: str = ""
    text: str = ""
    done: float | None = None
    total: float | None = None
    kind: Literal["tool_progress"] = "tool_progress"


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolFinished:
    """A call has ended."""

    result: ToolResult
    duration_seconds: float = 0.0
    kind: Literal["tool_finished"] = "tool_finished"


@dataclass(frozen=True, kw_only=True, slots=True)
class Retrying:
    """A request failed and is sent again: whatever was shown of its answer is void."""

    attempt: int
    """Number of the attempt that comes now, from 2."""
    wait_seconds: float
    reason: str
    kind: Literal["retrying"] = "retrying"


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """Something a person may want to know."""

    text: str
    level: Literal["info", "warning", "error"] = "info"
    source: str = ""
    kind: Literal["notice"] = "notice"


Delta = TextDelta | ReasoningDelta | ToolCallDelta
Event = Fact | Delta | ToolStarted | ToolProgress | ToolFinished | Retrying | Notice


# -- what is asked and what comes out ---------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelRequest:
    """Everything one request to the model is made of."""

    model: str
    instructions: str = ""
    messages: tuple[Message, ...] = ()
    tools: tuple[ToolSpec, ...] = ()
    settings: ModelSettings = field(default_factory=ModelSettings)
    asked: ModelRequest | None = field(default=None, repr=False, compare=False)
    """The turn's own request, where the response is to say what was sent (``ModelResponse.sent``)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TurnResult:
    """How a turn ended."""

    output: Any
    """The answer's text; with ``output_type``, the validated value."""
    stop_reason: StopReason
    usage: Usage
    """Sum over the turn's requests."""
    messages: tuple[Message, ...] = field(repr=False)
    """The whole conversation; pass it as ``messages=`` to go on."""
    detail: str = ""
    """One sentence on a ``stop_reason`` other than ``end_turn``."""
    session: str = ""
    steps: int = 0
    """Model requests of this turn."""


# -- JSON -------------------------------------------------------------------------------------------------


@cache
def _facts() -> TypeAdapter[Any]:
    from typing import Annotated

    from pydantic import Discriminator, TypeAdapter

    return TypeAdapter(Annotated[Fact, Discriminator("kind")])


def fact_to_json(fact: Fact) -> bytes:
    """One fact as compact JSON, on one line; ``ValueError`` where a text is no Unicode (a lone surrogate)."""
    text: bytes = _facts().dump_json(fact)
    return text


def fact_from_json(text: bytes | str) -> Fact:
    """The fact that ``fact_to_json`` wrote; ``ValueError`` when it is none."""
    return cast(Fact, _facts().validate_json(text))


@cache
def _conversation() -> TypeAdapter[Any]:
    from typing import Annotated

    from pydantic import Discriminator, TypeAdapter

    return TypeAdapter(tuple[Annotated[Message, Discriminator("kind")], ...])


def messages_to_json(messages: Iterable[Message]) -> bytes:
    """A conversation as JSON, for a store of your own; half characters out of a broken stream become ``?``."""
    kept = tuple(messages)
    try:
        text: bytes = _conversation().dump_json(kept)
    except ValueError:
        whole = _conversation().dump_python(kept, mode="json")
        text = json.dumps(whole, ensure_ascii=False).encode(errors="replace")
    return text


def messages_from_json(text: bytes | str) -> tuple[Message, ...]:
    """The conversation that ``messages_to_json`` wrote, for ``run(messages=…)``; ``ValueError`` when it is none."""
    return cast("tuple[Message, ...]", _conversation().validate_json(text))
