"""What versions of glm-agent before the journal's schema 2 kept in files beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from glm_agent.errors import JournalError
from glm_agent.journal.summary import Setup


def setup(path: Path) -> Setup:
    """How a session is run, by its file of options; an empty one where there is none.

    Raises ``JournalError`` where it cannot be read.
    """
    try:
        kept: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Setup()
    except (OSError, ValueError) as error:
        raise JournalError(f"'{path}' cannot be read ({error}): delete it and give the options again") from error
    if not isinstance(kept, dict):
        raise JournalError(f"'{path}' holds no options: delete it and give them again")
    return Setup(options=cast("dict[str, Any]", kept))
