"""``sessions replay`` and ``fork``, ``run --record`` and ``replay:FILE``, as people use them."""

from __future__ import annotations

import json
from typing import Any

import pytest

DIRECTIVE = ("--model", "simulate:directive", "--tools", "./tools.py")


@pytest.fixture
def told(cli: Any) -> Any:
    """A command line with a session of two steps, which is on a cassette too."""
    cli("run", 'call add {"a": 2, "b": 3}', *DIRECTIVE, "--session", "s1", "-q", "--record", "s1.cassette")
    return cli


def changed(cli: Any, old: str, new: str) -> None:
    """The session once more as ``s2``, with one text exchanged."""
    text = cli("sessions", "export", "s1").stdout
    assert old in text
    (cli.folder / "s2.jsonl").write_text(text.replace(old, new))
    assert cli("sessions", "import", "s2.jsonl", "--id", "s2").returncode == 0


def test_an_untouched_session_is_identical(told: Any) -> None:
    done = told("sessions", "replay", "s1")
    assert (done.returncode, done.stderr) == (0, "")
    first, second, verdict = done.stdout.splitlines()
    assert first.startswith("step 1  turn 1  same ")
    assert second.startswith("step 2  turn 1  same ")
    assert verdict == "identical: 2 requests made anew, byte for byte as they were sent"


def test_the_first_difference_is_shown_and_is_an_exit_code(told: Any) -> None:
    changed(told, '"content":"5"', '"content":"6"')
    done = told("sessions", "replay", "s2")
    assert done.returncode == 1
    assert "step 2  turn 1  different" in done.stdout
    assert 'messages[2] (tool)\n    + {"role":"tool"' in done.stdout
    assert (
        'messages[2].content\n    - "5"\n    + "6"\n'
        in told("sessions", "replay", "s2", "--wire", "s1.cassette").stdout
    )
    found = json.loads(told("sessions", "replay", "s2", "--wire", "s1.cassette", "--json").stdout)
    assert (found["is_identical"], found["divergence"]["step"], found["version"]) == (False, 2, 1)
    assert found["divergence"]["changes"] == [{"path": "messages[2].content", "recorded": '"5"', "today": '"6"'}]


def test_live_tools_run_again(told: Any) -> None:
    assert told("sessions", "replay", "s1", "--live-tools").returncode == 0
    file = told.folder / "tools.py"
    file.write_text(file.read_text().replace("return a + b", "return a - b"))
    done = told("sessions", "replay", "s1", "--live-tools")
    assert done.returncode == 1
    assert 'messages[2].content\n    - "5"\n    + "-1"\n' in done.stdout


def test_a_fork_goes_on_in_another_way(told: Any) -> None:
    forked = told("sessions", "fork", "s1@1", "--edit", "say ciao", "--id", "f")
    assert (forked.stdout, forked.returncode) == ("f\n", 0)
    assert "glm-agent run --resume f" in forked.stderr
    assert told("run", "--resume", "f", "-q").stdout == "ciao\n"
    shown = told("sessions", "show", "f").stdout.splitlines()
    assert (shown[1], shown[-1]) == ("user: say ciao", "[1] model: ciao")


def test_a_fork_runs_at_once_under_other_terms(told: Any) -> None:
    done = told("sessions", "fork", "s1@1", "--instructions", "Be brief.", "--edit", "say hi", "--id", "f", "--run")
    assert (done.stdout, done.returncode) == ("hi\n", 0)
    facts = [json.loads(line) for line in told("sessions", "export", "f").stdout.splitlines()[1:]]
    assert [fact["instructions"] for fact in facts if fact["kind"] == "turn_started"] == ["", "Be brief."]
    answered = told("sessions", "fork", "s1@2", "--answer", "I do not add.", "--run")
    assert answered.stdout == "I do not add.\n"


def test_what_cannot_be_done_is_one_line(told: Any) -> None:
    for arguments, said in {
        ("fork", "s1@9"): "its steps are 1 to 2",
        ("fork", "s1@x"): "names no step: write ID@STEP",
        ("fork", "s1@1", "--id", "s1"): "exists already",
        ("replay", "nobody"): "did you mean 's1'",
        ("replay", "s1", "--wire", "tools.py"): "is no cassette",
    }.items():
        done = told("sessions", *arguments)
        assert (done.returncode in (1, 2), done.stdout) == (True, "")
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_a_cassette_is_played_by_a_model(told: Any) -> None:
    played = told("run", 'call add {"a": 2, "b": 3}', "--tools", "./tools.py", "--model", "replay:s1.cassette", "-q")
    assert (played.stdout, played.returncode) == ("5\n", 0)
    nothing = told("run", "hi", "--model", "replay:none", "-q")
    assert nothing.returncode == 2
    assert "cannot be read" in nothing.stderr
    refused = told("run", "hi", *DIRECTIVE, "-q", "--record", "tools.py")
    assert refused.returncode == 2
    assert "is no cassette" in refused.stderr


def test_a_chat_is_recorded_too(told: Any) -> None:
    told("chat", "--model", "simulate:directive", "--record", "c.cassette", text="say one\nsay two\n/exit\n")
    lines = (told.folder / "c.cassette").read_text().splitlines()
    assert [json.loads(line)["response"]["status"] for line in lines[1:]] == [200, 200]
