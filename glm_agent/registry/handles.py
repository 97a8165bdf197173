"""Where a call whose work goes on elsewhere is found again by a later process: a small file a call.

A tool that starts something long (a job of a service, a task of a server) keeps its id before it waits, and waits
for it again, instead of starting another one, when an earlier process died over the call.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from glm_agent.messages import JsonObject


class Handles:
    """The handles of one session, in a folder that is made when the first one is kept."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, key: str) -> JsonObject | None:
        """What was kept under a call's idempotency key; None where nothing was."""
        try:
            found = json.loads(self._path(key).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return cast(JsonObject, found) if isinstance(found, dict) else None

    def save(self, key: str, handle: Mapping[str, Any]) -> None:
        """Keep it, on the disk when this returns. A handle may be all that is needed to fetch a result: mode 0600."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._path(key)
        whole = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}")
        # Written beside and put in its place: what is there is whole at every moment.
        descriptor = os.open(whole, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(dict(handle), file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(whole, path)

    def _path(self, key: str) -> Path:
        return self._folder / f"h{hashlib.sha256(key.encode()).hexdigest()[:24]}.json"
