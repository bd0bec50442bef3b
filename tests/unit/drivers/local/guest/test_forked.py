"""Who a fork is to be, and what becomes of the addresses of its cards."""

from dataclasses import replace
from pathlib import Path

import pytest

from linkedclone.drivers.local.guest.forked import plan_identity
from linkedclone.drivers.local.guest.seed import name_guest
from linkedclone.drivers.local.state.folder import open_state
from linkedclone.drivers.local.state.record import DiskRecord, VmRecord
from linkedclone.drivers.local.state.store import StoredVm
from linkedclone.drivers.qemu.hardware import MachineRecord
from linkedclone.drivers.qemu.networks import CardRecord
from linkedclone.guest.fork_identity import ForkIdentity
from linkedclone.guest.host_key import HostKey
from linkedclone.model.customization import Customization, GuestOs
from linkedclone.model.guest import GuestCard
from linkedclone.model.values.ids import VmId

OLD, NEW = "52:54:00:00:00:01", "02:00:00:00:00:02"


def build_vm(name: str, card: CardRecord, *, seed: str = "seed.iso") -> StoredVm:
    machine = MachineRecord(cpus=1, memory_bytes=1 << 27, cards=(card,), seed=seed, user="root")
    record = VmRecord(
        name=name, uuid="0", disks=(DiskRecord(label="", file="disk"),), machine=machine
    )
    return StoredVm(id=VmId(name), folder=Path(name), record=record)


def plan(
    folder: Path, before: CardRecord, after: CardRecord, card: GuestCard, *, seed: str = "seed.iso"
) -> ForkIdentity:
    guest = replace(name_guest("web", "i-1"), cards=(card,))
    wanted = Customization(os=GuestOs.CLOUD_INIT, domain="example.org", dns=("192.0.2.1",))
    return plan_identity(
        open_state(folder, immutable=False),
        build_vm("parent", before, seed=seed),
        (OLD,),
        build_vm("web", after),
        replace(guest, customization=wanted),
        HostKey(private="", public=""),
    )


@pytest.mark.parametrize(
    ("before", "after", "renew"),
    [
        (CardRecord(mac=OLD), CardRecord(mac=NEW), False),
        (CardRecord(mac=OLD), CardRecord(mac=NEW, network="closed"), False),
        (CardRecord(mac=OLD, address="10.0.0.2/24"), CardRecord(mac=NEW), True),
        (CardRecord(mac=OLD), CardRecord(mac=NEW, address="10.0.0.3/24"), True),
        (CardRecord(mac=OLD, network="isolated"), CardRecord(mac=NEW), True),
        (CardRecord(mac=OLD), CardRecord(mac=NEW, network="bridge:br0"), True),
        (CardRecord(mac="52:54:00:00:00:99"), CardRecord(mac=NEW), True),
    ],
)
def test_an_address_is_kept_only_where_every_guest_has_the_same(
    tmp_path: Path, before: CardRecord, after: CardRecord, *, renew: bool
) -> None:
    (card,) = plan(tmp_path, before, after, GuestCard()).cards
    assert (card.old_mac, card.mac, card.renew) == (OLD, NEW, renew)


def test_the_name_servers_of_all_cards_are_those_of_one_that_has_none(tmp_path: Path) -> None:
    old, new = CardRecord(mac=OLD), CardRecord(mac=NEW)
    identity = plan(tmp_path, old, new, GuestCard(search=("lab",)))
    assert identity.cards[0].wanted == GuestCard(dns=("192.0.2.1",), search=("lab",))
    assert identity.full_name == "web.example.org"


def test_only_a_guest_without_a_seed_is_told_who_may_log_in(tmp_path: Path) -> None:
    old, new = CardRecord(mac=OLD), CardRecord(mac=NEW)
    assert plan(tmp_path, old, new, GuestCard()).login_key == ""
    found = plan(tmp_path, old, new, GuestCard(), seed="")
    assert found.login == "root"
    assert found.login_key.startswith("ssh-ed25519 ")


def test_no_two_forks_are_made_from_the_same_bytes(tmp_path: Path) -> None:
    old, new = CardRecord(mac=OLD), CardRecord(mac=NEW)
    first, second = (plan(tmp_path, old, new, GuestCard()) for _ in range(2))
    assert first.machine_id != second.machine_id
    assert first.seed != second.seed
