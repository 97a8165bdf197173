"""Batches from Python: lines and their mistakes, keys, results, going on, money, keys that do not work."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glm_agent import ConfigurationError, tool
from glm_agent.batch import Batch, BatchReport
from glm_agent.batch.lines import line_schema, parse_line
from glm_agent.batch.outage import UNKNOWN_RESET_SECONDS, reset_seconds, verdict
from glm_agent.batch.results import BatchResult, ResultsFile, result_schema
from glm_agent.errors import (
    AuthenticationError,
    ContentFiltered,
    JournalError,
    MCPServerError,
    ModelConnectionError,
    QuotaExhausted,
    RateLimited,
)
from glm_agent.journal import Journal
from glm_agent.simulate import SimulatorServer

DOCS = Path(__file__).parents[1] / "docs" / "schemas"
DIRECTIVE = "simulate:directive"

TASK = """---
params:
  sku: null
  n: 3
---
say ${sku} x ${n}
"""


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Journals, results and task files of a test are in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "TASK.md").write_text(TASK)
    return tmp_path


def lines(*tasks: Mapping[str, Any]) -> str:
    Path("tasks.jsonl").write_text("".join(json.dumps(task) + "\n" for task in tasks))
    return "tasks.jsonl"


def results(path: str = "out.jsonl") -> dict[str, dict[str, Any]]:
    found = [json.loads(line) for line in Path(path).read_text().splitlines()]
    assert len({each["key"] for each in found}) == len(found), "a key has one result"
    return {each["key"]: each for each in found}


def run(tasks: Any, **options: Any) -> BatchReport:
    return Batch(tasks, **{"model": DIRECTIVE, "out": "out.jsonl", **options}).run_sync()


# -- lines


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "no JSON"),
        ("[]", "a line is an object"),
        ('"say hi"', "a line is an object"),
        ('{"prompt": "a", "prompt": "b"}', "'prompt' stands there twice"),
        ('{"prompt": NaN}', "NaN is no JSON"),
        ('{"promt": "a"}', "unknown field 'promt': did you mean 'prompt'?"),
        ('{"prompt": 3}', "'prompt' must be a valid string, not 3"),
        ('{"prompt": "  "}', "the prompt is empty"),
        ('{"prompt": "a", "task": "TASK.md"}', "a line has one of them"),
        ('{"prompt": "a", "parameters": {"x": 1}}', "'parameters' are of a task file"),
        ('{"prompt": "a", "key": ""}', "cannot name a task"),
        ('{"prompt": "a", "version": 2}', "reads 1"),
        ('{"prompt": "a", "attachments": ["no.png"]}', "there is no attachment"),
        ('{"prompt": "a", "model": "nowhere:glm-5"}', "unknown"),
        ('{"task": "no.md"}', "cannot be read"),
        ('{"task": "TASK.md"}', "'sku' is missing"),
        ('{"task": "TASK.md", "parameters": {"sku": null}}', "'sku' is null"),
        ('{"task": "TASK.md", "parameters": {"sky": 1}}', "did you mean 'sku'?"),
        ("{}", "there is nothing to do"),
        ('{"a":' * 100_000, "no JSON"),
    ],
)
def test_a_wrong_line_is_named_before_anything_is_sent(line: str, said: str) -> None:
    Path("tasks.jsonl").write_text(json.dumps({"prompt": "say fine"}) + f"\n\n{line}\n")
    with pytest.raises(ConfigurationError) as caught:
        run("tasks.jsonl")
    assert "tasks.jsonl:3: " in str(caught.value)
    assert said in str(caught.value)
    assert not Path("out.jsonl").exists()


def test_many_wrong_lines_are_counted_and_the_first_five_said() -> None:
    Path("tasks.jsonl").write_text("{\n" * 8)
    with pytest.raises(ConfigurationError, match=r":5: .*\n… and 3 more$"):
        run("tasks.jsonl")


def test_bytes_that_are_no_text_a_byte_order_mark_and_no_last_line_end() -> None:
    Path("tasks.jsonl").write_bytes(b'\xef\xbb\xbf{"prompt": "say a"}\r\n{"prompt": "say b"}')
    assert run("tasks.jsonl").answered == 2
    Path("tasks.jsonl").write_bytes(b'{"prompt": "\xff"}\n')
    with pytest.raises(ConfigurationError, match="column 13: not UTF-8"):
        run("tasks.jsonl")
    Path("tasks.jsonl").write_bytes(b"\n \n")
    with pytest.raises(ConfigurationError, match="holds no tasks"):
        run("tasks.jsonl")


@given(
    st.dictionaries(
        st.sampled_from(["sku", "n", "key"]), st.one_of(st.text(min_size=1, max_size=50), st.integers()), min_size=1
    )
)
def test_a_lines_digest_knows_no_order_and_no_key(values: dict[str, Any]) -> None:
    known = {"sku": None, "n": 3}
    if not str(values.get("key", "x")).strip():
        return
    one = parse_line(json.dumps(values).encode(), number=1, parameters=known)
    backwards = dict(reversed(values.items()))
    assert parse_line(json.dumps(backwards, indent=1).encode(), number=2, parameters=known).digest == one.digest
    assert parse_line(json.dumps({**values, "key": "k"}).encode(), number=1, parameters=known).digest == one.digest
    assert one.key == str(values.get("key", one.digest))


def test_the_published_schemas_are_those_in_use() -> None:
    assert json.loads((DOCS / "batch-line.schema.json").read_text()) == line_schema()
    assert json.loads((DOCS / "batch-result.schema.json").read_text()) == result_schema()


# -- what runs


def test_one_task_file_and_many_lines() -> None:
    report = run(lines({"sku": "A"}, {"key": "b", "sku": "B", "n": 1.5}, {"parameters": {"sku": [1]}}), task="TASK.md")
    found = results()
    assert {each["output"] for each in found.values()} == {"A x 3", "B x 1.5", "[1] x 3"}
    assert found["b"]["line"] == 2
    assert (report.total, report.answered, report.left, report.failed) == (3, 3, 0, 0)
    validator = jsonschema.Draft202012Validator(result_schema())
    for each in found.values():
        validator.validate(each)
        assert each["stop_reason"] == "end_turn"
        assert each["cost_usd"] > 0


def test_batches_run_on_trio_too() -> None:
    batch = Batch([{"prompt": str(n)} for n in range(5)], model=answering(), out="out.jsonl", concurrency=2)
    report = anyio.run(batch.run, backend="trio")
    assert (report.answered, len(results())) == (5, 5)


def test_lines_with_tasks_prompts_and_models_of_their_own() -> None:
    Path("more").mkdir()
    Path("more/T.md").write_text("say ok")
    Path("more/tasks.jsonl").write_text(
        '{"task": "T.md", "key": 1}\n{"prompt": "say p", "key": 2, "model": "simulate:echo"}\n{"key": 3}\n'
    )
    run("more/tasks.jsonl", task="more/T.md")
    found = results()
    assert {key: each["output"] for key, each in found.items()} == {"1": "ok", "2": "say p", "3": "ok"}


def test_the_same_line_twice_is_one_task_and_a_key_twice_for_two_tasks_is_a_mistake() -> None:
    report = run([{"prompt": "say a"}, {"prompt": "say a"}, {"prompt": "say a", "key": "k"}])
    assert (report.total, report.duplicates, len(results())) == (2, 1, 2)
    with pytest.raises(ConfigurationError, match=r"batch:2: the key 'k' names another task in line 1"):
        run([{"prompt": "say a", "key": "k"}, {"prompt": "say b", "key": "k"}])


def test_every_task_is_a_session_of_its_own_and_tools_run_in_them() -> None:
    @tool
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    run([{"prompt": f'call add {{"a": {n}, "b": 1}}', "key": str(n)} for n in range(5)], tools=[add])
    for n, each in results().items():
        assert each["output"] == f"add returned: {int(n) + 1}" or str(int(n) + 1) in each["output"]
        with Journal() as journal:
            assert journal.summary(each["session"]).stop_reason == "end_turn"


# -- going on


def test_a_batch_that_is_run_again_asks_nothing_and_one_with_new_lines_asks_those() -> None:
    with SimulatorServer("directive") as server:
        options = {"model": "glm-5.3", "base_url": server.base_url, "api_key": "k.s"}
        first = run([{"prompt": "say a"}, {"prompt": "say b"}], **options)
        again = run([{"prompt": "say a"}, {"prompt": "say b"}, {"prompt": "say c"}], **options)
        assert len(server.requests) == 3
    assert again.id == first.id
    assert (again.skipped, again.answered, again.left) == (2, 3, 0)
    assert again.cost_usd > first.cost_usd


def test_a_torn_last_line_is_cut_off_and_its_answer_comes_from_the_journal() -> None:
    with SimulatorServer("directive") as server:
        options = {"model": "glm-5.3", "base_url": server.base_url, "api_key": "k.s", "concurrency": 1}
        tasks = [{"prompt": f"say {word}", "key": word} for word in "abc"]
        run(tasks, **options)
        whole = Path("out.jsonl").read_bytes()
        before = results()
        for cut in (1, 40, len(whole.splitlines()[-1])):
            Path("out.jsonl").write_bytes(whole[:-cut])
            report = run(tasks, **options)
            assert report.answered == 3
            assert len(server.requests) == 3
            assert {key: each["output"] for key, each in results().items()} == {
                key: each["output"] for key, each in before.items()
            }


@pytest.mark.parametrize("damage", [b"\x00\xff\xfe", b'{"kind": "batch_result"}', b'{"kind": "batch_re'])
def test_a_damaged_line_between_others_is_named_and_its_answer_comes_from_the_journal(damage: bytes) -> None:
    with SimulatorServer("directive") as server:
        options = {"model": "glm-5.3", "base_url": server.base_url, "api_key": "k.s"}
        tasks = [{"prompt": f"say {word}", "key": word} for word in "abc"]
        run(tasks, concurrency=1, **options)
        before = results()
        first, _, last = Path("out.jsonl").read_bytes().splitlines(keepends=True)
        Path("out.jsonl").write_bytes(first + damage + b"\n" + last)
        said: list[str] = []
        report = run(tasks, on_notice=said.append, **options)
        assert (report.answered, report.skipped, len(server.requests)) == (3, 2, 3)
    assert {key: each["output"] for key, each in results().items()} == {
        key: each["output"] for key, each in before.items()
    }
    assert re.search(r"out\.jsonl:2 is damaged: the line goes to '.*out\.jsonl\.damaged'", said[0])
    assert Path("out.jsonl.damaged").read_bytes() == damage + b"\n"


def test_a_deleted_file_of_results_is_a_batch_anew() -> None:
    with SimulatorServer("directive") as server:
        options = {"model": "glm-5.3", "base_url": server.base_url, "api_key": "k.s"}
        one = run([{"prompt": "say a"}], **options)
        Path("out.jsonl").unlink()
        two = run([{"prompt": "say a"}], **options)
        assert len(server.requests) == 2
    assert one.id != two.id


def test_a_named_batch_goes_on_without_a_file_of_results() -> None:
    with SimulatorServer("directive") as server:
        options = {"model": "glm-5.3", "base_url": server.base_url, "api_key": "k.s", "out": None, "name": "n1"}
        seen: list[BatchResult] = []
        run([{"prompt": "say a"}], on_result=seen.append, **options)
        run([{"prompt": "say a"}], on_result=seen.append, **options)
        assert len(server.requests) == 1
    assert [(each.output, each.attempts) for each in seen] == [("a", 1), ("a", 0)]
    with pytest.raises(ConfigurationError, match="cannot be the name of a batch"):
        run([{"prompt": "say a"}], name="a/b")


def test_a_file_that_holds_something_else_and_a_task_that_changed_are_refused() -> None:
    Path("out.jsonl").write_text('{"my": "data"}\n')
    with pytest.raises(ConfigurationError, match=r"out.jsonl:1: no result of a batch"):
        run([{"prompt": "say a"}])
    assert Path("out.jsonl").read_text() == '{"my": "data"}\n'
    Path("out.jsonl").unlink()
    run([{"prompt": "say a", "key": "k"}])
    with pytest.raises(ConfigurationError, match="the task 'k' is not what it was"):
        run([{"prompt": "say b", "key": "k"}])


def test_two_processes_cannot_run_one_batch(tmp_path: Path) -> None:
    from glm_agent.batch import place

    folder = place.make_folder(Journal().path)
    with (
        place.held(tmp_path / "out.jsonl", folder=folder),
        pytest.raises(ConfigurationError, match=r"is running already \(process \d+ on"),
    ):
        run([{"prompt": "say a"}])


def test_tasks_may_come_through_a_pipe_and_results_need_a_file() -> None:
    reading, writing = os.pipe()
    with open(writing, "wb") as pipe:
        pipe.write(b'{"prompt": "say piped"}\n')
    assert run(f"/dev/fd/{reading}").answered == 1
    os.close(reading)
    for out in ("/dev/full", "."):
        with pytest.raises(ConfigurationError, match="no file that can be read again"):
            run([{"prompt": "say a"}], out=out)


def test_a_disk_that_is_full_stops_the_batch_and_keeps_whole_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    model, write = answering(), os.write

    def limited(descriptor: int, data: bytes) -> int:
        if b"batch_result" in data and Path("out.jsonl").stat().st_size > 600:
            return write(descriptor, data[:20])
        return write(descriptor, data)

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", limited)
        report = run([{"prompt": str(n)} for n in range(9)], model=model, concurrency=1)
    assert isinstance(report.error, JournalError)
    assert "cannot be written to" in report.stopped
    assert len(results()) == 9 - report.left < 9
    assert run([{"prompt": str(n)} for n in range(9)], model=model).answered == 9
    assert len(model.asked) == 9, "what was answered came from the journal"


# -- failures


def answering(code: str = "", *, status: int = 400, when: str = "") -> Any:
    """A model that refuses prompts with ``when`` in them by this code; without one it answers them all."""
    from glm_agent.messages import ModelRequest, ModelResponse, Usage
    from glm_agent.wire.failure import failure

    class Model:
        name = "glm-5.3"

        def __init__(self) -> None:
            self.asked: list[str] = []
            self.code = code

        async def stream(self, request: ModelRequest) -> Any:
            await anyio.lowlevel.checkpoint()
            text = str(getattr(request.messages[0], "text", ""))
            self.asked.append(text)
            if self.code and when in text:
                body = {"error": {"code": self.code, "message": "no, until 2026-01-01 00:00:00"}}
                raise failure(status_code=status, body=body)
            yield ModelResponse(text=f"ok {text}", usage=Usage(input_tokens=1000, output_tokens=1000))

    return Model()


def test_a_task_that_fails_has_a_result_that_says_so_and_the_others_go_on() -> None:
    model = answering("1210", when="bad")
    report = run([{"prompt": "bad", "key": "b"}, {"prompt": "fine", "key": "f"}], model=model)
    found = results()
    assert found["f"]["output"] == "ok fine"
    assert (found["b"]["stop_reason"], found["b"]["error"]["type"]) == ("error", "ModelStatusError")
    assert (report.answered, report.failed, report.left) == (1, 1, 0)
    good = answering()
    again = run([{"prompt": "bad", "key": "b"}, {"prompt": "fine", "key": "f"}], model=good)
    assert good.asked == ["bad"], "what failed is tried again, what was answered is not"
    assert (again.answered, again.failed) == (2, 0)
    assert found["b"]["session"] == results()["b"]["session"]


def test_what_ended_without_an_answer_is_asked_anew_only_when_told_to() -> None:
    tasks = [{"prompt": "bad", "key": "b"}]
    assert run(tasks, model=answering("1301")).ended == {"refusal": 1}
    good = answering()
    assert run(tasks, model=good).ended == {"refusal": 1}
    assert good.asked == []
    assert run(tasks, model=good, retry_failed=True).ended == {"end_turn": 1}
    assert good.asked == ["bad"]


def test_a_dead_key_stops_the_batch_and_no_task_has_failed_by_it() -> None:
    dead = answering("1113", status=429)
    report = run([{"prompt": str(n)} for n in range(500)], model=dead, concurrency=1)
    assert len(dead.asked) == 1
    assert (report.left, report.failed) == (500, 0)
    assert isinstance(report.error, QuotaExhausted)
    assert results() == {}
    good = answering()
    assert run([{"prompt": str(n)} for n in range(500)], model=good).answered == 500


def test_a_key_that_is_missing_is_found_before_the_first_task(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ZAI_API_KEY", "ZHIPUAI_API_KEY", "GLM_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    report = run([{"prompt": "a"}, {"prompt": "b"}], model="glm-5.3")
    assert isinstance(report.error, ConfigurationError)
    assert (report.left, results()) == (2, {})


def test_a_server_that_never_started_stops_the_batch() -> None:
    report = run([{"prompt": str(n)} for n in range(20)], mcp_servers=["no-such-program x"])
    assert isinstance(report.error, MCPServerError)
    assert (report.left, results()) == (20, {})


def test_what_may_pass_is_tried_again_and_said_once() -> None:
    model = answering("1200", status=500)
    said: list[str] = []
    batch = Batch([{"prompt": str(n)} for n in range(4)], model=model, out="out.jsonl", on_notice=said.append)
    slept = sleeping(batch, passes=False)  # in the same minute
    report = batch.run_sync()
    assert (report.failed, len(model.asked)) == (4, 12), "each one twice more"
    assert len(slept) == 8
    assert {each["attempts"] for each in results().values()} == {3}
    assert len(said) == 1


def test_a_used_up_allowance_is_waited_for_by_all_and_no_task_has_failed_by_it() -> None:
    model = answering("1308", status=429)
    said: list[str] = []
    batch = Batch([{"prompt": str(n)} for n in range(6)], model=model, out="out.jsonl", on_notice=said.append)
    slept = sleeping(batch, then=lambda: setattr(model, "code", ""))
    report = batch.run_sync()
    assert (report.answered, report.failed) == (6, 0)
    assert {each["attempts"] for each in results().values()} == {1}
    assert max(slept) <= UNKNOWN_RESET_SECONDS
    assert len(said) == 1
    assert "waiting until" in said[0]
    again = Batch([{"prompt": "x"}], model=answering("1308", status=429), out="2.jsonl", max_wait_seconds=60).run_sync()
    assert (again.left, isinstance(again.error, QuotaExhausted)) == (1, True)
    assert "begins anew only in 0.2 hours" in again.stopped


def sleeping(batch: Batch, *, then: Callable[[], None] = lambda: None, passes: bool = True) -> list[float]:
    """Have a batch sleep on a clock of its own, which ``passes`` or stands; how long it did, as it goes."""
    slept: list[float] = []
    now = [1_795_400_000.0]  # after the reset that the model names

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        awake = now[0] + seconds
        await anyio.lowlevel.checkpoint()
        if passes:
            now[0] = max(now[0], awake)  # sleeps at the same time do not add up
        then()

    batch._new_worker = partial(batch._new_worker, sleep=sleep, clock=lambda: now[0])
    return slept


def test_errors_in_a_row_stop_the_batch() -> None:
    broken = answering("1210")
    report = run([{"prompt": str(n)} for n in range(100)], model=broken, concurrency=1, max_failures=4)
    assert len(broken.asked) == 4
    assert "4 tasks in a row failed" in report.stopped
    assert (report.failed, report.left) == (4, 96)


def test_the_limit_of_money_is_for_all_tasks_together_and_for_earlier_runs() -> None:
    tasks = [{"prompt": str(n)} for n in range(50)]
    price = (1000 * 1.4 + 1000 * 4.4) / 1e6
    model = answering()
    report = run(tasks, model=model, concurrency=1, limit_cost_usd=10.5 * price)
    assert len(model.asked) == 11, "a request that has begun is paid for"
    assert (report.answered, report.left, report.is_spent) == (11, 39, True)
    more = run(tasks, model=model, concurrency=1, limit_cost_usd=10.5 * price)
    assert (len(model.asked), more.answered) == (11, 11)
    assert run(tasks, model=model, limit_cost_usd=100).answered == 50
    assert len(model.asked) == 50
    with pytest.raises(ConfigurationError, match="needs prices"):
        run(tasks, out="x.jsonl", model="vllm:mystery", limit_cost_usd=1)


def test_what_a_failure_says_about_the_others() -> None:
    def status(kind: Any, code: str, *, again: bool = False) -> Any:
        return kind("x", status_code=429, code=code, is_retryable=again)

    assert verdict(status(QuotaExhausted, "1113")) == "stop"
    assert verdict(status(AuthenticationError, "1000")) == "stop"
    assert verdict(JournalError("full")) == "stop"
    for code in ("1304", "1308", "1310", "1316", "1321"):
        assert verdict(status(QuotaExhausted, code)) == "window"
    assert verdict(status(RateLimited, "1305", again=True)) == "again"
    assert verdict(ModelConnectionError("x", is_retryable=True)) == "again"
    assert verdict(MCPServerError("x", server="s")) == "again"
    assert verdict(ContentFiltered("x")) == verdict(ValueError("x")) == "task"


def test_a_reset_is_the_next_moment_that_the_servers_words_may_mean() -> None:
    noon = 1_795_348_800.0  # 2026-11-22 12:00 UTC
    assert reset_seconds("2026-11-22 21:00:00", now=noon) == 3605, "13:00 UTC, were it the mainland's time"
    assert reset_seconds("2026-11-22 13:00", now=noon) == 3605, "5:00 UTC is over, so it is UTC"
    for said in ("", "tomorrow", "2026-11-20 00:00:00"):
        assert reset_seconds(said, now=noon) == UNKNOWN_RESET_SECONDS


# -- the file of results


@given(st.lists(st.text(), min_size=1, unique=True, max_size=5), st.integers(min_value=0))
def test_a_file_of_results_cut_anywhere_gives_whole_results(keys: list[str], cut: int) -> None:
    import tempfile

    path = Path(tempfile.mkdtemp()) / "r.jsonl"
    each = [BatchResult(key=key, line=1, digest="d", output=key, stop_reason="end_turn") for key in keys]
    whole = b"".join(one.to_line() for one in each)
    path.write_bytes(whole[: cut % (len(whole) + 1)])
    left = ResultsFile(path)
    before = list(left.read())
    left.open()
    left.append(each[-1])
    left.close()
    assert [one.to_line() for one in left.read()] == [one.to_line() for one in [*before, each[-1]]]


def test_a_session_killed_before_its_message_was_kept_takes_the_message_again() -> None:
    from glm_agent import Agent
    from glm_agent.messages import TurnStarted

    with Journal() as journal:
        with journal.open("s") as session:
            session.keep(TurnStarted(model="glm-5.3", session="s"))
        assert Agent(DIRECTIVE, journal=journal).run_sync("say hi", session="s").output == "hi"


@pytest.mark.parametrize("wrong", [None, 5])
def test_tasks_that_are_none_are_said(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="a batch takes a path or a list of tasks, and got"):
        Batch(wrong, model="simulate:echo")


@pytest.mark.parametrize("limit", [-1, float("nan"), "5"])
def test_a_limit_that_is_no_sum_of_money_is_refused(limit: Any) -> None:
    with pytest.raises(ConfigurationError, match="a limit of money is a number from 0 on"):
        Batch([{"prompt": "a"}], model="simulate:echo", limit_cost_usd=limit)


def test_a_batch_runs_in_a_notebook_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    async def notebook() -> int:
        return Batch([{"prompt": "a"}], model="simulate:echo").run_sync().answered

    assert anyio.run(notebook) == 1
