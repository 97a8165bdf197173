"""Every fault of the battery is survived; ``make faults`` shows them."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from mcp_faults import FAULTS, Fault, ours, outcome


@pytest.mark.anyio
@pytest.mark.parametrize("fault", FAULTS, ids=[fault.id for fault in FAULTS])
async def test_a_fault_of_a_server_is_survived(fault: Fault) -> None:
    assert await outcome(fault, ours) == ""


def test_the_battery_has_twenty_six_faults() -> None:
    assert len({fault.id for fault in FAULTS}) == len({fault.sentence for fault in FAULTS}) == 26
