"""Arguments that commands on sessions share."""

from __future__ import annotations

from typing import Annotated

import typer

Id = Annotated[str, typer.Argument(metavar="ID", help="As `sessions list` shows it.")]
