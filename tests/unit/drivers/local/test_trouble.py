"""What is said of a machine that does not run as it should."""

import pytest

from linkedclone.drivers.local.inventory.vm import tell_trouble
from linkedclone.drivers.local.qmp.status import MachineState
from linkedclone.model.vm import Power

FULL = "the disk's file system is full"


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (MachineState(power=Power.ON), ""),
        (MachineState(power=Power.OFF), ""),
        (MachineState(power=Power.SUSPENDED), ""),
        (
            MachineState(power=Power.PAUSED, reason=FULL),
            f"paused: {FULL}; free some space, then continue it with: ``start`` desk",
        ),
        (
            MachineState(power=Power.PAUSED, reason="a disk error"),
            ("paused: a disk error; when that is mended, then continue it with: ``start`` desk"),
        ),
        (
            MachineState(power=Power.OFF, last_words="qemu: terminating on signal 15"),
            "ended without having been stopped: qemu: terminating on signal 15",
        ),
        (MachineState(power=Power.UNKNOWN, reason="another answers"), "another answers"),
    ],
)
def test_trouble_is_reported_with_a_remedy(state: MachineState, told: str) -> None:
    assert tell_trouble("desk", state) == told
