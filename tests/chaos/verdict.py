"""What the ledger and the sessions say together: the figures of the report, and what is wrong with them."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from world import Ledger

from glm_agent.messages import Fact, ModelResponse, ToolResult

ONCE = ("pay", "note")
AT_MOST_ONCE = ("mail", "transfer", "post__ship")


@dataclass(kw_only=True)
class Verdict:
    """Figures of one run of the chaos."""

    tasks: int = 0
    lost: int = 0
    """Tasks without an answer."""
    calls: int = 0
    asked: int = 0
    """Requests to the model."""
    recorded: int = 0
    """Answers of the model in the sessions."""
    missing: int = 0
    """Effects with a key that a session says and the world does not know."""
    extra: int = 0
    """Effects that no session knows, or that have two keys."""
    retried: int = 0
    """Effects with a key that were begun again, and happened once."""
    twice: int = 0
    """Effects without a key that happened more than once."""
    unknown: int = 0
    """Results that say that nobody knows."""
    unknown_done: int = 0
    """Of those, what had happened."""
    untold: int = 0
    """Effects that did not happen though a result says so, or that were begun by the dead and are not reported."""
    reconciled: int = 0
    orphans: int = 0
    in_flight: int = 0
    """Requests that may have been lost with their process, at most."""
    problems: list[str] = field(default_factory=list[str])

    def __add__(self, other: Verdict) -> Verdict:
        sums: dict[str, Any] = {
            each.name: getattr(self, each.name) + getattr(other, each.name) for each in fields(self)
        }
        return Verdict(**sums)

    def check(self, *, repeats_nothing: bool = False) -> Verdict:
        """Find out what must not be; ``repeats_nothing``: nobody died, so nothing may be unknown or begun again."""
        for name in ("lost", "missing", "extra", "twice", "untold", "orphans"):
            if count := getattr(self, name):
                self.problems.append(f"{name}: {count}")
        if self.asked - self.recorded > self.in_flight:
            again = self.asked - self.recorded
            self.problems.append(f"{again} answers were asked for again, and {self.in_flight} can have been lost")
        if repeats_nothing and (self.unknown or self.retried):
            self.problems.append(
                f"nobody was killed, and {self.unknown} outcomes are unknown and {self.retried} calls were repeated"
            )
        return self

    def lines(self) -> Iterator[str]:
        """The report."""
        yield f"tasks                   {self.tasks:>7,}, lost {self.lost}"
        yield f"answers of the model    {self.recorded:>7,}, asked for again {self.asked - self.recorded}"
        yield f"calls of tools          {self.calls:>7,}"
        yield f"effects with a key              missing {self.missing}, extra {self.extra}; begun again {self.retried}"
        yield f"effects without a key           twice {self.twice}"
        yield (
            f"outcomes nobody knows   {self.unknown:>7,}, untold {self.untold}; "
            f"of them had happened {self.unknown_done}; found out by asking {self.reconciled}"
        )
        yield f"processes left behind           {self.orphans}"
        yield from (f"WRONG: {problem}" for problem in self.problems[:10])


def judge(ledger: Ledger, sessions: Iterable[Sequence[Fact]], *, tasks: int, answered: int, in_flight: int) -> Verdict:
    """Compare the world with the sessions."""
    found = Verdict(tasks=tasks, lost=tasks - answered, in_flight=in_flight, asked=len(ledger.rows("asked")))
    done = Counter((kind, name) for kind, name, _ in ledger.rows("done"))
    began = Counter((kind, name) for kind, name in ledger.rows("began"))
    said = dict[tuple[str, str], str]()
    for facts in sessions:
        found.recorded += sum(isinstance(fact, ModelResponse) for fact in facts)
        said |= _results(facts)
    found.calls = len(said)
    for (kind, name), content in said.items():
        times = done[kind, name]
        if kind in ONCE:
            found.missing += times < 1
            found.extra += times > 1
            found.retried += began[kind, name] > 1
        elif kind in AT_MOST_ONCE:
            is_unknown = content.startswith("unknown outcome")
            found.unknown += is_unknown
            found.unknown_done += is_unknown and times > 0
            found.reconciled += "as the bank says" in content
            found.twice += times > 1
            found.untold += not is_unknown and times != 1
    found.extra += sum(key not in said for key in done)
    return found


def orphans(ledger: Ledger) -> list[int]:
    """Processes of the world that still live."""
    return [pid for pid, what in ledger.rows("processes") if what == "server" and _lives(pid)]


def _lives(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z" and pid != os.getpid()
    except OSError:
        return False


def _results(facts: Sequence[Fact]) -> dict[tuple[str, str], str]:
    """What each call of a session came to, by its kind and name."""
    found = dict[tuple[str, str], str]()
    open_calls = dict[str, tuple[str, str]]()
    for fact in facts:
        if isinstance(fact, ModelResponse):
            open_calls = {call.id: (call.name, json.loads(call.arguments)["name"]) for call in fact.tool_calls}
        elif isinstance(fact, ToolResult):
            found[open_calls[fact.call_id]] = fact.content
    return found
