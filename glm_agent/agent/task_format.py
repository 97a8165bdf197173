"""The front matter of a task file: every key, its type and its bounds.

Data only: files, lines and what is made of the values are ``task``'s business.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from glm_agent.agent.budget import Budget
from glm_agent.messages import ModelSettings
from glm_agent.permissions import UnknownOutcome


class Table(BaseModel):
    """Part of the front matter; a key it does not know is an error."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Settings(Table):
    """How the model is to answer; what is not given is not sent."""

    temperature: float | None = Field(default=None, ge=0, le=1)
    top_p: float | None = Field(default=None, ge=0.01, le=1)
    do_sample: bool | None = None
    max_tokens: int | None = Field(default=None, ge=1, description="Bound of one response, thinking included.")
    stop: list[str] | None = None
    thinking: bool | None = None
    clear_thinking: bool | None = None
    reasoning_effort: str | None = Field(default=None, description="low, high or max; other models know other words.")
    response_format: Literal["text", "json_object"] | None = None
    tool_stream: bool | None = None
    user_id: str | None = Field(default=None, min_length=6, max_length=128)
    tool_choice: str | None = Field(default=None, description="required or a tool's name: called first; none; auto.")

    def model_settings(self) -> ModelSettings:
        given: dict[str, Any] = self.model_dump(exclude_none=True)
        given["stop"] = tuple(given.get("stop", ()))
        return ModelSettings(**given)


class Limits(Table):
    """What the task may spend; at each limit it stops with ``budget``, exit code 3."""

    max_tokens: int | None = Field(default=None, ge=1, description="Tokens of all requests together, prompts included.")
    max_cost: float | None = Field(default=None, gt=0, description="US dollars, by the catalog's prices.")
    max_tool_calls: int | None = Field(default=None, ge=0)
    max_repeats: int | None = Field(
        default=None, ge=2, description="Steps in a row with the same calls and results, before it stops with loop."
    )
    timeout: float | None = Field(default=None, gt=0, description="Seconds, from the first request on.")

    def budget(self) -> Budget:
        return Budget(
            max_tokens=self.max_tokens,
            max_cost_usd=self.max_cost,
            max_tool_calls=self.max_tool_calls,
            max_repeats=self.max_repeats,
            timeout_seconds=self.timeout,
        )


class Permissions(Table):
    """Which tools may run: patterns of names with ``*`` and ``?``."""

    allow: list[str] | None = Field(default=None, description="Only these; without it, all that is not denied.")
    ask: list[str] = Field(default_factory=list[str])
    deny: list[str] = Field(default_factory=list[str])
    ask_after_untrusted: list[str] = Field(
        default_factory=list[str], description="Ask about these once text of strangers was read."
    )
    deny_after_untrusted: list[str] = Field(
        default_factory=list[str], description="These do not run any more once text of strangers was read."
    )
    unknown_outcome: UnknownOutcome = Field(
        default="tell",
        description="Where a process died within a call of effect write and nothing can find out what came of it: "
        "tell the model, or stop with needs_decision, exit code 5.",
    )


class TaskSettings(Table):
    """Everything a task file's front matter may say."""

    name: str | None = Field(default=None, description="For people.")
    description: str | None = Field(default=None, description="For people.")
    model: str | None = Field(
        default=None, description="glm-5.3-flash, provider:id, simulate:SCENARIO; a|b: b answers where a fails."
    )
    instructions: str = Field(default="", description="What the model is told before everything else.")
    params: dict[str, str | int | float | bool | None] = Field(
        default_factory=dict[str, Any],
        description="Names that stand as ${name} in body and instructions, with defaults; null: must be given.",
    )
    tools: list[str] = Field(
        default_factory=list[str],
        description="Entry points (files), module:object, or ./folder and ./file.py beside the task file.",
    )
    mcp_servers: str | list[str | dict[str, Any]] | dict[str, dict[str, Any]] = Field(
        default_factory=list[Any],
        description="A path to a .mcp.json, a list of paths, commands and addresses, or servers by name.",
    )
    output_schema: dict[str, Any] | str | None = Field(
        default=None, description="JSON Schema the answer must fit, or the path of a JSON or YAML file with one."
    )
    max_steps: int = Field(default=20, ge=1, description="Model requests before the model must end in words.")
    settings: Settings = Settings()
    limits: Limits = Limits()
    permissions: Permissions | str = Field(
        default=Permissions(), description="allow, ask and deny, or the path of a YAML file with them."
    )
    output: str | None = Field(
        default=None, description="File that the answer is written to, in the working directory."
    )
