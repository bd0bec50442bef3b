"""What moves, and what is refused because the link would be torn."""

from dataclasses import replace

import pytest

from linkedclone.errors import (
    InUseError,
    LinkedCloneError,
    NoSpaceError,
    NotOursError,
    RefusedError,
)
from linkedclone.lineage.proof import prove_kept
from linkedclone.model.inventory import Inventory, LayerFile, Store
from linkedclone.model.plan import Plan, RelocateVm
from linkedclone.model.request import Target
from linkedclone.model.values.ids import FolderId, StoreId, VmId
from linkedclone.model.vm import Vm
from linkedclone.planning.vms.relocate import plan_relocate
from tests.unit.building import STORE, disk, layer, unreadable
from tests.unit.planning.scene import GOLD, GRANDCHILD, MIDDLE, ONE, TWO, seen

OTHER = Target(folder=FolderId(""), folder_path="", datastore="datastore-2", datastore_name="ssd2")
SAME = replace(OTHER, datastore=STORE)
HOST = replace(OTHER, datastore="", host="host-1", pool="pool-1")


def plan(
    *vms: Vm,
    target: Target = OTHER,
    inventory: Inventory | None = None,
    force: bool = False,
    despite_unreadable: bool = False,
) -> Plan:
    return plan_relocate(
        vms,
        {vm.id: target for vm in vms},
        inventory or seen(GOLD, ONE, TWO),
        moves_disks=bool(target.datastore),
        force=force,
        despite_unreadable=despite_unreadable,
    )


def moves(made: Plan) -> list[tuple[str, bool]]:
    return [(s.vm_name, s.moves_disks) for s in made.steps if isinstance(s, RelocateVm)]


def test_clones_move_to_another_datastore_in_one_stage() -> None:
    assert moves(plan(ONE, TWO)) == [("one", True), ("two", True)]


def test_a_vm_that_is_already_at_the_destination_stays() -> None:
    made = plan(ONE, target=SAME)
    assert made.empty
    assert made.existing == (ONE,)


def test_a_datastore_where_it_is_and_another_host_moves_no_disk() -> None:
    assert moves(plan(ONE, target=replace(SAME, host="host-1"))) == [("one", False)]


def test_a_vm_with_snapshots_and_clones_may_change_its_host() -> None:
    inventory = seen(GOLD, MIDDLE, GRANDCHILD)
    assert moves(plan(MIDDLE, target=HOST, inventory=inventory)) == [("one", False)]


HIDDEN = replace(ONE, disks=(disk("one/one.vmdk", hidden=True),))

REFUSED: dict[str, tuple[Vm, Inventory, type[LinkedCloneError]]] = {
    "is not ours": (GOLD, seen(GOLD), NotOursError),
    "has a native chain": (HIDDEN, seen(GOLD, HIDDEN), RefusedError),
    "has snapshots of its own": (MIDDLE, seen(GOLD, MIDDLE), RefusedError),
    "is depended on": (MIDDLE, seen(GOLD, MIDDLE, GRANDCHILD), InUseError),
    "is a template": (
        replace(ONE, template=True),
        seen(GOLD, replace(ONE, template=True)),
        RefusedError,
    ),
    "cannot be read": (ONE, seen(GOLD, unreadable(ONE)), RefusedError),
}


@pytest.mark.parametrize("why", REFUSED)
def test_moves_that_are_refused(why: str) -> None:
    vm, inventory, error = REFUSED[why]
    with pytest.raises(error):
        plan(vm, inventory=inventory)


def test_e_a_move_goes_past_what_cannot_be_read_once_that_is_allowed() -> None:
    plain = replace(MIDDLE, snapshots=())
    lost = unreadable(ONE)
    with pytest.raises(RefusedError, match="cannot be read") as caught:
        plan(lost, inventory=seen(GOLD, lost))
    assert "``despite_unreadable``" in caught.value.hint
    assert plan(lost, inventory=seen(GOLD, lost), despite_unreadable=True).steps
    foreign = replace(plain, mark=None)
    beside = seen(GOLD, foreign, unreadable(TWO))
    with pytest.raises(RefusedError, match="may depend on it"):
        plan(foreign, inventory=beside, force=True)
    assert plan(foreign, inventory=beside, force=True, despite_unreadable=True).steps


def test_dependent_clones_are_named() -> None:
    with pytest.raises(InUseError) as caught:
        plan(MIDDLE, inventory=seen(GOLD, MIDDLE, GRANDCHILD))
    assert caught.value.dependants == ("grandchild",)


@pytest.mark.parametrize(("free", "fits"), [(7, False), (8, True), (None, True)])
def test_room_is_counted_for_all_together(free: int | None, fits: bool) -> None:
    inventory = replace(
        seen(GOLD, ONE, TWO),
        files={vm.disks[0].top: LayerFile(used_bytes=4) for vm in (ONE, TWO)},
        stores=(Store(id=StoreId("datastore-2"), name="ssd2", free_bytes=free),),
    )
    if fits:
        assert len(plan(ONE, TWO, inventory=inventory).steps) == 2
    else:
        with pytest.raises(NoSpaceError, match="ssd2"):
            plan(ONE, TWO, inventory=inventory)


def test_force_applies_only_to_foreign_vms() -> None:
    foreign = replace(ONE, mark=None)
    assert plan(foreign, inventory=seen(GOLD, foreign), force=True).steps
    with pytest.raises(RefusedError):
        plan(GOLD, inventory=seen(GOLD), force=True)


# -- the proof afterwards -------------------------------------------------------------


def moved(vm: Vm, *below: str) -> Vm:
    """The VM with its disk on another datastore, over these files."""
    (present,) = vm.disks
    chain = (*map(layer, below), layer(present.top.path, "datastore-2"))
    return replace(vm, disks=(replace(present, chain=chain),))


def test_the_same_files_below_prove_the_link() -> None:
    assert prove_kept(ONE, moved(ONE, "gold/gold.vmdk")).linked is True


@pytest.mark.parametrize(
    "after",
    [
        moved(ONE),
        moved(ONE, "one/copy-of-gold.vmdk"),
        moved(ONE, "gold/gold.vmdk", "gold/more.vmdk"),
        replace(ONE, disks=()),
    ],
)
def test_anything_else_does_not(after: Vm) -> None:
    proof = prove_kept(ONE, after)
    assert proof.linked is False
    assert proof.reason


def test_a_hidden_chain_proves_nothing() -> None:
    hidden = replace(
        ONE, disks=(replace(ONE.disks[0], chain=ONE.disks[0].chain[-1:], hidden=True),)
    )
    assert prove_kept(ONE, hidden).linked is None


def test_a_full_vm_has_to_stay_full() -> None:
    alone = Vm(id=VmId("vm-a"), name="a", uuid="u", disks=(disk("a/a.vmdk"),))
    assert prove_kept(alone, alone).linked is True
    assert prove_kept(alone, moved(alone, "gold/gold.vmdk")).linked is False
