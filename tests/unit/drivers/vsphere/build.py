"""Things of pyVmomi, built by hand."""

from typing import Any

from pyVmomi import vim, vmodl
from pyVmomi.SoapAdapter import Serialize
from pyVmomi.VmomiSupport import newestVersions

from linkedclone.drivers.vsphere.connection.answers import NS, parse
from linkedclone.drivers.vsphere.inventory.decoder import Decoder, Read
from linkedclone.drivers.vsphere.inventory.vm import Surroundings, build_vm
from linkedclone.drivers.vsphere.property.collector import Seen
from linkedclone.drivers.vsphere.property.response import Found, objects_of
from linkedclone.model.plan import CreateClone
from linkedclone.model.request import Hardware, Target
from linkedclone.model.values.ids import FolderId, SnapshotId, StoreId, VmId
from linkedclone.model.vm import Disk, Layer, Mark, Snapshot, Vm

UUID = "11111111-2222-5333-8444-555555555555"

MARK = Mark(
    owner="linkedclone",
    uuid=UUID,
    run="run-7",
    parent_uuid="99999999-2222-5333-8444-555555555555",
    parent_name="golden",
    snapshot="snapshot-9",
    snapshot_name="2026-11",
    version="0.1.0",
)

SOURCE = Vm(
    id=VmId("vm-42"),
    name="golden",
    uuid=MARK.parent_uuid,
    disks=(
        Disk(
            label="Hard disk 1",
            chain=(Layer(store=StoreId("datastore-1"), path="golden/golden.vmdk"),),
        ),
    ),
)

TARGET = Target(
    folder=FolderId("group-v3"),
    folder_path="/DC0/vm",
    datastore="datastore-1",
    datastore_name="ssd1",
    pool="resgroup-8",
    pool_name="/DC0/host/DC0_C0/Resources",
)


def step(**changes: Any) -> CreateClone:
    given: dict[str, Any] = {
        "source": SOURCE,
        "snapshot": Snapshot(id=SnapshotId("snapshot-9"), name="2026-11", path="2026-11"),
        "target": TARGET,
        "name": "desk-001",
        "uuid": UUID,
        "mark": MARK,
        "hardware": Hardware(),
        "annotation": None,
        "power_on": True,
    }
    return CreateClone(**{**given, **changes})


def disk(
    *files: str,
    key: int = 2000,
    mode: str = "persistent",
    backing: type = vim.vm.device.VirtualDisk.FlatVer2BackingInfo,
    store: str | None = "datastore-1",
    **more: Any,
) -> Any:
    """Return a disk; ``files`` is its chain, base first."""
    below = None
    for name in files:
        below = backing(
            fileName=name,
            diskMode=mode,
            parent=below,
            datastore=vim.Datastore(store, None) if store else None,
        )
    return vim.vm.device.VirtualDisk(
        key=key,
        backing=below,
        capacityInKB=10 << 20,
        capacityInBytes=10 << 30,
        deviceInfo=vim.Description(label=f"Hard disk {key - 1999}", summary=""),
        **more,
    )


def card(kind: str, mac: str = "00:50:56:01:02:03", key: int = 4000) -> Any:
    backing = vim.vm.device.VirtualEthernetCard.NetworkBackingInfo(deviceName="VM Network")
    return vim.vm.device.VirtualVmxnet3(
        key=key, addressType=kind, macAddress=mac, backing=backing, controllerKey=100, unitNumber=7
    )


def seen(kind: str, moid: str, **values: Any) -> Seen:
    """Return an object as it was read; ``__`` stands for the dot of a path."""
    paths = {name.replace("__", "."): value for name, value in values.items()}
    return Seen(kind=kind, id=moid, values=paths)


def found(one: Seen) -> Found:
    """Return an object as it comes from the server: pyVmomi turns it into XML."""
    properties = [
        vmodl.DynamicProperty(name=name, val=_typed(value)) for name, value in one.values.items()
    ]
    content = vmodl.query.PropertyCollector.ObjectContent(
        obj=getattr(vim, one.kind, vim.ManagedEntity)(one.id, None), propSet=properties
    )
    result = vmodl.query.PropertyCollector.RetrieveResult(objects=[content])
    answer = parse(Serialize(result, version=newestVersions.GetName("vim")))
    answer.tag = NS + "returnval"
    return next(objects_of(answer))


def _typed(value: Any) -> Any:
    if not isinstance(value, list) or hasattr(value, "Item"):
        return value
    kind = type(value[0])
    device = vim.vm.device.VirtualDevice
    return (device if issubclass(kind, device) else kind).Array(value)


def read(one: Seen) -> Read:
    """Return an object as it is decoded from XML."""
    return Decoder().decode(found(one))


def vm_of(one: Seen, *others: Seen) -> Vm:
    """Return a VM that was read together with other objects."""
    reads = {other.id: read(other) for other in (one, *others)}
    return build_vm(reads[one.id], Surroundings(reads))
