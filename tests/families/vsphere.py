"""A simulated vCenter as a world: the oracle is plain pyVmomi, and the list of files there are."""

import ssl
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pyVim.connect import Disconnect, SmartConnect
from pyVim.task import WaitForTask
from pyVmomi import vim, vmodl

from linkedclone.app.connection import Connection
from linkedclone.drivers.registry import open_driver
from tests.families.look import Chain, Look, Loose, Member, folder_of
from tests.families.world import Change, Powers
from tests.simulator import Simulator

_PATHS = (
    "name",
    "config.instanceUuid",
    'config.extraConfig["linkedclone.owner"]',
    'config.extraConfig["linkedclone.uuid"]',
    "config.files.vmPathName",
    "config.hardware.device",
    "runtime.powerState",
    "snapshot",
)
_DISK = vim.vm.device.VirtualDisk
_MARK = ("linkedclone.owner", "linkedclone.uuid")

Properties = Mapping[str, Any]


class VsphereWorld:
    """The VMs of the simulator; ``DC0_H0_VM0`` has a snapshot, the others have none."""

    strangers: tuple[str, ...] = (
        "clone by hand",
        "hang a VM by hand",
        "hang a VM by hand",
        "strip the mark",
        "leave a delta behind",
        "unregister",
    )
    powers = Powers(measures=False)
    parent = "DC0_H0_VM0"

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.connection = Connection(open_driver(simulator.endpoint()), address="vsphere:")
        self._session = SmartConnect(
            host=simulator.host,
            port=simulator.port,
            user=simulator.user,
            pwd=simulator.password,
            sslContext=ssl.create_default_context(cadata=simulator.certificate_pem),
        )
        self._content = self._session.RetrieveContent()
        self._view = self._content.viewManager.CreateContainerView(
            self._content.rootFolder, [vim.VirtualMachine], recursive=True
        )
        self._loose: dict[str, Chain] = {}
        self.connection.snapshots.create(self.parent, "base")

    def close(self) -> None:
        self.connection.close()
        Disconnect(self._session)

    # -- looking ----------------------------------------------------------------------

    def look(self) -> Look:
        found = [{**values, "moid": moid} for moid, values in self._read(self._view.view, _PATHS)]
        trees = [values["snapshot"] for values in found if values.get("snapshot")]
        snapshots = [node.snapshot for tree in trees for node in _nodes(tree.rootSnapshotList)]
        frozen = {
            moid: _chains(values["config.hardware.device"])
            for moid, values in self._read(snapshots, ["config.hardware.device"])
        }
        members = {values["name"]: _member(values, frozen) for values in found}
        files = dict.fromkeys(self.simulator.files(), 0)
        read = {file for member in members.values() for file in member.files}
        homes = {member.home for member in members.values()}
        loose = {
            name: Loose(chain=chain, leftover=self._is_leftover(name) and folder_of(name) in homes)
            for name, chain in self._loose.items()
            if name in files and name not in read
        }
        return Look(members=members, files=files, loose=loose)

    @staticmethod
    def _is_leftover(name: str) -> bool:
        """Say whether a file is called as vCenter calls a delta."""
        return name.rpartition("-")[2].removesuffix(".vmdk").isdigit()

    def _read(
        self, objects: Sequence[Any], paths: Iterable[str]
    ) -> Iterator[tuple[str, Properties]]:
        if not objects:
            return
        collector = vmodl.query.PropertyCollector
        specs = collector.FilterSpec(
            objectSet=[collector.ObjectSpec(obj=one) for one in objects],
            propSet=[collector.PropertySpec(type=type(objects[0]), pathSet=list(paths))],
        )
        options = collector.RetrieveOptions()
        answer = self._content.propertyCollector.RetrievePropertiesEx([specs], options)
        while answer is not None:
            for one in answer.objects:
                yield one.obj._moId, {p.name: p.val for p in one.propSet}
            answer = answer.token and self._content.propertyCollector.ContinueRetrievePropertiesEx(
                answer.token
            )

    def note(self, change: Change) -> None:
        for member in change.forgotten:
            self._forget(member)

    def check_contents(self, number: int | None = None) -> None:
        """Nothing is written to these disks."""

    # -- strangers --------------------------------------------------------------------

    def act_as_stranger(self, act: str, member: Member, number: int) -> Change:
        machine = vim.VirtualMachine(member.id, self._session._stub)
        if act == "strip the mark":
            options = [vim.option.OptionValue(key=key, value="") for key in _MARK]
            WaitForTask(machine.ReconfigVM_Task(vim.vm.ConfigSpec(extraConfig=options)))
        elif act == "leave a delta behind":
            left = self.simulator.control("POST", "files/orphan", {"name": member.name})["file"]
            self._loose[left] = (*member.present[0], left)
        elif act == "unregister":
            self._unregister(machine, member)
        elif act == "hang a VM by hand":
            self._hang(machine, member, number)
        elif member.snapshots:
            self._clone(machine, sorted(member.snapshots)[number % len(member.snapshots)], number)
        return Change()

    def _unregister(self, machine: Any, member: Member) -> None:
        if member.running:
            WaitForTask(machine.PowerOffVM_Task())
        machine.UnregisterVM()
        self._forget(member)

    def _forget(self, member: Member) -> None:
        for chain in member.chains:
            self._loose |= {chain[end - 1]: chain[:end] for end in range(1, len(chain) + 1)}

    def _hang(self, machine: Any, member: Member, number: int) -> None:
        """Make a VM that depends on any file of another: also where no snapshot is."""
        (disk,) = [d for d in machine.config.hardware.device if isinstance(d, _DISK)]
        below: Any = disk.backing
        for _ in range(0 if number % 3 else number % len(member.present[0])):
            below = below.parent
        name = f"hand-{number}"
        store = below.fileName.partition(" ")[0]
        backing = _DISK.FlatVer2BackingInfo(
            fileName=f"{store} {name}/{name}.vmdk",
            diskMode="persistent",
            datastore=below.datastore,
            parent=below,
        )
        made = _DISK(
            key=-1, controllerKey=-2, unitNumber=0, capacityInKB=disk.capacityInKB, backing=backing
        )
        controller = vim.vm.device.VirtualLsiLogicController(
            key=-2, busNumber=0, sharedBus="noSharing"
        )
        change = vim.vm.device.VirtualDeviceSpec
        spec = vim.vm.ConfigSpec(
            name=name,
            numCPUs=1,
            memoryMB=64,
            files=vim.vm.FileInfo(vmPathName=store),
            deviceChange=[
                change(operation="add", device=controller),
                change(operation="add", fileOperation="create", device=made),
            ],
        )
        WaitForTask(machine.parent.CreateVM_Task(config=spec, pool=machine.resourcePool))

    def _clone(self, machine: Any, snapshot: str, number: int) -> None:
        spec = vim.vm.CloneSpec(
            location=vim.vm.RelocateSpec(
                diskMoveType="createNewChildDiskBacking", pool=machine.resourcePool
            ),
            snapshot=vim.vm.Snapshot(snapshot, self._session._stub),
            powerOn=False,
            template=False,
        )
        WaitForTask(machine.CloneVM_Task(folder=machine.parent, name=f"hand-{number}", spec=spec))


class EsxiWorld(VsphereWorld):
    """The VMs of a simulated host without vCenter, which counts no users of a file.

    A VM that runs changes its disks, and with them what strangers hung from them: none runs.
    """

    strangers = tuple(act for act in VsphereWorld.strangers if act != "clone by hand")
    powers = Powers(measures=False, promotes=False, runs=False)
    parent = "ha-host_VM0"


def _nodes(tree: Iterable[Any]) -> Iterator[Any]:
    for node in tree:
        yield node
        yield from _nodes(node.childSnapshotList)


def _chains(devices: Iterable[Any]) -> tuple[Chain, ...]:
    return tuple(_chain(d.backing) for d in devices if isinstance(d, _DISK))


def _chain(backing: Any) -> Chain:
    files = []
    while backing is not None:
        files.append(backing.fileName)
        backing = backing.parent
    return tuple(reversed(files))


def _member(values: Properties, frozen: Mapping[str, tuple[Chain, ...]]) -> Member:
    options = (value for path, value in values.items() if path.startswith("config.extraConfig"))
    extra = {option.key: option.value for option in options}
    tree = values.get("snapshot")
    nodes = list(_nodes(tree.rootSnapshotList)) if tree else []
    uuid = values["config.instanceUuid"]
    moid = values["moid"]
    return Member(
        id=moid,
        name=values["name"],
        home=folder_of(values["config.files.vmPathName"]),
        running=values["runtime.powerState"] != "poweredOff",
        ours=bool(extra.get(_MARK[0])) and extra.get(_MARK[1], "").lower() == uuid.lower(),
        present=_chains(values["config.hardware.device"]),
        snapshots={node.snapshot._moId: frozen[node.snapshot._moId] for node in nodes},
        current=tree.currentSnapshot._moId if tree and tree.currentSnapshot else None,
    )
