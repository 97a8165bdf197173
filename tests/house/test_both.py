"""``tests/both.py``: what only missed its bound once is named and run again; what is wrong stays wrong."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ONCE = """
from pathlib import Path
def test_that_fails_once():
    seen = Path(__file__).with_suffix(".seen")
    was = seen.exists()
    seen.touch()
    assert was
"""
SKIPPED = ONCE.replace("seen.touch()", "seen.touch()\n    if was: pytest.skip()").replace(
    "from", "import pytest\nfrom", 1
)
NEVER = "def test_that_is_wrong():\n    assert False\n"


def run(folder: Path, tests: dict[str, str]) -> int:
    both = loaded()
    for name, text in tests.items():
        (folder / f"test_{name}.py").write_text(text)
    pytest = [sys.executable, "-m", "pytest", "-q", "--rootdir", str(folder), str(folder)]
    (code,) = both.outcomes([both.Part(command=pytest, folder=folder, title="some")])
    return int(code)


def loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("both", Path(__file__).parents[1] / "both.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["both"] = module
    spec.loader.exec_module(module)
    return module


def test_a_test_that_failed_once_is_named_and_run_again_alone(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, {"once": ONCE, "good": "def test_good(): pass\n"}) == 0
    said = capfd.readouterr().out
    assert "Once more, alone:" in said
    assert "test_once.py::test_that_fails_once\n" in said
    assert "1 passed in" in said.rpartition("alone")[2]


def test_what_is_wrong_fails_again_and_many_failures_are_not_tried_again(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, {"once": ONCE, "wrong": NEVER}) == 1
    assert "Once more" in capfd.readouterr().out
    assert run(tmp_path, {f"wrong{n}": NEVER for n in range(4)}) == 1
    assert "Once more" not in capfd.readouterr().out


def test_what_is_skipped_the_second_time_has_not_passed(tmp_path: Path) -> None:
    assert run(tmp_path, {"once": ONCE, "skipped": SKIPPED}) == 1


def test_what_cannot_be_collected_is_no_test_that_failed(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "no-such-file.py"]
    both = loaded()
    (code,) = both.outcomes([both.Part(command=command, folder=tmp_path)])
    assert code > 1
