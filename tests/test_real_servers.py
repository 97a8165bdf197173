"""Servers that people use, called for what they are there for: files, memory, git, time, the web, spreadsheets."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import anyio
import pytest

from glm_agent.messages import ImagePart

sys.path.insert(0, str(Path(__file__).parent / "servers"))
from real import BESIDE, agent, answers, node_entry, python_entry
from threaded import threaded

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SECONDS = 300
NO_NODE = {"PATH": str(BESIDE)}
"""With a Node in reach, a library of the fetch server has npm install packages when it is first used."""

pytestmark = pytest.mark.anyio


async def test_the_filesystem_server_writes_reads_edits_and_keeps_to_its_folder(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (outside / "secret.txt").write_text("secret")
    (inside / "dot.png").write_bytes(base64.b64decode(PNG))
    file = str(inside / "note.md")
    entry = node_entry("@modelcontextprotocol/server-filesystem", str(inside))  # which may have to be fetched
    with anyio.fail_after(SECONDS):
        async with agent(entry) as files:
            wrote, read, edited, listed, found, picture, refused = await answers(
                files,
                ("write_file", {"path": file, "content": "# Grüße\nold line\n"}),
                ("read_text_file", {"path": file}),
                ("edit_file", {"path": file, "edits": [{"oldText": "old line", "newText": "new line"}]}),
                ("list_directory", {"path": str(inside)}),
                ("search_files", {"path": str(inside), "pattern": "**/*.md"}),
                ("read_media_file", {"path": str(inside / "dot.png")}),
                ("read_text_file", {"path": str(outside / "secret.txt")}),
            )
    assert not wrote.is_error
    assert read.content == "# Grüße\nold line\n"
    assert "+new line" in edited.content
    assert "[FILE] note.md" in listed.content
    assert found.content.endswith("note.md")
    assert picture.attachments == (ImagePart(url=f"data:image/png;base64,{PNG}"),)
    assert refused.is_error
    assert "secret" not in refused.content.replace("secret.txt", "")
    assert (inside / "note.md").read_text() == "# Grüße\nnew line\n"


async def test_the_memory_server_keeps_what_it_is_told_over_a_restart(tmp_path: Path) -> None:
    entry = node_entry("@modelcontextprotocol/server-memory", env={"MEMORY_FILE_PATH": str(tmp_path / "memory.jsonl")})
    ada = {"name": "Ada", "entityType": "person", "observations": ["writes programs", "likes engines"]}
    engine = {"name": "Engine", "entityType": "machine", "observations": []}
    with anyio.fail_after(SECONDS):
        async with agent(entry) as before:
            made, related = await answers(
                before,
                ("create_entities", {"entities": [ada, engine]}),
                ("create_relations", {"relations": [{"from": "Ada", "to": "Engine", "relationType": "describes"}]}),
            )
            assert not made.is_error
            assert not related.is_error
        async with agent(entry) as after:
            (found,) = await answers(after, ("search_nodes", {"query": "engines"}))
    known = json.loads(found.content)
    assert known["entities"] == [ada]
    # A query finds what is related to what it finds in one release, and only what matches in another.
    assert {relation["relationType"] for relation in known["relations"]} <= {"describes"}


def git(folder: Path, *arguments: str) -> None:
    names = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b.c", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "c"}
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, env={**os.environ, **names})


async def test_the_git_server_shows_and_changes_a_repository(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    git(tmp_path, "config", "user.name", "Ada")
    git(tmp_path, "config", "user.email", "ada@example.com")
    (tmp_path / "a.txt").write_text("one\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "First")
    (tmp_path / "a.txt").write_text("two\n")
    here: dict[str, Any] = {"repo_path": str(tmp_path)}
    with anyio.fail_after(SECONDS):
        async with agent(python_entry("mcp-server-git", "--repository", str(tmp_path))) as repository:
            status, changed, _, committed, log, shown, refused = await answers(
                repository,
                ("git_status", here),
                ("git_diff_unstaged", here),
                ("git_add", {**here, "files": ["a.txt"]}),
                ("git_commit", {**here, "message": "Second"}),
                ("git_log", {**here, "max_count": 1}),
                ("git_show", {**here, "revision": "HEAD"}),
                ("git_log", {"repo_path": str(tmp_path.parent)}),
            )
    assert "a.txt" in status.content
    assert "+two" in changed.content
    assert not committed.is_error
    assert "Second" in log.content
    assert "First" not in log.content
    assert "-one" in shown.content
    assert refused.is_error


async def test_the_time_server_converts_and_says_what_it_does_not_know() -> None:
    with anyio.fail_after(SECONDS):
        async with agent(python_entry("mcp-server-time", "--local-timezone", "UTC")) as clock:
            converted, unknown, misfit = await answers(
                clock,
                ("convert_time", {"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"}),
                ("get_current_time", {"timezone": "Nowhere/Here"}),
                ("get_current_time", {"timezone": 3}),
            )
    assert json.loads(converted.content)["target"]["datetime"].partition("T")[2] == "21:00:00+09:00"
    assert unknown.is_error
    assert "Nowhere/Here" in unknown.content
    assert misfit.is_error


class Site(BaseHTTPRequestHandler):
    """A page that robots may read, one that they may not, and one that is not there."""

    pages: ClassVar[dict[str, tuple[str, str]]] = {
        "/robots.txt": ("text/plain", "User-agent: *\nDisallow: /private\n"),
        "/open": ("text/html", f"<html><body><main><h1>Open</h1><p>{'Words. ' * 200}The end.</p></main></body></html>"),
        "/private": ("text/html", "<html><body><h1>Private</h1></body></html>"),
        "/data.json": ("application/json", '{"rows": [1, 2]}'),
    }

    def do_GET(self) -> None:
        kind, text = self.pages.get(self.path, ("", ""))
        self.send_response(200 if kind else 404)
        self.send_header("Content-Type", kind or "text/plain")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def site() -> Iterator[str]:
    with threaded(ThreadingHTTPServer(("127.0.0.1", 0), Site)) as server:
        yield f"http://127.0.0.1:{server.server_port}"


async def test_the_fetch_server_reads_pages_in_parts_and_heeds_robots() -> None:
    with site() as url, anyio.fail_after(SECONDS):
        async with agent(python_entry("mcp-server-fetch", "--allow-private-ips", env=NO_NODE)) as web:
            start, rest, data, forbidden, missing = await answers(
                web,
                ("fetch", {"url": f"{url}/open", "max_length": 100}),
                ("fetch", {"url": f"{url}/open", "start_index": 100}),
                ("fetch", {"url": f"{url}/data.json"}),
                ("fetch", {"url": f"{url}/private"}),
                ("fetch", {"url": f"{url}/nothing"}),
            )
        async with agent(
            python_entry("mcp-server-fetch", "--allow-private-ips", "--ignore-robots-txt", env=NO_NODE)
        ) as rude:
            (anyway,) = await answers(rude, ("fetch", {"url": f"{url}/private"}))
        async with agent(python_entry("mcp-server-fetch", env=NO_NODE)) as careful:
            (private,) = await answers(careful, ("fetch", {"url": f"{url}/open"}))
    assert "Words." in start.content
    assert "The end." not in start.content
    assert "The end." in rest.content
    assert '{"rows": [1, 2]}' in data.content
    assert forbidden.is_error
    assert "robots" in forbidden.content
    assert missing.is_error
    assert "404" in missing.content
    assert "Private" in anyway.content
    assert private.is_error


async def test_the_excel_server_fills_a_workbook_and_calculates(tmp_path: Path) -> None:
    book, sheet = str(tmp_path / "book.xlsx"), {"sheet": "Sales"}
    rows = [["Item", "Price"], ["Pen", 1.5], ["Ink", 4], ["Sum", "=SUM(B2:B3)"]]
    with anyio.fail_after(SECONDS):
        async with agent(python_entry("excel-mcp-server", "stdio", "--allow-dir", str(tmp_path))) as sheets:
            made, wrote, read, drawn, refused = await answers(
                sheets,
                ("create_workbook", {"path": book, "sheets": ["Sales"]}),
                ("write_range", {"path": book, **sheet, "at": "A1", "rows": rows}),
                ("read_range", {"path": book, **sheet}),
                ("create_chart", {"path": book, **sheet, "chart_type": "column", "source": "Sales!A1:B3", "at": "D2"}),
                ("create_workbook", {"path": str(tmp_path.parent / "elsewhere.xlsx")}),
            )
    assert not made.is_error, made.content
    assert not wrote.is_error, wrote.content
    assert "Ink" in read.content
    assert "5.5" in read.content
    assert not drawn.is_error, drawn.content
    assert refused.is_error
    assert await anyio.Path(book).exists()


def command(*arguments: str, file: Path) -> subprocess.CompletedProcess[str]:
    program = [str(BESIDE / "glm-agent"), "mcp", *arguments]
    return subprocess.run(
        program, capture_output=True, text=True, cwd=file.parent, check=False, timeout=SECONDS, stdin=subprocess.DEVNULL
    )


def test_the_command_line_adds_checks_calls_and_locks_them(tmp_path: Path) -> None:
    file = tmp_path / ".mcp.json"
    time = [str(BESIDE / "mcp-server-time"), "--local-timezone", "UTC"]
    added = command("add", "time", "--", *time, file=file)
    assert added.returncode == 0, added.stderr
    checked = command("check", file=file)
    assert checked.returncode == 0, checked.stderr
    assert "time__convert_time" in checked.stdout
    called = command("call", "time__get_current_time", '{"timezone": "UTC"}', file=file)
    assert (called.returncode, json.loads(called.stdout)["timezone"]) == (0, "UTC")
    failed = command("call", "time__get_current_time", '{"timezone": "Nowhere"}', file=file)
    assert failed.returncode == 1
    assert "Traceback" not in failed.stdout + failed.stderr
    locked = command("lock", file=file)
    assert locked.returncode == 0, locked.stderr
    assert set(json.loads((tmp_path / "mcp.lock").read_text())["servers"]["time"]) >= {"tools"}
    assert command("lock", "--check", file=file).returncode == 0
