"""One measurement of one system in one process: prints one line of JSON.

    python -m benchmarks.measure SYSTEM WORKLOAD BASE_URL PARAMETERS [PROFILE]

``PROFILE`` is a file for the statistics of cProfile, of the measured part alone.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import sys
from typing import Any

from benchmarks.workloads import PEERS

# name -> (module, class); imported only in the process that measures it
SYSTEMS = {
    "handwritten": ("benchmarks.handwritten", "Handwritten"),
    "ours": ("benchmarks.framework", "Framework"),
    "fast": ("benchmarks.framework", "Framework"),  # as ``glm-agent batch`` runs it with the extra ``fast``
    **{name: ("benchmarks.adapters", peer.adapter) for name, peer in PEERS.items()},
}


def load(name: str, base_url: str) -> Any:
    module, kind = SYSTEMS[name]
    return getattr(importlib.import_module(module), kind)(base_url)


async def measure(system: str, workload: str, base_url: str, parameters: dict[str, Any]) -> dict[str, float]:
    module, _, function = workload.partition(".")
    made = load(system, base_url)
    try:
        found: dict[str, float] = await getattr(importlib.import_module(f"benchmarks.{module}"), function)(
            made, **parameters
        )
    finally:
        await made.aclose()
    return found


def main() -> None:
    system, workload, base_url, parameters, *profile = sys.argv[1:]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {0})
    if profile:
        from benchmarks import clock

        clock.start_profile(profile[0])
    runner = asyncio.run
    if system == "fast":
        import uvloop

        from glm_agent.cli.garbage import collect_seldom

        runner = uvloop.run
        collect_seldom()  # as ``glm-agent batch`` and ``worker`` do
    found = runner(measure(system, workload, base_url, json.loads(parameters)))
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
