"""Which hosts of a cluster do not see a datastore that clones there depend on, for ``doctor``.

A host that does not see the whole chain cannot start a clone
[fact: vs-hosts-see-chain].
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from linkedclone.drivers.vsphere.connection.session import Session
from linkedclone.drivers.vsphere.inventory.observe import Observer
from linkedclone.drivers.vsphere.names import unescape
from linkedclone.drivers.vsphere.native import moid_of
from linkedclone.drivers.vsphere.property import traversal
from linkedclone.drivers.vsphere.property.collector import Collector, Seen
from linkedclone.lineage.family import Lineage
from linkedclone.model.findings import Finding, Verdict
from linkedclone.model.inventory import Inventory
from linkedclone.model.report import Mode
from linkedclone.model.values.ids import VmId
from linkedclone.model.values.vm_names import list_names
from linkedclone.model.vm import Vm

_CHECK: Final = "datastores"
_WAYS: Final = (
    replace(traversal.DATACENTERS, then=("datacenters", "host folder")),
    traversal.HOST_FOLDER,
    replace(traversal.HOST_CHILDREN, then=("host children", "hosts of cluster", "stores of hosts")),
    traversal.CLUSTER_HOSTS,
    traversal.CLUSTER_STORES,
)
_WANTED: Final = {
    "HostSystem": ("name", "parent", "datastore"),
    "ComputeResource": ("name",),
    "Datastore": ("name",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A datastore that some hosts of a cluster see and others do not."""

    cluster: Seen
    store: Seen
    blind: tuple[str, ...]  # the names of the hosts that do not see it


class Reach:
    """Looks for such hosts: one read, and three more where there are any."""

    def __init__(self, session: Session, collector: Collector, observer: Observer) -> None:
        self._session = session
        self._collector = collector
        self._observer = observer

    def find(self) -> tuple[Finding, ...]:
        """Return a warning for each datastore with clones, or that all is in order."""
        root = self._session.content.rootFolder
        around = self._collector.read("read the clusters", [root], _WANTED, _WAYS)
        gaps = find_gaps(around)
        found = tuple(self._find_clones(gaps, around)) if gaps else ()
        text = "every host of a cluster sees the datastores that its clones depend on"
        return found or (Finding(check=_CHECK, verdict=Verdict.OK, text=text),)

    def _find_clones(self, gaps: Sequence[Gap], around: Mapping[str, Seen]) -> Iterator[Finding]:
        vms, clusters = self._read_vms(gaps, around)
        lineage = Lineage(Inventory(vms=vms))
        clones = [vm for vm in vms if lineage.origin(vm).mode is not Mode.FULL]
        for gap in gaps:
            names = sorted(
                vm.name
                for vm in clones
                if clusters.get(vm.id) == gap.cluster.id
                and gap.store.id in {layer.store for layer in vm.layers}
            )
            if names:
                yield _describe(gap, names)

    def _read_vms(
        self, gaps: Sequence[Gap], around: Mapping[str, Seen]
    ) -> tuple[tuple[Vm, ...], Mapping[VmId, str]]:
        stores = [self._session.managed("Datastore", gap.store.id) for gap in gaps]
        wanted = {"Datastore": ("vm",)}
        users = self._collector.read("read who uses datastores", stores, wanted).values()
        natives = {moid_of(vm): vm for store in users for vm in store.told("vm") or ()}
        wanted = {"VirtualMachine": ("runtime.host",)}
        seen = self._collector.read("read where VMs run", list(natives.values()), wanted)
        clusters = {
            VmId(moid): around[one.id_at("runtime.host")].id_at("parent")
            for moid, one in seen.items()
            if one.id_at("runtime.host") in around
        }
        vms = self._observer.observe_vms([VmId(moid) for moid in natives], whole=True)
        return tuple(vms.values()), clusters


def find_gaps(around: Mapping[str, Seen]) -> tuple[Gap, ...]:
    """Return the datastores that only a part of a cluster's hosts see. Pure."""
    hosts: dict[str, list[Seen]] = defaultdict(list)
    for seen in around.values():
        if seen.kind == "HostSystem":
            hosts[seen.id_at("parent")].append(seen)
    return tuple(
        Gap(cluster=around[cluster], store=around[store], blind=blind)
        for cluster, members in hosts.items()
        for store, blind in _blind_hosts(members).items()
        if cluster in around and store in around
    )


def _blind_hosts(hosts: Sequence[Seen]) -> dict[str, tuple[str, ...]]:
    sees = {host.id: {moid_of(ref) for ref in host.told("datastore") or ()} for host in hosts}
    missing = {
        store: tuple(sorted(_name(host) for host in hosts if store not in sees[host.id]))
        for store in set().union(*sees.values())
    }
    return {store: names for store, names in sorted(missing.items()) if names}


def _name(seen: Seen) -> str:
    return unescape(str(seen.get("name") or seen.id))


def _describe(gap: Gap, clones: Sequence[str]) -> Finding:
    store, cluster = _name(gap.store), _name(gap.cluster)
    return Finding(
        check=_CHECK,
        verdict=Verdict.WARNING,
        text=f"{list_names(gap.blind)} of {cluster} cannot see {store}, "
        f"which clones depend on: {list_names(clones)}",
        remedy=f"mount {store} there: the clones cannot be started on or moved to such hosts",
    )
