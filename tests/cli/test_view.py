"""``glm-agent view``: runs watched again, or while another process is at work."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

from .conftest import COMMAND, SECONDS

DIRECTIVE = ("--model", "simulate:directive", "--tools", "./tools.py", "-q")
PROMPT = 'think Hm.\ncall add {"a": 2, "b": 5}'


def events_of(cli: Any) -> list[str]:
    return cli("run", PROMPT, *DIRECTIVE, "--format", "jsonl", "--session", "s1").stdout.splitlines(keepends=True)


def test_a_stored_session_is_shown_as_its_run_was(cli: Any):
    cli("run", PROMPT, *DIRECTIVE, "--session", "s1")
    shown = cli("view", "s1").stdout
    said = ["user: think Hm.", "\nHm.\n", "✓ add(a=2, b=5)", "  7\n", "\n7\n", "\ndone · 2 steps · "]
    places = [shown.find(words) for words in said]
    assert -1 not in places
    assert places == sorted(places)


def test_every_turn_of_a_session_ends_with_how_it_ended(cli: Any):
    cli("run", 'call add {"a": 1, "b": 1}', *DIRECTIVE, "--session", "s1")
    cli("run", 'call note {"text": "x"}', *DIRECTIVE, "--session", "s1", "--ask", "note")
    lines = cli("view", "s1").stdout.splitlines()
    assert [line.split(" ")[0] for line in lines if " step" in line] == ["done", "needs_approval:"]
    assert any(line.startswith("waits for approval: note") for line in lines)


def test_events_are_shown_with_what_they_took_from_a_file_and_from_stdin(cli: Any):
    events = "".join(events_of(cli))
    (cli.folder / "events.jsonl").write_text(events)
    for done in (cli("view", "events.jsonl"), cli("view", "-", text=events)):
        assert done.returncode == 0
        assert "✓ add(a=2, b=5)  " in done.stdout
        last = json.loads(events.splitlines()[-1])
        assert done.stdout.splitlines()[-1].startswith(f"done · 2 steps · {last['usage']['input_tokens']:,} tokens in")


def test_an_exported_session_is_shown_without_its_journal(cli: Any):
    events_of(cli)
    exported = cli("sessions", "export", "s1").stdout
    assert cli("view", "-", text=exported).stdout == cli("view", "s1").stdout


def test_of_a_run_that_was_killed_what_is_there_is_shown(cli: Any):
    lines = events_of(cli)
    at = next(number for number, line in enumerate(lines) if '"tool_finished"' in line)
    done = cli("view", "-", text="".join(lines[: at + 1]) + lines[at + 1][:20])
    assert done.returncode == 0
    assert "✓ add(a=2, b=5)" in done.stdout
    assert f"line {at + 2} is no event" in done.stdout
    assert "has not ended" in done.stderr


def test_what_cannot_be_shown_is_said_in_one_line(cli: Any):
    (cli.folder / "notes.txt").write_text("milk\n")
    (cli.folder / "empty.jsonl").write_text("\n")
    for what in ("notes.txt", "empty.jsonl", "no/such.jsonl", "..", "."):
        done = cli("view", what)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert cli("view", "nosuch").returncode == 1


def test_control_characters_stay_out_of_the_terminal(cli: Any):
    cli("run", "a\x1b[2Jb", *DIRECTIVE, "--session", "s1")
    assert "user: a[2Jb" in cli("view", "s1").stdout


def test_a_file_is_followed_until_the_run_has_ended(cli: Any):
    lines = events_of(cli)
    file = cli.folder / "growing.jsonl"
    file.write_text(lines[0])
    process = cli.start("view", "-f", "growing.jsonl")
    assert "tools" in process.stdout.readline()
    with file.open("a") as growing:
        growing.write("".join(lines[1:])[:-30])
        growing.flush()
        while "✓ add" not in process.stdout.readline():
            assert process.poll() is None
        growing.write("".join(lines)[-30:])
    assert process.stdout.read().splitlines()[-1].startswith("done")
    assert process.wait() == 0


def test_a_session_is_followed_while_another_process_runs_it(cli: Any):
    run = cli.start("run", "call hang {}", *DIRECTIVE[:-1], "--session", "s1", "--timeout", "4")
    while "… hang()" not in run.stderr.readline():
        assert run.poll() is None
    watching = cli.start("view", "--follow", "s1")
    assert watching.stdout.read().splitlines()[-1].startswith("budget: the time budget of 4 seconds")
    assert watching.wait() == 0


def test_events_may_come_through_the_pipe_of_a_shell(cli: Any) -> None:
    lines = cli("run", "say hello", "--model", "simulate:directive", "--format", "jsonl").stdout
    reading, writing = os.pipe()
    os.write(writing, lines.encode())
    os.close(writing)
    ran = subprocess.run(
        [*COMMAND, "view", f"/dev/fd/{reading}"],
        cwd=cli.folder, pass_fds=(reading,), capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    os.close(reading)
    assert (ran.returncode, "hello" in ran.stdout) == (0, True)
