"""What a lone host says of itself: whether it may be changed, and who else may use its disks."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

from pyVmomi import vim

from linkedclone.drivers.vsphere.connection.session import Session
from linkedclone.drivers.vsphere.names import unescape
from linkedclone.drivers.vsphere.property import traversal
from linkedclone.drivers.vsphere.property.collector import Collector, Seen
from linkedclone.errors import RefusedError, UnreadableAnswerError, UnsupportedError
from linkedclone.model.findings import Finding, Verdict
from linkedclone.model.plan import CreateClone, JobStep
from linkedclone.model.request import DiskMove
from linkedclone.model.values.ids import StoreId
from linkedclone.model.values.vm_names import list_names

_FREE: Final = "esxBasic"
"""The edition that allows no changes [fact: vs-esxi-licence]."""

_MANAGER: Final = "summary.managementServerIp"
_ID: Final = "hardware.systemInfo.uuid"
_DELTAS: Final = "capability.deltaDiskBackingsSupported"
_LICENCES: Final = "licenses"
_WANTED: Final = {
    "HostSystem": ("name", _ID, _MANAGER, _DELTAS),
    "Datastore": ("name", "summary.type", "info"),
}
_WAYS: Final = (
    replace(traversal.DATACENTERS, then=("datacenters", "host folder", "stores")),
    traversal.HOST_FOLDER,
    replace(traversal.HOST_CHILDREN, then=("host children", "hosts of cluster")),
    traversal.CLUSTER_HOSTS,
    replace(traversal.STORES, then=()),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostState:
    """What was read of a host and its datastores."""

    id: str  # of the hardware; empty if that was not told
    manager: str  # the address of the vCenter that manages it; empty if none does
    delta_disks: bool  # whether several VMs may depend on one disk
    shared: dict[StoreId, str]  # the names of the datastores that other hosts may use as well


class Host:
    """Reads a lone host once, when first asked for it."""

    def __init__(self, session: Session, collector: Collector) -> None:
        self._session = session
        self._collector = collector

    @cached_property
    def state(self) -> HostState:
        """What the host and its datastores were when first looked at."""
        root = self._session.content.rootFolder
        around = self._collector.read("read the host", [root], _WANTED, _WAYS)
        hosts = [seen for seen in around.values() if seen.kind == "HostSystem"]
        if not hosts:
            raise UnreadableAnswerError(
                "could not read the host: the answer tells of none",
                hint="the user may not see the host itself: give it a role there",
            )
        return HostState(
            id=next((str(one.get(_ID)) for one in hosts if one.get(_ID)), ""),
            manager=next((str(one.told(_MANAGER)) for one in hosts if one.told(_MANAGER)), ""),
            # A host that does not say so is an old one, of which nothing is known.
            delta_disks=all(one.told(_DELTAS) is not False for one in hosts),
            shared={
                StoreId(one.id): unescape(str(one.get("name") or one.id))
                for one in around.values()
                if one.kind == "Datastore" and is_shared(one)
            },
        )

    @property
    def id(self) -> str:
        """The id of the hardware: ``about`` has none [fact: vs-esxi-host-id]."""
        if not self.state.id:
            raise UnreadableAnswerError(
                "could not read the host's id: it tells none",
                hint="the user may not see the host itself: give it a role there",
            )
        return self.state.id

    def check(self, step: JobStep) -> None:
        """Refuse a change of a host that a vCenter manages, and a clone that it cannot hold."""
        endpoint, state = self._session.endpoint, self.state
        if state.manager and not endpoint.despite_vcenter:
            raise RefusedError(
                f"refusing to {step.action} {step.about}: the vCenter at {state.manager} manages "
                f"{endpoint.host}, and would not know of it",
                hint=f"name {state.manager} as the endpoint; or, in an emergency, add "
                "?despite_vcenter=true to the URL of this host",
            )
        if isinstance(step, CreateClone):
            self.check_disks(step.disk_move)

    def check_disks(self, disk_move: DiskMove) -> None:
        """Refuse linked clones where several VMs cannot depend on one disk."""
        if disk_move.linked and not self.state.delta_disks:
            raise UnsupportedError(
                f"{self._session.endpoint.host} does not support linked clones "
                "(deltaDiskBackingsSupported is false)",
                hint="make a full clone: ``disk_move.shared``",
                kind="NotSupported",
            )

    def find_blind(self) -> tuple[str, ...]:
        """Say on which datastores VMs of other hosts may depend on what is seen here."""
        names = sorted(self.state.shared.values())
        return (f"VMs of other hosts on {list_names(names)} are not seen",) if names else ()

    # -- what doctor asks -------------------------------------------------------------

    def examine(self) -> Iterator[Finding]:
        """Check what linked clones need of the host itself."""
        yield Finding(
            check="vCenter",
            verdict=Verdict.OK,
            text="it is an ESXi host without vCenter: linkedclone makes and deletes clones there "
            "by several calls",
        )
        yield self._find_licence()
        state = self.state
        managed = f"the vCenter at {state.manager} manages this host: changes are refused"
        yield Finding(
            check="managed by",
            verdict=Verdict.FAILED if state.manager else Verdict.OK,
            text=managed if state.manager else "no vCenter manages this host",
            remedy=f"name {state.manager} as the endpoint" if state.manager else "",
        )
        yield Finding(
            check="delta disks",
            verdict=Verdict.OK if state.delta_disks else Verdict.FAILED,
            text="several VMs can depend on one disk"
            if state.delta_disks
            else "the host does not let several VMs depend on one disk: no linked clones",
            remedy="" if state.delta_disks else "make full clones: ``disk_move.shared``",
        )
        yield self._find_names()

    def find_shared(self) -> tuple[Finding, ...]:
        """Warn of datastores whose other users cannot be seen."""
        names = sorted(self.state.shared.values())
        if not names:
            text = "no other host uses the datastores"
            return (Finding(check="datastores", verdict=Verdict.OK, text=text),)
        return (
            Finding(
                check="datastores",
                verdict=Verdict.WARNING,
                text=f"other hosts may use {list_names(names)}: their VMs, and clones of the VMs "
                "here, are not seen",
                remedy="before you delete a parent or a snapshot there, look at the other hosts",
            ),
        )

    def _find_licence(self) -> Finding:
        manager = self._session.content.licenseManager
        seen = self._collector.read("read the licence", [manager], {"LicenseManager": (_LICENCES,)})
        licences = [one for found in seen.values() for one in found.told(_LICENCES) or ()]
        names = sorted({str(one.name or one.editionKey) for one in licences})
        if licences and all(str(one.editionKey) == _FREE for one in licences):
            return Finding(
                check="licence",
                verdict=Verdict.FAILED,
                text=f"this licence allows no changes: {list_names(names)}",
                remedy="license the host, or name the vCenter that manages it as the endpoint",
            )
        text = list_names(names) if names else "the host does not tell its licence"
        verdict = Verdict.OK if names else Verdict.WARNING
        remedy = "" if names else "look it up at the host: a free one allows no changes"
        return Finding(check="licence", verdict=verdict, text=text, remedy=remedy)

    def _find_names(self) -> Finding:
        root = self._session.content.rootFolder
        wanted = {"VirtualMachine": ("name",)}
        seen = self._collector.read("read names", [root], wanted, traversal.VM_FOLDERS)
        twice = find_twice(unescape(str(one.get("name") or one.id)) for one in seen.values())
        return Finding(
            check="names",
            verdict=Verdict.WARNING if twice else Verdict.OK,
            text=f"several VMs have one name: {list_names(twice)}"
            if twice
            else "no two VMs have one name",
            remedy="rename one of them at the host: by name, neither can be meant" if twice else "",
        )


def find_twice(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names that occur several times. Pure."""
    return tuple(sorted(name for name, count in Counter(names).items() if count > 1))


def is_shared(store: Seen) -> bool:
    """Say whether other hosts may see a datastore: all but a local VMFS volume. Pure."""
    info = store.told("info")
    volume = info.vmfs if isinstance(info, vim.host.VmfsDatastoreInfo) else None
    return volume is None or volume.local is not True
