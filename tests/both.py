"""All tests, in two processes at once: those of the command line start hundreds of processes and wait for them.

python tests/both.py [what pytest takes besides]

Where at most three tests of a process failed, they are run once more by themselves: what is wrong fails again, and what
only missed its bound beside the others is named in the output.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

_FEW: Final = 3
_SOME_FAILED: Final = 1
"""What pytest exits with when tests failed, and nothing worse."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Some of the tests, run by a process of their own."""

    command: list[str]
    """Its pytest."""
    folder: Path
    """Where the names of its failed tests are, and its output where that is shown later."""
    title: str = ""
    """What stands above its output, once it has ended; without one, the output is seen as it comes."""

    def start(self) -> subprocess.Popen[bytes]:
        """Begin; no shell's ``&``, which would have these tests, and every process they interrupt, ignore SIGINT."""
        if not self.title:
            return subprocess.Popen([*self.command, *self._cache])
        with self._said.open("wb") as said:
            return subprocess.Popen([*self.command, *self._cache], stdout=said, stderr=subprocess.STDOUT)

    def show(self) -> None:
        """Print what was said and not seen yet."""
        if self.title:
            print(f"{self.title}:", self._said.read_text(errors="replace"), sep="\n", flush=True)

    def again(self) -> int:
        """Run what failed by itself, where it is little; 0 where all of it passes then, else the exit code."""
        names = self._failed()
        if not 0 < len(names) <= _FEW:
            return _SOME_FAILED
        print("Once more, alone:", *names, sep="\n  ", flush=True)
        report = self.folder / "again.xml"
        again = [*self.command, *self._cache, "--last-failed", f"--junitxml={report}"]
        return subprocess.run(again, check=False).returncode or int(_passed(report) < len(names))

    def _failed(self) -> list[str]:
        kept = self.folder / "cache" / "v" / "cache" / "lastfailed"
        return list(json.loads(kept.read_text())) if kept.exists() else []

    @property
    def _said(self) -> Path:
        return self.folder / "said"

    @property
    def _cache(self) -> list[str]:
        return ["-o", f"cache_dir={self.folder / 'cache'}"]


def main(options: list[str]) -> int:
    """Run all of them; 0 where every one passed, else 1."""
    pytest = [sys.executable, "-m", "pytest", *options]
    with tempfile.TemporaryDirectory(prefix="glm-agent-tests-") as folder:
        both = [
            Part(command=[*pytest, "--ignore=tests/cli"], folder=Path(folder, "others")),
            Part(command=[*pytest, "tests/cli"], folder=Path(folder, "cli"), title="tests/cli"),
        ]
        return int(any(outcomes(both)))


def outcomes(parts: list[Part]) -> list[int]:
    """The exit codes of all, run at the same time; what failed has been given its second time."""
    for part in parts:
        part.folder.mkdir(exist_ok=True)
    ended = exit_codes(parts)
    for part in parts:
        part.show()
    return [part.again() if code == _SOME_FAILED else code for part, code in zip(parts, ended, strict=True)]


def _passed(report: Path) -> int:
    """How many tests passed; what was skipped did not."""
    return sum(not len(test) for test in ElementTree.parse(report).iter("testcase"))


def exit_codes(parts: list[Part]) -> list[int]:
    """How each ended, run at the same time; none is left behind."""
    running = [part.start() for part in parts]
    try:
        return [process.wait() for process in running]
    finally:
        for process in running:
            process.kill()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
