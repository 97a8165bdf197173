"""What plugin authors get: a new package that works at once, a critic of tools, and files that are loaded again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field

from glm_agent import ToolContext, tool
from glm_agent.errors import ConfigurationError
from glm_agent.plugins import load_tools
from glm_agent.plugins.lint import lint, tokens_of
from glm_agent.plugins.reload import ToolFiles
from glm_agent.plugins.scaffold import package_files, write_package


def run(*command: str, cwd: Path, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = os.environ | ({"PYTHONPATH": str(path)} if path else {})
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False, input=""
    )


def cli(*words: str, cwd: Path, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, "-m", "glm_agent.cli", *words, cwd=cwd, path=path)


# -- tools new


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A new package, found as if it were installed: on the path, with its entry point."""
    made = cli("tools", "new", "acme-stock", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    folder = tmp_path / "acme-stock"
    info = folder / "acme_stock-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-stock\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text("[glm_agent.tools]\nacme-stock = acme_stock\n")
    return folder


def test_a_new_plugin_passes_its_tests_and_the_critic_and_runs(package: Path) -> None:
    tested = run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=package, path=package)
    assert tested.returncode == 0, tested.stdout
    assert "3 passed" in tested.stdout
    checked = cli("tools", "check", "--strict", "acme-stock", cwd=package, path=package)
    assert (checked.returncode, checked.stderr) == (0, "1 tool, 0 broken, 0 errors, 0 warnings\n")
    task = 'call acme_stock_repeat {"text": "hello"}'
    answer = cli("run", task, "--tools", "acme-stock", "--model", "simulate:directive", cwd=package, path=package)
    assert answer.returncode == 0, answer.stderr
    assert "hello\nhello" in answer.stdout
    # Also where a folder of this name lies: that of the package itself.
    beside = cli(
        "run", task, "--tools", "acme-stock", "--model", "simulate:directive", cwd=package.parent, path=package
    )
    assert (beside.returncode, beside.stdout) == (0, answer.stdout)


def test_the_new_project_file_says_what_the_package_is(tmp_path: Path) -> None:
    import tomllib

    project = tomllib.loads(package_files("acme-stock")["pyproject.toml"])
    assert project["project"]["entry-points"]["glm_agent.tools"] == {"acme-stock": "acme_stock"}
    assert project["project"]["dependencies"] == ["glm-agent"]
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["acme_stock"]


@pytest.mark.parametrize(
    "name", ["", "Acme", "1acme", "a b", "../x", "json", "class", "pytest", "acme-", "x" * 80, "tests"]
)
def test_a_name_that_cannot_be_a_package_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError):
        write_package(tmp_path / "new", name)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_already_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / "mine.txt").write_text("mine")
    again = cli("tools", "new", "acme", cwd=tmp_path)
    assert (again.returncode, again.stdout) == (2, "")
    assert "is there already and not empty" in again.stderr


# -- tools check


def rules(made: object) -> list[str]:
    return [f"{finding.level} {finding.rule}" for finding in lint(made)]


def test_a_well_made_tool_has_no_findings() -> None:
    @tool(read_only=True)
    def find_article(sku: str, context: ToolContext) -> str:
        """Find an article by its number.

        Args:
            sku: Article number, as printed on the shelf.
            context: Not shown to the model.
        """
        return sku

    assert lint(find_article) == []


def test_every_kind_of_defect_is_found_and_named() -> None:
    @tool
    def run(x: int) -> None: ...

    @tool(read_only=True, name="GetIt")
    def get(a: int) -> None:
        """Get.

        Args:
            a: One.
            b: Renamed since.
        """

    @tool(destructive=True)
    def long(text: Annotated[str, Field(description="word " * 4000)]) -> None:
        """Do something with a long text, which is explained at length."""

    assert rules(run) == ["warning name", "error description", "warning parameter", "warning effect"]
    assert rules(get) == ["warning name", "warning description", "error docstring"]
    assert "describes 'b', which is no parameter" in str(lint(get)[-1])
    assert rules(long) == ["warning size"]
    assert tokens_of(long.spec) > 1000


def test_the_toolbox_has_no_findings(tmp_path: Path) -> None:
    checked = cli("tools", "check", "--strict", "sqlite:sqlite_execute", *TOOLBOX, cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr


TOOLBOX = [
    "files",
    "git",
    "http",
    "programs",
    "python",
    "search",
    "shell",
    "sqlite",
    "tables",
    "text",
    "think",
    "time",
    "todo",
    "web",
]


def test_check_fails_for_errors_and_with_strict_for_warnings(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("from glm_agent import tool\n@tool\ndef do_it(x: int): ...\n")
    (tmp_path / "dull.py").write_text(
        'from glm_agent import tool\n@tool(read_only=True)\ndef do_it(x: int):\n    """Do it, in whatever way."""\n'
    )
    (tmp_path / "broken.py").write_text("import nothing_of_the_kind\n")
    assert cli("tools", "check", "./bad.py", cwd=tmp_path).returncode == 1
    assert cli("tools", "check", "./dull.py", cwd=tmp_path).returncode == 0
    assert cli("tools", "check", "--strict", "./dull.py", cwd=tmp_path).returncode == 1
    broken = cli("tools", "check", "./broken.py", "./dull.py", cwd=tmp_path)
    assert broken.returncode == 1
    assert "1 tool, 1 broken" in broken.stderr


# -- tools list


def test_the_list_says_where_tools_come_from_and_what_they_cost(tmp_path: Path) -> None:
    import json

    (tmp_path / "mine.py").write_text('from glm_agent import tool\n@tool\ndef do_it(x: int):\n    """Do it."""\n')
    listed = cli("tools", "list", "--json", "time", "./mine.py", "time", cwd=tmp_path)
    lines = [json.loads(line) for line in listed.stdout.splitlines()]
    assert [(line["name"], line["from"]) for line in lines] == [
        ("current_time", "time (glm-agent)"),
        ("convert_time", "time (glm-agent)"),
        ("time_between", "time (glm-agent)"),
        ("do_it", "./mine.py"),
    ]
    assert all(20 < line["tokens"] < 600 for line in lines)
    shown = cli("tools", "list", "./mine.py", cwd=tmp_path)
    assert shown.stdout.split()[:4] == ["do_it", "write", str(lines[3]["tokens"]), "./mine.py"]
    assert "tokens in every request" in shown.stderr


# -- files that change


def greeting(word: str) -> str:
    return (
        f'from glm_agent import tool\nfrom .words import end\n\n@tool\ndef greet() -> str:\n    return "{word}" + end\n'
    )


def test_a_changed_file_is_loaded_again_with_what_lies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "words.py").write_text("end = '!'\n")
    (tmp_path / "greet.py").write_text(greeting("one"))
    source = str(tmp_path / "greet.py")
    files = ToolFiles([source, "time"])
    assert load_tools([source]).tools[0]() == "one!"
    assert files.changed() == []
    # The same second and the same length: compiled code would be taken for new.
    (tmp_path / "greet.py").write_text(greeting("two"))
    assert files.changed() == [tmp_path / "greet.py"]
    assert load_tools([source]).tools[0]() == "two!"
    assert files.changed() == []
    (tmp_path / "words.py").write_text("end = '?!'\n")
    assert files.changed() == [tmp_path / "words.py"]
    assert load_tools([source]).tools[0]() == "two?!"
    (tmp_path / "new.py").write_text("")
    (tmp_path / "greet.py").unlink()
    assert files.changed() == [tmp_path / "greet.py", tmp_path / "new.py"]


def test_chat_offers_what_changed_between_two_turns(tmp_path: Path) -> None:
    (tmp_path / "words.py").write_text("end = '!'\n")
    (tmp_path / "greet.py").write_text(greeting("one"))
    command = [sys.executable, "-u", "-m", "glm_agent.cli", "chat", "--model", "simulate:directive"]
    with subprocess.Popen(
        [*command, "--tools", "./greet.py"],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as chat:
        assert chat.stdin
        assert chat.stdout
        chat.stdin.write("call greet {}\n")
        chat.stdin.flush()
        first = chat.stdout.readline()
        (tmp_path / "greet.py").write_text("def broken(:\n")
        chat.stdin.write("call greet {}\n")
        chat.stdin.flush()
        second = chat.stdout.readline()
        (tmp_path / "greet.py").write_text(greeting("two"))
        rest, said = chat.communicate("call greet {}\n/exit\n", timeout=60)
    assert ("one!" in first, "one!" in second, "two!" in rest) == (True, True, True), (first, second, rest, said)
    assert "the tools stay as they were: " in said
    assert "tools loaded again: greet.py changed" in said
