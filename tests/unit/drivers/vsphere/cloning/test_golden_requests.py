"""What each field of a request comes to on the wire: one golden case for every field there is.

A case goes the whole way but for the looking up: request and target give a
plan, and the plan's steps the arguments of the calls.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Final

import pytest
from pyVmomi import vim

from linkedclone.drivers.vsphere.cloning.clone_spec import build_clone_spec
from linkedclone.drivers.vsphere.cloning.preview import render_clone
from linkedclone.drivers.vsphere.inventory.device_shape import build_shape
from linkedclone.model.plan import CreateClone, CreateFolder, TakeSnapshot
from linkedclone.model.request import (
    CloneRequest,
    DiskMove,
    Hardware,
    Network,
    NewDisk,
    Nic,
    Own,
    Placement,
    SnapshotChoice,
    Spot,
    Target,
    Wait,
)
from linkedclone.model.values.ids import FolderId, SnapshotId
from linkedclone.model.vm import Disk, Identity, Layer, Snapshot, Vm
from linkedclone.planning.clone.plan import ClonePlanner, Run, Scene
from tests.unit.drivers.vsphere.build import SOURCE, TARGET, card, disk

Golden = Callable[[str, object], None]

BASE = Layer(store=SOURCE.disks[0].chain[0].store, path="golden/golden.vmdk", store_name="ssd1")
DELTA = replace(BASE, path="golden/golden-000001.vmdk")
FROZEN = Disk(label="Hard disk 1", chain=(BASE,), capacity_bytes=10 << 30)


def parent(name: str = "golden") -> Vm:
    """A parent with two snapshots, the second of which is current."""
    first = Snapshot(id=SnapshotId("snapshot-8"), name="2026-10", path="2026-10", disks=(FROZEN,))
    second = replace(
        first, id=SnapshotId("snapshot-9"), name="2026-11", path="2026-10/2026-11", current=True
    )
    now = replace(FROZEN, chain=(BASE, DELTA))
    return replace(SOURCE, name=name, disks=(now,), snapshots=(first, second))


SCSI = vim.vm.device.ParaVirtualSCSIController(key=1000, busNumber=0, scsiCtlrUnitNumber=7)
DEVICES: Final = (
    SCSI,
    disk("[ssd1] golden/golden.vmdk", controllerKey=1000, unitNumber=0),
    card("assigned", key=4000),
    card("manual", key=4001, mac="00:50:56:00:00:09"),
    vim.vm.device.VirtualTPM(key=11000),
)
NETWORKS: Final = (
    Network(wanted="LAN", id="network-7", name="LAN"),
    Network(
        wanted="VDI",
        id="dvportgroup-9",
        name="VDI",
        switch_uuid="50 1e",
        portgroup_key="dvportgroup-9",
    ),
)
SPOTS: Final = (
    Spot(id="datastore-1", name="ssd1", weight=3),
    Spot(id="datastore-2", name="ssd2", weight=1),
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A request beside the plain one, and what the looking up would make of it.

    Attributes:
        covers: The fields that it is the case of.
        request: What differs from the plain request.
        target: What the looking up would find elsewhere.
        source: The parent.
        base: The case that it has to differ from.
    """

    covers: tuple[str, ...]
    request: Mapping[str, Any] = field(default_factory=dict)
    target: Mapping[str, Any] = field(default_factory=dict)
    source: Vm = field(default_factory=parent)
    base: str = "plain"


def hardware(*covers: str, base: str = "plain", **wanted: Any) -> Case:
    return Case(covers=covers, request={"hardware": Hardware(**wanted)}, base=base)


def moved(move: DiskMove) -> Case:
    return Case(covers=("CloneRequest.disk_move",), request={"disk_move": move})


def snapshot(*covers: str, base: str = "plain", source: Vm | None = None, **wanted: Any) -> Case:
    choice = {"snapshot": SnapshotChoice(**wanted)}
    covers = (*covers, "CloneRequest.snapshot")
    return Case(covers=covers, request=choice, base=base, source=source or parent())


def nics(*wanted: Nic, covers: tuple[str, ...]) -> Case:
    return Case(
        covers=(*covers, "Hardware.nics"),
        request={"hardware": Hardware(nics=wanted)},
        target={"networks": NETWORKS},
    )


def place(covers: str, request: Placement, names: tuple[str, ...] = (), **target: Any) -> Case:
    wanted: dict[str, Any] = {"placement": request}
    if names:
        wanted["names"] = names
    return Case(covers=(covers, "CloneRequest.placement"), request=wanted, target=target)


CASES: Final[Mapping[str, Case]] = {
    "plain": Case(covers=()),
    "other-parent": Case(
        covers=("CloneRequest.parent",),
        request={"parent": "silver"},
        source=replace(parent("silver"), uuid="77777777-2222-5333-8444-555555555555"),
    ),
    "two-names": Case(covers=("CloneRequest.names",), request={"names": ("desk-1", "desk-2")}),
    "annotation": Case(covers=("CloneRequest.annotation",), request={"annotation": "for Ada"}),
    "customization-spec": Case(
        covers=("CloneRequest.customization_spec",),
        request={"customization_spec": "linux"},
        target={"customization_spec": "linux"},
    ),
    "power-off": Case(covers=("CloneRequest.power_on",), request={"power_on": False}),
    "macs": Case(
        covers=("CloneRequest.macs",),
        request={"macs": {"desk-1": ("00:50:56:01:02:03", "00:50:56:01:02:04")}},
    ),
    "owner": Case(covers=("CloneRequest.owner",), request={"owner": "desktops"}),
    "generation": Case(covers=("CloneRequest.generation",), request={"generation": 2}),
    "generation-of-one-clone": Case(
        covers=("CloneRequest.own",), request={"own": {"desk-1": Own(generation=3)}}
    ),
    "full": moved(DiskMove.SHARED),
    "full-without-sharing": moved(DiskMove.COPIED),
    "full-consolidated": moved(DiskMove.CONSOLIDATED),
    "child-most": moved(DiskMove.CHILD_MOST),
    "full-of-a-vm-without-snapshots": Case(
        covers=("CloneRequest.disk_move",),
        request={"disk_move": DiskMove.SHARED},
        source=replace(parent(), snapshots=()),
        base="full",
    ),
    "named-snapshot": snapshot(
        "SnapshotChoice.kind", "SnapshotChoice.name", kind="named", name="2026-10"
    ),
    "new-snapshot": snapshot("SnapshotChoice.kind", kind="new"),
    "new-named-snapshot": snapshot(
        "SnapshotChoice.name", kind="new", name="today", base="new-snapshot"
    ),
    "quiesced-snapshot": snapshot(
        "SnapshotChoice.quiesce", kind="new", quiesce=True, base="new-snapshot"
    ),
    "snapshot-with-memory": snapshot(
        "SnapshotChoice.memory", kind="new", memory=True, base="new-snapshot"
    ),
    "prepared-template": snapshot(
        "SnapshotChoice.prepare_template",
        source=replace(parent(), template=True, snapshots=()),
        prepare_template=True,
    ),
    "cpus": hardware("Hardware.cpus", cpus=4),
    "cores-per-socket": hardware(
        "Hardware.cores_per_socket", cpus=4, cores_per_socket=2, base="cpus"
    ),
    "memory": hardware("Hardware.memory_bytes", memory_bytes=8 << 30),
    "cpu-hot-add": hardware("Hardware.cpu_hot_add", cpu_hot_add=True),
    "no-memory-hot-add": hardware("Hardware.memory_hot_add", memory_hot_add=False),
    "extra-config": hardware(
        "Hardware.extra_config", extra_config=(("guestinfo.a", "b c"), ("isolation.x", ""))
    ),
    "new-disks": hardware(
        "Hardware.disks",
        "NewDisk.capacity_bytes",
        disks=(NewDisk(capacity_bytes=40 << 30), NewDisk(capacity_bytes=1 << 30)),
    ),
    "thick-disk": hardware("NewDisk.thin", disks=(NewDisk(capacity_bytes=40 << 30, thin=False),)),
    "larger-disk-of-a-full-clone": Case(
        covers=("Hardware.disk_bytes",),
        request={"disk_move": DiskMove.CONSOLIDATED, "hardware": Hardware(disk_bytes=20 << 30)},
        base="full-consolidated",
    ),
    "kept-tpm": hardware("Hardware.keep_tpm", keep_tpm=True),
    "remapped-card": nics(Nic(action="remap", network="LAN"), covers=("Nic.action", "Nic.network")),
    "remapped-manual-card-on-a-distributed-switch": nics(
        Nic(action="remap", index=1, network="VDI"), covers=("Nic.index",)
    ),
    "added-card": nics(Nic(action="add", network="VDI"), covers=("Nic.action",)),
    "removed-card": nics(Nic(action="remove", index=1), covers=("Nic.action", "Nic.index")),
    "datastore": place("Placement.datastore", Placement(datastore="ssd2"), datastore="datastore-2"),
    "datastore-cluster": place(
        "Placement.datastore_cluster", Placement(datastore_cluster="ssds"), datastore="datastore-3"
    ),
    "resource-pool": place(
        "Placement.resource_pool", Placement(resource_pool="VDI"), pool="resgroup-9"
    ),
    "cluster": place("Placement.cluster", Placement(cluster="C1"), pool="resgroup-10"),
    "host": place("Placement.host", Placement(host="esx1"), host="host-11"),
    "folder": place("Placement.folder", Placement(folder="VDI"), folder=FolderId("group-v4")),
    "created-folder": place(
        "Placement.create_folder",
        Placement(folder="VDI/new", create_folder=True),
        new_folder="VDI/new",
    ),
    "spread": place(
        "Placement.spread",
        Placement(spread="datastore"),
        names=("desk-1", "desk-2", "desk-3", "desk-4"),
        spots=SPOTS,
    ),
}

NOT_SENT: Final[Mapping[str, Mapping[str, Any]]] = {
    # How long this side waits, and for what.
    "CloneRequest.wait": {"wait": Wait.IP},
    "CloneRequest.wait_seconds": {"wait_seconds": 10.0},
    "CloneRequest.network_filter": {"network_filter": ("10.0.0.0/8",)},
    # What becomes of a clone afterwards.
    "CloneRequest.keep_failed": {"keep_failed": True},
    # How many of the requests are in flight at once.
    "CloneRequest.parallel": {"parallel": 3},
    # Where names are looked up: what is found there is sent.
    "Placement.datacenter": {"placement": Placement(datacenter="DC0")},
}
"""Fields that no call carries, each with a request that uses it; the reason stands above."""

NESTED: Final = {"CloneRequest.hardware"}
"""Fields that are nothing but their own fields."""

ELSEWHERE: Final = {
    # Cases of their own, see test_golden_customizations.
    "CloneRequest.customization",
    "CloneRequest.secrets",
    # Another call, with a request of its own.
    "CloneRequest.instant",
    # Refused when the place is looked up.
    "Hardware.firmware",
    "Hardware.display",
}

SPECIFICATION: Final = vim.vm.customization.Specification(
    identity=vim.vm.customization.LinuxPrep(
        hostName=vim.vm.customization.VirtualMachineNameGenerator(), domain="example.org"
    ),
    globalIPSettings=vim.vm.customization.GlobalIPSettings(),
)


def requests_of(case: Case) -> list[object]:
    """Return the arguments of the calls that a case comes to."""
    wanted = CloneRequest(**{"parent": "golden", "names": ("desk-1",), **case.request})
    target: Target = replace(TARGET, **case.target)
    planner = ClonePlanner(
        request=wanted,
        scene=Scene(
            source=case.source,
            target=target,
            identity=Identity(instance="vc-1", product="vCenter", version="8", address="vc"),
            run=Run(id="run-7", version="0.1.0", snapshot_name="linkedclone-20261122"),
        ),
    )
    steps = planner.plan().steps
    return [show(step) for step in steps if not isinstance(step, CreateFolder)]


def show(step: object) -> object:
    if isinstance(step, TakeSnapshot):
        return asdict(step)
    assert isinstance(step, CreateClone)
    shape = build_shape(DEVICES, cpus=2, cores_per_socket=1, whole=True)
    customization = SPECIFICATION if step.target.customization_spec else None
    spec = build_clone_spec(step, shape, customization)
    shown: Any = render_clone(step.source.id, step.target.folder, step.name, spec)
    # A hash of all the rest: it would make every case differ from every other.
    entries = shown["spec"]["config"]["extraConfig"]
    shown["spec"]["config"]["extraConfig"] = [e for e in entries if e["key"] != "linkedclone.spec"]
    if step.target.new_folder:
        shown["folder"] += f"/{step.target.new_folder}"
    return shown


@pytest.mark.parametrize("name", CASES)
def test_the_request_is_as_it_was(name: str, golden: Golden) -> None:
    golden(f"request-{name}", requests_of(CASES[name]))


@pytest.mark.parametrize("name", [name for name in CASES if name != "plain"])
def test_a_case_differs_from_the_one_it_builds_on(name: str) -> None:
    case = CASES[name]
    assert requests_of(case) != requests_of(CASES[case.base])


@pytest.mark.parametrize("name", NOT_SENT)
def test_settings_that_are_not_sent_make_no_difference(name: str) -> None:
    assert requests_of(Case(covers=(), request=NOT_SENT[name])) == requests_of(CASES["plain"])


def test_every_field_of_a_request_occurs_in_a_golden_case() -> None:
    kinds = (CloneRequest, SnapshotChoice, Placement, Hardware, NewDisk, Nic)
    every = {f"{kind.__name__}.{one.name}" for kind in kinds for one in fields(kind)}
    covered = {name for case in CASES.values() for name in case.covers} | set(NOT_SENT) | NESTED
    assert covered | ELSEWHERE == every
