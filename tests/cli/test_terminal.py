"""On a terminal: the live view, questions and the chat."""

from __future__ import annotations

from typing import Any

DIRECTIVE = ("--model", "simulate:directive", "--tools", "./tools.py")


def open_terminal(cli: Any, terminals: list[Any], *arguments: str) -> Any:
    terminal = cli.on_terminal(*arguments)
    terminals.append(terminal)
    return terminal


def test_the_view_has_colours_and_shows_the_answer_once(cli: Any, terminals: list[Any]):
    terminal = open_terminal(cli, terminals, "run", 'think Hm.\ncall add {"a": 2, "b": 5}', *DIRECTIVE)
    assert terminal.end() == 0
    assert "\x1b[2;3mHm." in terminal.shown  # dimmed, in italics
    assert "add(a=2, b=5)" in terminal.shown
    assert "done" in terminal.shown
    assert terminal.shown.rstrip().endswith("7")


def test_no_color_is_honoured(cli: Any, terminals: list[Any]):
    cli.environ["NO_COLOR"] = "1"
    terminal = open_terminal(cli, terminals, "run", 'call add {"a": 2, "b": 5}', *DIRECTIVE)
    assert terminal.end() == 0
    assert "\x1b[32m" not in terminal.shown


def test_what_a_model_writes_cannot_steer_the_terminal(cli: Any, terminals: list[Any]):
    (cli.folder / "s.yaml").write_text('version: 1\nsteps:\n  - {think: "a\\e[2Jb", say: "c\\e]0;title\\ad"}\n')
    terminal = open_terminal(cli, terminals, "run", "go", "-m", "simulate:s.yaml")
    assert terminal.end() == 0
    assert "\x1b[2J" not in terminal.shown
    assert "\x1b]0;" not in terminal.shown
    assert "a[2Jb" in terminal.shown


def test_a_retry_makes_what_was_shown_void(cli: Any, terminals: list[Any]):
    (cli.folder / "s.yaml").write_text("version: 1\nsteps:\n  - {say: the one answer, fault: {cut_after: 3}}\n")
    terminal = open_terminal(cli, terminals, "run", "go", "-m", "simulate:s.yaml")
    assert terminal.end() == 0
    assert "attempt 2" in terminal.shown
    assert terminal.shown.rstrip().endswith("the one answer")


def test_a_call_runs_when_the_person_says_yes(cli: Any, terminals: list[Any]):
    terminal = open_terminal(cli, terminals, "run", 'call note {"text": "x"}', *DIRECTIVE, "--ask", "note")
    terminal.wait_for("[e]dit")
    terminal.type("what?\n")
    terminal.wait_for("please answer")
    terminal.type("y\n")
    assert terminal.end() == 0
    assert (cli.folder / "notes.txt").read_text() == "x\n"


def test_a_call_does_not_run_when_the_person_says_no(cli: Any, terminals: list[Any]):
    terminal = open_terminal(cli, terminals, "run", 'call note {"text": "x"}', *DIRECTIVE, "--ask", "note")
    terminal.wait_for("[e]dit")
    terminal.type("n too early\n")
    assert terminal.end() == 0
    assert "denied: too early" in terminal.shown
    assert not (cli.folder / "notes.txt").exists()


def test_always_asks_once_and_edited_arguments_are_used(cli: Any, terminals: list[Any]):
    prompt = 'call note {"text": "x"}\nthen call note {"text": "y"}\nthen call broken {}'
    terminal = open_terminal(cli, terminals, "run", prompt, *DIRECTIVE, "--ask", "*")
    terminal.wait_for("[e]dit")
    terminal.type("a\n")
    terminal.wait_for("broken wants to run")
    terminal.wait_for("[e]dit")
    terminal.type("e\n")
    terminal.wait_for("arguments as JSON")
    terminal.type("[1]\n")
    terminal.wait_for("no JSON object")
    terminal.wait_for("arguments as JSON")
    terminal.type('{"why": 1}\n')
    assert terminal.end() == 0
    assert (cli.folder / "notes.txt").read_text() == "x\ny\n"
    assert "why" in terminal.shown


def test_a_question_is_withdrawn_when_another_process_decides(cli: Any, terminals: list[Any]):
    prompt = 'call note {"text": "x"}\nthen call note {"text": "y"}'
    terminal = open_terminal(cli, terminals, "run", prompt, *DIRECTIVE, "--ask", "note", "--session", "s1")
    terminal.wait_for("[e]dit")
    terminal.type("n")  # half an answer
    decided = cli("sessions", "approve", "s1")
    assert (decided.returncode, decided.stderr.split("; ")[1]) == (0, "the run that has it open takes it\n")
    terminal.wait_for("decided elsewhere")
    terminal.wait_for("approved")
    terminal.wait_for("[e]dit")  # the second call, of which the person is asked
    terminal.type("y\n")
    assert terminal.end() == 0
    assert (cli.folder / "notes.txt").read_text() == "x\ny\n"


def test_an_interrupt_at_a_question_is_an_interrupt(cli: Any, terminals: list[Any]):
    terminal = open_terminal(
        cli, terminals, "run", 'call note {"text": "x"}', *DIRECTIVE, "--ask", "note", "--session", "s1"
    )
    terminal.wait_for("[e]dit")
    terminal.interrupt()
    assert terminal.end() == 130
    assert "--resume s1" in terminal.shown
    assert cli("run", "--resume", "s1", "--approve", "all").returncode == 0
    assert (cli.folder / "notes.txt").read_text() == "x\n"


def test_a_chat_keeps_its_session_and_survives_an_interrupt(cli: Any, terminals: list[Any]):
    terminal = open_terminal(cli, terminals, "chat", *DIRECTIVE, "--session", "s1")
    terminal.wait_for("> ")
    terminal.type('call add {"a": 40, "b": 2}\n')
    terminal.wait_for("42")
    terminal.wait_for("> ")
    terminal.type("call hang {}\n")
    terminal.wait_for("hang()")
    terminal.interrupt()
    terminal.wait_for("stopped")
    terminal.wait_for("> ")
    terminal.type("say Still here.\n")
    terminal.wait_for("the turn was left")  # the call that was open has a result now
    terminal.wait_for("done")
    terminal.wait_for("> ")
    terminal.type("/exit\n")
    assert terminal.end() == 0
    assert "3 turns" in cli("sessions", "list").stdout
