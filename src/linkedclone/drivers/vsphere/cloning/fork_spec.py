"""Builds the request of an instant clone. Pure: a step in, an InstantCloneSpec out.

What is sent is no more than what the API takes [fact: vs-instant-location]: never a host, a
disk or a move type. Every card is disconnected at birth, whether the source runs or is
frozen: two forks of one frozen VM are twins as well.
"""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from urllib.parse import quote

from pyVmomi import vim

from linkedclone.drivers.vsphere.cloning.network_cards import build_card_edit, choose_new_cards
from linkedclone.drivers.vsphere.inventory.device_shape import Shape
from linkedclone.drivers.vsphere.inventory.marks import write_mark
from linkedclone.drivers.vsphere.native import Native
from linkedclone.drivers.vsphere.property.resource_pools import pool_of
from linkedclone.model.guest import GuestCard
from linkedclone.model.plan import CreateClone

READY = "guestinfo.linkedclone.ready"
"""What a guest sets when the script in it waits to be forked [fact: vs-guestinfo-set]."""

_WANTED = "guestinfo.linkedclone.fork"
"""Who the guest of a fork is to be: words ``name=value``, parted by spaces."""

TAKEN = "guestinfo.linkedclone.identity"
"""What the guest of a fork sets when it is that, or cannot become it."""


def fork_id(step: CreateClone) -> str:
    """Return what a guest has to answer with: no fork of another run has the same."""
    return f"{step.uuid}.{step.mark.run}"


def build_fork_spec(step: CreateClone, shape: Shape, seed: str) -> Native:
    """Return the InstantCloneSpec of a step; its mark is one of a clone that is not good yet.

    ``seed`` is random, so that the forks of one VM draw other random numbers.
    """
    target = step.target
    wanted = f"{render_identity(step)} seed={seed}"
    options = {**write_mark(step.born), _WANTED: wanted, READY: "", TAKEN: ""}
    return vim.vm.InstantCloneSpec(
        name=step.name,
        location=vim.vm.RelocateSpec(
            folder=vim.Folder(target.folder, None) if target.folder else None,
            datastore=vim.Datastore(target.datastore, None),
            pool=pool_of(target.pool),
            deviceChange=[
                build_card_edit(card, connect=_parted(card.old.connectable))
                for card in choose_new_cards(step, shape)
                if card.old is not None
            ],
        ),
        config=[vim.option.OptionValue(key=key, value=value) for key, value in options.items()],
    )


def _parted(had: Native) -> Native:
    return vim.vm.device.VirtualDevice.ConnectInfo(
        migrateConnect="disconnect",
        startConnected=had.startConnected if had is not None else True,
        allowGuestControl=had.allowGuestControl if had is not None else True,
        connected=False,
    )


def render_identity(step: CreateClone) -> str:
    """Return who a guest is to be, for the script in it. No value holds a space."""
    guest = step.guest
    secret = sha256(fork_id(step).encode()).hexdigest()
    words = {
        "id": fork_id(step),
        "name": quote(step.name, safe=""),
        "host_name": guest.host_name if guest else step.name,
        "domain": guest.customization.domain if guest else "",
        "machine_id": secret[:32],
        "instance_id": fork_id(step),
    }
    cards = (
        card
        for number, one in enumerate(guest.cards if guest else ())
        for card in _tell(number, one)
    )
    return " ".join(f"{name}={value}" for name, value in (*words.items(), *cards) if value)


def _tell(number: int, card: GuestCard) -> Iterator[tuple[str, str]]:
    yield f"dhcp{number}", "yes" if card.dhcp else "no"
    parts = {
        "addresses": card.addresses,
        "gateways": card.gateways,
        "dns": card.dns,
        "search": card.search,
    }
    for name, values in parts.items():
        yield f"{name}{number}", ",".join(values)


def build_connection(step: CreateClone, uuid: str, cards: Sequence[Native]) -> Native:
    """Return the change that ends a fork's birth: its cards are connected, its mark is good.

    What its guest was told is removed: the seed has to stay secret.

    Args:
        step: What was wanted.
        uuid: The UUID that the server gave it: no request for an instant clone holds one.
        cards: Those of its cards that are to be connected, as they were read.
    """
    mark = {"linkedclone.uuid": uuid, "linkedclone.spec": step.mark.spec, _WANTED: ""}
    return vim.vm.ConfigSpec(
        annotation=step.annotation,
        deviceChange=[_connect(card) for card in cards],
        extraConfig=[vim.option.OptionValue(key=key, value=value) for key, value in mark.items()],
    )


def _connect(card: Native) -> Native:
    had = card.connectable
    card.connectable = vim.vm.device.VirtualDevice.ConnectInfo(
        startConnected=had.startConnected, allowGuestControl=had.allowGuestControl, connected=True
    )
    return vim.vm.device.VirtualDeviceSpec(operation="edit", device=card)
