"""A hundred clones at once, in a small inventory and in large ones."""

from functools import partial

from bench.row import Comparison, Contender, Options, Target, row
from bench.vsphere import (
    FORK,
    MOST_CALLS,
    bare_name,
    contender,
    fork_with_govc,
    fork_with_linkedclone,
    measure_at_host,
    scaled,
    uuid_of_parent,
    with_bare_client,
    with_bare_host_client,
    with_govc,
    with_govc_at_host,
    with_linkedclone,
)

CLONES = 100


@row("batch", f"{CLONES} linked clones, 20 ms a call, 2 s a clone")
def batch(options: Options) -> Comparison:
    """Ours beside a bare client and beside govc."""
    govc = "govc, 8 at a time"
    return Comparison(
        contenders=(
            contender("linkedclone", with_linkedclone, clones=CLONES),
            contender("bare client", with_bare_client, clones=CLONES),
            scaled(govc, with_govc, clones=CLONES, measured=24)
            if options.quick
            else contender(govc, with_govc, clones=CLONES),
        ),
        targets=(
            Target(of="linkedclone", to="bare client", at_most=1.15),
            Target(of=govc, to="linkedclone", at_least=7),
        ),
    )


@row("esxi", f"{CLONES} linked clones at a lone ESXi host, 20 ms a call, 2 s a task")
def lone_host(options: Options) -> Comparison:
    """Ours beside a bare client that sends the same requests, and beside a loop of govc."""
    govc = "loop of govc vm.create"
    part = {"clones": 8, "whole": CLONES} if options.quick else {"clones": CLONES}
    ways = {
        "linkedclone": partial(measure_at_host, with_linkedclone, clones=CLONES),
        "bare client": partial(measure_at_host, with_bare_host_client, clones=CLONES),
        govc: partial(measure_at_host, with_govc_at_host, **part),
    }
    return Comparison(
        contenders=tuple(Contender(name=name, run=run) for name, run in ways.items()),
        targets=(
            Target(of="linkedclone", to="bare client", at_most=1.15),
            Target(of=govc, to="linkedclone", at_least=5),
        ),
    )


@row("instant-vsphere", f"{CLONES} instant clones, 20 ms a call, 2 s a fork")
def instant(options: Options) -> Comparison:
    """Ours, each told who it is and connected after that, beside govc, which does neither."""
    govc = "govc vm.instantclone, 8 at a time"
    return Comparison(
        contenders=(
            contender("linkedclone", fork_with_linkedclone, clones=CLONES, task=FORK),
            scaled(govc, fork_with_govc, clones=CLONES, measured=24, task=FORK)
            if options.quick
            else contender(govc, fork_with_govc, clones=CLONES, task=FORK),
        ),
        targets=(Target(of=govc, to="linkedclone", at_least=7),),
        notes=(f"ours takes {MOST_CALLS} calls each at most, or the row fails",),
    )


@row("inventory", f"{CLONES} linked clones where 4,000 VMs are, parent given by path")
def inventory(options: Options) -> Comparison:  # noqa: ARG001 - rows are called alike
    """Ours in a large inventory beside ours in a small one."""
    return Comparison(
        contenders=(
            contender("4,000 VMs", with_linkedclone, clones=CLONES, vms=4000),
            contender("4 VMs", with_linkedclone, clones=CLONES),
        ),
        targets=(Target(of="4,000 VMs", to="4 VMs", at_most=1.15),),
    )


@row("inventory-10k", f"{CLONES} linked clones where 10,000 VMs are")
def large_inventory(options: Options) -> Comparison:  # noqa: ARG001 - rows are called alike
    """Ours with the parent by path, UUID and bare name, beside ours in a small inventory."""
    vms = 10_000
    small = "4 VMs, by path"
    return Comparison(
        contenders=(
            contender("by path", with_linkedclone, clones=CLONES, vms=vms),
            contender("by UUID", with_linkedclone, clones=CLONES, vms=vms, find=uuid_of_parent),
            contender("by bare name", with_linkedclone, clones=CLONES, vms=vms, find=bare_name),
            contender(small, with_linkedclone, clones=CLONES),
        ),
        targets=(
            Target(of="by path", to=small, at_most=1.15),
            Target(of="by UUID", to=small, at_most=1.15),
            Target(of="by bare name", to=small, more_seconds=1.5),
        ),
    )
