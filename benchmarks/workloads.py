"""What is measured, and the ratios to reach: data.

A target is ours over the hand-written loop of the same round, unless the metric has no baseline: then
it is the number itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One figure of a workload; lower is better."""

    key: str
    unit: str
    target: float | None = None
    """The ratio to reach; None: shown, not judged."""
    fast_target: float | None = None
    """The same with the ``fast`` extra."""
    is_absolute: bool = False
    """Whether the target is the figure itself, not a ratio."""
    is_stable: bool = True
    """Whether it repeats well enough on a busy machine to fail ``bench-check``."""


@dataclass(frozen=True, kw_only=True)
class Workload:
    """One thing to measure."""

    name: str
    title: str
    function: str
    """``module.function`` of this package; for processes, a statement to run."""
    parameters: dict[str, Any] = field(default_factory=dict)
    metrics: tuple[Metric, ...]
    systems: tuple[str, ...] = ("handwritten", "ours")
    statements: dict[str, str] = field(default_factory=dict)
    """For a process of its own: the code of each system."""
    seconds: float = 120
    """Bound of one measurement."""
    has_peers: bool = False
    """Whether other frameworks are measured too, where they are installed."""
    is_long: bool = False
    """Whether it runs only when asked for by name or with ``--all``."""


@dataclass(frozen=True, kw_only=True)
class Peer:
    """Another framework."""

    package: str
    """As it is called where packages are kept."""
    adapter: str
    """Its class in ``benchmarks.adapters``."""
    statement: str
    """The import of what a user of it needs."""


PEERS = {
    "pydantic-ai": Peer(
        package="pydantic-ai-slim",
        adapter="PydanticAI",
        statement="from pydantic_ai import Agent; from pydantic_ai.models.openai import OpenAIChatModel",
    ),
    "openai-agents": Peer(
        package="openai-agents",
        adapter="OpenAIAgents",
        statement="from agents import Agent, Runner, function_tool, OpenAIChatCompletionsModel",
    ),
    "langchain": Peer(
        package="langchain",
        adapter="LangChain",
        statement="from langchain.agents import create_agent; from langchain_openai import ChatOpenAI",
    ),
    "agno": Peer(
        package="agno",
        adapter="Agno",
        statement="from agno.agent import Agent; from agno.models.openai.like import OpenAILike",
    ),
}


CPU = Metric(key="cpu_ms", unit="ms CPU")
CLI = "import sys; sys.argv = ['glm-agent', '{}']\nfrom glm_agent.cli import main\nmain()"

WORKLOADS = (
    Workload(
        name="import",
        has_peers=True,
        title="`from glm_agent import Agent, tool`",
        function="process",
        statements={"handwritten": "import httpx2, json, asyncio", "ours": "from glm_agent import Agent, tool"},
        metrics=(Metric(key="cpu_ms", unit="ms CPU", target=1.64),),
    ),
    Workload(
        name="one-call",
        has_peers=True,
        title="a process of one tool call",
        function="loops.one_call",
        metrics=(Metric(key="process_cpu_ms", unit="ms CPU", target=1.53),),
    ),
    Workload(
        name="help",
        title="`glm-agent --help`, against the import of `httpx2`",
        function="process",
        statements={"handwritten": "import httpx2, json, asyncio", "ours": CLI.format("--help")},
        metrics=(Metric(key="cpu_ms", unit="ms CPU", target=2.87),),
    ),
    Workload(
        name="version",
        title="`glm-agent --version`, against the import of `httpx2`",
        function="process",
        statements={"handwritten": "import httpx2, json, asyncio", "ours": CLI.format("--version")},
        metrics=(Metric(key="cpu_ms", unit="ms CPU", target=1.64),),
    ),
    Workload(
        name="loop",
        has_peers=True,
        title="a turn of 50 steps",
        function="loops.loop",
        parameters={"steps": 50},
        systems=("handwritten", "ours", "fast"),
        metrics=(Metric(key="cpu_ms_step", unit="ms CPU a step", target=1.21), Metric(key="wall_ms_step", unit="ms")),
    ),
    Workload(
        name="growth",
        has_peers=True,
        title="growth of a step with the steps before it (2 kB each)",
        function="loops.growth",
        parameters={"steps": 200},
        # The baseline's slope is 9.6 µs where ours is to be 3; on a quiet machine both repeat to a tenth.
        metrics=(Metric(key="slope_us", unit="µs a step", target=0.31, is_stable=False),),
    ),
    Workload(
        name="at-once",
        has_peers=True,
        title="200 runs at once, 5 steps each",
        function="loops.at_once",
        parameters={"runs": 200, "steps": 5},
        systems=("handwritten", "ours", "fast"),
        metrics=(Metric(key="cpu_ms_run", unit="ms CPU a run", target=0.59, fast_target=0.31),),
    ),
    Workload(
        name="thousand",
        title="1,000 runs at once, 5 steps each, the model thinks 200 ms",
        function="loops.at_once",
        parameters={"runs": 1000, "steps": 5, "think_ms": 200},
        systems=("handwritten", "ours", "fast"),
        metrics=(
            Metric(key="wall_s", unit="s", target=0.31, fast_target=0.16, is_stable=False),
            Metric(key="cpu_ms_run", unit="ms CPU a run"),
            Metric(key="mb_run", unit="MB a run", target=1.2),
            Metric(key="peak_mb", unit="MB peak", target=1.14),
        ),
        seconds=300,
        is_long=True,
    ),
    Workload(
        name="tools",
        title="100 tools in each request",
        function="loops.many_tools",
        parameters={"count": 100},
        metrics=(Metric(key="cpu_ms_step", unit="ms CPU a step", target=0.65),),
    ),
    Workload(
        name="cache",
        title="a turn of 30 steps: prompt tokens that no cache had (simulator)",
        function="caches.missed",
        parameters={"steps": 30},
        systems=("ours",),
        metrics=(Metric(key="missed_percent", unit="% of all", target=10.0, is_absolute=True),),
    ),
    Workload(
        name="text",
        title="5,000 text deltas",
        function="streams.text",
        parameters={"count": 5000},
        systems=("handwritten", "ours", "fast"),
        metrics=(Metric(key="cpu_us_delta", unit="µs CPU each", target=1.54),),
    ),
    Workload(
        name="arguments",
        title="2,000 argument deltas",
        function="streams.arguments",
        parameters={"count": 2000},
        systems=("handwritten", "ours", "fast"),
        metrics=(Metric(key="cpu_us_delta", unit="µs CPU each", target=1.36),),
    ),
    Workload(
        name="first",
        title="the first delta, after the server's",
        function="streams.first",
        metrics=(Metric(key="ms_over_server", unit="ms", target=3.0, is_absolute=True, is_stable=False),),
    ),
    Workload(
        name="parallel",
        title="20 calls of 50 ms at once",
        function="streams.together",
        parameters={"model": "parallel-20", "calls": 20},
        metrics=(Metric(key="wall_ms", unit="ms", target=1.02, is_stable=False),),
    ),
    Workload(
        name="early",
        title="calls that start while the response is coming (ideal 500 ms)",
        function="streams.together",
        parameters={"model": "early-5", "calls": 5, "repeats": 3},
        metrics=(Metric(key="wall_ms", unit="ms", target=1.016),),
    ),
    Workload(
        name="mcp-call",
        title="one MCP call over stdio, against the bare session in the same protocol",
        function="sessions.calls",
        metrics=(Metric(key="p50_us", unit="µs", target=1.05, is_stable=False), Metric(key="cpu_us", unit="µs CPU")),
    ),
    Workload(
        name="mcp-turn",
        title="a turn of 50 steps over an MCP server",
        function="sessions.agent",
        metrics=(Metric(key="cpu_ms_step", unit="ms CPU a step", target=1.2),),
    ),
    Workload(
        name="mcp-together",
        title="500 MCP calls at once over one session, against the bare session",
        function="sessions.together",
        metrics=(
            Metric(key="cpu_us", unit="µs CPU a call", target=1.05),
            Metric(key="wall_us", unit="µs", is_stable=False),
        ),
    ),
    Workload(
        name="mcp-start",
        title="the model is first asked, where a locked MCP server takes 5 s to start",
        function="sessions.start",
        systems=("ours",),
        metrics=(Metric(key="ms_to_model", unit="ms", target=250, is_absolute=True, is_stable=False),),
    ),
    Workload(
        name="mcp-big",
        title="an MCP result of 50 MB, against a pipe and `json` by hand (the bare session takes over two minutes)",
        function="sessions.big_result",
        metrics=(
            Metric(key="cpu_s", unit="s CPU", target=0.5, is_absolute=True, is_stable=False),
            Metric(key="cpu_ms_mb", unit="ms CPU a MB", target=1.6, is_stable=False),
            Metric(key="over_linear", unit="times ten of 5 MB", target=1.5, is_absolute=True, is_stable=False),
        ),
    ),
    Workload(
        name="mcp-deferred",
        title="500 MCP tools behind the search, each",
        function="sessions.deferred",
        systems=("ours",),
        seconds=300,
        metrics=(
            Metric(key="step_us_tool", unit="µs CPU a step", target=0.2, is_absolute=True, is_stable=False),
            Metric(key="run_us_tool", unit="µs CPU a run", is_absolute=True, is_stable=False),
        ),
    ),
    Workload(
        name="fact",
        title="a fact in the journal, against a bare SQLite commit",
        function="stores.facts",
        metrics=(Metric(key="wall_us", unit="µs", target=2.0), Metric(key="cpu_us", unit="µs CPU")),
    ),
    Workload(
        name="intent",
        title="an intent in the journal, against a bare synced commit",
        function="stores.intents",
        metrics=(
            Metric(key="p50_us", unit="µs", is_stable=False),
            Metric(key="over_bare", unit="times, one of each in turn", target=1.5, is_absolute=True, is_stable=False),
        ),
    ),
    Workload(
        name="engine-step",
        title="a record in a database, against a bare step of the engine (SQLite)",
        function="engines.steps",
        metrics=(
            Metric(key="p50_us", unit="µs", target=1.2, is_stable=False),
            Metric(key="cpu_us", unit="µs CPU", target=1.2, is_stable=False),
        ),
    ),
    Workload(
        name="long",
        title="step 10,000 of a turn against step 100, window of constant size",
        function="loops.long",
        parameters={"steps": 10_000},
        systems=("ours",),
        metrics=(Metric(key="late_over_early", unit="times", target=2.0, is_absolute=True),),
        is_long=True,
    ),
)
