"""What is in the state folder, for ``doctor``: leftovers, machines, layers. Changes nothing."""

import os
import shlex
import stat
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

from linkedclone.drivers.local.inventory.layer_users import take_survey
from linkedclone.drivers.local.inventory.orphans import list_abandoned, list_older, list_unreached
from linkedclone.drivers.local.inventory.unlinked_vms import find_unlinked, list_odd_names
from linkedclone.drivers.local.inventory.vm import allocated_bytes, is_waiting
from linkedclone.drivers.local.machine.logs import BOUNDS
from linkedclone.drivers.local.machine.open import OpenMachine
from linkedclone.drivers.local.machine.process import find_processes, runs_in
from linkedclone.drivers.local.qmp.sockets import QMP_SOCKET
from linkedclone.drivers.local.qmp.status import MachineState
from linkedclone.drivers.local.recovery.rebase import find_lost, hangs_as_before
from linkedclone.drivers.local.state.file_names import RUN_FOLDER
from linkedclone.drivers.local.state.folder import StateFolder, is_disk_name
from linkedclone.drivers.local.state.record import FILE_NAME, NEWER
from linkedclone.drivers.local.state.settings import render_address
from linkedclone.drivers.local.state.staging import describe_entry, list_dead, list_living
from linkedclone.drivers.local.state.store import LOCK_NAME, StoredVm, load_all
from linkedclone.drivers.local.storage.seals import check_seal, is_sealed
from linkedclone.drivers.qemu.networks import NetworkKind, parse_network
from linkedclone.drivers.qemu.qemu_img import check_image
from linkedclone.errors import BusyError, HypervisorError, LinkedCloneError
from linkedclone.formats.chain import DiskFile, format_by_suffix
from linkedclone.model.findings import Finding, Verdict
from linkedclone.model.values.ids import VmId
from linkedclone.model.values.sizes import render_size
from linkedclone.model.values.vm_names import list_names, render_count
from linkedclone.model.vm import Power
from linkedclone.system.locks import hold, is_held

_LOOK_SECONDS = 2.0
_THREADS = 8
LARGE_LOG_BYTES = 16 << 20
FILES = {
    "machine-id": "/etc/machine-id",
    "SSH host key": "/etc/ssh/ssh_host_ed25519_key.pub",
}
"""What has to differ from guest to guest, and the file that holds it."""
MAC = "MAC address"


def check_leftovers(state: StateFolder) -> Iterator[Finding]:
    """Look for rests of killed commands, and for layers that nothing reads."""
    check, clean = "leftovers", build_command(state, "``list``")
    with ExitStack() as stack:
        try:
            stack.enter_context(hold(state.family_lock, deadline_s=_LOOK_SECONDS))
        except BusyError:
            text = "not looked for: commands are at work"
            yield Finding(check=check, verdict=Verdict.OK, text=text)
            return
        dead, living = list_dead(state), list_living(state)
        # A delete releases the lock before the files no longer exist.
        survey = take_survey(state)
        unreached = () if living else list_unreached(state, survey)
        older = () if living else list_older(survey)
    for vm in older:
        text = f"{vm.record.name} writes to a sealed disk: its record is older than its disks"
        hint = f"put the newer {vm.folder / FILE_NAME} back"
        yield Finding(check=check, verdict=Verdict.WARNING, text=f"{text}; {hint}")
    if dead:
        actions = Counter(describe_entry(entry)[0] for entry in dead)
        told = ", ".join(f"{count} {action}" for action, count in sorted(actions.items()))
        text = f"commands were killed midway: {told}"
        yield Finding(check=check, verdict=Verdict.WARNING, text=text, remedy=clean)
    elif unreached:
        size = sum(path.lstat().st_blocks * 512 for path in unreached)
        text = (
            f"nothing reads {render_count(len(unreached), 'file')} ({render_size(size)}), "
            f"as {unreached[0]}; gc shows them, and with ``yes`` removes them"
        )
        remedy = build_command(state, "``gc``")
        yield Finding(check=check, verdict=Verdict.WARNING, text=text, remedy=remedy)
    elif not older:
        yield Finding(check=check, verdict=Verdict.OK, text="there are none")


def check_machines(state: StateFolder, machines: OpenMachine) -> Iterator[Finding]:
    """Look for machines that do not go on by themselves."""
    stored = load_all(state).vms
    with ThreadPoolExecutor(_THREADS) as pool:
        seen = tuple(pool.map(lambda vm: (vm, machines(vm).observe(guest=False)), stored))
    faults = (*_find_faults(state, seen), *_find_large_logs(stored))
    if faults:
        yield from faults
        return
    running = sum(machine.power is Power.ON for _, machine in seen)
    text = f"{running} of {len(seen)} run, and none is stuck"
    yield Finding(check="machines", verdict=Verdict.OK, text=text)


def _find_large_logs(stored: Sequence[StoredVm]) -> Iterator[Finding]:
    """Look at what is kept of consoles and warnings: earlier versions set no bound to it."""
    for vm in stored:
        for name in BOUNDS:
            path = vm.folder / RUN_FOLDER / name
            used = allocated_bytes(path) or 0
            if used > LARGE_LOG_BYTES:
                yield Finding(
                    check="machines",
                    verdict=Verdict.WARNING,
                    text=f"{path} takes {render_size(used)}, and grows with what the guest does",
                    remedy=f"truncate --size=0 {shlex.quote(str(path))}",
                )


def check_networks(state: StateFolder) -> Iterator[Finding]:
    """Say which guests reach what listens on this machine's loopback interface."""
    cards = [card for vm in load_all(state).vms for card in vm.record.machine.cards]
    if any(parse_network(card.network).kind is NetworkKind.USER for card in cards):
        text = (
            "guests on the network 'user' reach what listens on 127.0.0.1 of this machine, as "
            "10.0.2.2, and with it the SSH ports of other guests; on 'closed' they reach nothing"
        )
        yield Finding(check="networks", verdict=Verdict.OK, text=text)


def _find_faults(
    state: StateFolder, seen: Sequence[tuple[StoredVm, MachineState]]
) -> Iterator[Finding]:
    paused = [
        (vm, machine.reason)
        for vm, machine in seen
        if machine.power is Power.PAUSED and not is_waiting(vm.record, machine)
    ]
    ended = [
        (vm, machine.last_words)
        for vm, machine in seen
        if machine.power is Power.OFF and (machine.last_words or _has_stale_socket(vm))
    ]
    for told, vms in (("paused", paused), ("ended without having been stopped", ended)):
        if vms:
            why = "; ".join(sorted({reason.strip() for _, reason in vms} - {""}))
            names = [vm.record.name for vm, _ in vms]
            yield Finding(
                check="machines",
                verdict=Verdict.WARNING,
                text=f"{told}: {', '.join(names)}" + (f" ({why})" if why else ""),
                remedy=build_command(state, "``start``", *names),
            )
    for vm, machine in seen:
        if machine.power is Power.UNKNOWN:
            processes = sorted(find_processes(vm.folder / RUN_FOLDER))
            kill = "kill -9 " + " ".join(map(str, processes))
            yield Finding(
                check="machines",
                verdict=Verdict.WARNING,
                text=f"{vm.record.name} does not answer: {machine.reason}",
                remedy=kill if processes else "",
            )


def _has_stale_socket(vm: StoredVm) -> bool:
    """Say whether QEMU was killed: it removes its socket when it ends by itself."""
    folder = vm.folder / RUN_FOLDER
    return (folder / QMP_SOCKET).exists() and not runs_in(folder)


def check_layers(state: StateFolder) -> Iterator[Finding]:
    """Look at all VMs and all layers: whether they can be read, and are what was sealed."""
    survey = take_survey(state)
    back = "put the files back in their places"
    missing = {
        f"{file.path} is missing": file.path
        for chain in survey.chains.values()
        for file in chain
        if file.missing
    }
    hints = {str(error): suggest_record(state, vm, error) for vm, error in survey.stored.unreadable}
    faults = [
        (
            doubt,
            (doubt in missing and suggest_return(state, missing[doubt])) or hints.get(doubt, back),
        )
        for doubt in dict.fromkeys(survey.doubts)
    ]
    layers = {
        file.path: file for chain in survey.chains.values() for file in chain if not file.missing
    }
    faults += _find_broken(survey.stored.vms, layers)
    for layer in sorted(layers):
        if is_sealed(layer):
            try:
                check_seal(state, layer, mend=False)
            except LinkedCloneError as error:
                faults.append((str(error), error.hint or back))
            faults += _find_open(layer)
    for text, remedy in faults:
        yield Finding(check="layers", verdict=Verdict.FAILED, text=text, remedy=remedy)
    if not faults:
        vms = render_count(len(survey.stored.vms), "VM")
        text = f"{vms}, {render_count(len(layers), 'layer')}, all sound"
        yield Finding(check="layers", verdict=Verdict.OK, text=text)


def _find_broken(
    vms: Iterable[StoredVm], layers: Mapping[Path, DiskFile]
) -> Iterator[tuple[str, str]]:
    """Let QEMU's own tool look at all layers that no machine has open to write."""
    busy = {t for vm in vms if (vm.folder / RUN_FOLDER / QMP_SOCKET).exists() for t in vm.disk_tops}
    still = [layers[path] for path in sorted(layers.keys() - busy)]
    with ThreadPoolExecutor(_THREADS) as pool:
        for layer, fault in zip(still, pool.map(check_image, still), strict=True):
            if fault and not _changes(layer.path):
                text = f"{layer.path} is broken: {fault.splitlines()[0]}"
                yield text, "restore that file from a backup"


def _changes(layer: Path) -> bool:
    """Say whether a layer went while it was looked at, or a command or a machine is at it."""
    folder = layer.parent
    started = (folder / RUN_FOLDER / QMP_SOCKET).exists()
    return started or not layer.exists() or is_held(folder / LOCK_NAME)


def suggest_record(state: StateFolder, vm: VmId, error: HypervisorError) -> str:
    """Return what helps if a record cannot be read: its backup, else what the disks hold."""
    folder = state.folder(vm)
    if error.kind == NEWER or not folder.is_dir():
        return error.hint
    disks = (path for path in sorted(folder.iterdir()) if is_disk_name(path.name))
    written = [path for path in disks if not is_sealed(path)]
    out = "; ".join(
        shlex.join(("qemu-img", "convert", "-O", "qcow2", str(path), f"{path.stem}.qcow2"))
        for path in written
    )
    back = f"restore {folder / FILE_NAME} from a backup"
    return f"{back}; without one, take what it wrote out, to import it anew: {out}" if out else back


def suggest_return(state: StateFolder, layer: Path) -> str:
    """Return what brings a missing layer back; empty if it is not found."""
    try:
        found = find_lost(state, layer)
    except OSError:
        return ""
    if len(found) > 1:
        return f"several files look like it, and differ: compare {shlex.join(map(str, found))}"
    if not found:
        there = build_command(state, "``doctor``", "FILE", option="``rebase``")
        return f"put the file back, or say where it is now: {there}"
    back = shlex.join(("mv", "-n", str(found[0]), str(layer)))
    told = f"it is at {found[0]}, unchanged. To put it back: {back}"
    with suppress(OSError, LinkedCloneError):
        if hangs_as_before(layer, found[0], format_by_suffix(layer)):
            leave = build_command(state, "``doctor``", str(found[0]), option="``rebase``")
            return f"{told}; to leave it there: {leave}"
    return told


def _find_open(layer: Path) -> Iterator[tuple[str, str]]:
    """Tell of a sealed layer that can be written to, or cannot be read."""
    mode, quoted = stat.S_IMODE(layer.stat().st_mode), shlex.quote(str(layer))
    if mode & 0o222:
        yield f"{layer} is sealed, and can be written to", f"chmod a-w {quoted}"
    if not os.access(layer, os.R_OK):
        yield f"{layer} cannot be read", f"chmod u+r {quoted}"


def check_identities(state: StateFolder, machines: OpenMachine) -> Iterator[Finding]:
    """Look for running guests with one machine-id, SSH host key or MAC address."""

    def look(index: int) -> Mapping[str, str]:
        try:
            return machines(stored[index]).read_files(FILES)
        except (LinkedCloneError, OSError):
            return {}

    stored = load_all(state).vms
    with ThreadPoolExecutor(_THREADS) as pool:
        seen = tuple(pool.map(look, range(len(stored))))
    guests = [(vm, told) for vm, told in zip(stored, seen, strict=True) if told]
    facts = [(vm.record.name, kind, text) for vm, told in guests for kind, text in told.items()]
    facts += [(vm.record.name, MAC, mac) for vm, _ in guests for mac in vm.record.machine.macs]
    faults = tuple(find_twins(facts))
    yield from faults
    if not faults:
        running = render_count(len(guests), "running guest")
        text = f"{running} reported theirs, and all differ"
        yield Finding(check="identities", verdict=Verdict.OK, text=text)


def find_twins(facts: Sequence[tuple[str, str, str]]) -> Iterator[Finding]:
    """Tell which guests share what has to differ; a fact is a name, a kind and a text. Pure."""
    owners: dict[tuple[str, str], dict[str, None]] = defaultdict(dict)
    for name, kind, text in facts:
        if text.strip():
            owners[kind, text.strip()][name] = None
    for (kind, text), names in owners.items():
        if len(names) > 1:
            others = shlex.join(list(names)[1:])
            yield Finding(
                check="identities",
                verdict=Verdict.WARNING,
                text=f"{', '.join(names)} have one {kind}: {text[:60]}",
                remedy=f"``delete`` {others}, and clone them again: cloud-init or the "
                "like in the image has to make it anew",
            )


def check_links(state: StateFolder) -> Iterator[Finding]:
    """Look for VMs whose folders are there without links, and for names that link to no VM."""
    check, found = "links", find_unlinked(state)
    free = [vm.name for vm in found if not vm.obstacle]
    if free:
        text = f"VM folders without a link, as in a copy that lost them: {list_names(free)}"
        remedy = build_command(state, "``doctor``", option="``relink``")
        yield Finding(check=check, verdict=Verdict.FAILED, text=text, remedy=remedy)
    for vm in found:
        if vm.obstacle:
            text = f"{vm.folder} is kept, and not linked as a VM: {vm.obstacle}"
            verdict = Verdict.OK if vm.copied else Verdict.WARNING
            yield Finding(check=check, verdict=verdict, text=text)
    odd = () if free else list_odd_names(state)
    if not found and not odd:
        text = "every VM has its own, and none points to another VM"
        yield Finding(check=check, verdict=Verdict.OK, text=text)
    for link in odd:
        aside = shlex.join(("mv", "-n", str(link), f"{state.root / link.name}.old"))
        text = f"{link} is not a link to a VM, and keeps its name taken"
        yield Finding(check=check, verdict=Verdict.WARNING, text=text, remedy=aside)


def check_downloads(state: StateFolder) -> Iterator[Finding]:
    """Look for images whose download began long ago."""
    for part in list_abandoned(state):
        size, shown = render_size(part.stat().st_blocks * 512), shlex.quote(str(part))
        yield Finding(
            check="downloads",
            verdict=Verdict.WARNING,
            text=f"{size} of an image were downloaded, and nothing was added for a week",
            remedy=f"image import the same URL again, or: rm {shown}",
        )


def build_command(state: StateFolder, verb: str, *names: str, option: str = "") -> str:
    """Return a command about this state folder as a person can give it."""
    address = render_address(state.root)
    words = (option, shlex.join(names), "``endpoint``", shlex.quote(address))
    return " ".join((verb, *filter(None, words)))
