"""The documents are true: their links lead somewhere, their commands and their Python are those of this project."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer
import yaml

import glm_agent
from glm_agent.agent.task import load_task
from glm_agent.batch.results import result_schema
from glm_agent.cli.app import app
from glm_agent.cli.commands import loaded
from glm_agent.cli.formats import line_schema
from glm_agent.journal import Journal
from glm_agent.mcp.sources import read_servers
from glm_agent.simulate.scenario_file import scenario_of

ROOT = Path(__file__).parents[2]
FILES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
HELP = ROOT / "glm_agent" / "cli"
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
SPOKEN = re.compile(r"`(glm-agent [^`]+)`")


@dataclass(frozen=True)
class Piece:
    """Something a reader may copy."""

    file: Path
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line}: {self.text}"


def fenced(kind: str) -> Iterator[Piece]:
    for file in FILES:
        text = file.read_text()
        for found in FENCED.finditer(text):
            if found[1] == kind:
                yield Piece(file, text.count("\n", 0, found.start(2)) + 1, found[2])


# -- links ------------------------------------------------------------------------------------------------


def headings(file: Path) -> set[str]:
    """The anchors of a file, as hosts of repositories make them."""
    lines = re.findall(r"^#+ (.+)$", FENCED.sub("", file.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


def leads_nowhere(file: Path, target: str) -> bool:
    path, _, anchor = target.partition("#")
    place = (file.parent / path).resolve() if path else file
    return not place.exists() or bool(anchor and place.suffix == ".md" and anchor not in headings(place))


def test_every_link_leads_somewhere() -> None:
    links = [(file, link) for file in FILES for link in LINK.findall(file.read_text()) if "://" not in link]
    assert len(links) > 20
    assert [f"{file.name}: {link}" for file, link in links if leads_nowhere(file, link)] == []


# -- commands ---------------------------------------------------------------------------------------------


COMMANDS: Any = typer.main.get_command(app)
COMMANDS.commands = {name: loaded(name) for name in COMMANDS.commands}


def command_lines() -> Iterator[Piece]:
    """What stands behind a prompt, continued lines as one, and what prose and help name."""
    for block in fenced("console"):
        whole = block.text.replace("\\\n", " ")
        for found in re.finditer(r"^\$ (.+)$", whole, re.MULTILINE):
            yield Piece(block.file, block.line + whole.count("\n", 0, found.start()), found[1])
    for file in FILES:
        text = FENCED.sub(lambda block: "\n" * block[0].count("\n"), file.read_text())
        for found in SPOKEN.finditer(text):
            yield Piece(file, text.count("\n", 0, found.start()) + 1, found[1].replace("\n", " "))
    for file in sorted(HELP.rglob("*.py")):
        text = file.read_text()
        for found in re.finditer(r"^ +(?:Examples?: )?(?:[\w ]+ \| )?(glm-agent .+)$", text, re.MULTILINE):
            yield Piece(file, text.count("\n", 0, found.start()) + 1, found[1])


def invocations(line: str) -> Iterator[list[str]]:
    """The words of each ``glm-agent`` in a line of the shell."""
    words = shlex.split(line.replace("…", "_").replace("[", "").replace("]", ""), comments=True)
    while words:
        end = next((at for at, word in enumerate(words) if word in ("|", "&&", ";", "&") or word[0] == ">"), len(words))
        part, words = words[:end], words[end + 1 :]
        names = [at for at, word in enumerate(part) if word.rpartition("/")[2] == "glm-agent"]
        if names:
            yield part[names[0] + 1 :]


def wrong(words: list[str]) -> str:
    """What the command line would not know in these words."""
    command = COMMANDS
    names: list[str] = []
    while words and hasattr(command, "commands") and not words[0].startswith("-"):
        if words[0] not in command.commands:
            return "" if words[0].isupper() or words[0] == "_" else f"no command {words[0]!r}"
        names.append(words[0])
        command, words = command.commands[words[0]], words[1:]
    known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
    known |= {"--help", "-h"}
    given = [word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)]
    unknown = [word for word in given if word not in known]
    return f"{' '.join(names)} has no {unknown}" if unknown else ""


def test_every_command_that_is_shown_is_one() -> None:
    found = [(piece, words) for piece in command_lines() for words in invocations(piece.text)]
    assert len(found) > 100
    assert [f"{piece}: {what}" for piece, words in found if (what := wrong(words))] == []


# -- Python -----------------------------------------------------------------------------------------------

PYTHON = list(fenced("python"))
FACE = {name: getattr(glm_agent, name) for name in glm_agent.__all__}


def imported(tree: ast.AST) -> dict[str, Any]:
    """What a piece of Python has of this project, by the names it has there."""
    names = dict(FACE)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("glm_agent"):
            module = importlib.import_module(str(node.module))
            names |= {alias.asname or alias.name: getattr(module, alias.name) for alias in node.names}
    return names


def takes(called: Any, keyword: str) -> bool:
    try:
        parameters = inspect.signature(called).parameters.values()
    except (TypeError, ValueError):
        return True
    return any(each.name == keyword or each.kind is each.VAR_KEYWORD for each in parameters)


def called(node: ast.Call, known: dict[str, Any]) -> list[Any]:
    """What this may be a call of: the name, or every method of that name."""
    match node.func:
        case ast.Name(name) if name in known:
            return [known[name]]
        case ast.Attribute(attr=name):
            return [getattr(one, name) for one in known.values() if inspect.isclass(one) and hasattr(one, name)]
        case _:
            return []


def test_there_is_python_to_look_at() -> None:
    assert len(PYTHON) > 15


@pytest.mark.parametrize("piece", PYTHON, ids=lambda piece: f"{piece.file.name}:{piece.line}")
def test_python_that_is_shown_imports_what_is_there_and_calls_it_as_it_is_called(piece: Piece) -> None:
    flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    tree = compile(piece.text.replace("…", "..."), str(piece.file), "exec", flags)
    known = imported(tree)
    calls = [(node, called(node, known)) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    misnamed = [
        f"{ast.unparse(node.func)}({keyword.arg}=)"
        for node, may_be in calls
        for keyword in node.keywords
        if keyword.arg and may_be and not any(takes(one, keyword.arg) for one in may_be)
    ]
    assert misnamed == []


def test_what_the_readme_begins_with_runs_without_a_key_as_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    begins = next(piece for piece in PYTHON if piece.file.name == "README.md").text
    (model,) = re.findall(r"Without a key, the model `([^`]+)`", (ROOT / "README.md").read_text())
    (prompt,) = re.findall(r"`agent\.run_sync\(('[^`]+')\)`", (ROOT / "README.md").read_text())
    exec(begins.replace('"glm-5.3-flash"', repr(model)).replace('"How many A-17 are left?"', prompt), {})
    assert capsys.readouterr().out == "4\n"


# -- names ------------------------------------------------------------------------------------------------


def spoken(pattern: str) -> Iterator[Piece]:
    """What stands between backticks and looks like this."""
    for file in FILES:
        text = file.read_text()
        for found in re.finditer(r"`([^`\n]*)`", text):
            for name in re.findall(pattern, found[1]):
                yield Piece(file, text.count("\n", 0, found.start()) + 1, name)


def is_there(name: str) -> bool:
    """Whether a dotted name is a module, or something in one."""
    module, _, rest = name.rpartition(".")
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        found = importlib.import_module(module) if "." in module or module == "glm_agent" else None
        return hasattr(found, rest)
    return True


def test_every_module_and_name_that_is_spoken_of_is_there() -> None:
    groups = {f"glm_agent.{group}" for group in ("tools", "models", "observers")}
    found = [
        piece
        for piece in spoken(r"\bglm_agent(?:\.[a-z_]\w*)+(?:\.[A-Z][a-z]\w*)?\b(?!\.\w)")
        if piece.text not in groups
    ]
    assert len(found) > 5
    assert [str(piece) for piece in found if not is_there(piece.text)] == []


def test_every_variable_that_is_spoken_of_is_read_somewhere() -> None:
    sources = "".join(file.read_text() for folder in ("glm_agent", "tests") for file in (ROOT / folder).rglob("*.py"))
    found = list(spoken(r"\b(?:GLM_AGENT|ZAI|ZHIPUAI)_[A-Z_]+"))
    assert len(found) > 10
    assert [str(piece) for piece in found if piece.text not in sources] == []


# -- files ------------------------------------------------------------------------------------------------


NAMES = {name: name for name in ("HOME", "TOKEN", "SECRET", "port")}


@pytest.mark.parametrize("piece", [*fenced("json")], ids=lambda piece: f"{piece.file.name}:{piece.line}")
def test_json_that_is_shown_is_what_it_says_it_is(piece: Piece, tmp_path: Path) -> None:
    match json.loads(piece.text):
        case {"mcpServers": entries}:
            (tmp_path / ".mcp.json").write_text(piece.text)
            servers, _ = read_servers([str(tmp_path / ".mcp.json")], environ=NAMES)
            assert [server.name for server in servers] == list(entries)
        case {"kind": "result"} as result:
            jsonschema.validate(result, line_schema())
        case {"kind": "batch_result"} as result:
            jsonschema.validate(result, result_schema())
        case {"format": "glm-agent-session"} as header:
            assert Journal(tmp_path / "j.db").import_([json.dumps(header)], session_id="s") == "s"
        case other:
            raise AssertionError(f"nobody says what this is: {other}")


@pytest.mark.parametrize("piece", [*fenced("yaml")], ids=lambda piece: f"{piece.file.name}:{piece.line}")
def test_a_scenario_that_is_shown_can_be_loaded(piece: Piece) -> None:
    shown = yaml.safe_load(piece.text)
    scenario_of(shown if isinstance(shown, dict) else {"version": 1, "steps": shown})


@pytest.mark.parametrize("piece", [*fenced("markdown")], ids=lambda piece: f"{piece.file.name}:{piece.line}")
def test_a_task_that_is_shown_can_be_loaded(piece: Piece, tmp_path: Path) -> None:
    (tmp_path / "TASK.md").write_text(piece.text)
    assert "${" not in load_task(tmp_path / "TASK.md").prompt
