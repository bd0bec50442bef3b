"""What the hypervisor in memory offers beside looks and steps: as much as tests can tell it."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial

from linkedclone.drivers.memory.hypervisor import MemoryHypervisor
from linkedclone.drivers.memory.inventory import Estate
from linkedclone.errors import BusyError, HypervisorError, RefusedError
from linkedclone.model.access import GuestLogin, SshLogin
from linkedclone.model.findings import Finding, Verdict
from linkedclone.model.values.ids import VmId
from linkedclone.model.values.vm_names import render_count
from linkedclone.model.vm import Power, Vm


@dataclass(frozen=True, slots=True)
class MemoryServices:
    """All that is offered, in one object."""

    hypervisor: MemoryHypervisor
    access: Callable[[str], AbstractContextManager[Estate]]

    def shut_down_guest(self, vm: VmId) -> None:
        """Ask the guest to shut down; it may be deaf, or have no tools."""
        with self.access("shut_down_guest") as estate:
            machine = estate.machine(vm)
            if machine.power is Power.OFF:
                return
            if machine.power is not Power.ON or machine.guest == "mute":
                raise RefusedError(
                    f"the guest of {machine.name} cannot be asked: its tools do not answer",
                    hint="stop it hard: ``stop`` without ``guest``, or with ``then_off``",
                )
            if machine.guest == "obeys":
                effect = partial(estate.set_power, vm, Power.OFF)
                self.hypervisor.start("shut-down", machine.name, effect)

    def run_in_guest(
        self,
        vm: VmId,
        command: Sequence[str],
        *,
        login: GuestLogin | None,  # noqa: ARG002 - guests here let everybody in
        seconds: float,  # noqa: ARG002 - nothing takes any time
    ) -> int:
        """Say with what a program ends, as the test that set the scene has told."""
        with self.access("run_in_guest") as estate:
            machine = estate.machine(vm)
            if machine.power is not Power.ON:
                raise BusyError(f"{machine.name} does not run", hint="start it first")
            programs, program = self.hypervisor.programs, command[0]
            status = programs.get((machine.name, program), programs.get(("", program)))
        if status is None:
            brief = f"there is no program {program} in the guest of {machine.name}"
            raise HypervisorError(brief, hint="look at its path inside the guest", kind="NotFound")
        return status

    def examine_parent(self, vm: VmId) -> tuple[Finding, ...]:
        """Look into the CD drive."""
        with self.access("examine_parent") as estate:
            loaded = estate.machine(vm).media
        text = "an image is in the CD drive" if loaded else "no CD is connected"
        verdict = Verdict.WARNING if loaded else Verdict.OK
        remedy = "take it out with ``disconnect_media``" if loaded else ""
        return (Finding(check="media", verdict=verdict, text=text, remedy=remedy),)

    def diagnose(self) -> tuple[Finding, ...]:
        """Say that everything is at hand, and that nothing of it stays."""
        with self.access("diagnose") as estate:
            count = len(estate.machines)
        return (
            Finding(
                check="connection",
                verdict=Verdict.OK,
                text=f"{render_count(count, 'VM')} in memory",
            ),
            Finding(
                check="persistence",
                verdict=Verdict.WARNING,
                text="nothing here outlives this process",
                remedy="name a real hypervisor with ``endpoint``",
            ),
        )

    def find_places(self, vm: Vm, port: int) -> Sequence[tuple[str, int]]:
        return [(address, port) for address in vm.addresses]

    def describe_logins(self, vms: Sequence[Vm]) -> Mapping[VmId, SshLogin]:  # noqa: ARG002
        return {}
