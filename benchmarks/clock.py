"""What is read around the measured part: CPU of this process, wall time, memory."""

from __future__ import annotations

import gc
import resource
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any, Self

_profile: Any = None


class Clock:
    """``with Clock() as clock: …`` and then ``clock.cpu`` and ``clock.wall``, in seconds."""

    cpu = wall = 0.0

    def __enter__(self) -> Self:
        gc.collect()
        self._began = time.process_time(), time.perf_counter()
        if _profile is not None:
            _profile.enable()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if _profile is not None:
            _profile.disable()
        self.cpu = time.process_time() - self._began[0]
        self.wall = time.perf_counter() - self._began[1]


@dataclass
class Lap:
    cpu: float
    wall: float


def middle(laps: list[Clock]) -> Lap:
    """The medians of some laps."""
    return Lap(median(lap.cpu for lap in laps), median(lap.wall for lap in laps))


def start_profile(path: str) -> None:
    """Collect a profile of everything inside a ``Clock``, written to ``path`` when the process ends."""
    global _profile  # noqa: PLW0603
    import atexit
    import cProfile

    # CPU, not wall time: what else the machine does must not show.
    _profile = cProfile.Profile(time.process_time)
    atexit.register(lambda: _profile.dump_stats(path))


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
