"""What the history of a git repository says, in figures."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Final, TypedDict

from pydantic import Field

from glm_agent import ToolContext, tool
from glm_agent_tools.git_command import GitFailed, git
from glm_agent_tools.workspace import workspace_of

_MAX_COMMITS: Final = 50_000
"""How far back changes are counted; 50,000 commits take git some seconds."""


class Commit(TypedDict):
    """One commit."""

    hash: str
    date: str
    author: str
    subject: str


class BusyFile(TypedDict):
    """A file and in how many commits it was changed."""

    path: str
    commits: int


class Author(TypedDict):
    """A person and how many commits they wrote."""

    name: str
    commits: int


class History(TypedDict):
    """The history of a folder."""

    is_repository: bool
    is_shallow: bool
    branch: str | None
    head: str | None
    commits: int
    tracked_files: int
    first_commit: Commit | None
    latest_commits: list[Commit]
    authors: list[Author]
    busiest_files: list[BusyFile]
    notes: list[str]


@tool(read_only=True, untrusted=True, timeout_seconds=180)
def git_summary(
    context: ToolContext,
    folder: str = ".",
    latest: Annotated[int, Field(ge=0, le=100)] = 10,
    busiest: Annotated[int, Field(ge=0, le=100)] = 10,
) -> History:
    """Figures on a git repository: commits, tracked files, authors, latest commits, busiest files.

    Where there is no history, or only a part of it, the notes say so. Below the top of a repository the
    figures are those of that folder.

    Args:
        folder: The repository, or a folder in one, relative to the workspace.
        latest: How many of the latest commits to return.
        busiest: How many of the files with the most commits to return, files that are gone included.
    """
    top = workspace_of(context).folder(folder)
    try:
        git(top, "rev-parse", "--git-dir")
    except GitFailed as error:
        return _nothing(is_repository=False, note=f"'{folder}' has no git history: {error}")
    try:
        tracked = len([name for name in git(top, "ls-files", "-z").split("\0") if name])
        if not _succeeds(top, "rev-parse", "--verify", "--quiet", "HEAD"):
            history = _nothing(is_repository=True, note="the repository has no commit yet")
            return {**history, "tracked_files": tracked}
        return _history(top, tracked=tracked, latest=latest, busiest=busiest)
    except GitFailed as error:
        return _nothing(is_repository=True, note=f"git could not read the history: {error}")


def _history(top: Path, *, tracked: int, latest: int, busiest: int) -> History:
    is_shallow = git(top, "rev-parse", "--is-shallow-repository").strip() == "true"
    inside = git(top, "rev-parse", "--show-prefix").strip()
    # Only below the top: a path on the command line makes git leave out merges and empty commits.
    only = ("--", ".") if inside else ()
    hashes = git(top, "rev-list", "HEAD", *only).split()
    return History(
        is_repository=True,
        is_shallow=is_shallow,
        branch=git(top, "branch", "--show-current").strip() or None,
        head=git(top, "rev-parse", "HEAD").strip(),
        commits=len(hashes),
        tracked_files=tracked,
        first_commit=None if is_shallow or not hashes else _commits(top, "--no-walk", hashes[-1])[0],
        latest_commits=_commits(top, f"--max-count={latest}", *only) if latest else [],
        authors=_authors(top, only),
        busiest_files=_busiest(top, only, limit=busiest, prefix=inside),
        notes=_notes(is_shallow=is_shallow, commits=len(hashes), inside=inside),
    )


def _commits(top: Path, *arguments: str) -> list[Commit]:
    # Subjects may hold anything but a null character; -z puts one between commits.
    said = git(top, "log", "-z", "--no-color", "--format=%H%x1f%cI%x1f%aN%x1f%s", *arguments)
    rows = [line.split("\x1f", 3) for line in said.split("\0") if line]
    return [Commit(hash=row[0], date=row[1], author=row[2], subject=row[3][:300]) for row in rows if len(row) == 4]


def _authors(top: Path, only: tuple[str, ...]) -> list[Author]:
    names = Counter(git(top, "log", f"--max-count={_MAX_COMMITS}", "--format=%aN", *only).splitlines())
    ranked = sorted(names.items(), key=lambda item: (-item[1], item[0]))
    return [Author(name=name, commits=count) for name, count in ranked[:50]]


def _busiest(top: Path, only: tuple[str, ...], *, limit: int, prefix: str) -> list[BusyFile]:
    """Files by the number of commits that changed them; a merge counts for the commits it brings."""
    arguments = (f"--max-count={_MAX_COMMITS}", "--format=", "--name-only", "-z", "--no-renames")
    said = git(top, "log", *arguments, "--no-ext-diff", "--no-textconv", *only)
    counts = Counter(name.strip("\n").removeprefix(prefix) for name in said.split("\0") if name.strip("\n"))
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [BusyFile(path=path, commits=count) for path, count in ranked[:limit]]


def _notes(*, is_shallow: bool, commits: int, inside: str) -> list[str]:
    notes: list[str] = []
    if is_shallow:
        notes.append(
            "this is a shallow clone: only a part of the history is here, so commits, authors and busiest files "
            "are those of that part, and its oldest commit counts as a change of every file"
        )
    if inside:
        notes.append(f"the figures are those of the folder '{inside}' of a larger repository")
    if commits > _MAX_COMMITS:
        notes.append(f"authors and busiest files are those of the latest {_MAX_COMMITS:,} commits")
    return notes


def _nothing(*, is_repository: bool, note: str) -> History:
    return History(
        is_repository=is_repository,
        is_shallow=False,
        branch=None,
        head=None,
        commits=0,
        tracked_files=0,
        first_commit=None,
        latest_commits=[],
        authors=[],
        busiest_files=[],
        notes=[note],
    )


def _succeeds(top: Path, *arguments: str) -> bool:
    try:
        git(top, *arguments)
    except GitFailed:
        return False
    return True
