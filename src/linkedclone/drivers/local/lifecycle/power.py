"""Start and stop VMs."""

from linkedclone.drivers.local.inventory.layer_users import check_disk
from linkedclone.drivers.local.machine.open import OpenMachine, observe_power, stop_hard
from linkedclone.drivers.local.machine.process import runs_in
from linkedclone.drivers.local.placement import check_bridges
from linkedclone.drivers.local.recovery.interrupted_merge import settle
from linkedclone.drivers.local.state.file_names import RUN_FOLDER
from linkedclone.drivers.local.state.folder import StateFolder
from linkedclone.drivers.local.state.store import StoredVm, load_vm, locked
from linkedclone.drivers.local.storage.image_lock import refuse_writers
from linkedclone.errors import GoneError, HypervisorError, RefusedError, UnsupportedError
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import Power

START_DEADLINE_SECONDS = 60.0


def set_power(state: StateFolder, machines: OpenMachine, vm: VmId, power: Power) -> None:
    """Start a VM, or stop it hard; already there counts as done."""
    if power not in {Power.ON, Power.OFF}:
        raise UnsupportedError(
            f"a VM here cannot be set to {power.value}", kind="power", hint="it can be on or off"
        )
    if power is Power.OFF and _is_broken(state, vm):
        return
    with locked(state, vm) as found:
        if power is Power.OFF:
            stop_hard(machines, found)  # before a QEMU that may be hostile is asked for its layers
            settle(state, machines, found)
            return
        stored = settle(state, machines, found)
        machine = machines(stored)
        seen = observe_power(machines, stored)
        if seen is power:
            return
        if seen is Power.PAUSED:
            _refuse_unconfirmed(stored)
            machine.resume()
            return
        check_disk(state, stored)
        check_bridges(stored.record.machine)
        refuse_writers(stored.disk_tops)
        machine.start(START_DEADLINE_SECONDS)


def _refuse_unconfirmed(vm: StoredVm) -> None:
    """Refuse to let a fork go on that a killed command left: its guest is still its parent."""
    name = vm.record.name
    if vm.record.spare:
        raise RefusedError(
            f"{name} is a spare: it stands still until a clone of its pool takes it over",
            hint="``pool scale`` makes the pool larger",
        )
    if vm.record.unconfirmed:
        raise RefusedError(
            f"{name} is an instant clone that was not finished",
            hint=f"delete it and make it again: ``delete`` {name}; or ``stop`` it: it boots then",
        )


def _is_broken(state: StateFolder, vm: VmId) -> bool:
    """Say whether a VM's record cannot be read, and no machine runs for it."""
    try:
        load_vm(state, vm)
    except GoneError:
        return False
    except HypervisorError:
        return not runs_in(state.folder(vm) / RUN_FOLDER)
    return False


def shut_down_guest(state: StateFolder, machines: OpenMachine, vm: VmId) -> None:
    """Ask a guest to shut down, and return at once; one that is off counts as done.

    Where no agent answers, the power button is pressed: most systems listen to
    it, and whether this one does, only its going off can tell.
    """
    with locked(state, vm) as found:
        stored = settle(state, machines, found)
        if not machines(stored).ask_to_stop():
            name = stored.record.name
            raise RefusedError(
                f"the guest of {name} is paused, and cannot be asked",
                hint=f"let it go on with ``start`` {name}, or stop it hard",
            )
