"""Hardware that the snapshot has no place for, or that contradicts itself."""

from dataclasses import replace
from typing import Any

import pytest
from pyVmomi import vim

from linkedclone.drivers.vsphere.cloning.clone_spec import build_clone_spec, check_clone_spec
from linkedclone.drivers.vsphere.cloning.preview import render
from linkedclone.drivers.vsphere.inventory.device_shape import Shape, build_shape, needs_devices
from linkedclone.errors import InputError, LinkedCloneError, NotFoundError, RefusedError
from linkedclone.model.request import Hardware, Network, NewDisk, Nic, Target
from tests.unit.drivers.vsphere.build import TARGET, card, disk, step

DISK = NewDisk(capacity_bytes=1 << 30)


def scsi(key: int = 1000, own: int | None = 7) -> Any:
    return vim.vm.device.ParaVirtualSCSIController(key=key, busNumber=0, scsiCtlrUnitNumber=own)


def nvme(key: int = 31000) -> Any:
    return vim.vm.device.VirtualNVMEController(key=key, busNumber=0)


def on(controller: int, unit: int) -> Any:
    return disk("[ssd1] g/g.vmdk", key=2000 + unit, controllerKey=controller, unitNumber=unit)


def places(count: int, *devices: Any) -> list[tuple[int, int]]:
    """Return where so many new disks go."""
    shape = build_shape(devices, whole=True)
    spec = build_clone_spec(step(hardware=Hardware(disks=(DISK,) * count)), shape, None)
    return [
        (change.device.controllerKey, change.device.unitNumber)
        for change in spec.config.deviceChange
    ]


def test_new_disks_leave_out_the_controllers_own_unit() -> None:
    units = [unit for _, unit in places(10, scsi(), on(1000, 0))]
    assert units == [1, 2, 3, 4, 5, 6, 8, 9, 10, 11]


def test_a_controller_that_does_not_tell_its_own_unit_has_the_usual_one() -> None:
    assert 7 not in [unit for _, unit in places(15, scsi(own=None))]


def test_the_next_controller_takes_what_the_first_has_no_room_for() -> None:
    full = [on(1000, unit) for unit in range(16) if unit not in {3, 7}]
    assert places(3, scsi(), nvme(), *full) == [(1000, 3), (31000, 0), (31000, 1)]


def test_no_two_new_devices_have_one_key() -> None:
    hardware = Hardware(disks=(DISK, DISK), nics=(Nic(action="add", network="LAN"),) * 2)
    wanted = step(hardware=hardware, target=with_network())
    spec = build_clone_spec(wanted, build_shape([scsi()], whole=True), None)
    keys = [change.device.key for change in spec.config.deviceChange]
    assert len(keys) == 4
    assert len(set(keys)) == 4
    assert all(key < 0 for key in keys)


def with_network() -> Target:
    return replace(TARGET, networks=(Network(wanted="LAN", id="network-7", name="LAN"),))


REFUSED: dict[str, tuple[dict[str, Any], list[Any], type[LinkedCloneError], str]] = {
    "no controller for a new disk": (
        {"hardware": Hardware(disks=(DISK,))},
        [vim.vm.device.VirtualIDEController(key=200, busNumber=0)],
        RefusedError,
        "room for 0 further disks",
    ),
    "no slot left": (
        {"hardware": Hardware(disks=(DISK,) * 2)},
        [scsi(), *(on(1000, unit) for unit in range(16) if unit not in {5, 7})],
        RefusedError,
        "room for 1 further disk,",
    ),
    "no such card to remap": (
        {"hardware": Hardware(nics=(Nic(action="remap", index=1, network="LAN"),))},
        [card("assigned")],
        InputError,
        "no network card 1",
    ),
    "no such card to remove": (
        {"hardware": Hardware(nics=(Nic(action="remove", index=0),))},
        [scsi()],
        InputError,
        "no network card 0",
    ),
    "one card remapped and removed": (
        {
            "hardware": Hardware(
                nics=(Nic(action="remap", network="LAN"), Nic(action="remove", index=0))
            )
        },
        [card("assigned")],
        InputError,
        "changed twice",
    ),
    "a network that was not looked up": (
        {"hardware": Hardware(nics=(Nic(action="add", network="WAN"),))},
        [card("assigned")],
        NotFoundError,
        "no network 'WAN'",
    ),
    "more addresses than cards": (
        {"macs": ("00:50:56:00:00:01", "00:50:56:00:00:02")},
        [card("assigned")],
        InputError,
        "given 2 MAC addresses",
    ),
    "no TPM to keep": ({"hardware": Hardware(keep_tpm=True)}, [scsi()], InputError, "no virtual"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_snapshot_does_not_allow_is_refused_by_name(case: str) -> None:
    wanted, devices, error, words = REFUSED[case]
    with pytest.raises(error, match=words):
        check_clone_spec(
            step(target=with_network(), **wanted), build_shape(devices, whole=True), None
        )


@pytest.mark.parametrize(
    ("hardware", "cpus", "cores"),
    [
        (Hardware(cpus=2), 4, 4),
        (Hardware(cores_per_socket=3), 4, 1),
        (Hardware(cpus=6, cores_per_socket=4), 4, 2),
    ],
)
def test_cpus_have_to_fill_whole_sockets_also_with_what_the_snapshot_has(
    hardware: Hardware, cpus: int, cores: int
) -> None:
    with pytest.raises(InputError, match="sockets of"):
        check_clone_spec(step(hardware=hardware), Shape(cpus=cpus, cores_per_socket=cores), None)


@pytest.mark.parametrize(
    ("keep", "knows", "policy"),
    [(False, True, "replace"), (True, True, "copy"), (False, False, None), (True, False, None)],
)
def test_what_becomes_of_a_tpm_is_said_only_to_servers_that_know(
    keep: bool, knows: bool, policy: str | None
) -> None:
    shape = build_shape([vim.vm.device.VirtualTPM(key=11000)])
    spec = build_clone_spec(step(hardware=Hardware(keep_tpm=keep)), shape, None, knows_tpm=knows)
    assert spec.tpmProvisionPolicy == policy


def test_without_a_tpm_nothing_is_said_of_one() -> None:
    assert "tpmProvisionPolicy" not in render(build_clone_spec(step(), Shape(), None))


def test_given_addresses_go_to_the_cards_that_stay_and_to_new_ones() -> None:
    nics = (Nic(action="remove", index=0), Nic(action="add", network="LAN"))
    macs = ("00:50:56:00:00:01", "00:50:56:00:00:02")
    wanted = step(hardware=Hardware(nics=nics), macs=macs, target=with_network())
    shape = build_shape([card("assigned", key=4000), card("generated", key=4001)], whole=True)
    changes = build_clone_spec(wanted, shape, None).config.deviceChange
    assert [(c.operation, c.device.key, c.device.macAddress) for c in changes] == [
        ("remove", 4000, None),
        ("edit", 4001, macs[0]),
        ("add", -200, macs[1]),
    ]
    assert [c.device.addressType for c in changes[1:]] == ["manual", "manual"]


@pytest.mark.parametrize(
    ("wanted", "needed"),
    [
        ({}, False),
        ({"hardware": Hardware(cpus=2, memory_bytes=1 << 30, keep_tpm=True)}, False),
        ({"hardware": Hardware(disks=(DISK,))}, True),
        ({"hardware": Hardware(nics=(Nic(action="remove"),))}, True),
        ({"hardware": Hardware(disk_bytes=1 << 30)}, True),
        ({"macs": ("00:50:56:00:00:01",)}, True),
    ],
)
def test_devices_are_read_only_for_what_changes_them(wanted: dict[str, Any], needed: bool) -> None:
    assert needs_devices(step(**wanted)) is needed
