"""An inventory for people: rows, one VM, and the tree."""

import sys
from collections.abc import Iterator, Sequence
from shutil import get_terminal_size

from linkedclone.cli.streams import printable, speaks_utf8
from linkedclone.cli.tables import GOOD_BAD, Column, render_table
from linkedclone.model.observed import Disk, Snapshot
from linkedclone.model.sizes import render_size
from linkedclone.model.tree import TreeNode
from linkedclone.model.views import VmRow


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
        row.mode.value,
        "template" if row.vm.template else row.vm.power.value,
        row.vm.owner or "-",
        render_size(row.vm.own_bytes),
        render_size(row.vm.shared_bytes),
    ]


def describe_vm(row: VmRow) -> dict[str, object]:
    """Return the JSON form of one VM: the row's, with what only one VM is shown with."""
    vm = row.vm
    return {
        **row.document(),
        "path": vm.path,
        "template": vm.template,
        "host_name": vm.host_name,
        "addresses": list(vm.addresses),
        "snapshots": [snapshot_document(snapshot) for snapshot in vm.snapshots],
        "disks": [
            {
                "label": disk.label,
                "capacity_bytes": disk.capacity_bytes,
                "independent": disk.independent,
                "chain": None if disk.hidden else [str(layer) for layer in disk.chain],
            }
            for disk in vm.disks
        ],
    }


def render_vm(row: VmRow) -> str:
    """Write one VM as lines of words."""
    vm = row.vm
    facts = [
        ("name", vm.name),
        ("path", vm.path),
        ("id", vm.id),
        ("uuid", vm.uuid),
        ("power", "template" if vm.template else vm.power.value),
        ("owner", vm.owner or "not made by linkedclone"),
        ("mode", row.mode.value),
        ("parent", row.parent),
        ("snapshot", row.snapshot),
        ("host name", vm.host_name),
        ("addresses", ", ".join(vm.addresses)),
        ("own", render_size(vm.own_bytes)),
        ("shared", render_size(vm.shared_bytes)),
    ]
    lines = [f"{title:10} {printable(value)}" for title, value in facts if value]
    for disk in vm.disks:
        lines += ["", *_disk_lines(disk)]
    if vm.snapshots:
        lines += ["", "snapshots"]
        lines += [f"  {printable(s.path)}{' (current)' if s.current else ''}" for s in vm.snapshots]
    return "\n".join(lines)


def _disk_lines(disk: Disk) -> Iterator[str]:
    kind = ", independent" if disk.independent else ""
    yield f"{printable(disk.label)}, {render_size(disk.capacity_bytes)}{kind}"
    if disk.hidden:
        yield "  (the hypervisor hides the layers below)"
    for layer in disk.chain:
        yield f"  {printable(str(layer))}"


def snapshot_document(snapshot: Snapshot) -> dict[str, object]:
    """Return the JSON form of a snapshot."""
    return {
        "id": snapshot.id,
        "name": snapshot.name,
        "path": snapshot.path,
        "created": snapshot.created.isoformat() if snapshot.created else None,
        "current": snapshot.current,
        "description": snapshot.description,
    }


def render_snapshots(snapshots: Sequence[Snapshot]) -> str:
    """Draw a table of snapshots."""
    columns = [
        Column(title="SNAPSHOT"),
        Column(title="CURRENT"),
        Column(title="CREATED"),
        Column(title="ID"),
        Column(title="DESCRIPTION", from_width=80),
    ]
    rows = [
        [
            s.path,
            "yes" if s.current else "",
            f"{s.created:%Y-%m-%d %H:%M}" if s.created else "-",
            s.id,
            s.description,
        ]
        for s in snapshots
    ]
    return render_table(columns, rows)


_UTF8 = ("├── ", "└── ", "│   ", "…")
_ASCII = ("|-- ", "`-- ", "|   ", "...")


def render_tree(families: Sequence[TreeNode]) -> str:
    """Draw families; in ASCII where the locale has no line drawing, cut to the terminal's width."""
    strokes = _UTF8 if speaks_utf8() else _ASCII
    lines = [line for family in families for line in _draw(family, "", "", strokes)]
    if sys.stdout.isatty():
        width = get_terminal_size().columns
        cut = strokes[3]
        lines = [ln if len(ln) <= width else ln[: width - len(cut)] + cut for ln in lines]
    return "\n".join(lines)


def _draw(
    node: TreeNode, head: str, below: str, strokes: tuple[str, str, str, str]
) -> Iterator[str]:
    yield head + _name_node(node)
    tee, corner, pipe, _ = strokes
    for child in node.children:
        last = child is node.children[-1]
        first, rest = (corner, "    ") if last else (tee, pipe)
        yield from _draw(child, below + first, below + rest, strokes)


def _name_node(node: TreeNode) -> str:
    if node.vm is not None:
        power = "template" if node.vm.template else node.vm.power.value
        return printable(f"{node.vm.name}  {power}  {render_size(node.vm.own_bytes)}")
    count = sum(child.vm is not None for child in node.children)
    clones = f"  {count} clone{'' if count == 1 else 's'}" if count else ""
    if node.snapshot is not None:
        current = " (current)" if node.snapshot.current else ""
        return printable(f"@{node.snapshot.name}{current}{clones}")
    return printable(f"base {node.layer}{clones}")
