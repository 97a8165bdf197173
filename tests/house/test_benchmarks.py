"""What guards the speed: a ratio that got over 20 % worse fails the check, noise below that does not."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import __main__ as command
from benchmarks import history, profiles
from benchmarks.flames import flames
from benchmarks.rounds import Measured
from benchmarks.workloads import WORKLOADS, Workload

ROOT = Path(__file__).parents[2]
(LOOP,) = [each for each in WORKLOADS if each.name == "loop"]


def rows(ratio: float) -> list[Measured]:
    """One round in which ours took ``ratio`` of the time of the loop by hand, and as long on the wall."""
    by_hand, ours = ({"cpu_ms_step": ms, "wall_ms_step": ms} for ms in (1.0, ratio))
    return [Measured(0, "loop", "handwritten", by_hand), Measured(0, "loop", "ours", ours)]


@pytest.fixture(autouse=True)
def reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop by hand takes three times as long."""
    monkeypatch.setattr(history, "REFERENCE", tmp_path / "reference.json")
    history.keep_reference({"loop.cpu_ms_step": 0.333, "loop.wall_ms_step": 0.333})


def check(first: float, again: float) -> tuple[int, list[Sequence[Workload]]]:
    """The command's exit code, and what it measured a second time."""
    repeated: list[Sequence[Workload]] = []

    def measure(workloads: list[Workload]) -> list[Measured]:
        repeated.append(workloads)
        return rows(again)

    return command.checked([LOOP], rows(first), measure), repeated


def test_a_regression_of_a_quarter_fails_and_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    code, repeated = check(0.333 * 1.25, 0.333 * 1.25)
    assert (code, repeated) == (1, [[LOOP]])
    assert "loop.cpu_ms_step is 0.42, was 0.33" in capsys.readouterr().err


def test_noise_below_a_fifth_does_not_fail() -> None:
    assert check(0.333 * 1.18, 9.9) == (0, [])


def test_what_is_worse_only_once_was_noise() -> None:
    assert check(0.333 * 2, 0.333 * 1.1) == (0, [[LOOP]])


def test_what_got_better_or_is_new_does_not_fail() -> None:
    history.REFERENCE.write_text(json.dumps({"loop.wall_ms_step": 0.333}))
    assert check(0.2, 9.9) == (0, [])


def test_every_stable_ratio_has_a_reference() -> None:
    kept = json.loads((ROOT / "benchmarks" / "history" / "reference.json").read_text())
    known = {f"{each.name}.{metric.key}" for each in WORKLOADS for metric in each.metrics}
    assert {name.removesuffix(".fast") for name in kept} <= known
    judged = {
        f"{each.name}.{metric.key}"
        for each in WORKLOADS
        for metric in each.metrics
        if metric.is_stable and metric.target is not None
    }
    assert judged <= kept.keys()


def test_the_command_fails_on_a_planted_regression(tmp_path: Path) -> None:
    # The real command on the quickest workload, held against a reference it cannot reach.
    planted = tmp_path / "reference.json"
    planted.write_text('{"version.cpu_ms": 0.01}')
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "version", "-r", "1", "--check", "--dry", "--reference", str(planted)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "worse than the reference: version.cpu_ms" in done.stderr


# -- profiles

STACKS = """\
run_forever (asyncio/base_events.py:607);<module> (<frozen importlib._bootstrap>:1);compile (re.py:1) 5
run_forever (asyncio/base_events.py:607);select (selectors.py:468) 50
run_forever (asyncio/base_events.py:607);feed (glm_agent/models/glm/http1.py:9) 3
run_forever (asyncio/base_events.py:607);stream (glm_agent/models/retry.py:9);loads (glm_agent/wire/jsontext.py:9) 6
run_forever (asyncio/base_events.py:607) 1
main (benchmarks/measure.py:55) 7
"""


def test_a_profile_counts_who_was_at_work_and_neither_start_nor_waiting() -> None:
    stacks = profiles.read(STACKS, is_whole=False)
    found = profiles.shares((profiles.part_of(stack[-1][1]), count) for stack, count in stacks)
    assert found == {"glm_agent.wire": 60.0, "glm_agent.models.glm": 30.0, "asyncio": 10.0}


def test_the_profile_of_a_whole_process_counts_its_start() -> None:
    assert sum(count for _, count in profiles.read(STACKS, is_whole=True)) == 22


def test_a_flame_graph_has_a_box_for_each_function_as_wide_as_its_share_and_none_for_slivers() -> None:
    base = [("run", "asyncio/base.py"), ("stream", "glm_agent/models/retry.py")]
    stacks = [
        ([*base, ("<loads>", "glm_agent/wire/jsontext.py")], 600),
        ([*base, ("feed", "glm_agent/wire/sse.py")], 399),
    ]
    stacks.append(([*base, ("rare", "re.py")], 1))
    graph = ElementTree.fromstring(flames(stacks, title="a & b", part_of=profiles.part_of))
    svg = "{http://www.w3.org/2000/svg}"
    boxes = {
        box.findtext(f"{svg}title"): float(box.find(f"{svg}rect").get("width"))  # type: ignore[union-attr, arg-type]
        for box in graph.iter(f"{svg}g")
        if box.find(f"{svg}title") is not None
    }
    assert boxes == {"glm_agent.wire: <loads> 60.0%": 720.0, "glm_agent.wire: feed 39.9%": 478.8}
