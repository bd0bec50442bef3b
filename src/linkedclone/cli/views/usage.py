"""What families take and save, as tables for people."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from linkedclone.cli.terminal import printable, say
from linkedclone.cli.views.ages import render_age
from linkedclone.cli.views.reports import choose_notes
from linkedclone.cli.views.tables import Column, render_table
from linkedclone.lineage.usage import FamilyUsage, StoreUsage, Usage, VmUsage, memory_of, percent
from linkedclone.model.values.sizes import render_size
from linkedclone.model.values.vm_names import render_count


def render_usage(usage: Usage, *, vms: bool) -> str:
    """Draw the tables of families and datastores; with ``vms`` that of VMs between them."""
    parts = [_render_families(usage.families)]
    if vms:
        parts.append(_render_vms(usage.families))
    parts.append(_render_stores(usage.stores))
    parts += [_render_logs(usage), _render_memory(usage)]
    return "\n\n".join(part.rstrip("\n") for part in parts if part)


def _render_families(families: Sequence[FamilyUsage]) -> str:
    columns = [
        Column(title="PARENT"),
        Column(title="CLONES", right=True),
        Column(title="BASE", right=True, from_width=70),
        Column(title="DELTAS", right=True, from_width=70),
        Column(title="FULL COPIES", right=True, from_width=60),
        Column(title="SAVED", right=True),
        Column(title="%", right=True),
        Column(title="DEPTH", right=True, from_width=80),
    ]
    rows = [_family_row(family) for family in families]
    if len(families) > 1:
        rows.append(_total_row(families))
    return render_table(columns, rows)


def _family_row(family: FamilyUsage) -> list[str]:
    return [
        family.name,
        str(_clones(family)),
        render_size(family.base_bytes),
        render_size(family.delta_bytes),
        render_size(family.full_bytes),
        _render_saved(family.saved_bytes),
        f"{percent(family.saved_bytes, family.full_bytes):.1f}",
        str(family.depth),
    ]


def _total_row(families: Sequence[FamilyUsage]) -> list[str]:
    full = sum(family.full_bytes for family in families)
    saved = sum(family.saved_bytes for family in families)
    return [
        "total",
        str(sum(map(_clones, families))),
        render_size(sum(family.base_bytes for family in families)),
        render_size(sum(family.delta_bytes for family in families)),
        render_size(full),
        _render_saved(saved),
        f"{percent(saved, full):.1f}",
        str(max(family.depth for family in families)),
    ]


def _clones(family: FamilyUsage) -> int:
    return len(family.vms) - (family.root is not None)


def _render_saved(size_bytes: int) -> str:
    """Write what is saved; negative where a base serves no clone, or clones elsewhere."""
    return f"-{render_size(-size_bytes)}" if size_bytes < 0 else render_size(size_bytes)


def _render_vms(families: Sequence[FamilyUsage]) -> str:
    columns = [
        Column(title="NAME"),
        Column(title="OWN", right=True),
        Column(title="SHARED", right=True, from_width=50),
        Column(title="DEPTH", right=True, from_width=90),
        Column(title="CLONES", right=True, from_width=70),
        Column(title="FREES", right=True),
        Column(title="WITH CLONES", right=True, from_width=60),
    ]
    return render_table(columns, [_vm_row(vm) for family in families for vm in family.vms])


def _vm_row(usage: VmUsage) -> list[str]:
    return [
        usage.vm.name,
        render_size(usage.own_bytes),
        render_size(usage.shared_bytes),
        str(usage.depth),
        str(usage.clones),
        render_size(usage.frees_bytes),
        render_size(usage.frees_with_clones_bytes),
    ]


def _render_logs(usage: Usage) -> str:
    """Say what logs take, which is in no other figure; nothing where there are none."""
    if not usage.log_bytes:
        return ""
    largest = usage.logging[0]
    told = f"{printable(largest.name)} has {render_size(largest.log_bytes)} of it"
    return f"logs of consoles and of QEMU: {render_size(usage.log_bytes)}; {told}"


def _render_memory(usage: Usage) -> str:
    """Say what memory of snapshots takes, which is in no other figure; nothing without any."""
    if not usage.remembering:
        return ""
    most = usage.remembering[0]
    told = f"{printable(most.name)} has {render_size(memory_of(most))} of it"
    return f"memory of snapshots: {render_size(usage.snapshot_memory_bytes)}; {told}"


def _render_stores(stores: Sequence[StoreUsage]) -> str:
    columns = [
        Column(title="DATASTORE"),
        Column(title="CAPACITY", right=True, from_width=70),
        Column(title="FREE", right=True, from_width=50),
        Column(title="USED", right=True),
        Column(title="SAVED", right=True),
    ]
    rows = [
        [
            usage.store.name,
            render_size(usage.store.capacity_bytes),
            render_size(usage.store.free_bytes),
            render_size(usage.used_bytes),
            _render_saved(usage.saved_bytes),
        ]
        for usage in stores
    ]
    return render_table(columns, rows)


def say_limits(usage: Usage, *, now: datetime, verbose: bool) -> None:
    """Say on standard error what the figures do not tell: their age, and what was not seen."""
    for line in _limits(usage, now, verbose=verbose):
        say(f"note: {printable(line)}")


def _limits(usage: Usage, now: datetime, *, verbose: bool) -> Iterable[str]:
    if usage.measured is not None:
        age = render_age(usage.measured, now)
        when = "less than a minute ago" if age == "new" else f"{age} ago"
        yield f"the oldest of these sizes was measured {when}, at {usage.measured:%Y-%m-%d %H:%M}"
    unknown = sum(family.unknown for family in usage.families)
    if unknown:
        yield f"{render_count(unknown, 'file is', 'files are')} of unknown size and counted as 0"
    yield from choose_notes(usage.blind, usage.unscanned, verbose=verbose)
