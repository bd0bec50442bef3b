"""What guests in memory make of their customization, and what of it can be seen from outside."""

from dataclasses import dataclass, replace

from linkedclone.drivers.rules.network_cards import fill_macs
from linkedclone.errors import InputError
from linkedclone.model.guest import Guest, GuestCard
from linkedclone.model.plan import CreateClone
from linkedclone.model.vm import CustomizationStatus, Power, Vm


@dataclass(slots=True, kw_only=True)
class Inside:
    """The inside of a VM whose guest gets an identity; it has it once it runs."""

    wanted: Guest | None  # who it is to be; None where only a stored specification knows
    status: CustomizationStatus = CustomizationStatus.PENDING
    text: str = ""

    def fail(self, text: str) -> None:
        """End without success."""
        self.status, self.text = CustomizationStatus.FAILED, text

    def succeed(self) -> None:
        """End well."""
        self.status = CustomizationStatus.SUCCEEDED


def show_inside(vm: Vm, inside: Inside | None) -> Vm:
    """Add to a VM what its guest tells: who it is once it has become so, and while it runs."""
    if inside is None:
        return vm
    vm = replace(vm, customization=inside.status, customization_error=inside.text)
    if vm.power is not Power.ON:
        return vm
    if inside.status is not CustomizationStatus.SUCCEEDED:
        return replace(vm, tools_running=True)
    if inside.wanted is None:
        return replace(vm, tools_running=True, host_name=vm.name)
    fixed = (address for card in inside.wanted.cards for address in card.addresses)
    return replace(
        vm,
        tools_running=True,
        host_name=inside.wanted.host_name,
        addresses=tuple(address.partition("/")[0] for address in fixed),
    )


def refuse_card_mismatch(step: CreateClone) -> None:
    """Refuse settings for another number of cards than there are, as vSphere does."""
    fill_macs(step.name, step.macs, len(step.source.macs))
    wanted = len(step.guest.cards) if step.guest else 0
    there = len(step.source.macs)
    if wanted not in {0, there}:
        raise InputError(
            f"{step.name} has network cards: {there}, and the customization has settings for "
            f"{wanted}",
            hint="give addresses for each card, in the order of the hardware, or for none",
        )


def render_guest(guest: Guest | None) -> dict[str, object] | None:
    """Return a guest as plain data; of its passwords only how many there are."""
    if guest is None:
        return None
    wanted = guest.customization
    return {
        "os": wanted.os.value if wanted.os else None,
        "host_name": guest.host_name,
        "domain": wanted.domain,
        "time_zone": wanted.time_zone,
        "instance_id": guest.instance_id,
        "cards": [_render_card(card) for card in guest.cards],
        "passwords": len(guest.secrets),
    }


def _render_card(card: GuestCard) -> dict[str, object]:
    return {
        "dhcp": card.dhcp,
        "dhcp6": card.dhcp6,
        "addresses": list(card.addresses),
        "gateways": list(card.gateways),
        "dns": list(card.dns),
        "search": list(card.search),
    }
