"""The hardware of a clone here: cards that stay, move, go and come; memory and firmware."""

from dataclasses import replace

import pytest

from linkedclone.drivers.qemu.hardware import (
    LEAST_UEFI_BYTES,
    MOST_CARDS,
    MOST_DISKS,
    MachineRecord,
    build_machine,
    check_disks,
    plan_networks,
)
from linkedclone.drivers.qemu.networks import CardRecord
from linkedclone.errors import InputError, LinkedCloneError
from linkedclone.model.request import Hardware, NewDisk, Nic
from linkedclone.model.values.ids import StoreId

STORE = StoreId("store")
PARENT = MachineRecord(
    cpus=2,
    memory_bytes=1 << 30,
    cards=(
        CardRecord(mac="02:00:00:00:00:01"),
        CardRecord(mac="02:00:00:00:00:02", network="private:lab", group="239.192.0.1:20000"),
    ),
    user="root",
)
PRESENT = ("user", "private:lab")


def remap(index: int, network: str) -> Nic:
    return Nic(action="remap", index=index, network=network)


def remove(index: int) -> Nic:
    return Nic(action="remove", index=index)


def add(network: str) -> Nic:
    return Nic(action="add", network=network)


@pytest.mark.parametrize(
    ("nics", "planned"),
    [
        ((), ("user", "private:lab")),
        ((remap(0, "isolated"),), ("isolated", "private:lab")),
        ((remove(0),), ("private:lab",)),
        ((remove(0), remove(1)), ()),
        ((add("user"), remove(1), remap(0, "bridge:br0")), ("bridge:br0", "user")),
        ((add("private:a"), add("private:b")), (*PRESENT, "private:a", "private:b")),
    ],
)
def test_cards_stay_in_order_and_new_ones_come_last(
    nics: tuple[Nic, ...], planned: tuple[str, ...]
) -> None:
    assert plan_networks(PRESENT, nics) == planned


@pytest.mark.parametrize(
    ("nics", "said"),
    [
        ((remap(2, "user"),), "no network card 2"),
        ((remove(7),), "no network card 7"),
        ((remove(-1),), "no network card -1"),
        ((remap(0, "user"), remove(0)), "changed twice"),
        ((remove(1), remove(1)), "changed twice"),
        ((add("nowhere"),), "no network 'nowhere'"),
        (tuple(add("user") for _ in range(MOST_CARDS - 1)), "cannot have 9 network cards"),
    ],
)
def test_changes_that_cannot_be_are_refused(nics: tuple[Nic, ...], said: str) -> None:
    with pytest.raises(LinkedCloneError, match=said):
        plan_networks(PRESENT, nics)


def test_a_clone_never_inherits_an_address() -> None:
    one = build_machine(PARENT, Hardware(), (), store=STORE)
    two = build_machine(PARENT, Hardware(), (), store=STORE)
    assert len({*PARENT.macs, *one.macs, *two.macs}) == 6


def test_given_addresses_go_to_the_first_cards() -> None:
    made = build_machine(PARENT, Hardware(), ("00:50:56:00:00:01",), store=STORE)
    assert made.macs[0] == "00:50:56:00:00:01"
    assert made.macs[1] not in PARENT.macs
    with pytest.raises(InputError, match="given 3 MAC addresses"):
        build_machine(PARENT, Hardware(), ("a", "b", "c"), store=STORE)


def test_only_a_private_network_has_a_group() -> None:
    made = build_machine(PARENT, Hardware(nics=(remap(0, "private:lab"),)), (), store=STORE)
    first, second = made.cards
    assert first.group == second.group != ""
    made = build_machine(PARENT, Hardware(nics=(remap(1, "isolated"),)), (), store=STORE)
    assert [card.group for card in made.cards] == ["", ""]


def test_unspecified_hardware_is_inherited_from_the_parent() -> None:
    made = build_machine(PARENT, Hardware(), (), store=STORE)
    assert replace(made, cards=PARENT.cards) == PARENT
    wanted = Hardware(cpus=4, memory_bytes=2 << 30, firmware="uefi", display=True)
    made = build_machine(PARENT, wanted, (), store=STORE)
    assert (made.cpus, made.memory_bytes, made.firmware) == (4, 2 << 30, "uefi")
    assert made.display
    again = build_machine(made, Hardware(firmware="bios"), (), store=STORE)
    assert (again.firmware, again.display) == ("bios", True)


def test_uefi_is_refused_the_memory_that_it_cannot_boot_with() -> None:
    little = Hardware(firmware="uefi", memory_bytes=LEAST_UEFI_BYTES - (1 << 20))
    with pytest.raises(InputError, match="UEFI does not boot with 255 MiB"):
        build_machine(PARENT, little, (), store=STORE)
    enough = replace(little, memory_bytes=LEAST_UEFI_BYTES)
    assert build_machine(PARENT, enough, (), store=STORE).firmware == "uefi"


def test_more_disks_than_fit_are_refused() -> None:
    disks = (NewDisk(capacity_bytes=1 << 30),) * (MOST_DISKS - 1)
    check_disks(1, Hardware(disks=disks))
    with pytest.raises(InputError, match=f"cannot have {MOST_DISKS + 1} disks"):
        check_disks(2, Hardware(disks=disks))


def test_a_disk_that_qcow2_cannot_hold_is_refused() -> None:
    check_disks(1, Hardware(disks=(NewDisk(capacity_bytes=64 << 40),)))
    with pytest.raises(InputError, match=r"cannot have 64\.0 TiB"):
        check_disks(1, Hardware(disks=(NewDisk(capacity_bytes=(64 << 40) + 1024),)))
