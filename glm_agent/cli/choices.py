"""Options that ``run`` and ``batch`` share: tools and servers, limits, permissions."""

from __future__ import annotations

from typing import Annotated, Final

import typer

RUN: Final = "What runs"
LIMITS: Final = "Limits"
MAY: Final = "Permissions"

Tools = Annotated[
    list[str] | None,
    typer.Option(help="Entry point (files), ./file.py, ./folder or module:object; repeatable.", rich_help_panel=RUN),
]
McpConfig = Annotated[
    list[str] | None, typer.Option(help="A .mcp.json, a command or an address; repeatable.", rich_help_panel=RUN)
]

MaxSteps = Annotated[int | None, typer.Option(min=1, help="Model requests of a turn.", rich_help_panel=LIMITS)]
MaxTokens = Annotated[
    int | None, typer.Option(min=1, help="Tokens of all requests of a turn together.", rich_help_panel=LIMITS)
]
MaxCost = Annotated[float | None, typer.Option(min=0, help="US dollars of a turn.", rich_help_panel=LIMITS)]
Timeout = Annotated[float | None, typer.Option(min=0, help="Seconds of a turn.", rich_help_panel=LIMITS)]

Permissions = Annotated[
    str | None, typer.Option(help="YAML file with allow, ask, deny; replaces the task's.", rich_help_panel=MAY)
]
Allow = Annotated[
    list[str] | None, typer.Option(help="Only tools like this may run, git__*; repeatable.", rich_help_panel=MAY)
]
Ask = Annotated[
    list[str] | None,
    typer.Option(help="Tools like this wait for a person's yes; repeatable.", rich_help_panel=MAY),
]
Deny = Annotated[list[str] | None, typer.Option(help="Tools like this never run; repeatable.", rich_help_panel=MAY)]
