"""How often a process of ours that runs many turns at once looks for garbage."""

from __future__ import annotations

import gc
from typing import Final

_OBJECTS: Final = 50_000
"""New objects between two looks; Python's own number is 700, from 3.13 on 2,000."""


def collect_seldom() -> None:
    """Look for garbage less often; for a process that is all ours.

    A look costs what lives, not what is garbage: with 1,000 turns at once a quarter of the CPU, for next to nothing,
    since turns leave hardly any cycles behind.
    """
    gc.set_threshold(_OBJECTS, *gc.get_threshold()[1:])
