"""An inventory for people: rows, one VM, and the tree."""

from collections.abc import Iterator, Sequence

from linkedclone.cli.references import render_references
from linkedclone.cli.terminal import printable
from linkedclone.cli.views.tables import GOOD_BAD, Column, render_table
from linkedclone.lineage.family import Lineage
from linkedclone.lineage.vm_rows import VmRow
from linkedclone.model.values.sizes import render_size
from linkedclone.model.vm import Disk, Snapshot, SnapshotMemory


def render_vms(rows: Sequence[VmRow]) -> str:
    """Draw a table of VMs."""
    columns = [
        Column(title="NAME"),
        Column(title="PARENT"),
        Column(title="SNAPSHOT", from_width=50),
        Column(title="MODE", from_width=60),
        Column(title="POWER", styles=GOOD_BAD),
        Column(title="OWNER", from_width=90),
        Column(title="OWN", right=True),
        Column(title="SHARED", right=True, from_width=70),
    ]
    return render_table(columns, [_vm_row(row) for row in rows])


def _vm_row(row: VmRow) -> list[str]:
    return [
        row.vm.name,
        row.parent or "-",
        row.snapshot or "-",
        row.kind,
        "template" if row.vm.template else row.vm.power.value,
        row.vm.owner or "-",
        render_size(row.vm.own_bytes),
        render_size(row.vm.shared_bytes),
    ]


def render_vm(row: VmRow) -> str:
    """Write one VM as lines of words."""
    vm = row.vm
    facts = [
        ("name", vm.name),
        ("path", vm.path),
        ("id", vm.id),
        ("uuid", vm.uuid),
        ("power", "template" if vm.template else vm.power.value),
        ("trouble", render_references("; ".join(row.trouble.splitlines()))),
        ("owner", vm.owner or ("unknown" if vm.unreadable else "not made by linkedclone")),
        ("mode", row.kind),
        ("unreadable", render_references("; ".join(vm.unreadable.splitlines()))),
        ("parent", row.parent),
        ("snapshot", row.snapshot),
        ("host name", vm.host_name),
        ("addresses", ", ".join(vm.addresses)),
        ("macs", ", ".join(vm.macs)),
        ("created", f"{vm.created:%Y-%m-%d %H:%M}" if vm.created else ""),
        ("depth", str(Lineage.depth(vm) or "")),
        ("own", render_size(vm.own_bytes)),
        ("shared", render_size(vm.shared_bytes)),
        ("logs", render_size(vm.log_bytes) if vm.log_bytes else ""),
    ]
    lines = [f"{title:10} {printable(value)}" for title, value in facts if value]
    for disk in vm.disks:
        lines += ["", *_disk_lines(disk)]
    if vm.snapshots:
        lines += ["", "snapshots"]
        lines += map(_snapshot_line, vm.snapshots)
    return "\n".join(lines)


def _disk_lines(disk: Disk) -> Iterator[str]:
    kind = ", independent" if disk.independent else ""
    yield f"{printable(disk.label)}, {render_size(disk.capacity_bytes)}{kind}"
    if disk.hidden:
        yield "  (the hypervisor hides the layers below)"
    for layer in disk.chain:
        yield f"  {printable(str(layer))}"


def _snapshot_line(snapshot: Snapshot) -> str:
    memory = snapshot.memory
    told = [
        "current" * snapshot.current,
        f"with {render_size(memory.size_bytes)} of memory" if memory else "",
        f"stale: {memory.stale}" if memory and memory.stale else "",
    ]
    words = ", ".join(filter(None, told))
    return f"  {printable(snapshot.path)}" + (f" ({printable(words)})" if words else "")


def render_snapshots(snapshots: Sequence[Snapshot]) -> str:
    """Draw a table of snapshots."""
    columns = [
        Column(title="SNAPSHOT"),
        Column(title="CURRENT"),
        Column(title="CREATED"),
        Column(title="MEMORY", right=True, from_width=70),
        Column(title="ID"),
        Column(title="DESCRIPTION", from_width=80),
    ]
    rows = [
        [
            s.path,
            "yes" if s.current else "",
            f"{s.created:%Y-%m-%d %H:%M}" if s.created else "-",
            _tell_memory(s.memory),
            s.id,
            s.description,
        ]
        for s in snapshots
    ]
    return render_table(columns, rows)


def _tell_memory(memory: SnapshotMemory | None) -> str:
    if memory is None:
        return ""
    return render_size(memory.size_bytes) + (" (stale)" if memory.stale else "")
