"""Judge whether a clone of a pool does what it is there for. Pure: what was seen, and the hour."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from linkedclone.model.pool import Fitness, Health, Probe
from linkedclone.model.vm import LEFT_FAILED, CustomizationStatus, Power, Vm


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """What a look from outside and into a guest has brought, besides the VM itself."""

    # Why the port takes no connections; empty if it does, None if not tried.
    tcp: str | None = None
    command: str | None = None  # why the command did not end with 0; likewise
    in_use: bool = False  # whether the guest is in use or may be
    unasked: str = ""  # why this is unknown


def judge_fitness(
    vm: Vm,
    probe: Probe,
    probed: Probed,
    *,
    now: datetime,
    customized: bool,
    started: datetime | None = None,
) -> Health:
    """Judge one clone.

    Args:
        vm: The clone.
        probe: What makes it healthy.
        probed: What was found by asking further.
        now: The hour, with time zone.
        customized: Whether its guest was to be customised at all.
        started: When this run started it, if it did: it comes before what the
            hypervisor tells, whose clock may be another.
    """
    fork = vm.valid_mark if vm.valid_mark and vm.valid_mark.instant else None
    if fork and fork.spec == LEFT_FAILED and vm.power is not Power.OFF:
        return Health(fitness=Fitness.UNHEALTHY, reason="it has no identity of its own")
    if vm.power is not Power.ON:
        return Health(fitness=Fitness.UNKNOWN, reason=f"it is {vm.power.value}")
    customized = customized and not fork  # then its mark says that its identity is confirmed
    young = now - (started or find_begun(vm)) <= timedelta(seconds=probe.within)
    wrong = _find_fault(vm, probe, probed, customized=customized, young=young)
    if not wrong:
        return Health(fitness=Fitness.HEALTHY, in_use=probed.in_use, unasked=probed.unasked)
    failed = vm.customization is CustomizationStatus.FAILED and probe.customized
    fitness = Fitness.STARTING if young and not failed else Fitness.UNHEALTHY
    return Health(fitness=fitness, reason=wrong, in_use=probed.in_use, unasked=probed.unasked)


def needs_probing(vm: Vm, probe: Probe) -> bool:
    """Say whether a clone is far enough for its port and its commands to be tried."""
    return vm.power is Power.ON and vm.tools_running and (bool(vm.addresses) or not probe.address)


def find_begun(vm: Vm) -> datetime:
    """Return when a clone began to start; one with an unknown time has timed out."""
    known = [moment for moment in (vm.created, vm.booted) if moment is not None]
    return max(known) if known else datetime.min.replace(tzinfo=UTC)


def _find_fault(vm: Vm, probe: Probe, probed: Probed, *, customized: bool, young: bool) -> str:
    """Return the first thing that is not as it should be; empty if all is well."""
    if not vm.tools_running:
        return "its tools do not answer"
    fault = _judge_customization(vm, young=young) if probe.customized and customized else ""
    if fault:
        return fault
    if probe.address and not vm.addresses:
        return "it has no address of its own"
    return next((told for told in (probed.tcp, probed.command) if told), "")


def _judge_customization(vm: Vm, *, young: bool) -> str:
    """Judge the customization; a guest that came up long ago and tells nothing of it is believed.

    What vSphere keeps of a customization does not last for ever, and of
    cloud-init over guestinfo it knows nothing at all.
    """
    match vm.customization:
        case CustomizationStatus.SUCCEEDED:
            return ""
        case CustomizationStatus.FAILED:
            return f"its customization failed: {vm.customization_error}".rstrip(": ")
        case CustomizationStatus.NONE:
            return "it is not customized yet" if young and not vm.host_name else ""
        case _:
            return f"its customization is {vm.customization.value}"
