"""Runs the MCP conformance suite, one scenario at a time: python suite.py client|server [FILTER].

The suite is the npm package @modelcontextprotocol/conformance, installed once into this tree's ``.mcp-cache``.

A leg is passed when the suite says so and at least one of its checks succeeded: run all at once, the suite ignores
clients that fail or hang, and counts a scenario without any check.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "servers"))
from node import Unavailable, node, package  # noqa: E402

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


def program() -> list[str]:
    """The suite's command. Raises ``Unavailable``."""
    return [node(), str(package("@modelcontextprotocol/conformance") / "dist" / "index.js")]


def legs(side: str) -> list[Leg]:
    """Every scenario of a side; a client's at each revision that it is for."""
    said = subprocess.run([*program(), "list", f"--{side}"], capture_output=True, text=True, check=True).stdout
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
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
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
    try:
        chosen = [leg for leg in legs(options.side) if re.search(options.filter, f"{leg.group} {leg.scenario}")]
    except Unavailable as error:
        sys.exit(f"the conformance suite cannot run: {error}")
    outcomes = {"client": client_outcomes, "server": server_outcomes}[options.side](chosen, options.jobs)
    failed = report(outcomes)
    return 0 if options.at_least and sum(o.is_passed for o in outcomes) >= options.at_least else failed


def client_outcomes(chosen: list[Leg], jobs: int) -> list[Outcome]:
    command = [*program(), "client", "--command", f"{sys.executable} {HERE / 'client.py'}"]
    return asyncio.run(run_all(chosen, [*command, "--timeout", str(SECONDS * 1000)], jobs))


def server_outcomes(chosen: list[Leg], jobs: int) -> list[Outcome]:
    server, url = listening_server()
    try:
        return asyncio.run(run_all(chosen, [*program(), "server", "--url", url], jobs))
    finally:
        server.terminate()
        server.wait(60)


if __name__ == "__main__":
    sys.exit(main())
