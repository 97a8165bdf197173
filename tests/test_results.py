"""Results too long for the model: cut, kept whole, read on in. And results that are no text."""

from __future__ import annotations

import base64
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glm_agent import Agent, ImagePart, ToolCall, ToolError, ToolResult, tool
from glm_agent.journal import Journal
from glm_agent.messages import AudioPart
from glm_agent.registry.output import shorten, to_result
from glm_agent.registry.results import KeptResults
from glm_agent.simulate import ScriptedModel

PNG = b"\x89PNG\r\n\x1a\nrest"
WAV = b"RIFF\x24\x00\x00\x00WAVEfmt "
CALL = ToolCall(id="c", name="t", arguments="{}")


@tool(read_only=True, max_output_tokens=100)
def log() -> str:
    """A long log."""
    return "\n".join(f"line {n}" for n in range(1, 5_001))


def results(messages: Any) -> list[ToolResult]:
    return [message for message in messages if isinstance(message, ToolResult)]


def reading(**arguments: Any) -> Any:
    """A line of a script: reads on in the result that the last message names."""
    import json
    import re

    def line(request: Any) -> ToolCall:
        name = re.search(r"id='(r[0-9a-f]{12})'", request.messages[2].content)
        assert name is not None
        return ToolCall(id="r", name="read_result", arguments=json.dumps({"id": name[1], **arguments}))

    return line


def left_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
@pytest.mark.anyio
async def test_a_stored_sessions_long_result_is_kept_beside_it_and_read_on_in(tmp_path: Path):
    model = ScriptedModel(
        [
            ToolCall(id="1", name="log", arguments="{}"),
            reading(from_line=2_500, lines=2),
            reading(contains="LINE 4999"),
            reading(from_line=9_000),
            "done",
        ]
    )
    agent = Agent(model, tools=[log], journal=tmp_path / "journal.db", session="one")
    cut, page, found, nothing = results((await agent.run("go")).messages)
    assert len(cut.content) <= 400
    assert cut.content.startswith("line 1\nline 2\n")
    assert cut.content.endswith("line 5000")
    assert page.content == "2500: line 2500\n2501: line 2501\n[more from line 2502]"
    assert found.content == "4999: line 4999\n[end]"
    assert nothing.content == "[no such line]"
    (file,) = (tmp_path / "results" / "one").iterdir()
    assert file.read_text() == log()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with Journal(tmp_path / "journal.db") as journal:
        journal.delete("one")
    assert not (tmp_path / "results" / "one").exists()


@pytest.mark.anyio
async def test_without_a_session_nothing_is_kept_unless_asked_for_and_then_only_for_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    calls = [ToolCall(id="1", name="log", arguments="{}"), "done"]
    model = ScriptedModel(calls)
    (cut,) = results((await Agent(model, tools=[log]).run("go")).messages)
    assert "read_result" not in cut.content
    assert [spec.name for spec in model.requests[0].tools] == ["log"]

    model = ScriptedModel([calls[0], reading(lines=1), "done"])
    _, page = results((await Agent(model, tools=[log], keep_results=True).run("go")).messages)
    assert page.content == "1: line 1\n[more from line 2]"
    assert [spec.name for spec in model.requests[0].tools] == ["log", "read_result"]
    assert left_in(tmp_path) == []


@pytest.mark.anyio
async def test_a_tool_of_the_same_name_wins():
    @tool(name="read_result", read_only=True)
    def own(id: int) -> str:
        """Mine."""
        return f"own {id}"

    model = ScriptedModel([ToolCall(id="1", name="read_result", arguments='{"id": 3}'), "done"])
    (said,) = results((await Agent(model, tools=[own], keep_results=True).run("go")).messages)
    assert said.content == "own 3"


@pytest.mark.parametrize("id", ["", "r1", "../secret", "r00000000000/", "rABCDEF012345", "r000000000000"])
def test_only_results_that_were_kept_can_be_read(tmp_path: Path, id: str):
    (tmp_path / "secret").write_text("hidden")
    (tmp_path / "kept").mkdir()
    kept = KeptResults(tmp_path / "kept")
    with pytest.raises(ToolError, match="is kept: call the tool again"):
        kept.read_result(id)


def test_one_long_line_is_paged_in_rows(tmp_path: Path):
    kept = KeptResults(tmp_path)
    note = kept.keep("x" * 2_500 + "\nlast", key="k")
    id = note.partition("id='")[2][:13]
    assert kept.read_result(id, 2, 2) == f"2: {'x' * 1_000}\n3: {'x' * 500}\n[more from line 4]"
    assert kept.read_result(id, 4) == "4: last\n[end]"


def test_a_page_stays_well_under_what_one_result_may_hold(tmp_path: Path):
    kept = KeptResults(tmp_path)
    id = kept.keep("好" * 1_000_000, key="k").partition("id='")[2][:13]
    page = kept.read_result(id, 1, 2_000)
    assert 50_000 < len(page.encode()) < 62_000
    assert page.endswith("[more from line 20]")


@given(st.text(min_size=1), st.integers(0, 200))
def test_with_or_without_a_note_the_bound_holds(text: str, times: int):
    long = text * times
    short = shorten(long, max_tokens=100, keep=lambda _: "the whole is kept: read_result(id='r123456789012')")
    assert len(short.encode()) <= 400
    assert ("left out; the whole" in short) == (len(long.encode(errors="replace")) > 400)
    assert shorten(short, max_tokens=100, keep=lambda _: "again") == short


# -- pictures, sound, content of MCP


def uri(data: bytes, mime: str) -> str:
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"


class Plot:
    def _repr_png_(self) -> bytes:
        return PNG


class Broken:
    def _repr_png_(self) -> bytes:
        raise RuntimeError("no display")


@pytest.mark.parametrize(
    ("value", "parts", "text"),
    [
        (PNG, [ImagePart(url=uri(PNG, "image/png"))], "[image of type image/png, 12 bytes]"),
        (WAV, [AudioPart(data=base64.b64encode(WAV).decode())], "[audio of type audio/wav, 16 bytes]"),
        (Plot(), [ImagePart(url=uri(PNG, "image/png"))], "[image of type image/png, 12 bytes]"),
        (
            ["a", PNG, {"n": 1}],
            [ImagePart(url=uri(PNG, "image/png"))],
            'a\n[image of type image/png, 12 bytes]\n{"n":1}',
        ),
        (b"%PDF-1.7\xff", [], "[application of type application/pdf, 9 bytes: cannot be shown]"),
        (b"text", [], "text"),
        (b"\xff\x00", [], "base64:/wA="),
        ([1, 2], [], "[1,2]"),
    ],
)
def test_pictures_and_sound_are_known_by_what_they_are(value: Any, parts: list[Any], text: str):
    result = to_result(value, CALL, max_tokens=1_000)
    assert (list(result.attachments), result.content) == (parts, text)


def test_a_picture_that_cannot_be_drawn_is_data():
    result = to_result(Broken(), CALL, max_tokens=1_000)
    assert "Broken" in result.content
    assert result.attachments == ()


def test_content_of_mcp_is_taken_as_what_it_is():
    from mcp.types import (
        AudioContent,
        BlobResourceContents,
        CallToolResult,
        EmbeddedResource,
        ImageContent,
        TextContent,
    )

    text = TextContent(type="text", text="hello")
    image = ImageContent(type="image", data="AAAA", mime_type="image/png")
    sound = AudioContent(type="audio", data="AAAA", mime_type="audio/mpeg")
    blob = EmbeddedResource(
        type="resource", resource=BlobResourceContents(uri="file:///z", blob="AAAA", mime_type="application/zip")
    )
    result = to_result([text, image, sound, blob], CALL, max_tokens=1_000)
    assert result.content.splitlines() == [
        "hello",
        "[image of type image/png, 3 bytes]",
        "[audio of type audio/mpeg, 3 bytes]",
        "[resource file:///z of type application/zip, 3 bytes: cannot be shown]",
    ]
    assert [part.kind for part in result.attachments] == ["image", "audio"]
    failed = to_result(CallToolResult(content=[text], is_error=True), CALL, max_tokens=1_000)
    assert (failed.content, failed.is_error) == ("hello", True)


def test_a_stored_run_needs_no_parser_of_docstrings() -> None:
    make = "from glm_agent.registry.results import KeptResults; KeptResults()"
    code = f"import sys; {make}; sys.exit('griffe' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
