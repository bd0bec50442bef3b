"""Which resource pool the clones are in, and what a cluster itself advises."""

from collections.abc import Sequence
from dataclasses import dataclass

from pyVmomi import vim

from linkedclone.drivers.vsphere.connection.session import Session
from linkedclone.drivers.vsphere.native import Native, moid_of
from linkedclone.drivers.vsphere.placement.datacenter import Host, Landscape
from linkedclone.drivers.vsphere.property.choose import choose
from linkedclone.drivers.vsphere.property.collector import Seen
from linkedclone.drivers.vsphere.property.inventory_path import build_path
from linkedclone.drivers.vsphere.property.resource_pools import pool_of
from linkedclone.errors import HypervisorError, RefusedError
from linkedclone.model.request import Placement, Spot


def find_host(land: Landscape, ref: str) -> Host | None:
    """Return the host that the request names, or None if it names none."""
    if not ref:
        return None
    return land.hosts[choose("host", ref, land.kind("HostSystem"), land.around).id]


def find_pool(land: Landscape, wanted: Placement, host: Host | None, source: Seen) -> Seen:
    """Return the resource pool of the clones.

    The one that is named; else the root pool of the cluster that is named; else the
    source's own, which a template does not have, if the host that is named can run VMs of
    it; else the root pool of that host's cluster, or of the source's.
    """
    compute = _find_compute(land, wanted, host)
    if wanted.resource_pool:
        pool = choose("resource pool", wanted.resource_pool, land.pools, land.around)
        if compute is not None and pool.id_at("owner") != compute.id:
            where = build_path(compute, land.around)
            raise RefusedError(
                f"resource pool {build_path(pool, land.around)} does not belong to {where}",
                hint="leave ``placement.resource_pool``, or ``placement.cluster`` and "
                "``placement.host``, out",
            )
        return pool
    own = land.pools.get(source.id_at("resourcePool"))
    homely = compute is None or (own is not None and own.id_at("owner") == compute.id)
    if own is not None and homely and not wanted.cluster:
        return own
    stands_on = land.hosts.get(source.id_at("runtime.host"))
    if compute is None and stands_on is not None:
        compute = land.computes.get(stands_on.compute)
    root = land.pools.get(compute.id_at("resourcePool")) if compute is not None else None
    if root is None:
        raise RefusedError(
            f"no resource pool for the clones can be seen in {land.path or 'its datacenter'}",
            hint="say where they run with ``placement.cluster`` or ``placement.resource_pool``",
        )
    return root


def _find_compute(land: Landscape, wanted: Placement, host: Host | None) -> Seen | None:
    if not wanted.cluster:
        return land.computes.get(host.compute) if host else None
    compute = choose("cluster", wanted.cluster, land.computes, land.around)
    if host is not None and host.compute != compute.id:
        names = sorted(one.name for one in land.hosts.values() if one.compute == compute.id)
        raise RefusedError(
            f"host {host.name} does not belong to {build_path(compute, land.around)}",
            hint=f"its hosts are: {', '.join(names)}",
        )
    return compute


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What a cluster advises."""

    host: Host | None = None
    store: Spot | None = None
    note: str = ""  # what a person should know of it; empty if nothing


def ask_cluster(
    session: Session,
    cluster: Seen,
    question: Native,
    *,
    hosts: Sequence[Host],
    stores: Sequence[Spot],
) -> Advice:
    """Ask a cluster where one clone should go (PlaceVm, clone); fall back aloud.

    The candidates are given, and what is advised is checked against them
    [fact: vs-place-vm]. An answer that is of no use leaves all to vCenter.
    """
    path = f"cluster {cluster.get('name')}"
    if cluster.kind != "ClusterComputeResource":
        return Advice(note=f"{path} is a single host, which gives no advice")
    native = session.managed("ClusterComputeResource", cluster.id)
    try:
        answer = session.read(f"ask {path} for a place", native.PlaceVm, question)
    except HypervisorError as error:
        return Advice(note=f"{path} gives no advice, so the host is left to vCenter: {error}")
    by_host = {host.id: host for host in hosts}
    by_store = {spot.id: spot for spot in stores}
    for action in _actions(answer):
        host = by_host.get(_id(action.targetHost))
        where = action.relocateSpec
        store = by_store.get(_id(where.datastore)) if where is not None else None
        if host is not None:
            return Advice(host=host, store=store)
    return Advice(note=f"{path} advises nothing that will do, so the host is left to vCenter")


def build_question(
    source: str, name: str, pool: str, *, hosts: Sequence[Host], stores: Sequence[Spot]
) -> Native:
    """Return the PlacementSpec of one clone."""
    location = vim.vm.RelocateSpec(pool=pool_of(pool))
    return vim.cluster.PlacementSpec(
        placementType="clone",
        vm=vim.VirtualMachine(source, None),
        cloneName=name,
        cloneSpec=vim.vm.CloneSpec(location=location, template=False, powerOn=False),
        hosts=[vim.HostSystem(host.id, None) for host in hosts],
        datastores=[vim.Datastore(spot.id, None) for spot in stores],
    )


def _actions(answer: Native) -> list[Native]:
    """Return the placements that are advised, the best rated first."""
    rated = sorted(answer.recommendations or (), key=lambda one: -(one.rating or 0))
    return [
        action
        for one in rated
        for action in one.action or ()
        if isinstance(action, vim.cluster.PlacementAction)
    ]


def _id(reference: Native) -> str:
    return "" if reference is None else moid_of(reference)
