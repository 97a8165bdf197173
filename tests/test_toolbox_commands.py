"""Commands and scripts of the toolbox: what they return, what bounds them, and what they cannot reach."""

from __future__ import annotations

import inspect
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from glm_agent_tools import kernel, python, shell
from glm_agent_tools.sandbox import Sandbox, sandbox_of
from glm_agent_tools.workspace import Workspace

from glm_agent import ConfigurationError, ToolContext, ToolError
from glm_agent.messages import ToolCall

pytestmark = pytest.mark.anyio

confined = pytest.mark.skipif(
    not (kernel.landlock_version() and kernel.has_socket_filter()), reason="this kernel cannot confine processes"
)

Run = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


@pytest.fixture
def context(root: Path) -> ToolContext:
    deps = SimpleNamespace(workspace=Workspace(root), sandbox=None)
    return ToolContext(call=ToolCall(id="1", name="t", arguments="{}"), deps=deps)


@pytest.fixture
def run(context: ToolContext) -> Run:
    async def run(*command: str, sandbox: Sandbox | None = None, **options: Any) -> dict[str, Any]:
        context.deps.sandbox = sandbox
        with anyio.fail_after(60):
            return dict(await shell.run_command(context, list(command), **options))

    return run


@pytest.fixture
def script(context: ToolContext) -> Run:
    async def script(code: str, *, sandbox: Sandbox | None = None, **options: Any) -> dict[str, Any]:
        context.deps.sandbox = sandbox
        with anyio.fail_after(60):
            return dict(await python.python_script(context, code, **options))

    return script


# -- what a command returns


async def test_a_command_returns_what_it_printed_and_how_it_ended(run: Run, root: Path) -> None:
    said = await run("sh", "-c", "cat; echo oops >&2; exit 3", input="héllo\n")
    assert (said["exit_code"], said["stdout"], said["stderr"], said["stopped"]) == (3, "héllo\n", "oops\n", None)
    (root / "sub").mkdir()
    assert (await run("pwd", folder="sub"))["stdout"] == f"{root}/sub\n"
    assert (await run("sh", "-c", "kill -TERM $$"))["exit_code"] == -signal.SIGTERM


async def test_arguments_reach_the_program_as_they_are(run: Run, root: Path) -> None:
    words = ["; touch owned", "$(touch owned)", "`touch owned`", "| touch owned", "*", "$HOME", "", "-n", "a\nb"]
    said = await run(sys.executable, "-Ic", "import sys; print(sys.argv[1:])", *words)
    assert said["stdout"] == f"{words}\n"
    assert os.listdir(root) == []


@pytest.mark.parametrize("command", [["no-such-program"], ["./missing"], ["/etc"], [""], ["a\0b"]])
async def test_what_cannot_be_started_is_said(run: Run, command: list[str]) -> None:
    with pytest.raises(ToolError, match=r"was not run|is empty or holds a null"):
        await run(*command)


async def test_no_folder_outside_is_entered(run: Run) -> None:
    with pytest.raises(ToolError, match="is outside the workspace"):
        await run("ls", folder="..")


async def test_long_output_keeps_its_beginning_and_its_end(script: Run) -> None:
    said = await script("print('begin'); print('x' * 500_000); print('end')")
    assert said["stdout"].startswith("begin\nxxx")
    assert said["stdout"].endswith("xxx\nend\n")
    assert "bytes left out …]" in said["stdout"]
    assert len(said["stdout"]) < 70_000


async def test_the_agents_secrets_are_not_in_a_commands_environment(
    run: Run, monkeypatch: pytest.MonkeyPatch, context: ToolContext
) -> None:
    monkeypatch.setenv("ZAI_API_KEY", "very-secret")
    assert "very-secret" not in (await run("env"))["stdout"]
    said = await run("env", sandbox=Sandbox(environment={"MODE": "test"}))
    assert "MODE=test\n" in said["stdout"]


# -- bounds


async def test_endless_output_ends_the_command(run: Run) -> None:
    said = await run("yes", timeout_seconds=50)
    assert said["stopped"] == "stopped: it wrote more than 64 MiB"
    assert said["exit_code"] == -signal.SIGKILL


async def test_a_command_that_takes_too_long_is_stopped_with_all_it_started(run: Run, root: Path) -> None:
    # One child in the background, one that made itself a session and lost its parent, one that ignores signals.
    program = (
        "(echo $BASHPID >> pids; trap '' TERM HUP INT; while :; do sleep 50; done) & "
        "(setsid sh -c 'echo $$ >> pids; sleep 50' &) ; echo $$ >> pids; echo started; sleep 50"
    )
    said = await run("bash", "-c", program, timeout_seconds=3)
    assert (said["stdout"], said["stopped"]) == ("started\n", "stopped after 3 seconds")
    assert_all_ended(root / "pids", 3)


async def test_what_a_command_leaves_running_ends_with_it(run: Run, root: Path) -> None:
    program = "(setsid sh -c 'echo $$ >> pids; sleep 50' &); until test -s pids; do sleep 0.01; done; echo $$ >> pids"
    said = await run("bash", "-c", program)
    assert (said["exit_code"], said["stopped"]) == (0, None)
    assert_all_ended(root / "pids", 2)


async def test_a_cancelled_call_ends_the_command(context: ToolContext, root: Path) -> None:
    os.mkfifo(root / "ready")
    command = ["bash", "-c", "echo $$ > pids; echo > ready; sleep 50"]
    async with anyio.create_task_group() as group:
        group.start_soon(shell.run_command.function, context, command)
        with anyio.fail_after(60):
            await anyio.to_thread.run_sync((root / "ready").read_text)
        group.cancel_scope.cancel()
    assert_all_ended(root / "pids", 1)


def assert_all_ended(file: Path, count: int) -> None:
    pids = [int(line) for line in file.read_text().split()]
    assert len(pids) == count
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []


async def test_a_script_has_a_bound_of_memory(script: Run) -> None:
    said = await script("x = bytearray(3 << 30)")
    assert said["exit_code"] == 1
    assert "MemoryError" in said["stderr"]


async def test_a_script_starts_fresh_with_its_arguments_and_input(script: Run, root: Path) -> None:
    (root / "json.py").write_text("raise RuntimeError('shadowed')")
    said = await script("import json, sys\nprint(sys.argv[1:], input())", arguments=["a b", "-x"], input="line\n")
    assert (said["stdout"], said["stderr"]) == ("['a b', '-x'] line\n", "")
    failed = await script("1 / 0")
    assert failed["exit_code"] == 1
    assert 'script.py", line 1' in failed["stderr"]


# -- the sandbox


@confined
async def test_only_the_workspace_is_written_and_nothing_private_is_read(run: Run, root: Path) -> None:
    (root / "link").symlink_to("../secret.txt")
    for program in ("cat ../secret.txt", "cat link", "echo x > ../secret.txt", "echo x > link", "touch ../new",
                    "ln ../secret.txt here", "mv ../secret.txt .", "rm ../secret.txt", "ls ..", f"ls {Path.home()}",
                    "cat /etc/shadow", "mkdir /usr/mine", "chmod 777 ../secret.txt && cat ../secret.txt"):  # fmt: skip
        said = await run("sh", "-c", program)
        assert said["exit_code"], program
        assert "secret\n" not in said["stdout"] + said["stderr"], program
    assert (root.parent / "secret.txt").read_text() == "secret"
    said = await run(
        "sh", "-c", "mkdir -p a/b && echo x > a/b/c && cp a/b/c d && echo y > $TMPDIR/z && cat d $TMPDIR/z"
    )
    assert (said["exit_code"], said["stdout"]) == (0, "x\ny\n")
    assert said["sandbox"] == "files: only the workspace; network: none"


@confined
async def test_a_script_gets_no_socket_and_no_look_at_the_agent(script: Run, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as daemon:
        daemon.bind(str(tmp_path / "daemon"))
        daemon.listen()
        port = server.getsockname()[1]
        said = await script(f"""
import os, socket, ctypes
def attempt(what, function):
    try:
        function(); print(what, "POSSIBLE")
    except OSError as error:
        print(what, error.errno)
attempt("tcp", lambda: socket.create_connection(("127.0.0.1", {port})))
attempt("udp", lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
attempt("unix", lambda: socket.socket(socket.AF_UNIX))
attempt("raw", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
attempt("netlink", lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW))
attempt("environ", lambda: open("/proc/{os.getpid()}/environ").read())
attempt("memory", lambda: open("/proc/{os.getpid()}/mem", "rb").read(1))
attempt("root", lambda: os.listdir("/proc/{os.getpid()}/root/"))
attempt("cwd", lambda: os.listdir("/proc/{os.getpid()}/cwd/"))
socket.socketpair()[0].send(b"x")
""")
    assert "POSSIBLE" not in said["stdout"], said["stdout"]
    assert said["stdout"].count("\n") == 9, said


@confined
async def test_the_network_can_be_allowed(script: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with server.accept()[0] as connection:
                connection.sendall(b"hello")

        threading.Thread(target=answer, daemon=True).start()
        code = f"import socket; print(socket.create_connection(('127.0.0.1', {server.getsockname()[1]})).recv(9))"
        said = await script(code, sandbox=Sandbox(network=True))
    assert said["stdout"] == "b'hello'\n"
    assert said["sandbox"] == "files: only the workspace; network: allowed"


@confined
async def test_more_folders_can_be_opened(run: Run, root: Path) -> None:
    secret = str(root.parent / "secret.txt")
    said = await run("sh", "-c", f"cat {secret}; echo x > {secret}", sandbox=Sandbox(read=(secret,)))
    assert said["stdout"] == "secret"
    assert (root.parent / "secret.txt").read_text() == "secret"
    await run("sh", "-c", f"echo x > {secret}", sandbox=Sandbox(write=(secret,)))
    assert (root.parent / "secret.txt").read_text() == "x\n"


async def test_a_system_that_cannot_confine_says_so_or_refuses(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # The process in between gets a kernel module that offers nothing, as an old kernel would.
    (tmp_path / "site" / "glm_agent_tools").mkdir(parents=True)
    for name in ("__init__", "confined"):
        source = Path(kernel.__file__).with_name(f"{name}.py").read_text()
        (tmp_path / "site" / "glm_agent_tools" / f"{name}.py").write_text(source)
    old = inspect.getsource(kernel).replace('sys.platform != "linux"', "True").replace('"x86_64"', '"vax"')
    old = old.replace('"aarch64"', '"pdp"').replace('"riscv64"', '"eniac"')
    (tmp_path / "site" / "glm_agent_tools" / "kernel.py").write_text(old)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    said = await run("echo", "hi")
    assert said["stdout"] == "hi\n"
    assert said["sandbox"].startswith("files: not confined; network: not confined (the kernel has no Landlock")
    with pytest.raises(ToolError, match="'echo' was not run: the kernel has no Landlock"):
        await run("echo", "hi", sandbox=Sandbox(is_required=True))


async def test_a_sandbox_that_is_off_says_so(run: Run, root: Path) -> None:
    said = await run("cat", "../secret.txt", sandbox=Sandbox(is_on=False))
    assert said["stdout"] == "secret"
    assert said["sandbox"] == "none: switched off; the command had all rights of the user"


def test_the_sandbox_is_set_by_variables(context: ToolContext, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sandbox_of(context) == Sandbox()
    monkeypatch.setenv("GLM_AGENT_SANDBOX", "required")
    monkeypatch.setenv("GLM_AGENT_SANDBOX_NETWORK", "1")
    monkeypatch.setenv("GLM_AGENT_SANDBOX_READ", f"/a{os.pathsep}/b")
    assert sandbox_of(context) == Sandbox(is_required=True, network=True, read=("/a", "/b"))
    monkeypatch.setenv("GLM_AGENT_SANDBOX", "of")
    with pytest.raises(ConfigurationError, match="write on, required or off"):
        sandbox_of(context)


def test_the_tools_say_that_they_change_things() -> None:
    for made in (shell.run_command, python.python_script):
        assert (made.spec.effect, made.destructive, made.spec.is_untrusted) == ("write", True, True)
        assert "context" not in json.dumps(made.spec.parameters)


async def test_a_command_ends_with_an_agent_that_is_killed(root: Path) -> None:
    os.mkfifo(root / "ready")
    program = f"""
import anyio
from glm_agent import ToolContext
from glm_agent.messages import ToolCall
from glm_agent_tools import shell
from glm_agent_tools.workspace import Workspace
call = ToolCall(id="1", name="t", arguments="")
context = ToolContext(call=call, deps=Workspace({str(root)!r}))
anyio.run(shell.run_command.function, context, ["bash", "-c", "(setsid sleep 50 &) ; echo $$ > ready; sleep 50"])
"""
    async with await anyio.open_process([sys.executable, "-c", program], stdout=None, stderr=None) as agent:
        with anyio.fail_after(60):
            pid = int(await anyio.to_thread.run_sync((root / "ready").read_text))
        watched = os.pidfd_open(pid)
        agent.kill()
        with anyio.fail_after(60):
            await anyio.wait_readable(watched)
        os.close(watched)
