"""``glm-agent sessions``: deciding from another process, searching, moving and pruning what is stored."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from glm_agent import Policy, ToolRegistry
from glm_agent.agent.task import load_task
from glm_agent.cli.retention import days
from glm_agent.driver import Driver, Intent
from glm_agent.errors import ConfigurationError
from glm_agent.journal import Journal
from glm_agent.messages import ModelResponse, ToolCall, TurnStarted, UserMessage
from glm_agent.plugins import load_tools
from glm_agent.simulate import ScriptedModel
from glm_agent.turn import rebuild

from .test_interrupts import DIRECTIVE, wait_for

NOTE = 'call note {"text": "x"}'


def killed_within(cli: Any, prompt: str, *more: str) -> None:
    process = cli.start("run", prompt, *DIRECTIVE, "--session", "s1", *more)
    wait_for(process, "hang(")
    process.kill()
    process.communicate()


def begun(cli: Any, *, unknown_outcome: str = "stop") -> str:
    """A session as a process leaves it that dies within the call ``hang()``; the id of the call."""
    (cli.folder / "policy.yaml").write_text(f"unknown_outcome: {unknown_outcome}\n")
    options = {"model": "simulate:directive", "tools": ["./tools.py"], "permissions": "policy.yaml"}
    call = ToolCall(id="call_1", name="hang", arguments="{}")
    tools = tuple(tool.spec for tool in load_tools([str(cli.folder / "tools.py")]).tools)
    with Journal(cli.folder / ".glm-agent" / "journal.db") as journal:
        journal.describe("s1", options={"version": 1, **options})
        with journal.open("s1") as session:
            session.keep(TurnStarted(model="glm-5.3-flash", session="s1", tools=tools))
            session.keep(UserMessage(text="call hang {}"))
            session.keep(ModelResponse(tool_calls=(call,), finish_reason="tool_calls"))
            driver = Driver(turn=rebuild(session.facts), model=ScriptedModel([]), tools=ToolRegistry())
            session.keep(Intent(key=driver._key(call), call_id=call.id, name="hang", holder="gone"))
    return call.id


def kept(cli: Any, id: str, *said: str, options: dict[str, Any] | None = None) -> None:
    """A session in which a person said this and the model answered each with the same words."""
    with Journal(cli.folder / ".glm-agent" / "journal.db") as journal:
        journal.describe(id, options=options)
        with journal.open(id) as session:
            for number, text in enumerate(said, start=1):
                session.keep(TurnStarted(model="glm-5.3-flash", session=id, turn=number))
                session.keep(UserMessage(text=text))
                session.keep(ModelResponse(text=text))


RUN_OPTIONS = {"version": 1, "model": "simulate:directive", "tools": ["./tools.py"]}


def stopped(cli: Any) -> str:
    """Such a session, after a resume that stopped for a person; the id of the call."""
    call = begun(cli)
    assert cli("run", "--resume", "s1").returncode == 5
    return call


def test_a_run_killed_within_a_call_waits_for_a_person_where_the_policy_says_so(cli: Any):
    (cli.folder / "policy.yaml").write_text("unknown_outcome: stop\n")
    killed_within(cli, "call hang {}", "--permissions", "policy.yaml")
    stopped = cli("run", "--resume", "s1", "--format", "json")
    assert (stopped.returncode, json.loads(stopped.stdout)["stop_reason"]) == (5, "needs_decision")
    assert "what came of hang() is not known: an earlier process began this call" in stopped.stderr
    assert "and go on with: glm-agent run --resume s1" in stopped.stderr
    (call,) = re.findall(r"it took effect: +glm-agent sessions decide s1 (\S+) --done RESULT", stopped.stderr)
    assert f"sessions decide s1 {call} --failed REASON" in stopped.stderr
    assert f"sessions decide s1 {call} --retry" in stopped.stderr


def test_what_came_of_a_call_is_said_once_and_the_run_goes_on_with_it(cli: Any):
    call = stopped(cli)
    decided = cli("sessions", "decide", "s1", call, "--done", "hung up, receipt 4711")
    assert (decided.returncode, decided.stdout) == (0, "")
    assert "go on with: glm-agent run --resume s1" in decided.stderr
    again = cli("sessions", "decide", "s1", call, "--retry")
    assert (again.returncode, "was decided already" in again.stderr) == (2, True)
    done = cli("run", "--resume", "s1")
    assert (done.returncode, done.stdout) == (0, "hung up, receipt 4711\n")
    late = cli("sessions", "decide", "s1", call, "--failed")
    assert (late.returncode, "waiting: none" in late.stderr) == (2, True)
    shown = cli("sessions", "show", "s1").stdout
    assert f"decided: {call}: done hung up, receipt 4711" in shown


def test_a_call_that_failed_is_told_to_the_model_with_the_reason(cli: Any):
    call = stopped(cli)
    assert cli("sessions", "decide", "s1", call, "--failed", "the line was dead").returncode == 0
    done = cli("run", "--resume", "s1", "--format", "json")
    assert json.loads(done.stdout)["output"].endswith("failed: the line was dead")


def test_a_call_that_is_run_again_may_be_left_again(cli: Any):
    call = stopped(cli)
    assert cli("sessions", "decide", "s1", call, "--retry").returncode == 0
    process = cli.start("run", "--resume", "s1")
    wait_for(process, "hang()")
    process.kill()
    process.communicate()
    assert cli("run", "--resume", "s1").returncode == 5
    assert cli("sessions", "decide", "s1", call, "--done", "ok").returncode == 0
    assert cli("run", "--resume", "s1").stdout == "ok\n"


def test_the_model_may_be_told_that_the_outcome_is_unknown(cli: Any):
    begun(cli, unknown_outcome="tell")
    done = cli("run", "--resume", "s1")
    assert (done.returncode, "unknown outcome" in done.stdout) == (0, True)


def test_a_task_says_what_is_done_about_an_unknown_outcome(cli: Any):
    begun(cli, unknown_outcome="tell")
    task = "---\nmodel: simulate:directive\npermissions: {unknown_outcome: stop}\n---\ncall hang {}\n"
    (cli.folder / "TASK.md").write_text(task)
    arguments = load_task(cli.folder / "TASK.md").agent_arguments()
    assert arguments["permissions"] == Policy(unknown_outcome="stop")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["call"], "one of --done RESULT, --failed [REASON] or --retry"),
        (["call", "--done", "x", "--retry"], "one of --done RESULT, --failed [REASON] or --retry"),
        (["call", "why", "--retry"], "a reason belongs to --failed"),
        (["call", "--done", "several", "words"], "put a result of several words in quotes"),
        (["call", "--retry"], "there is no session 's1'"),
    ],
)
def test_a_decision_that_says_too_little_or_too_much_is_explained(cli: Any, arguments: list[str], says: str):
    done = cli("sessions", "decide", "s1", *arguments)
    assert done.returncode in (1, 2)
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def waiting(cli: Any, prompt: str = NOTE) -> list[str]:
    asked = cli("run", prompt, *DIRECTIVE, "--ask", "note", "--session", "s1")
    assert asked.returncode == 5
    return re.findall(r"to approve: glm-agent run --resume s1 --approve (\S+)", asked.stderr)


def test_an_approval_of_another_process_is_taken_by_the_next_run(cli: Any):
    (call,) = waiting(cli)
    approved = cli("sessions", "approve", "s1", call)
    assert f"kept for session 's1': {call}; go on with: glm-agent run --resume s1" in approved.stderr
    done = cli("run", "--resume", "s1")
    assert (done.returncode, done.stdout) == (0, "noted\n")


def test_waiting_calls_are_approved_and_denied_together_or_by_name(cli: Any):
    first, second = waiting(cli, f'{NOTE}\ncall note {{"text": "y"}}')
    which = cli("sessions", "approve", "s1")
    assert (which.returncode, f"waiting for approval: {first}, {second}" in which.stderr) == (2, True)
    assert f"still waiting: {second}" in cli("sessions", "approve", "s1", first).stderr
    late = cli("run", "--resume", "s1", "--approve", first)
    assert (late.returncode, f"waiting: {second}" in late.stderr) == (2, True)
    assert cli("sessions", "deny", "s1", second, "--reason", "not on a Friday").returncode == 0
    done = cli("run", "--resume", "s1", "--approve", "all")
    assert "not on a Friday" in done.stdout
    assert (cli.folder / "notes.txt").read_text() == "x\n"


def test_an_approval_may_give_other_arguments_and_hold_for_the_session(cli: Any):
    (call,) = waiting(cli, f"{NOTE}\nthen {NOTE}")
    wrong = cli("sessions", "approve", "s1", call, "--arguments", "[1]")
    assert (wrong.returncode, "is no JSON object" in wrong.stderr) == (2, True)
    assert cli("sessions", "approve", "s1", "--always", "--arguments", '{"text": "z"}').returncode == 0
    assert cli("run", "--resume", "s1").returncode == 0
    assert (cli.folder / "notes.txt").read_text() == "z\nx\n"


def test_an_approval_does_not_decide_on_an_unknown_outcome(cli: Any):
    call = stopped(cli)
    wrong = cli("sessions", "approve", "s1", call)
    assert (wrong.returncode, "sessions decide s1" in wrong.stderr) == (2, True)
    wrong = cli("sessions", "approve", "s1")
    assert "no call of session 's1' waits for approval" in wrong.stderr
    assert f"of unknown outcome, for `sessions decide`: {call}" in wrong.stderr


def test_a_resumed_run_says_what_has_changed_and_goes_on(cli: Any):
    begun(cli, unknown_outcome="tell")
    tools = (cli.folder / "tools.py").read_text().replace("def late()", "def tardy()")
    (cli.folder / "tools.py").write_text(tools.replace("@tool\ndef broken", "@tool(read_only=True)\ndef broken"))
    done = cli("run", "--resume", "s1", "--model", "simulate:echo", "--max-steps", "7")
    assert done.returncode == 0
    changes = (
        "tools added: tardy",
        "tools removed: late",
        "effect of 'broken': write -> read",
        "max_steps: 20 -> 7",
    )
    assert all(f"session: since the turn began: {change}" in done.stderr for change in changes), done.stderr


def test_a_resumed_run_that_is_the_same_says_nothing(cli: Any):
    stopped(cli)
    assert "since the turn began" not in cli("run", "--resume", "s1").stderr


def test_words_are_found_wherever_they_stand(cli: Any):
    kept(cli, "bills", "Rechnung 4711\nfür Frau Grün")
    kept(cli, "hello", "你好,世界")
    found = cli("sessions", "search", "RECHNUNG 4711")
    assert [line.split("  ")[0] for line in found.stdout.splitlines()] == ["bills", "bills"]
    assert "step 0  user: …Rechnung 4711 für Frau Grün…\n" in found.stdout
    assert "step 1  model:" in found.stdout
    (hit,) = (
        json.loads(line) for line in cli("sessions", "search", "好,世", "--json", "--limit", "1").stdout.splitlines()
    )
    assert (hit["session"], hit["who"], hit["found"]) == ("hello", "user", "好,世")
    assert cli("sessions", "search", "GRÜN", "--limit", "1").stderr == "there are more than 1: --limit shows them\n"
    nothing = cli("sessions", "search", "nowhere")
    assert (nothing.returncode, nothing.stdout) == (1, "")
    assert cli("sessions", "search", " ").returncode == 2


LONG = """from glm_agent import tool

@tool(max_output_tokens=100)
def long() -> str:
    return "line\\n" * 9_000 + "the end"
"""


def test_an_exported_session_is_imported_with_its_long_results_and_goes_on(cli: Any, tmp_path: Path):
    (cli.folder / "tools.py").write_text(LONG)
    cli("run", "call long {}", *DIRECTIVE, "--session", "s1", "-q")
    text = cli("sessions", "export", "s1").stdout
    elsewhere = {"GLM_AGENT_HOME": str(tmp_path / "elsewhere")}
    there = cli("sessions", "import", "-", text=text, **elsewhere)
    assert (there.returncode, there.stdout, there.stderr) == (0, "s1\n", "")
    (kept,) = (tmp_path / "elsewhere" / "results" / "s1").iterdir()
    assert kept.read_text().endswith("the end")
    taken = cli("sessions", "import", "-", text=text, **elsewhere)
    assert (taken.returncode, "exists already" in taken.stderr) == (1, True)
    assert cli("sessions", "import", "-", "--id", "s2", text=text, **elsewhere).stdout == "s2\n"
    again = cli("sessions", "export", "s2", **elsewhere).stdout
    assert [json.loads(copy.splitlines()[-1])["text"] for copy in (text, again)] == [kept.read_text()] * 2


def test_what_an_export_lacks_is_said(cli: Any):
    (cli.folder / "tools.py").write_text(LONG)
    cli("run", "call long {}", *DIRECTIVE, "--session", "s1", "-q")
    (kept,) = (cli.folder / ".glm-agent" / "results" / "s1").iterdir()
    kept.unlink()
    export = cli("sessions", "export", "s1")
    assert export.stderr == f"no longer kept, so not in the export: 1 long result: {kept.name}\n"
    (cli.folder / "s1.jsonl").write_text(export.stdout)
    assert (
        f"not in the export: 1 long result: {kept.name}" in cli("sessions", "import", "s1.jsonl", "--id", "s2").stderr
    )


def test_what_an_import_would_run_is_taken_over_from_who_is_trusted_only(cli: Any):
    kept(cli, "s1", "hello", options=RUN_OPTIONS)
    (cli.folder / "s1.jsonl").write_text(cli("sessions", "export", "s1").stdout)
    cli("sessions", "import", "s1.jsonl", "--id", "stranger")
    cli("sessions", "import", "s1.jsonl", "--id", "friend", "--trust")
    with Journal(cli.folder / ".glm-agent" / "journal.db") as journal:
        assert journal.setup("friend").options == RUN_OPTIONS
        assert journal.setup("stranger").options == {}


@pytest.mark.parametrize("content", ["", '{"format": "other"}', "\udcff"])
def test_a_file_that_is_no_export_is_said_so(cli: Any, content: str):
    (cli.folder / "file").write_bytes(content.encode(errors="surrogateescape"))
    done = cli("sessions", "import", "file")
    assert done.returncode in (1, 2)
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert cli("sessions", "import", "missing.jsonl").returncode == 2


def test_old_sessions_are_pruned_and_the_latest_stay(cli: Any):
    for id in ("a", "b", "c"):
        kept(cli, id, "x")
    assert cli("sessions", "prune").returncode == 2
    dry = cli("sessions", "prune", "--older-than", "0h", "--keep", "1", "--dry-run")
    assert (dry.stdout, dry.stderr) == ("b\na\n", "would delete 2 sessions\n")
    assert cli("sessions", "prune", "--older-than", "1d").stderr == "deleted 0 sessions\n"
    assert cli("sessions", "prune", "--keep", "1", GLM_AGENT_RETENTION="0d").stdout == "b\na\n"
    assert [line.split()[0] for line in cli("sessions", "list").stdout.splitlines()] == ["c"]


def test_a_run_deletes_what_is_older_than_the_setting_says(cli: Any):
    kept(cli, "old", "x")
    done = cli("run", "say y", *DIRECTIVE, "-q", "--session", "newest", GLM_AGENT_RETENTION="soon")
    assert (done.returncode, done.stdout) == (0, "y\n")
    assert "GLM_AGENT_RETENTION 'soon' is no age" in done.stderr
    done = cli("run", "say y", *DIRECTIVE, "-q", GLM_AGENT_RETENTION="0d")
    assert (done.returncode, done.stdout) == (0, "y\n")
    assert done.stderr == "deleted 3 sessions older than 0d (GLM_AGENT_RETENTION)\n"


def test_ages_are_read_with_their_units() -> None:
    ages = {"12h": 0.5, "30d": 30, "2w": 14, "1 y": 365, "7": 7, "1.5D": 1.5, "6m": 180}
    assert {text: days(text, source="x") for text in ages} == ages
    for wrong in ("", "d", "-1d", "1x", "forever"):
        with pytest.raises(ConfigurationError, match="is no age"):
            days(wrong, source="--older-than")


def test_options_of_older_versions_beside_the_journal_are_still_read(cli: Any):
    kept(cli, "s1", "hello")
    folder = cli.folder / ".glm-agent" / "runs"
    folder.mkdir()
    (folder / "s1.json").write_text(json.dumps(RUN_OPTIONS))
    assert cli("run", NOTE, "--session", "s1", "-q").stdout == "noted\n"
    (folder / "s1.json").write_text("{")
    assert cli("run", NOTE, "--session", "s1", "-q").returncode == 0  # by now they stand in the journal
    assert cli("sessions", "delete", "s1").returncode == 0
    assert os.listdir(folder) == []
