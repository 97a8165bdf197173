"""Plugins: found where they are named, listed without being imported, and named when they break."""

import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from glm_agent.errors import ConfigurationError
from glm_agent.plugins import available, load_object, load_tools

TOOL = """
from glm_agent import tool

@tool
def {name}(a: int) -> int:
    \"\"\"Work.\"\"\"
    return a + 1
"""

Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def _own_modules() -> Iterator[None]:
    """What a test imports is forgotten with it."""
    modules, path = set(sys.modules), list(sys.path)
    yield
    assert sys.path == path
    for name in set(sys.modules) - modules:
        if name.startswith(("glm_agent plugins.", "acme")):
            del sys.modules[name]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes files below the working directory."""
    monkeypatch.chdir(tmp_path)

    def write(path: str, text: str = "", *, tools: str = "") -> Path:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text) + "".join(TOOL.format(name=name) for name in tools.split()))
        return file

    return write


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Makes a package with entry points as an installer leaves it."""
    monkeypatch.syspath_prepend(str(tmp_path / "site"))

    def install(package: str, entries: str) -> None:
        folder = tmp_path / "site" / f"{package}-1.0.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(textwrap.dedent(entries))

    return install


def names(*sources: str | Path) -> list[str]:
    loaded = load_tools(sources)
    assert loaded.broken == ()
    return [tool.spec.name for tool in loaded.tools]


# -- files and folders


def test_a_file_gives_its_tools_in_the_order_of_their_definition(write: Write) -> None:
    file = write("my-tools.py", tools="zeta alpha")
    assert names("my-tools.py") == names("./my-tools.py") == names(file) == ["zeta", "alpha"]


def test_a_folder_gives_the_tools_of_its_files_and_skips_private_ones(write: Write) -> None:
    write("tools/b.py", tools="two")
    write("tools/a.py", tools="one")
    write("tools/_hidden.py", "1 / 0")
    write("tools/.swap.py", "1 / 0")
    write("tools/notes.txt", "no Python")
    write("tools/deeper/c.py", "1 / 0")
    assert names("./tools") == names("tools/") == ["one", "two"]


def test_a_loaded_tool_is_the_function_it_was(write: Write) -> None:
    write("a.py", tools="one")
    (tool,) = load_tools(["a.py"]).tools
    assert tool(41) == 42


def test_files_of_a_folder_import_each_other_and_share_what_they_import(write: Write) -> None:
    write("tools/a.py", "from .shared import stock\nfrom .b import two\n", tools="one")
    write("tools/b.py", "from .shared import stock\nstock.append(1)\n", tools="two")
    write("tools/shared.py", "stock = []")
    assert names("tools") == ["two", "one"]  # the tool that both offer comes once
    (shared,) = [
        module
        for name, module in sys.modules.items()
        if name.startswith("glm_agent plugins.") and name.endswith(".shared")
    ]
    assert shared.stock == [1]


def test_a_folder_with_an_init_file_is_that_package(write: Write) -> None:
    write("tools/__init__.py", "RATE = 3\nfrom .a import one\n")
    write("tools/a.py", tools="one")
    write("tools/b.py", "from . import RATE\nassert RATE == 3\n", tools="two")
    assert names("tools") == ["one", "two"]


def test_files_of_one_name_in_two_folders_are_two_modules(write: Write) -> None:
    write("x/tools.py", tools="one")
    write("y/tools.py", tools="two")
    assert names("x/tools.py", "y/tools.py", "x") == ["one", "two"]


def test_a_file_shadows_nothing(write: Write) -> None:
    write("tools/json.py", "import json\nassert json.dumps({}) == '{}'\n", tools="one")
    assert names("tools") == ["one"]
    import json

    assert "tools" not in str(json.__file__)


def test_a_list_of_public_names_decides(write: Write) -> None:
    write("a.py", "__all__ = ['two', 'one']", tools="one two three")
    assert names("a.py") == ["two", "one"]


def test_plain_functions_and_classes_are_no_tools_of_a_module(write: Write) -> None:
    write(
        "a.py",
        """
        from glm_agent import ToolContext
        from glm_agent.registry import FunctionTool, Tool

        def plain(a: int) -> int:
            return a

        class Odd:
            def __getattr__(self, name):
                raise RuntimeError

        odd = Odd()
        """,
        tools="one",
    )
    assert names("a.py") == ["one"]


# -- one object


def test_an_object_is_taken_from_a_file_a_module_or_a_plugin(write: Write) -> None:
    write("a.py", tools="one two")
    assert names("a.py:two") == names("a:two") == ["two"]
    assert names("glm_agent_tools.files:read_file") == names("files:read_file") == ["read_file"]


def test_a_plain_function_that_is_named_is_taken_as_it_is(write: Write) -> None:
    write("a.py", "def plain(a: int) -> int:\n    return a\n")
    (function,) = load_tools(["a.py:plain"]).tools
    assert function(3) == 3


def test_a_list_of_tools_and_a_nested_name_are_taken(write: Write) -> None:
    write("a.py", TOOL.format(name="one") + TOOL.format(name="two") + "class Box:\n    every = [two, one]\n")
    assert names("a.py:Box.every") == ["two", "one"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.py:three", "AttributeError: it has no 'three'; its tools: 'one', 'two'"),
        ("a.py:NUMBER", "TypeError: 'NUMBER' is a int, not a tool"),
        ("a.py:Box", "TypeError: 'Box' is a type, not a tool"),
    ],
)
def test_an_object_that_is_no_tool_is_named_with_what_there_is(write: Write, name: str, message: str) -> None:
    write("a.py", "NUMBER = 3\nclass Box: pass\n", tools="one two")
    (broken,) = load_tools([name]).broken
    assert message in str(broken)
    assert str(broken).startswith(f"'{name}': ")


# -- modules


def test_a_module_is_found_by_name(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write("lib/acme/__init__.py")
    write("lib/acme/deep/__init__.py")
    write("lib/acme/deep/stock.py", tools="one")
    monkeypatch.syspath_prepend(str(tmp_path / "lib"))
    assert names("acme.deep.stock") == ["one"]
    with pytest.raises(ConfigurationError, match=r"no module 'acme\.deep\.nothing'"):
        load_tools(["acme.deep.nothing"])


def test_a_file_of_the_working_directory_needs_no_ending(write: Write) -> None:
    write("here/stock.py", tools="one")
    write("mine.py", tools="two")
    assert names("here.stock", "mine") == ["one", "two"]


# -- what does not exist


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("fils", "did you mean 'files'"),
        ("nothing_like_it", "Installed: files, git, http, programs"),
        ("./missing", "no file or folder './missing'"),
        ("missing.py", "no file or folder 'missing.py'"),
        ("missing.py:one", "no file or folder 'missing.py'"),
        ("empty", "folder 'empty' holds no Python file"),
        ("full:one", "name the file"),
        ("", "no file or folder ''"),
        ("a b", "no module 'a b'"),
        ("..", "holds no Python file|no file or folder"),
    ],
)
def test_what_does_not_exist_is_a_mistake_of_the_configuration(write: Write, source: str, message: str) -> None:
    write("empty/notes.txt")
    write("full/a.py", tools="one")
    with pytest.raises(ConfigurationError, match=message):
        load_tools([source])


# -- what breaks


def test_a_broken_plugin_is_named_with_its_error_and_the_rest_loads(write: Write) -> None:
    write("tools/a.py", tools="one")
    bad = write("tools/bad.py", "import json\n\n\njson.loads('{')\n")
    worse = write("tools/worse.py", "def half(:\n")
    write("tools/z.py", tools="two")
    loaded = load_tools(["tools", "files:read_file"])
    assert [tool.spec.name for tool in loaded.tools] == ["one", "two", "read_file"]
    first, second = loaded.broken
    assert (first.source, first.file, first.line) == ("tools/bad.py", str(bad), 4)
    assert first.error.startswith("JSONDecodeError: Expecting property name")
    assert str(first).endswith(f"(file '{bad}', line 4)")
    assert (second.source, second.file, second.line) == ("tools/worse.py", str(worse), 1)
    assert second.error.startswith("SyntaxError: ")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("import not_there_at_all", "ModuleNotFoundError: No module named 'not_there_at_all'"),
        ("from glm_agent import tool\n@tool\ndef f(*a: int): ...", "ConfigurationError: "),
        ("import sibling", "imported with 'from .sibling import …'"),
        ("x = 1", "it holds no tools: decorate a function with @tool"),
        ("__all__ = ['gone']", "AttributeError: "),
        ("raise ExceptionGroup('two', [ValueError(1)])", "ExceptionGroup: two"),
        ("x = '\0'", "SyntaxError|ValueError"),
    ],
)
def test_whatever_a_plugin_raises_it_is_only_broken(write: Write, text: str, error: str) -> None:
    write("sibling.py", tools="one")
    write("bad.py", text)
    loaded = load_tools(["bad.py", "sibling.py"])
    assert [tool.spec.name for tool in loaded.tools] == ["one"]
    (broken,) = loaded.broken
    assert any(each in str(broken) for each in error.split("|"))
    # The second time too: nothing half-made was left behind.
    assert load_tools(["bad.py"]).broken == loaded.broken


def test_the_line_to_blame_is_the_plugins_own(write: Write) -> None:
    file = write("bad.py", "from glm_agent import tool\n\n\n@tool\ndef f(*a: int): ...\n")
    (broken,) = load_tools(["bad.py"]).broken
    assert broken.file == str(file)
    assert broken.line in (4, 5)


def test_an_interrupt_is_no_broken_plugin(write: Write) -> None:
    write("bad.py", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load_tools(["bad.py"])


# -- entry points


def test_the_toolbox_is_found_like_anybodys_plugin() -> None:
    own = {plugin.name: plugin.value for plugin in available("tools") if plugin.package == "glm-agent"}
    names_of_modules = ["files", "git", "http", "programs", "python", "search", "shell", "sqlite", "tables"]
    names_of_modules += ["text", "think", "todo", "web"]
    assert own == {"time": "glm_agent_tools.clock"} | {name: f"glm_agent_tools.{name}" for name in names_of_modules}
    assert "read_file" in names("files")


def test_plugins_are_listed_without_being_imported(install: Callable[[str, str], None]) -> None:
    install(
        "acme",
        """
        [glm_agent.tools]
        acme = acme_not_there
        [glm_agent.models]
        acme = acme_models:make
        [glm_agent.observers]
        meter = acme_meter:Meter
        """,
    )
    assert [(p.group, p.name, p.package) for p in available() if p.package == "acme"] == [
        ("models", "acme", "acme"),
        ("observers", "meter", "acme"),
        ("tools", "acme", "acme"),
    ]
    assert [plugin.name for plugin in available("observers")] == ["meter"]


def test_an_entry_point_names_a_module_or_an_object(
    write: Write, tmp_path: Path, install: Callable[[str, str], None]
) -> None:
    install("acme", "[glm_agent.tools]\nstock = acme_stock\nprice = acme_stock:two\nlost = acme_lost\n")
    write("site/acme_stock.py", tools="one two")
    assert names("stock") == ["one", "two"]
    assert names("price", "stock") == ["two", "one"]
    assert names("stock:one") == ["one"]
    (broken,) = load_tools(["lost"]).broken
    assert "'lost': ModuleNotFoundError: No module named 'acme_lost'" in str(broken)


def test_one_name_of_two_packages_is_refused_unless_they_mean_the_same(
    write: Write, install: Callable[[str, str], None]
) -> None:
    install("acme", "[glm_agent.tools]\nstock = acme_stock\nsame = acme_stock\n")
    install("other", "[glm_agent.tools]\nstock = acme_other\nsame = acme_stock\n")
    write("site/acme_stock.py", tools="one")
    assert names("same") == ["one"]
    with pytest.raises(ConfigurationError, match=r"'stock' is offered by .*'acme' \(acme_stock\)"):
        load_tools(["stock"])


def test_an_object_of_another_group_is_loaded_by_name(write: Write, install: Callable[[str, str], None]) -> None:
    install("acme", "[glm_agent.models]\nacme = acme_models:make\nlost = acme_models:gone\n")
    write("site/acme_models.py", "def make(name):\n    return name.upper()\n")
    assert load_object("acme", group="models")("x") == "X"
    with pytest.raises(ConfigurationError, match=r"models plugin cannot be loaded: 'lost': AttributeError"):
        load_object("lost", group="models")
    with pytest.raises(ConfigurationError, match="did you mean 'acme'"):
        load_object("acne", group="models")
