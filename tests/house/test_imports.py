"""Imports point down through the floors, nothing knows a porch or a front door, and the head is pure."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

FLOORS = (
    {"errors"},
    {"messages"},
    {"schema", "context", "permissions", "turn", "wire"},
    {"models", "registry"},
    {"driver"},
    {"mcp", "plugins", "journal", "durable", "tracing", "simulate", "serve"},
    {"agent"},
    {"batch"},
    {"cli", "web", "testing"},
    {"__main__"},
)
"""The rooms of the package, the lowest floor first. An import goes to a lower floor, or stays in its room."""

BESIDE = {
    ("serve", "mcp"),
    ("serve", "journal"),
    ("durable", "mcp"),
    ("durable", "journal"),
    ("cli", "web"),
}
"""Rooms that may import another one of their floor."""

HEAD = {"errors", "messages", *FLOORS[2]}
IMPURE = {
    *("anyio", "trio", "asyncio", "httpx2", "httpx", "mcp", "time", "random", "secrets", "uuid", "os", "logging"),
    *("socket", "ssl", "threading", "subprocess", "tempfile", "sqlite3", "shutil", "signal", "multiprocessing"),
}
"""What the head floor does not touch: clocks, chance, loops, the system."""


@dataclass(frozen=True)
class Import:
    file: Path
    line: int
    module: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line} imports {self.module} {self.name}".rstrip()


def files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imports(file: Path) -> Iterator[Import]:
    """Every import of a file, also those inside functions and under TYPE_CHECKING."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (Import(file, node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = absolute(file, node)
            yield from (Import(file, node.lineno, module, alias.name) for alias in node.names)


def absolute(file: Path, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = module_of(file).split(".")
    package = package if file.name == "__init__.py" else package[:-1]
    package = package[: len(package) - node.level + 1]
    return ".".join([*package, *([node.module] if node.module else [])])


def module_of(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    """``glm_agent.wire.sse`` is in ``wire``; the package itself is in no room."""
    return module.split(".")[1] if module.startswith("glm_agent.") else ""


def floor_of(room: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


PACKAGE = files("glm_agent")
MODULES = {module_of(file) for file in PACKAGE}
INSIDE = [i for file in PACKAGE for i in imports(file) if i.module.split(".")[0] == "glm_agent"]


def target(one: Import) -> str:
    """The module that an import reaches: ``from package import module`` reaches the module."""
    inner = f"{one.module}.{one.name}"
    return inner if inner in MODULES else one.module


def goes_down(one: Import) -> bool:
    source, aim = room_of(module_of(one.file)), room_of(target(one))
    return source == aim or (source, aim) in BESIDE or floor_of(aim) < floor_of(source)


def test_every_room_stands_on_a_floor() -> None:
    rooms = {room_of(module) for module in MODULES} - {""}
    assert rooms <= set().union(*FLOORS)
    assert len(rooms) > 8


def test_imports_point_down() -> None:
    wrong = [str(one) for one in INSIDE if room_of(module_of(one.file)) and room_of(target(one)) and not goes_down(one)]
    assert wrong == []


def test_no_room_imports_the_face_of_the_package() -> None:
    face = [str(one) for one in INSIDE if target(one) == "glm_agent" and module_of(one.file) != "glm_agent"]
    assert [line for line in face if not line.endswith("__version__")] == []


def test_no_import_goes_round_in_a_circle() -> None:
    graph: dict[str, set[str]] = {module: set() for module in MODULES}
    for one in INSIDE:
        source, aim = module_of(one.file), target(one)
        if "glm_agent" not in (source, aim) and source != aim:
            graph[source].add(aim)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(reversed(error.args[1])))


@pytest.mark.parametrize("room", sorted(HEAD))
def test_the_head_touches_no_clock_no_chance_no_loop_no_system(room: str) -> None:
    inside = [file for file in PACKAGE if room_of(module_of(file)) == room]
    assert inside
    impure = [str(one) for file in inside for one in imports(file) if one.module.split(".")[0] in IMPURE]
    assert impure == []


@pytest.mark.parametrize("room", sorted(HEAD))
def test_the_head_neither_awaits_nor_opens_nor_prints(room: str) -> None:
    asynchronous = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    found = [
        f"{file.name}:{getattr(node, 'lineno', 0)}"
        for file in PACKAGE
        if room_of(module_of(file)) == room
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, asynchronous)
        or (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in {"open", "print", "input"}
        )
    ]
    assert found == []


def test_wrappers_of_models_have_no_http_client() -> None:
    wrappers = (ROOT / "glm_agent" / "models").glob("*.py")
    assert [
        str(one) for file in wrappers for one in imports(file) if one.module.split(".")[0] in ("httpx2", "httpx")
    ] == []


def test_the_toolbox_is_written_against_the_public_face_alone() -> None:
    public = public_names()
    ours = [one for file in files("tools") for one in imports(file) if one.module.split(".")[0] == "glm_agent"]
    assert [str(one) for one in ours if one.module != "glm_agent" or one.name not in public] == []


def public_names() -> set[str]:
    tree = ast.parse((ROOT / "glm_agent" / "__init__.py").read_text())
    assignments = [node for node in tree.body if isinstance(node, ast.Assign)]
    names = next(node.value for node in assignments if ast.unparse(node.targets[0]) == "__all__")
    return set(ast.literal_eval(names))


def test_nothing_is_imported_by_star() -> None:
    everything = [*PACKAGE, *files("tools"), *files("examples")]
    assert [str(one) for file in everything for one in imports(file) if one.name == "*"] == []


def test_no_file_is_looked_for_in_a_way_that_raises_where_its_name_is_odd() -> None:
    """``pathlib`` raises for a name that is too long and for a ``~`` of nobody; ``os.path`` says no."""
    raising = {"exists", "is_file", "is_dir", "expanduser"}
    calls = [
        f"{file.relative_to(ROOT)}:{node.lineno} .{node.func.attr}()"
        for file in PACKAGE
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and not node.args and isinstance(node.func, ast.Attribute)
        if node.func.attr in raising
    ]
    assert calls == []
