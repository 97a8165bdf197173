"""Files that are whole at every moment: written beside, then put in the old one's place. Does not import ``mcp``."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path


def replace_file(path: Path, data: bytes, *, is_private: bool = True) -> None:
    """Put the bytes there; a reader sees the old file or the new one. Raises ``OSError``, and leaves the old one then.

    A private file is readable for the user alone; any other one keeps its mode, or gets that of a new file.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        if not is_private:
            os.chmod(name, _mode(path))
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise


def _mode(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_mode & 0o777
    umask = os.umask(0o077)
    os.umask(umask)
    return 0o666 & ~umask
