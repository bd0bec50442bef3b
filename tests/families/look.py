"""What an oracle sees of a hypervisor, and what follows from it: without any code of ours."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

Chain = tuple[str, ...]
"""Names of files, base first, each as ``[store] folder/file``."""


def folder_of(file: str) -> str:
    return file.rpartition("/")[0]


@dataclass(frozen=True, kw_only=True)
class Member:
    """A VM.

    Attributes:
        home: The folder of its own files, as ``[store] folder``.
        ours: Whether it bears a mark that names it.
        present: The chains of its disks.
        snapshots: The chains of each snapshot, by its id.
        current: The snapshot that its present state follows.
    """

    id: str
    name: str
    home: str
    running: bool
    ours: bool
    present: tuple[Chain, ...]
    snapshots: Mapping[str, tuple[Chain, ...]]
    current: str | None

    @property
    def chains(self) -> tuple[Chain, ...]:
        frozen = (chain for chains in self.snapshots.values() for chain in chains)
        return (*self.present, *frozen)

    @cached_property
    def files(self) -> frozenset[str]:
        return frozenset(file for chain in self.chains for file in chain)

    @property
    def present_only(self) -> frozenset[str]:
        """What its present state reads, and none of its snapshots."""
        frozen = {file for chains in self.snapshots.values() for chain in chains for file in chain}
        return frozenset(file for chain in self.present for file in chain) - frozen


@dataclass(frozen=True, slots=True, kw_only=True)
class Loose:
    """A file that no VM reads.

    Attributes:
        chain: It, and what it depends on.
        leftover: Whether it counts for nothing: what a task that died has left.
        held: Whether the hypervisor keeps for its sake what it depends on.
    """

    chain: Chain
    leftover: bool = False
    held: bool = False

    @property
    def name(self) -> str:
        return self.chain[-1]


@dataclass(frozen=True, kw_only=True)
class Look:
    """Everything at one moment.

    Attributes:
        members: The VMs, by name.
        loose: The files that no VM reads, by name.
        files: All files that there are, with the bytes that they take.
    """

    members: Mapping[str, Member]
    files: Mapping[str, int]
    loose: Mapping[str, Loose] = field(default_factory=dict)

    def own(self, member: Member) -> frozenset[str]:
        """Return the files that belong to a VM."""
        tops = (chain[-1] for chain in member.present)
        return frozenset((*self._by_folder.get(member.home, ()), *tops))

    @cached_property
    def _by_folder(self) -> Mapping[str, set[str]]:
        found: dict[str, set[str]] = {}
        for files in (
            *(one.files for one in self.members.values()),
            *(one.chain for one in self.loose.values()),
        ):
            for file in files:
                found.setdefault(folder_of(file), set()).add(file)
        return found

    def is_linked(self, member: Member) -> bool:
        own = self.own(member)
        return any(file not in own for chain in member.present for file in chain)

    def hanging(
        self, things: Collection[str], apart_from: Collection[str], *, loose: bool
    ) -> frozenset[str]:
        """Return the names of what reads one of these files, but for these VMs.

        Args:
            things: The files.
            apart_from: Names of VMs that do not count.
            loose: Whether files that no VM reads count.
        """
        wanted = set(things)
        found = {
            name
            for name, member in self.members.items()
            if name not in apart_from and not wanted.isdisjoint(member.files)
        }
        if loose:
            found |= {
                name
                for name, one in self.loose.items()
                if not one.leftover and not wanted.isdisjoint(one.chain[:-1])
            }
        return frozenset(found)

    def below(self, names: Iterable[str]) -> frozenset[str]:
        """Return the VMs that depend on these, directly or through others."""
        seen = set(names)
        left = list(seen)
        while left:
            member = self.members[left.pop()]
            for user in self.hanging(self.own(member), seen, loose=False):
                seen.add(user)
                left.append(user)
        return frozenset(seen) - frozenset(names)

    def lost(self, names: Collection[str]) -> frozenset[str]:
        """Return what would go with these VMs though it is none of theirs."""
        going = [self.members[name] for name in names]
        own = {file for member in going for file in self.own(member)}
        held = {file for one in self.loose.values() if one.held for file in one.chain}
        others = {
            file for name, one in self.members.items() if name not in names for file in one.files
        }
        read = {file for member in going for file in member.files}
        return frozenset(read - own - held - others)

    def families(self, *, loose: bool) -> list[tuple[frozenset[str], frozenset[str]]]:
        """Return which VMs and loose files read common files: names, and the files they read."""
        groups: list[tuple[set[str], set[str]]] = []
        readers = [(name, set(one.files)) for name, one in self.members.items()]
        if loose:
            readers += [(name, set(one.chain)) for name, one in self.loose.items()]
        for name, files in readers:
            names, together = {name}, set(files)
            apart = []
            for group in groups:
                if together.isdisjoint(group[1]):
                    apart.append(group)
                else:
                    names |= group[0]
                    together |= group[1]
            groups = [*apart, (names, together)]
        return [(frozenset(names), frozenset(files)) for names, files in groups]

    def missing(self) -> dict[str, frozenset[str]]:
        """Return the files that are not there, by the VM that would read them."""
        gone = {
            name: frozenset(file for file in member.files if file not in self.files)
            for name, member in self.members.items()
        }
        return {name: files for name, files in gone.items() if files}

    def is_whole(self, loose: Loose) -> bool:
        return all(file in self.files for file in loose.chain)
