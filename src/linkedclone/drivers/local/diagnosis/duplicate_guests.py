"""Whether running guests pass for one another, for ``doctor``: read from inside, one look each."""

import shlex
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from linkedclone.drivers.local.machine.open import OpenMachine
from linkedclone.drivers.local.state.folder import StateFolder
from linkedclone.drivers.local.state.store import load_all
from linkedclone.errors import LinkedCloneError
from linkedclone.model.findings import Finding, Verdict
from linkedclone.model.values.vm_names import render_count

FILES = {
    "machine-id": "/etc/machine-id",
    "SSH host key": "/etc/ssh/ssh_host_ed25519_key.pub",
}
"""What has to differ from guest to guest, and the file that holds it."""
MAC = "MAC address"
_THREADS = 8


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
    """Tell which guests share what has to differ. Pure.

    Args:
        facts: A guest's name, what kind of thing it told, and that.
    """
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
