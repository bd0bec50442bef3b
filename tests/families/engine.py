"""Acts on a random family, each judged by the oracle: what was refused, and what was not."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from linkedclone.errors import (
    InUseError,
    LinkedCloneError,
    NoSnapshotError,
    NotFoundError,
    NotOursError,
    RefusedError,
)
from linkedclone.model.garbage import WasteKind
from linkedclone.model.report import ActionReport, Status
from linkedclone.model.request import CloneRequest, Deletion, Scan, SnapshotChoice
from linkedclone.model.vm import Power
from tests.families.look import Chain, Look, Member
from tests.families.world import Change, World

ACTS = (
    "rest",
    *["clone"] * 6,
    *["clone from a snapshot"] * 3,
    "clone from a new snapshot",
    "clone from a new snapshot",
    "snapshot",
    "snapshot",
    "snapshot",
    "revert",
    "delete a snapshot",
    "delete a snapshot",
    "delete",
    "delete several",
    "delete a leaf",
    "delete a leaf",
    "cascade",
    "keep the base",
    "promote",
    "adopt",
    "power",
    "collect waste",
    "look around",
    *["stranger"] * 4,
)
"""The first is what a failing story shrinks to."""

GONE_KINDS = ((), (WasteKind.FILE, WasteKind.VM), (WasteKind.SNAPSHOT,), tuple(WasteKind)[:3])
_Item = TypeVar("_Item")


class Dice:
    """Many small choices out of one large number."""

    def __init__(self, number: int) -> None:
        self._left = number

    def roll(self, sides: int) -> int:
        self._left, rolled = divmod(self._left, sides)
        return rolled

    def flip(self) -> bool:
        return bool(self.roll(2))

    def pick(self, items: Sequence[_Item]) -> _Item:
        return items[self.roll(len(items))]


@dataclass
class Tally:
    """What a story came to, to see that it was one."""

    acts: int = 0
    made: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    done: dict[str, int] = field(default_factory=dict)


class Family:
    """A family in the making."""

    def __init__(self, world: World, *, most: int = 10_000, look_around_every: int = 1) -> None:
        self.world = world
        self.most = most
        self.look_around_every = look_around_every
        self.tally = Tally()
        self.before = world.look()
        self._change = Change()

    # -- one act ----------------------------------------------------------------------

    def act(self, kind: str, number: int) -> None:
        """Do one thing, and check everything after it."""
        self.tally.acts += 1
        if not self.before.members or kind == "rest":
            return
        self._change = Change()
        acts: dict[str, Callable[[Dice], None]] = {
            "clone": lambda dice: self._clone(dice, "current"),
            "clone from a snapshot": lambda dice: self._clone(dice, "named"),
            "clone from a new snapshot": lambda dice: self._clone(dice, "new"),
            "snapshot": self._snapshot,
            "revert": self._revert,
            "delete a snapshot": self._delete_snapshot,
            "delete": lambda dice: self._delete(dice, [self._member(dice)]),
            "delete several": self._delete_several,
            "delete a leaf": self._delete_leaf,
            "cascade": lambda dice: self._delete(dice, [self._member(dice)], cascade=True),
            "keep the base": self._keep_base,
            "promote": self._promote,
            "adopt": self._adopt,
            "power": self._power,
            "collect waste": self._collect,
            "look around": lambda _: self.look_around(),
            "stranger": self._stranger,
        }
        acts[kind](Dice(number))
        if self.tally.acts % self.look_around_every == 0:
            self.look_around()

    def _member(self, dice: Dice) -> Member:
        return self.before.members[dice.pick(sorted(self.before.members))]

    def _tell(self, kind: str, refusal: LinkedCloneError | None) -> None:
        counts = self.tally.refused if refusal else self.tally.done
        counts[kind] = counts.get(kind, 0) + 1

    def _settle(
        self, *, going: Collection[str] = (), new: Collection[str] = (), scanned: bool = False
    ) -> Look:
        """Look again: nobody went but those, nobody came but those, all are readable."""
        self.world.note(self._change)
        before, after = self.before, self.world.look()
        assert set(after.members) == (set(before.members) - set(going)) | set(new)
        for name in set(before.members) & set(after.members):
            assert after.members[name].id == before.members[name].id
        assert after.missing() == {}
        assert set(after.files) == _used(after), "a file that nothing reads was left behind"
        if scanned or self.world.powers.sees_loose:
            for loose in before.loose.values():
                if before.is_whole(loose) and not loose.leftover:
                    assert after.is_whole(loose), f"{loose.name} cannot be read any more"
        self.before = after
        return after

    def _allowed(
        self, kind: str, error: LinkedCloneError | None, report: ActionReport | None, why: "Reasons"
    ) -> bool:
        """Check that a refusal has a reason, and that what has one was refused."""
        self._tell(kind, error)
        if error is None:
            assert why.none, f"{kind} was allowed in spite of {why}"
            assert report is not None
            wrong = [r for r in report.results if r.status is not Status.DONE]
            assert not wrong, wrong
            return True
        why.check(error)
        return False

    # -- making -----------------------------------------------------------------------

    def _clone(self, dice: Dice, choice: str) -> None:
        parent = self._member(dice)
        useful = [one for one in self.before.members.values() if one.current]
        if useful and choice != "new" and dice.roll(8):
            parent = dice.pick(_by_name(useful))
        count = min(1 + dice.roll(8), self.most - len(self.before.members))
        if count < 1:
            return
        names = tuple(f"c{self.tally.made + number:04}" for number in range(1, count + 1))
        snapshot = SnapshotChoice()
        wanted = parent.current
        if choice == "named" and parent.snapshots:
            wanted = dice.pick(sorted(parent.snapshots))
            snapshot = SnapshotChoice(kind="named", name=wanted)
        elif choice == "new":
            wanted = None
            snapshot = SnapshotChoice(kind="new", name=f"for-{names[0]}")
        request = CloneRequest(
            parent=parent.name,
            names=names,
            snapshot=snapshot,
            power_on=self.world.powers.runs and dice.roll(8) == 7,
        )
        try:
            report = self.world.connection.clone(request)
        except (NoSnapshotError, NotFoundError) as error:
            assert choice != "new"
            assert wanted is None
            self._tell("clone", error)
            self._settle()
            return
        assert report.failed == ()
        assert all(one.linked for one in report.clones)
        self._tell("clone", None)
        self.tally.made += count
        now = self.world.look().members[parent.name]
        taken = wanted or now.current
        assert taken is not None
        frozen = {taken: parent.name} if choice == "new" else {}
        self._change = Change(clones=dict.fromkeys(names, (parent.name, taken)), frozen=frozen)
        after = self._settle(new=names)
        for name in names:
            below = {chain[-2] for chain in after.members[name].present if len(chain) > 1}
            assert below <= {chain[-1] for chain in now.snapshots[taken]}

    def _snapshot(self, dice: Dice) -> None:
        member = self._member(dice)
        report = self.world.connection.snapshots.create(member.name, f"s{self.tally.acts}")
        assert [result.status for result in report.results] == [Status.DONE]
        self._tell("snapshot", None)
        now = self.world.look().members[member.name]
        (made,) = set(now.snapshots) - set(member.snapshots)
        self._change = Change(frozen={made: member.name})
        after = self._settle().members[member.name]
        assert after.current == made
        assert after.snapshots[made] == member.present

    # -- taking away ------------------------------------------------------------------

    def _delete_several(self, dice: Dice) -> None:
        names = sorted(self.before.members)
        wanted = dict.fromkeys(dice.pick(names) for _ in range(2 + dice.roll(3)))
        self._delete(dice, [self.before.members[name] for name in wanted], cascade=dice.flip())

    def _delete_leaf(self, dice: Dice) -> None:
        leaves = [name for name in sorted(self.before.members) if not self.before.below([name])]
        if leaves:
            self._delete(dice, [self.before.members[dice.pick(leaves)]])

    def _keep_base(self, dice: Dice) -> None:
        if not self.world.powers.unregisters:
            self._delete_leaf(dice)
            return
        members = _by_name(self.before.members.values())
        owned = {file for one in members for file in self._own(one)}
        orphaned = sorted({file for one in members for file in one.files} - owned)
        wanted = {one.name: one for one in (dice.pick(members), dice.pick(members))}
        if orphaned:
            base = dice.pick(orphaned)
            users = [one for one in members if base in one.files]
            start = dice.roll(len(users))
            wanted = {one.name: one for one in (*users[start:], *users[:start])}
            if len(wanted) > 1 and dice.roll(4) == 0:
                wanted.popitem()
        self._delete(dice, list(wanted.values()), cascade=dice.flip(), keep=True)

    def _own(self, member: Member) -> frozenset[str]:
        return self.before.own(member)

    def _delete(
        self, dice: Dice, named: Sequence[Member], *, cascade: bool = False, keep: bool = False
    ) -> None:
        force, scan = dice.roll(4) > 0, self._scan(dice)
        names = [member.name for member in named]
        below = self.before.below(names) if cascade else frozenset()
        going = [self.before.members[name] for name in (*names, *sorted(below))]
        gone = [member.name for member in going]
        lost = self.before.lost(gone)
        loose = scan is not None or self.world.powers.sees_loose
        why = Reasons(foreign=_has_foreign(going) and not force)
        for member in going:
            why.used |= self.before.hanging(self._own(member), gone, loose=loose)
        if lost and not keep:
            why.used |= self.before.hanging(lost, gone, loose=loose)
            why.other = not force
        foretold = self._foretell(named, cascade=cascade, scan=scan)
        how = Deletion(force=force, cascade=cascade, keep_base=keep)
        error, report = _try(lambda: self.world.connection.vms.delete(names, how, scan=scan))
        if not self._allowed("keep the base" if keep else "delete", error, report, why):
            self._settle(scanned=loose)
            return
        before = self.before
        if keep:
            there = self.world.look().files
            left = tuple(m for m in going if all(chain[-1] in there for chain in m.present))
            assert bool(left) == bool(lost), "of the last users of a base some are unregistered"
            assert all(file in there for one in left for file in one.files)
            self._change = Change(forgotten=left)
        after = self._settle(going=gone, scanned=loose)
        if keep:
            assert lost <= set(after.files)
        elif foretold is not None and len(names) == 1 and self.world.powers.measures:
            assert _freed(before, after) == foretold

    def _foretell(self, named: Sequence[Member], *, cascade: bool, scan: Scan | None) -> int | None:
        """Return what ``usage`` says that deleting a VM frees."""
        (member, *_) = named
        usage = self.world.connection.lineage.usage(member.name, scan=scan)
        (family,) = usage.families
        (found,) = [one for one in family.vms if one.vm.name == member.name]
        return found.frees_with_clones_bytes if cascade else found.frees_bytes

    def _scan(self, dice: Dice) -> Scan | None:
        return Scan() if dice.flip() else None

    def _with_snapshot(
        self, dice: Dice, things: Callable[[Member], Collection[str]]
    ) -> tuple[Member, str] | None:
        """Pick a snapshot, half of the time of a VM where something depends on such files."""
        found = [one for one in self.before.members.values() if one.snapshots]
        if not found:
            return None
        needed = [o for o in found if self.before.hanging(things(o), [o.name], loose=True)]
        member = dice.pick(_by_name(needed if needed and dice.flip() else found))
        return member, dice.pick(sorted(member.snapshots))

    def _delete_snapshot(self, dice: Dice) -> None:
        force, scan = dice.roll(4) > 0, self._scan(dice)
        found = self._with_snapshot(dice, self._own)
        if found is None:
            return
        member, snapshot = found
        loose = scan is not None or self.world.powers.sees_loose
        tops = {chain[-1] for chain in member.snapshots[snapshot]}
        why = Reasons(
            foreign=_has_foreign([member]) and not force,
            used=self.before.hanging(tops, [member.name], loose=loose),
        )
        error, report = _try(
            lambda: self.world.connection.snapshots.delete(
                member.name, snapshot, force=force, scan=scan
            )
        )
        done = self._allowed("delete a snapshot", error, report, why)
        after = self._settle(scanned=loose).members[member.name]
        assert set(after.snapshots) == set(member.snapshots) - ({snapshot} if done else set())

    def _revert(self, dice: Dice) -> None:
        force = dice.roll(4) > 0
        found = self._with_snapshot(dice, lambda member: member.present_only)
        if found is None:
            return
        member, snapshot = found
        why = Reasons(
            foreign=_has_foreign([member]) and not force,
            used=self.before.hanging(
                member.present_only, [member.name], loose=self.world.powers.sees_loose
            ),
        )
        error, report = _try(
            lambda: self.world.connection.snapshots.revert(member.name, snapshot, force=force)
        )
        done = self._allowed("revert", error, report, why)
        if done:
            self._change = Change(reverted={member.name: snapshot})
        after = self._settle().members[member.name]
        if done:
            assert after.current == snapshot
            assert not after.running
            frozen = {chain[-1] for chain in after.snapshots[snapshot]}
            assert frozen & {chain[-2] for chain in after.present if len(chain) > 1}

    # -- changing ---------------------------------------------------------------------

    def _promote(self, dice: Dice) -> None:
        if not self.world.powers.promotes:
            return
        force = dice.roll(4) > 0
        names = sorted(self.before.members)
        wanted = dict.fromkeys(dice.pick(names) for _ in range(1 + dice.roll(2)))
        members = [self.before.members[name] for name in wanted]
        linked = [member for member in members if self.before.is_linked(member)]
        loose = self.world.powers.sees_loose
        why = Reasons(
            foreign=_has_foreign(members) and not force,
            other=any(member.running and member.snapshots for member in linked),
        )
        for member in linked:
            why.used |= self.before.hanging(self._own(member), [member.name], loose=loose)
        error, report = _try(lambda: self.world.connection.disks.promote(list(wanted), force=force))
        unable = [m for m in linked if m.snapshots and not self.world.powers.promotes_snapshots]
        if error is None and unable:
            assert why.none
            self._settle()
            return
        done = self._allowed("promote", error, report, why)
        after = self._settle()
        for member in linked if done else ():
            now = after.members[member.name]
            assert not after.is_linked(now)
            assert set(now.snapshots) == set(member.snapshots)

    def _adopt(self, dice: Dice) -> None:
        names = sorted(self.before.members)
        wanted = dict.fromkeys(dice.pick(names) for _ in range(1 + dice.roll(4)))
        members = [self.before.members[name] for name in wanted]
        full = [
            m for m in members if not m.ours and not self.before.is_linked(m) and not m.snapshots
        ]
        error, report = _try(lambda: self.world.connection.vms.adopt(list(wanted)))
        done = self._allowed("adopt", error, report, Reasons(other=bool(full)))
        after = self._settle()
        if done:
            assert all(after.members[name].ours for name in wanted)

    def _power(self, dice: Dice) -> None:
        if not self.world.powers.runs:
            return
        member, on = self._member(dice), dice.flip()
        power = Power.ON if on else Power.OFF
        report = self.world.connection.vms.set_power([member.name], power, force=True)
        assert all(result.status is Status.DONE for result in report.results)
        self._tell("power", None)
        assert self._settle().members[member.name].running is on

    def _collect(self, dice: Dice) -> None:
        kinds = dice.pick(GONE_KINDS)
        report = self.world.connection.lineage.collect_waste(kinds, scan=Scan())
        found = {waste.name for waste in report.found if waste.kind is WasteKind.FILE}
        assert found == set(self.before.loose)
        assert all(result.status is Status.DONE for _, result in report.results)
        self._tell("collect waste", None)
        after = self._settle(scanned=True)
        if WasteKind.FILE in kinds:
            assert all(self._is_somebodys(name, after) for name in after.loose)

    @staticmethod
    def _is_somebodys(name: str, after: Look) -> bool:
        """Say whether a loose file is somebody's, or somebody's depends on it."""
        somebodys = [one for one in after.loose.values() if not one.leftover]
        return any(name in one.chain for one in somebodys)

    def _stranger(self, dice: Dice) -> None:
        act, member = dice.pick(self.world.strangers), self._member(dice)
        frozen = [one for one in self.before.members.values() if one.snapshots]
        if frozen and dice.flip():
            member = dice.pick(_by_name(frozen))
        before = set(self.before.members)
        self._change = self.world.act_as_stranger(act, member, self.tally.acts)
        now = set(self.world.look().members)
        self._tell(act, None)
        self._settle(going=before - now, new=now - before)

    # -- looking ----------------------------------------------------------------------

    def look_around(self) -> None:
        """Check what tree and usage say; they never fail, whatever there is."""
        connection, now = self.world.connection, self.before
        for scan in (None, Scan()):
            loose = scan is not None or self.world.powers.sees_loose
            drawn: list[str] = []
            left = list(connection.lineage.tree(scan=scan))
            while left:
                node = left.pop()
                drawn += [node.vm.name] if node.vm else []
                left.extend(node.children)
            assert sorted(drawn) == sorted(set(drawn))
            assert {n for n, one in now.members.items() if self._is_related(one)} <= set(drawn)
            self._check_usage(scan, loose=loose)

    def _is_related(self, member: Member) -> bool:
        hanging = self.before.hanging(self._own(member), [member.name], loose=False)
        return bool(member.snapshots or hanging or self.before.is_linked(member))

    def _check_usage(self, scan: Scan | None, *, loose: bool) -> None:
        now, usage = self.before, self.world.connection.lineage.usage(scan=scan)
        usage.document()
        told = {
            frozenset(one.vm.name for one in family.vms): (family.used_bytes, family.full_bytes)
            for family in usage.families
        }
        size = now.files
        real = {}
        for names, files in now.families(loose=loose):
            vms = [now.members[name] for name in names if name in now.members]
            if vms and (len(names) > 1 or any(now.is_linked(one) for one in vms)):
                full = sum(size[file] for one in vms for file in one.files)
                real[frozenset(one.name for one in vms)] = (
                    sum(size.get(f, 0) for f in files),
                    full,
                )
        if self.world.powers.measures:
            assert told == real
        else:
            assert set(told) == set(real)


@dataclass
class Reasons:
    """Why the oracle would refuse.

    Attributes:
        used: The names of what needs it.
        foreign: Whether something is not ours, and nothing is forced.
        other: Whether there is another good reason.
    """

    used: frozenset[str] = frozenset()
    foreign: bool = False
    other: bool = False

    @property
    def none(self) -> bool:
        return not (self.used or self.foreign or self.other)

    def check(self, error: LinkedCloneError) -> None:
        """Check that a refusal is for one of these reasons, and names only what is real."""
        match error:
            case InUseError():
                names = {name.partition(" (")[0] for name in error.dependants}
                assert names, "a refusal names what is in the way"
                assert names <= self.used, f"{names - self.used} need nothing of it"
            case NotOursError():
                assert self.foreign
            case RefusedError():
                assert self.other, error
            case _:
                raise error


def _freed(before: Look, after: Look) -> int:
    """Return what is gone, but for leftovers: those may be cleared away at any time."""
    left = {name for name, one in before.loose.items() if one.leftover}
    gone = set(before.files) - set(after.files) - left
    return sum(before.files[file] for file in gone)


def _by_name(members: Iterable[Member]) -> list[Member]:
    return sorted(members, key=lambda one: one.name)


def _has_foreign(members: Iterable[Member]) -> bool:
    return any(not member.ours for member in members)


def _used(look: Look) -> set[str]:
    chains: list[Chain] = [chain for one in look.members.values() for chain in one.chains]
    return {file for chain in chains for file in chain} | set(look.loose)


def _try(
    act: Callable[[], ActionReport],
) -> tuple[LinkedCloneError | None, ActionReport | None]:
    try:
        return None, act()
    except LinkedCloneError as error:
        return error, None
