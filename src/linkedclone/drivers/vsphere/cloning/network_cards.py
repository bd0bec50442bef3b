"""Network cards of a clone: other networks, other addresses, more or fewer of them. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pyVmomi import vim

from linkedclone.drivers.rules.network_cards import choose_cards, fill_macs
from linkedclone.drivers.vsphere.inventory.device_shape import Shape, is_card, is_manual
from linkedclone.drivers.vsphere.native import Native
from linkedclone.errors import NotFoundError
from linkedclone.model.plan import CreateClone
from linkedclone.model.request import Network, Nic


@dataclass(frozen=True, slots=True, kw_only=True)
class CardChanges:
    """The device changes of a clone's cards, by their position in the request."""

    # Edits of a card's network; in ``location`` nothing else of a card counts.
    location: tuple[Native, ...] = ()
    config: tuple[Native, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A card that a clone is to have."""

    old: Native  # the snapshot's card; None for a new one
    network: Network | None  # the network that it is put on; None leaves it
    mac: str = ""  # the address that it is given; empty for none


def build_card_changes(step: CreateClone, shape: Shape) -> CardChanges:
    """Return the changes that give a clone the cards that are wanted.

    A card's network is edited in ``location``; its address is hardware and
    is in ``config``, as are new cards and those that go
    [fact: vs-card-edits]. Where both change, both edits say the same of the
    card, so it does not matter which the server takes first.

    An address that was set by hand would be copied, so it is renewed
    [fact: vs-fresh-mac].
    """
    cards, final = _list_cards(shape), choose_new_cards(step, shape)
    removed = sorted(nic.index for nic in step.hardware.nics if nic.action == "remove")
    return CardChanges(
        location=tuple(_change("edit", _build_card(card)) for card in final if _moves(card)),
        config=(
            *(_change("remove", _copy_key(cards[index])) for index in removed),
            *(_change("edit", _build_card(card)) for card in final if _renews(card)),
            *build_new_cards(final),
        ),
    )


def _list_cards(shape: Shape) -> list[Native]:
    return [device for device in shape.devices if is_card(device)] or list(shape.manual_cards)


def choose_new_cards(step: CreateClone, shape: Shape) -> list[Card]:
    """Return the cards that a clone is to have; refuse what the snapshot's cards do not allow."""
    known = {network.wanted: network for network in step.target.networks}
    kept = [
        (old, _find(nic, known) if nic else None)
        for old, nic in choose_cards(_list_cards(shape), step.hardware.nics)
    ]
    macs = fill_macs(step.name, step.macs, len(kept))
    return [
        Card(old=old, network=network, mac=mac)
        for (old, network), mac in zip(kept, macs, strict=True)
    ]


def _find(nic: Nic, known: Mapping[str, Network]) -> Network:
    found = known.get(nic.network)
    if found is None:
        raise NotFoundError(f"there is no network {nic.network!r}")
    return found


def _moves(card: Card) -> bool:
    return card.old is not None and card.network is not None


def _renews(card: Card) -> bool:
    return card.old is not None and bool(card.mac or is_manual(card.old))


def build_card_edit(card: Card, *, connect: Native) -> Native:
    """Return the edit of a card that is there, with its connection."""
    return _change("edit", _build_card(card, connect=connect))


def _build_card(card: Card, *, connect: Native = None) -> Native:
    """Return a card of the snapshot as it is to be; fields that are not set stay as they are."""
    old = card.old
    return type(old)(
        key=old.key,
        controllerKey=old.controllerKey,
        unitNumber=old.unitNumber,
        backing=old.backing if card.network is None else build_backing(card.network),
        connectable=connect or old.connectable,
        wakeOnLanEnabled=old.wakeOnLanEnabled,
        **_build_address(card),
    )


def _build_address(card: Card) -> dict[str, str]:
    if card.mac:
        return {"addressType": "manual", "macAddress": card.mac}
    if card.old is None or is_manual(card.old):
        return {"addressType": "assigned"}
    return {"addressType": card.old.addressType}


def build_new_cards(final: Sequence[Card]) -> Iterator[Native]:
    """Yield the changes that add the cards which the snapshot does not have."""
    new = [card for card in final if card.old is None]
    for number, card in enumerate(new):
        device = vim.vm.device.VirtualVmxnet3(
            key=-(_FIRST_KEY + number),
            backing=build_backing(card.network),
            connectable=vim.vm.device.VirtualDevice.ConnectInfo(
                startConnected=True, allowGuestControl=True, connected=True
            ),
            wakeOnLanEnabled=True,
            **_build_address(card),
        )
        yield _change("add", device)


_FIRST_KEY = 200
"""New devices have negative keys, which only have to differ from each other."""


def build_backing(network: Network | None) -> Native:
    """Return what connects a card to a network: of a host, or of a distributed switch."""
    if network is None:
        return None
    if network.portgroup_key:
        port = vim.dvs.PortConnection(
            switchUuid=network.switch_uuid, portgroupKey=network.portgroup_key
        )
        return vim.vm.device.VirtualEthernetCard.DistributedVirtualPortBackingInfo(port=port)
    return vim.vm.device.VirtualEthernetCard.NetworkBackingInfo(
        deviceName=network.name, network=vim.Network(network.id, None)
    )


def _copy_key(card: Native) -> Native:
    return type(card)(key=card.key, controllerKey=card.controllerKey, unitNumber=card.unitNumber)


def _change(operation: str, device: Native) -> Native:
    return vim.vm.device.VirtualDeviceSpec(operation=operation, device=device)
