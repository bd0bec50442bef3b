"""From who a guest is to be to what a clone request says of it. Pure.

A specification is made anew, or is a copy of a stored one that what the guest
says is laid over. Nothing that is made here is shared between clones, and no
object of the stored one is ever changed.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Final

from pyVmomi import vim

from linkedclone.drivers.vsphere.guest.ip_settings import (
    build_card_settings,
    build_global_settings,
    check_card_count,
    has_dns,
    overlay_dns,
)
from linkedclone.drivers.vsphere.guest.linux_prep import (
    build_cloudinit_prep,
    build_linux_prep,
    overlay_cloudinit_prep,
    overlay_linux_prep,
)
from linkedclone.drivers.vsphere.guest.sysprep import (
    build_sysprep,
    overlay_options,
    overlay_sysprep,
)
from linkedclone.drivers.vsphere.inventory.device_shape import Shape, list_cards, slot_of
from linkedclone.drivers.vsphere.native import Native, build_data, kind_of
from linkedclone.errors import InputError, UnsupportedError
from linkedclone.guest.guestinfo import PREFIX, build_guestinfo, build_removal
from linkedclone.guest.host_names import find_fault, leaves_names
from linkedclone.model.customization import (
    CloudInit,
    Customization,
    GuestOs,
    LinuxGuest,
    WindowsGuest,
)
from linkedclone.model.guest import Guest
from linkedclone.model.plan import CreateClone

_KINDS: Final[Mapping[str, GuestOs]] = {
    "CustomizationLinuxPrep": GuestOs.LINUX,
    "CustomizationSysprep": GuestOs.WINDOWS,
    "CustomizationCloudinitPrep": GuestOs.CLOUD_INIT,
}
"""The identities that can be overlaid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Customizing:
    """What a clone request says of the guest."""

    specification: Native = None  # the native Specification; None for none
    # extraConfig entries; an empty value removes a key.
    settings: Mapping[str, str] = field(default_factory=dict)
    # Whether what the parent has of a vApp goes, which cloud-init could take for its source instead
    # [fact: ci-vapp].
    removes_vapp: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    guest: Guest
    stored: Native
    # The PCI slot of each card that the clone will have; None for unknown.
    slots: tuple[int | None, ...]
    macs: tuple[str, ...]  # the MAC addresses of the first cards, as far as they are given
    version: tuple[int, ...]  # the API version of the server; empty where unknown

    @property
    def names(self) -> tuple[str, ...]:
        """What Linux calls the cards [fact: ci-card-names]."""
        return tuple(f"ens{slot}" if slot is not None else "" for slot in self.slots)


def build_customizing(
    step: CreateClone, shape: Shape, stored: Native, version: tuple[int, ...] = ()
) -> Customizing:
    """Return what the request of a step says of the guest; ``stored`` is never changed."""
    guest, cards = step.guest, list_cards(step, shape)
    told = f"the stored specification {step.target.customization_spec!r}"
    entries = len(stored.nicSettingMap or ()) if stored is not None else 0
    if guest is None:
        if shape.devices:
            check_card_count(step.name, entries, len(cards), told)
        return Customizing(specification=stored)
    if guest.cards:
        check_card_count(step.name, len(guest.cards), len(cards), "the customization")
    else:
        check_card_count(step.name, entries, len(cards), told)
    case = _Case(
        guest=guest,
        stored=stored,
        slots=tuple(map(slot_of, cards)),
        macs=step.macs,
        version=version,
    )
    if _goes_by_guestinfo(case):
        settings = build_guestinfo(guest, step.macs, names=case.names)
        _refuse_twice(step)
        return Customizing(settings=settings, removes_vapp=True)
    given = dict(step.hardware.extra_config)
    removal = {key: value for key, value in build_removal().items() if key not in given}
    return Customizing(specification=_build_specification(case), settings=removal)


def _goes_by_guestinfo(case: _Case) -> bool:
    """Say whether the VM's settings hold the documents; stored ones never do."""
    wanted = case.guest.customization
    by_settings = wanted.cloud_init.transport == "guestinfo"
    return wanted.os is GuestOs.CLOUD_INIT and by_settings and case.stored is None


def _refuse_twice(step: CreateClone) -> None:
    twice = [key for key, _ in step.hardware.extra_config if key in build_removal()]
    if twice:
        raise InputError(
            f"{', '.join(twice)} would be given twice: as a setting and by the customization",
            hint=f"leave out ``hardware.extra_config`` {PREFIX}…, or the customization",
        )


def _build_specification(case: _Case) -> Native:
    if case.stored is not None:
        return _overlay(case, deepcopy(case.stored))
    os = case.guest.customization.os
    if os is None:
        raise InputError(
            "the customization does not say what system the guest has",
            hint="give it os: linux, windows or cloud-init, or the name of a stored specification",
        )
    kinds = vim.vm.customization
    if os is GuestOs.CLOUD_INIT:
        return build_data(
            kinds.Specification,
            identity=build_cloudinit_prep(case.guest, case.version, case.names, macs=case.macs),
            globalIPSettings=build_data(kinds.GlobalIPSettings),
        )
    name = _build_name(case.guest)
    if os is GuestOs.WINDOWS:
        identity = build_sysprep(case.guest, case.version, name=name)
        options = overlay_options(None, case.guest)
    else:
        identity = build_linux_prep(case.guest, case.version, name=name)
        options = build_data(kinds.LinuxOptions)
    return build_data(
        kinds.Specification,
        identity=identity,
        options=options,
        globalIPSettings=build_global_settings(case.guest),
        nicSettingMap=_build_cards(case, os),
    )


def _build_cards(case: _Case, os: GuestOs | None) -> list[Native]:
    return build_card_settings(case.guest, case.slots, os=os, version=case.version)


def _build_name(guest: Guest) -> Native:
    windows = guest.customization.os is GuestOs.WINDOWS
    fault = find_fault(guest.host_name, windows=windows)
    if fault:
        raise InputError(
            f"the host name {guest.host_name!r} {fault}",
            hint="choose another name, or another host_name in the customization",
        )
    return build_data(vim.vm.customization.FixedName, name=guest.host_name)


def _overlay(case: _Case, found: Native) -> Native:
    guest, identity = case.guest, found.identity
    os = _KINDS.get(kind_of(identity))
    _check_overlay(guest.customization, os, kind_of(identity))
    named = replace(guest, customization=replace(guest.customization, os=os))
    match os:
        case GuestOs.LINUX:
            overlay_linux_prep(identity, guest, case.version)
            if not leaves_names(guest.customization):
                identity.hostName = _build_name(named)
        case GuestOs.WINDOWS:
            overlay_sysprep(identity, guest, case.version)
            found.options = overlay_options(found.options, guest)
            if not leaves_names(guest.customization):
                identity.userData.computerName = _build_name(named)
        case GuestOs.CLOUD_INIT:
            overlay_cloudinit_prep(identity, guest, case.version, case.names, macs=case.macs)
            return found
        case None:
            pass
    found.globalIPSettings = build_global_settings(guest, found.globalIPSettings)
    _overlay_cards(case, found, os)
    return found


def _overlay_cards(case: _Case, found: Native, os: GuestOs | None) -> None:
    """Put in what the cards get; Windows' DNS is part of them, whether or not they are named."""
    entries, guest = found.nicSettingMap, case.guest
    if guest.cards or (os is GuestOs.WINDOWS and has_dns(guest) and not entries):
        found.nicSettingMap = _build_cards(case, os)
    elif os is GuestOs.WINDOWS:
        overlay_dns(entries or (), guest)


def _check_overlay(wanted: Customization, os: GuestOs | None, kind: str) -> None:
    told = f"the stored specification {wanted.stored!r}"
    if wanted.os is not None and os is not None and wanted.os is not os:
        raise InputError(
            f"{told} is for {os.value}, and the customization says {wanted.os.value}",
            hint="leave os out, or name another specification",
        )
    plain = replace(wanted, os=None, stored="", dns=(), search=(), addresses=())
    if os is None and plain != Customization():
        raise UnsupportedError(
            f"of {told} only addresses and DNS can be overridden",
            details=f"its identity is a {kind}",
            hint="state everything in the file, without stored",
            kind="NotSupported",
        )
    parts = {
        GuestOs.LINUX: wanted.linux == LinuxGuest(),
        GuestOs.WINDOWS: wanted.windows == WindowsGuest(),
        GuestOs.CLOUD_INIT: wanted.cloud_init == CloudInit(),
    }
    foreign = [part.value for part, empty in parts.items() if not empty and part is not os]
    if foreign:
        raise InputError(
            f"{told} is for {os.value if os else kind}: {', '.join(foreign)} means nothing to it",
            hint="leave that part out, or name another specification",
        )
