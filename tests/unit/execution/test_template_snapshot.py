"""A template that was made a VM is made a template again, whatever comes."""

from types import SimpleNamespace
from typing import cast

import pytest

from linkedclone.errors import BusyError, HypervisorError, InterruptedByUserError
from linkedclone.execution import template_snapshot
from linkedclone.execution.stages import Stages
from linkedclone.model.plan import SetTemplate, TakeSnapshot
from linkedclone.model.values.ids import VmId

STEP = TakeSnapshot(
    vm=VmId("vm-1"), vm_name="gold", name="base", description="", template_pool="pool-1"
)


class Busy:
    """Cannot take snapshots, and is busy when it is to be made a template the first time."""

    def __init__(self) -> None:
        self.template = True
        self.refusals = 1

    def finish(self, step: SetTemplate) -> None:
        if step.template and self.refusals:
            self.refusals -= 1
            raise BusyError(f"{step.vm} is busy in {step.pool or 'no pool'}")
        self.template = step.template


def test_an_interrupt_while_it_waits_for_a_busy_vm_leaves_no_vm_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    driver = Busy()

    def start(_: TakeSnapshot) -> None:
        raise KeyboardInterrupt

    def sleep(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("linkedclone.execution.template_snapshot.time.sleep", sleep)
    runner = SimpleNamespace(
        start=start,
        finish=driver.finish,
        interrupted=False,
        progress=SimpleNamespace(update=lambda _: None),
    )
    preparation = template_snapshot._Preparation(cast("Stages", runner), STEP)
    with pytest.raises((InterruptedByUserError, HypervisorError)):
        preparation.run()
    assert driver.template
