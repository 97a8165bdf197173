"""Words: docstrings everywhere, the field's names, and nothing in a file that belongs to one machine."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*(ROOT / "glm_agent").rglob("*.py"), *(ROOT / "tools").rglob("*.py")])

EMPTY_WORDS = re.compile(r"(^|_)(utils?|helpers?|common|managers?|misc)(_|$)|[a-z]2$", re.IGNORECASE)
EMPTY_CLASSES = re.compile(r"(Utils?|Helpers?|Manager)$")
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK|TBD)\b|NotImplementedError|\bstub(bed)?\b")

# Joined here, so that this file does not contain what it looks for.
FOREIGN = {
    "host of a package registry": "|".join(
        (
            r"pypi" + r"\.org",
            r"pythonhosted" + r"\.org",
            r"registry\.npm" + "js",
            r"proxy\.golang" + r"\.org",
            "index" + "-url",
        )
    ),
    "path of one machine": "|".join([r"(?<![\w.])/wo" + r"rk/", r"/tmp/bri" + "efs", r"(?<!\w)/ro" + r"ot/\w"]),
    "conflict marker": r"^(<{7}|>{7}) ",
    "private key": r"BEGIN [A-Z ]*PRIVATE " + "KEY",
}


def short(file: Path) -> str:
    return str(file.relative_to(ROOT))


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    if listed.returncode:
        pytest.skip("not a git repository")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def public_definitions(tree: ast.Module) -> list[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = [node for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")]
    return [node for node in found if "overload" not in map(ast.unparse, node.decorator_list)]


def test_every_module_says_what_lives_in_it() -> None:
    empty = [short(file) for file in SOURCES if not ast.get_docstring(ast.parse(file.read_text()))]
    assert empty == []


def test_every_public_class_and_function_has_a_docstring() -> None:
    missing = [
        f"{short(file)}:{node.lineno} {node.name}"
        for file in SOURCES
        for node in public_definitions(ast.parse(file.read_text()))
        if not ast.get_docstring(node)
    ]
    assert missing == []


def test_a_docstring_begins_with_a_sentence() -> None:
    broken = [
        f"{short(file)}:{node.lineno} {node.name}"
        for file in SOURCES
        for node in public_definitions(ast.parse(file.read_text()))
        if not re.match(r".*?[.:?!]([\s)`]|$)", ast.get_docstring(node) or ".", re.DOTALL)
    ]
    assert broken == []


def test_names_say_what_is_inside() -> None:
    assert [
        short(file) for file in SOURCES if EMPTY_WORDS.search(file.stem) or EMPTY_WORDS.search(file.parent.name)
    ] == []
    classes = [
        f"{short(file)}:{node.lineno} {node.name}"
        for file in SOURCES
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ClassDef) and EMPTY_CLASSES.search(node.name)
    ]
    assert classes == []


def test_nothing_is_left_for_later() -> None:
    found = [
        f"{short(file)}:{number} {line.strip()}"
        for file in SOURCES
        for number, line in enumerate(file.read_text().splitlines(), start=1)
        if UNFINISHED.search(line)
    ]
    assert found == []


@pytest.mark.parametrize("what", FOREIGN)
def test_no_file_holds_what_belongs_to_one_machine(what: str) -> None:
    pattern = re.compile(FOREIGN[what], re.MULTILINE)
    found = []
    for file in tracked():
        try:
            text = file.read_text()
        except UnicodeDecodeError:
            continue
        found += [f"{short(file)}: {match[0]}" for match in pattern.finditer(text)]
    assert found == []
