"""Ends a server's processes when this process is killed and can no longer do it. POSIX; knows nothing of MCP.

A server's input ends when we die, and most servers leave then; a launcher such as ``npx`` may leave and its child stay,
or a server may not look. So a small shell waits beside each: it sees our end of a pipe close, however we ended, and
ends the server's process group. Rejected: ``PR_SET_PDEATHSIG``, which is Linux alone, reaches the launcher and not what
it launched, and strikes when the thread that started the server ends.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager, suppress

# ``read`` returns when the pipe has ended. The group has two seconds to leave, then two more after SIGTERM.
_SCRIPT = 'read -r _; for signal in TERM KILL; do sleep 2; kill -s "$signal" -- "-$1" 2>/dev/null || exit 0; done'


@contextmanager
def watched(group: int) -> Generator[None]:
    """End the process group if this process dies while the block is open; without a shell nothing is watched."""
    shell = shutil.which("sh") if os.name == "posix" else None
    if shell is None:
        yield
        return
    with subprocess.Popen(
        [shell, "-c", _SCRIPT, "glm-agent-watchdog", str(group)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={"PATH": os.environ.get("PATH", os.defpath)},
        cwd="/",
        start_new_session=True,
    ) as watchdog:
        try:
            yield
        finally:
            # Before its pipe ends, else it would begin its work.
            with suppress(ProcessLookupError):
                watchdog.kill()
