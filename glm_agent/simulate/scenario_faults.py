"""Faults in the scenario format: what may go wrong with an answer, as data. Doing it is ``faults``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from glm_agent.simulate.scenario_base import JsonSchema, Strict, as_list, either, unknown_key

_SHORT_FAULTS: dict[str, dict[str, Any]] = {
    "html": {"html": 502},
    "empty": {"empty": 200},
    "disconnect": {"disconnect": True},
    "cut": {"cut_after": 1},
    "reset": {"reset_after": 1},
    "end": {"end_after": 1},
    "stall": {"stall_after": 0},
    "restart": {"restart_after": 2},
    "malformed": {"malformed_after": 1},
    "error": {"error_after": 1},
    "duplicate": {"duplicate_after": 1},
    "huge": {"huge_after": 0},
    "endless": {"endless": "text"},
    "drip": {"drip": 64},
    "network_error": {"finish": "network_error"},
}
_KINDS = (
    "status",
    "html",
    "empty",
    "disconnect",
    "cut_after",
    "reset_after",
    "end_after",
    "stall_after",
    "restart_after",
    "malformed_after",
    "error_after",
    "duplicate_after",
    "huge_after",
    "endless",
    "drip",
    "encoding",
    "finish",
)


_Text = Annotated[str, BeforeValidator(str, json_schema_input_type=str | int)]


class Fault(Strict):
    """Something that goes wrong instead of an answer, or in the middle of it; exactly one kind."""

    status: int | None = Field(default=None, ge=200, le=599)
    """An HTTP status with an error body."""
    html: int | None = Field(default=None, ge=200, le=599)
    """A gateway's HTML page with this status."""
    empty: int | None = Field(default=None, ge=200, le=599)
    """This status and no body."""
    disconnect: bool | None = None
    """The connection is reset before the first byte."""
    cut_after: int | None = Field(default=None, ge=0)
    """The connection is closed after so many chunks."""
    reset_after: int | None = Field(default=None, ge=0)
    """The connection is reset after so many chunks."""
    end_after: int | None = Field(default=None, ge=0)
    """The stream ends properly after so many chunks, without finish and ``[DONE]``."""
    stall_after: int | None = Field(default=None, ge=0)
    """Nothing comes after so many chunks; the connection stays open."""
    restart_after: int | None = Field(default=None, ge=0)
    """A frame is cut and a second generation with a new id follows on the same connection."""
    malformed_after: int | None = Field(default=None, ge=0)
    """A frame that is no JSON comes after so many chunks."""
    error_after: int | None = Field(default=None, ge=0)
    """An error frame comes inside the stream, and nothing after it."""
    duplicate_after: int | None = Field(default=None, ge=1)
    """This chunk, counted from 1, comes twice."""
    huge_after: int | None = Field(default=None, ge=0)
    """One line of ``bytes`` bytes comes after so many chunks."""
    endless: Literal["text", "line"] | None = None
    """Text that never ends, or a line that never ends."""
    drip: int | None = Field(default=None, ge=1)
    """The answer comes in pieces of so many bytes."""
    encoding: Literal["bom", "crlf", "invalid", "split"] | None = None
    """Bytes that a decoder must bear."""
    finish: str | None = None
    """HTTP 200 with this ``finish_reason``, without text and usage."""

    code: _Text = ""
    """GLM's business code, with ``status`` and ``error_after``."""
    message: str = ""
    """The error's sentence."""
    retry_after: _Text | None = None
    """The header ``Retry-After``, as written."""
    headers: dict[str, str] = Field(default_factory=dict[str, str])
    """More response headers."""
    body: str | None = None
    """The response's body, sent as it is."""
    form: Literal["data", "event", "bare"] = "data"
    """How the error stands in the stream: a data frame, an ``event: error``, a bare line."""
    bytes: int = Field(default=64 * 2**20, ge=1, le=2**30)
    """Length of the huge line."""
    times: Annotated[int, Field(ge=1)] | Literal["always"] = 1
    """For how many attempts of the same request."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if isinstance(value, str):
            if value not in _SHORT_FAULTS:
                raise unknown_key(value, list(_SHORT_FAULTS))
            return _SHORT_FAULTS[value]
        return value

    @model_validator(mode="after")
    def _one_kind(self) -> Fault:
        given = [kind for kind in _KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(
                f"a fault is exactly one of {', '.join(_KINDS)}; this one has {' and '.join(given) or 'none'}"
            )
        return self

    @property
    def kind(self) -> str:
        return next(kind for kind in _KINDS if getattr(self, kind) is not None)

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchema:
        return either(handler(core), {"enum": list(_SHORT_FAULTS)})


Faults = Annotated[list[Fault], BeforeValidator(as_list, json_schema_input_type=list[Fault] | Fault)]


class RandomFaults(Strict):
    """Faults that come by chance, drawn from the scenario's seed."""

    rate: float = Field(ge=0, le=1)
    """Probability for each request."""
    faults: Faults = Field(min_length=1)
    """One of these."""
    at_most: int = Field(default=2, ge=0)
    """So often for the same request."""
