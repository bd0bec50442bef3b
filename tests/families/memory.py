"""The hypervisor in memory as a world: its own books are the oracle."""

from dataclasses import replace

from linkedclone.app.connection import Connection
from linkedclone.drivers.memory.driver import MemoryDriver
from linkedclone.drivers.memory.inventory import Estate
from linkedclone.drivers.memory.storage import DELTA_BYTES
from linkedclone.drivers.memory.vm import Machine
from linkedclone.model.vm import Disk, Power
from tests.families.look import Chain, Look, Loose, Member
from tests.families.world import Change, Powers
from tests.memory import MemoryHypervisor


class MemoryWorld:
    """A parent with two disks and one that snapshots leave out, and a VM without snapshot."""

    strangers: tuple[str, ...] = (
        "bring a parent",
        "strip the mark",
        "leave a delta behind",
        "unregister",
        "register again",
        "hang a VM by hand",
        "hang a VM by hand",
    )
    powers = Powers()

    def __init__(self) -> None:
        self.hypervisor = MemoryHypervisor()
        golden = self.hypervisor.add_vm("golden", disks=2)
        self.hypervisor.add_disk(golden, independent=True)
        self.hypervisor.add_snapshot(golden, "base")
        self.hypervisor.add_vm("bare")
        self.connection = Connection(MemoryDriver(self.hypervisor), address="memory:")

    def look(self) -> Look:
        with self.hypervisor.access("oracle") as estate:
            members = {one.name: _member(one) for one in estate.machines.values()}
            files = {str(file): estate.storage.size(file) for file in estate.storage.files}
            loose = {
                chain[-1]: Loose(chain=chain)
                for machine in estate.unregistered
                for whole in _chains(machine.all_disks)
                for chain in (whole[:end] for end in range(1, len(whole) + 1))
            }
            for layers in estate.orphans.values():
                chain = tuple(map(str, layers))
                loose[chain[-1]] = Loose(chain=chain, leftover=True)
        read = {file for member in members.values() for file in member.files}
        free = {name: one for name, one in loose.items() if name in files and name not in read}
        return Look(members=members, files=files, loose=free)

    def act_as_stranger(self, act: str, member: Member, number: int) -> Change:
        if act == "bring a parent":
            made = self.hypervisor.add_vm(f"parent-{number}", store="ssd2")
            self.hypervisor.add_snapshot(made, "base")
            return Change()
        with self.hypervisor.access("stranger") as estate:
            (machine,) = [one for one in estate.machines.values() if one.name == member.name]
            if act == "strip the mark":
                machine.mark = None
            elif act == "leave a delta behind":
                estate.leave_orphan(machine.id)
            elif act == "unregister":
                machine.power = Power.OFF
                estate.unregister(machine.id)
            elif act == "register again":
                _register_one(estate)
            else:
                _hang(estate, machine, number)
        return Change()

    def note(self, change: Change) -> None:
        """Nothing is written to these disks."""

    def check_contents(self, number: int | None = None) -> None:
        """Nothing is written to these disks."""


def _register_one(estate: Estate) -> None:
    """Bring back an unregistered VM that can still be read."""
    names = {one.name for one in estate.machines.values()}
    for machine in estate.unregistered:
        if machine.name not in names and machine.layers <= estate.storage.files:
            estate.unregistered.remove(machine)
            estate.machines[machine.id] = machine
            return


def _hang(estate: Estate, machine: Machine, number: int) -> None:
    """Make a VM that depends on any file of another: also where no snapshot is."""
    every = machine.disks if number % 2 else machine.all_disks
    disks = [disk for disk in every if not disk.independent]
    disk = disks[number % len(disks)]
    below = disk.chain if number % 3 else disk.chain[: 1 + number % len(disk.chain)]
    made = estate.create(f"hand-{number}", machine.folder, machine.home[0], disks=0)
    top = estate.storage.make_base(made.home, made.name, DELTA_BYTES)
    made.disks = (replace(disk, chain=(*below, top)),)


def _member(machine: Machine) -> Member:
    store, folder = machine.home
    names = {"store-1": "ssd1", "store-2": "ssd2"}
    return Member(
        id=machine.id,
        name=machine.name,
        home=f"[{names[store]}] {folder}",
        running=machine.power is not Power.OFF,
        ours=machine.mark is not None and machine.mark.uuid == machine.uuid,
        present=_chains(machine.disks),
        snapshots={point.id: _chains(point.disks) for point in machine.points},
        current=machine.current,
    )


def _chains(disks: tuple[Disk, ...]) -> tuple[Chain, ...]:
    return tuple(tuple(map(str, disk.chain)) for disk in disks)
