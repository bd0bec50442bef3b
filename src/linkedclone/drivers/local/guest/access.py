"""Get into a running guest: by SSH, or at its serial console."""

import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import ip_address, ip_network
from pathlib import Path

from linkedclone.drivers.local.guest.seed import private_key
from linkedclone.drivers.local.machine.arguments import VNC_SOCKET
from linkedclone.drivers.local.machine.machine import Machine
from linkedclone.drivers.local.machine.open import OpenMachine, open_machine
from linkedclone.drivers.local.machine.process import find_processes
from linkedclone.drivers.local.state.file_names import RUN_FOLDER
from linkedclone.drivers.local.state.folder import StateFolder
from linkedclone.drivers.local.state.ssh import (
    KNOWN_HOSTS,
    build_options,
    build_ssh_command,
    login_of,
)
from linkedclone.drivers.local.state.store import StoredVm, load_vm
from linkedclone.drivers.qemu.networks import NetworkKind, parse_network
from linkedclone.errors import BusyError, GoneError, HypervisorError, RefusedError
from linkedclone.model.access import ConsoleAddress, SshLogin
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import Power, SshAddress, Vm

CONNECT_SECONDS = 10.0
_SSH_PORT = 22
_USER_NETWORK = ip_network("10.0.2.0/24")
"""Of QEMU's ``-netdev user`` (QEMU's manual)."""
SOCKET_PATH_BYTES = 107
"""The longest path of a socket that a program can name (unix(7))."""


def build_ssh(
    state: StateFolder, machines: OpenMachine, vm: VmId, command: Sequence[str] = ()
) -> tuple[str, ...]:
    stored = load_vm(state, vm)
    return build_ssh_command(
        _find_address(stored, machines(stored)),
        user=login_of(stored.record),
        key=private_key(state),
        known_hosts=stored.folder / KNOWN_HOSTS,
        command=tuple(command),
    )


def describe_logins(state: StateFolder, vms: Sequence[Vm]) -> dict[VmId, SshLogin]:
    """Say how one logs in to those of these VMs that run, as they were seen."""
    found: dict[VmId, SshLogin] = {}
    for vm in vms:
        if vm.ssh is None:
            continue
        with suppress(GoneError):
            stored, key = load_vm(state, vm.id), private_key(state)
            options = build_options(key=key, known_hosts=stored.folder / KNOWN_HOSTS)
            found[vm.id] = SshLogin(
                host=vm.ssh.host,
                port=vm.ssh.port,
                user=login_of(stored.record),
                key_file=str(key),
                options=tuple((k, v) for k, v in options.items() if k != "IdentityFile"),
            )
    return found


def find_port(state: StateFolder, vm: Vm, port: int) -> tuple[str, int] | None:
    """Say where a guest's port is reached from here; None if nowhere.

    The guest's addresses on QEMU's own network and on private ones exist
    inside of QEMU only: of those, nothing but port 22 has a forward. On a
    bridge of this host the address itself is reached.
    """
    if port == _SSH_PORT and vm.ssh is not None:
        return vm.ssh.host, vm.ssh.port
    try:
        cards = load_vm(state, vm.id).record.machine.cards
    except GoneError:
        return None
    bridged = [card for card in cards if parse_network(card.network).kind is NetworkKind.BRIDGE]
    if not bridged:
        return None
    hidden = {card.address.partition("/")[0] for card in cards if card not in bridged}
    if len(bridged) < len(cards):
        own = [at for at in vm.addresses if at not in hidden and not _is_inner(at)]
    else:
        own = list(vm.addresses)
    return (own[0], port) if own else None


def _is_inner(address: str) -> bool:
    """Say whether QEMU's own network gives out an address, where it is not told which."""
    return ip_address(address) in _USER_NETWORK


def connect_ssh(state: StateFolder, vm: VmId) -> socket.socket:
    stored = load_vm(state, vm)
    address = _find_address(stored, open_machine(stored))
    try:
        return socket.create_connection((address.host, address.port), CONNECT_SECONDS)
    except OSError as error:
        raise BusyError(
            f"{stored.record.name} takes no connection",
            details=str(error),
            hint="try again in a moment",
        ) from error


def _find_address(vm: StoredVm, machine: Machine) -> SshAddress:
    """Return where a guest's SSH server is reached; a guest that cannot answer is refused."""
    name, seen = vm.record.name, machine.observe(guest=False)
    if vm.record.unconfirmed and machine.is_loaded():
        raise RefusedError(
            f"{name} is an instant clone without a confirmed identity: its network cards are down",
            hint=f"delete it and make it again: ``delete`` {name}; or look: ``console`` {name}",
        )
    if seen.power is Power.PAUSED:
        raise RefusedError(
            f"{name} is paused: its guest cannot answer",
            details=seen.reason,
            hint=f"let it go on: ``start`` {name}",
        )
    if seen.ssh is not None:
        return seen.ssh
    if seen.power is Power.OFF:
        hint = f"start it first: ``start`` {name}"
    elif not any(parse_network(c.network).kind.is_behind_qemu for c in vm.record.machine.cards):
        hint = f"it has no card on the network 'user' or 'closed'; use: ``console`` {name}"
    else:
        hint = f"``show`` {name} says how it is"
    raise HypervisorError(f"{name} cannot be reached by SSH", hint=hint, kind="power")


def describe_console(state: StateFolder, vm: VmId) -> ConsoleAddress:
    """Say where the screen of a running VM is."""
    stored = load_vm(state, vm)
    name, path = stored.record.name, stored.folder / RUN_FOLDER / VNC_SOCKET
    if not stored.record.machine.display:
        raise RefusedError(
            f"{name} has no screen",
            hint="clone it with ``hardware.display``, or use its serial console: ``console`` "
            f"{name}",
        )
    if open_machine(stored).observe(guest=False).power is Power.OFF or not path.exists():
        raise RefusedError(f"{name} does not run", hint=f"``start`` {name}")
    if len(os.fsencode(path)) > SOCKET_PATH_BYTES:
        # The machine's working directory is the same folder by a short name.
        process = next(find_processes(path.parent), None)
        path = Path(f"/proc/{process}/cwd/{VNC_SOCKET}") if process else path
    return ConsoleAddress(
        url=str(path),
        how=f"here: vncviewer {path} (TigerVNC); from another machine: "
        f"ssh -L 5900:{path} HOST, then vncviewer localhost:5900",
    )


def attach_console(
    state: StateFolder, vm: VmId, *, input_descriptor: int, output_descriptor: int
) -> None:
    """Join a terminal to a VM's serial console until Ctrl-] is typed or it stops."""
    open_machine(load_vm(state, vm)).attach_console(
        input_descriptor=input_descriptor, output_descriptor=output_descriptor
    )
