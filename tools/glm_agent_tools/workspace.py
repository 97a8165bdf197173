"""The workspace: the one folder that tools may look into and write to, and safe ways to do so.

It is ``deps`` of the run where that is a ``Workspace`` (or has one as ``.workspace``), else the
folder in ``GLM_AGENT_WORKSPACE``, else the working directory. Paths are resolved first and checked,
then opened from the root down without following a link: so a link that is swapped in meanwhile
leads nowhere.
"""

from __future__ import annotations

import difflib
import os
import secrets
import stat
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from glm_agent import ToolError

if TYPE_CHECKING:
    # Only a name in a signature here; the search process, which starts for every search, does without it.
    from glm_agent import ToolContext

_PRIVATE: Final = {".git": "git's own: use the git tools", ".glm-agent": "the agent's own"}
"""Folders nobody writes by hand: a file in ``.git/hooks`` is a program that runs at the next commit."""

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Workspace:
    """A folder, and safe ways into it."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(os.path.realpath(root))

    def locate(self, path: str) -> tuple[str, ...]:
        """The names from the root to what ``path`` means, links resolved; ``ToolError`` where it leads outside."""
        if "\0" in path:
            raise ToolError("a path cannot hold a null character")
        try:
            inside = Path(os.path.realpath(self.root / path)).relative_to(self.root)
        except ValueError:
            raise ToolError(
                f"'{path}' is outside the workspace: write a path inside it, relative to its top, such as 'src/main.py'"
            ) from None
        for name in inside.parts:
            if reason := _PRIVATE.get(name.casefold()):
                raise ToolError(f"'{path}' is inside '{name}', which is {reason}")
        return inside.parts

    def name(self, path: str) -> str:
        """``path`` as the model should write it: relative to the root, with ``/``; ``.`` for the root."""
        return "/".join(self.locate(path)) or "."

    def folder(self, path: str) -> Path:
        """A folder that exists, for programs that take a path."""
        found = self.root.joinpath(*self.locate(path))
        if not found.is_dir():
            with self._said(path):
                os.close(self._open_folder(self.locate(path)))
        return found

    @contextmanager
    def open(self, path: str) -> Generator[BinaryIO]:
        """A regular file, for reading bytes."""
        *folders, name = self.locate(path) or ("",)
        if not name:
            raise ToolError(f"'{path}' is a folder: list_files shows what is in it")
        with self._said(path), self._folder(folders) as folder:
            # Without O_NONBLOCK, opening a named pipe waits for somebody to write into it.
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(name, flags, dir_fd=folder)
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            os.close(descriptor)
            if stat.S_ISDIR(mode):
                raise ToolError(f"'{path}' is a folder: list_files shows what is in it")
            raise ToolError(f"'{path}' is no regular file (a device, a pipe or a socket): it is not read")
        with os.fdopen(descriptor, "rb") as file:
            yield file

    def write(self, path: str, data: bytes) -> bool:
        """Replace a file as a whole, or make it with its folders; whether it was made.

        A reader sees the old file or the new one, never a half.
        """
        *folders, name = self.locate(path) or ("",)
        if not name:
            raise ToolError(f"'{path}' is a folder: name a file in it")
        with self._said(path, done="written"), self._folder(folders, make=True) as folder:
            mode = _mode(name, folder)
            if mode is not None and not stat.S_ISREG(mode):
                raise ToolError(f"'{path}' is a folder or no regular file: choose another name")
            fresh = f".{name[:100]}.{secrets.token_hex(6)}"
            try:
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                with os.fdopen(os.open(fresh, flags, 0o666, dir_fd=folder), "wb") as file:
                    file.write(data)
                    if mode is not None:
                        os.fchmod(file.fileno(), stat.S_IMODE(mode))
                os.replace(fresh, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with suppress(FileNotFoundError):
                    os.unlink(fresh, dir_fd=folder)
                raise
        return mode is None

    @contextmanager
    def _folder(self, names: Sequence[str], *, make: bool = False) -> Generator[int]:
        descriptor = self._open_folder(names, make=make)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _open_folder(self, names: Sequence[str], *, make: bool = False) -> int:
        """A descriptor of a folder, opened name by name: no name on the way may have become a link."""
        here = os.open(self.root, _FOLDER)
        for name in names:
            try:
                if make:
                    with suppress(FileExistsError):
                        os.mkdir(name, dir_fd=here)
                below = os.open(name, _FOLDER, dir_fd=here)
            finally:
                os.close(here)
            here = below
        return here

    @contextmanager
    def _said(self, path: str, *, done: str = "opened") -> Generator[None]:
        """What the system refuses, in words the model can act on."""
        try:
            yield
        except FileNotFoundError:
            raise ToolError(f"there is no file or folder '{path}'{self._nearest(path)}") from None
        except NotADirectoryError:
            raise ToolError(f"'{path}' is no folder, or leads through something that is none") from None
        except PermissionError:
            raise ToolError(f"'{path}' may not be {done}: the system denies it") from None
        except OSError as error:
            raise ToolError(f"'{path}' cannot be {done}: {error.strerror or error}") from None

    def _nearest(self, path: str) -> str:
        *folders, name = self.locate(path) or ("",)
        try:
            names = os.listdir(self.root.joinpath(*folders))
        except OSError:
            return ""
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        return f"; near it: {', '.join(repr('/'.join((*folders, each))) for each in near)}" if near else ""


def workspace_of(context: ToolContext) -> Workspace:
    """The workspace of a call."""
    for candidate in (context.deps, getattr(context.deps, "workspace", None)):
        if isinstance(candidate, Workspace):
            return candidate
    return Workspace(os.environ.get("GLM_AGENT_WORKSPACE") or Path.cwd())


def _mode(name: str, folder: int) -> int | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return None
