"""Instant clones without a connection: what may be forked, what is sent, what is read back."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from pyVmomi import vim

from linkedclone.drivers.vsphere.cloning.fork_source import build_source, find_obstacles
from linkedclone.drivers.vsphere.cloning.fork_spec import (
    READY,
    TAKEN,
    build_fork_spec,
    fork_id,
    render_identity,
)
from linkedclone.drivers.vsphere.cloning.forks import _find_faults, _Fork
from linkedclone.drivers.vsphere.cloning.preview import render
from linkedclone.drivers.vsphere.inventory.device_shape import build_shape
from linkedclone.drivers.vsphere.native import Native
from linkedclone.drivers.vsphere.property.collector import Seen
from linkedclone.model.customization import Customization
from linkedclone.model.guest import Guest, GuestCard
from linkedclone.model.jobs import Job
from linkedclone.model.plan import CreateClone
from linkedclone.model.values.ids import JobId
from linkedclone.model.vm import LEFT_FAILED
from tests.unit.drivers.vsphere.build import card, disk, step

DEVICE = vim.vm.device


def forked(**changes: Any) -> CreateClone:
    made = step(**changes)
    return replace(made, instant=True, mark=replace(made.mark, run="r1", spec="good", instant=True))


def options(spec: Native) -> dict[str, str]:
    return {option.key: option.value for option in spec.config}


# -- what is sent -----------------------------------------------------------------------


def test_a_fork_asks_for_a_place_and_cards_that_are_disconnected_and_for_nothing_else() -> None:
    spec = build_fork_spec(
        forked(),
        build_shape([disk("[ssd1] g/g.vmdk"), card("assigned")], whole=True),
        "5",
    )
    location = render(spec)["location"]
    assert set(location) == {"folder", "datastore", "pool", "deviceChange"}
    (change,) = location["deviceChange"]
    assert change["operation"] == "edit"
    connection = change["device"]["connectable"]
    assert connection["migrateConnect"] == "disconnect"
    assert connection["startConnected"] is True


def test_a_fork_bears_a_mark_that_is_not_good_yet_and_inherits_no_answer() -> None:
    made = forked()
    told = options(build_fork_spec(made, build_shape([], whole=True), "5eed"))
    assert told["linkedclone.spec"] == LEFT_FAILED
    assert told["linkedclone.uuid"] == made.uuid
    assert told["linkedclone.instant"] == "yes"
    assert told[READY] == told[TAKEN] == ""
    assert told["guestinfo.linkedclone.fork"].endswith(" seed=5eed")


def test_a_guest_is_told_names_and_addresses_word_by_word() -> None:
    cards = (
        GuestCard(),
        GuestCard(
            dhcp=False,
            addresses=("10.0.0.5/24", "fd00::5/64"),
            gateways=("10.0.0.1",),
            dns=("10.0.0.2", "10.0.0.3"),
            search=("lab.example",),
        ),
    )
    wanted = Customization(domain="lab.example")
    guest = Guest(customization=wanted, host_name="web-1", instance_id="i", cards=cards)
    made = forked(name="web 1", guest=guest)
    words = dict(word.split("=") for word in render_identity(made).split(" "))
    own = fork_id(made)
    assert len(words.pop("machine_id")) == 32
    assert words == {
        "id": own,
        "name": "web%201",
        "host_name": "web-1",
        "domain": "lab.example",
        "instance_id": own,
        "dhcp0": "yes",
        "dhcp1": "no",
        "addresses1": "10.0.0.5/24,fd00::5/64",
        "gateways1": "10.0.0.1",
        "dns1": "10.0.0.2,10.0.0.3",
        "search1": "lab.example",
    }


def test_the_same_name_in_another_run_is_another_fork() -> None:
    one = forked()
    other = replace(one, mark=replace(one.mark, run="r2"))
    assert fork_id(one) != fork_id(other)


# -- what may be forked -----------------------------------------------------------------


def source(*devices: Native, **more: object) -> Seen:
    values = {
        "config.hardware.device": [disk("[ssd1] g/g.vmdk"), told_card(4000), *devices],
        "config.template": False,
        "runtime.powerState": "poweredOn",
        f'config.extraConfig["{READY}"]': vim.option.OptionValue(key=READY, value="1"),
        **{name.replace("__", "."): value for name, value in more.items()},
    }
    return Seen(kind="VirtualMachine", id="vm-1", values=values)


def told_card(key: int, mac: str = "00:50:56:01:02:03", *, connected: bool = True) -> Native:
    one = card("assigned", mac, key)
    one.connectable = DEVICE.VirtualDevice.ConnectInfo(
        connected=connected, startConnected=True, allowGuestControl=True
    )
    return one


def obstacles(seen: Seen) -> list[str]:
    return [error.brief for error in find_obstacles("golden", build_source(seen))]


def named(device: Native, label: str) -> Native:
    device.deviceInfo = vim.Description(label=label, summary="")
    return device


SERIAL = DEVICE.VirtualSerialPort
UNTOLD = "the server does not say whether it is connected"
RAW = DEVICE.VirtualDisk.RawDiskMappingVer1BackingInfo


@pytest.mark.parametrize(
    ("device", "reason"),
    [
        (SERIAL(key=9000, backing=SERIAL.URIBackingInfo()), "it is not backed by a file"),
        (
            DEVICE.VirtualParallelPort(
                key=10000, backing=DEVICE.VirtualParallelPort.DeviceBackingInfo()
            ),
            "it is not backed by a file",
        ),
        (DEVICE.VirtualPCIPassthrough(key=13000), "it is a device of the host"),
        (DEVICE.VirtualUSB(key=7000), "it is a device of the host"),
        (
            DEVICE.ParaVirtualSCSIController(key=1000, sharedBus="physicalSharing"),
            "its bus is shared",
        ),
        (
            DEVICE.VirtualDisk(
                key=2001,
                backing=RAW(fileName="[ssd1] g/r.vmdk", compatibilityMode="physicalMode"),
            ),
            "it is a raw device in physical mode",
        ),
        (
            DEVICE.VirtualDisk(
                key=2001,
                backing=DEVICE.VirtualDisk.FlatVer2BackingInfo(
                    fileName="[ssd1] g/i.vmdk", diskMode="independent_persistent"
                ),
            ),
            "it is independent",
        ),
        (
            DEVICE.VirtualVmxnet3(key=4001, addressType="manual"),
            "its MAC address was set by hand, so that all clones would have it",
        ),
        (card("assigned"), f"{UNTOLD}, or its MAC address"),
        (told_card(4001, ""), f"{UNTOLD}, or its MAC address"),
    ],
)
def test_a_device_that_cannot_be_forked_is_named(device: Native, reason: str) -> None:
    assert obstacles(source(named(device, "It"))) == [f"It of golden cannot be forked: {reason}"]


def test_a_port_in_a_file_and_a_bus_of_its_own_are_no_obstacles() -> None:
    port = SERIAL(key=9000, backing=SERIAL.FileBackingInfo(fileName="[ssd1] g/s.txt"))
    bus = DEVICE.ParaVirtualSCSIController(key=1000, sharedBus="noSharing")
    assert obstacles(source(port, bus)) == []


@pytest.mark.parametrize(
    ("change", "brief"),
    [
        ({"runtime__powerState": "suspended"}, "golden is suspended, and an instant"),
        ({"runtime__powerState": "poweredOff"}, "golden is off, and an instant"),
        ({"config__template": True}, "golden is a template, and an instant"),
        (
            {f'config.extraConfig["{READY}"]': vim.option.OptionValue(key=READY, value="")},
            "no script in the guest of golden waits",
        ),
        ({f'config.extraConfig["{READY}"]': None}, "no script in the guest of golden waits"),
    ],
)
def test_what_does_not_run_or_wait_is_not_forked(change: dict[str, object], brief: str) -> None:
    (found,) = obstacles(source(**change))
    assert found.startswith(brief)


# -- what is read back ------------------------------------------------------------------


def read_back(
    made: CreateClone,
    *,
    connected: bool = False,
    linked: bool = True,
    cards: Sequence[Native] | None = None,
    **more: object,
) -> list[str]:
    store = vim.Datastore(made.target.datastore, None)
    backing = DEVICE.VirtualDisk.FlatVer2BackingInfo(
        fileName="[ssd1] w/w.vmdk",
        datastore=store,
        parent=DEVICE.VirtualDisk.FlatVer2BackingInfo(fileName="[ssd1] g/g.vmdk")
        if linked
        else None,
    )
    own = [told_card(4000, "00:50:56:00:00:02", connected=connected)]
    values = {
        "parent": vim.Folder(made.target.folder, None),
        "resourcePool": vim.ResourcePool(made.target.pool, None),
        "runtime.powerState": "poweredOn",
        "config.hardware.device": [
            DEVICE.VirtualDisk(key=2000, backing=backing),
            *(own if cards is None else cards),
        ],
        **more,
    }
    job = Job(id=JobId("task-1"), about=made.name, action="clone")
    fork = _Fork(job=job, step=made, cards=(4000,), macs=frozenset({"00:50:56:00:00:01"}))
    return list(_find_faults(fork, Seen(kind="VirtualMachine", id="vm-9", values=values)))


def test_a_fork_that_is_as_asked_for_has_no_fault() -> None:
    assert read_back(forked()) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"connected": True}, "its network cards were connected from the first moment"),
        ({"cards": []}, "it lacks a network card of its parent"),
        ({"cards": [card("assigned")]}, "does not say whether its network cards are connected"),
        ({"cards": [told_card(4000, "", connected=False)]}, "does not say whether its network"),
        ({"linked": False}, "its disks are not linked"),
        ({"parent": vim.Folder("group-v999", None)}, "it is in another folder than"),
        ({"resourcePool": vim.ResourcePool("resgroup-9", None)}, "another resource pool than"),
        ({"runtime.powerState": "poweredOff"}, "it does not run"),
    ],
)
def test_what_a_server_ignored_is_a_fault(change: dict[str, Any], fault: str) -> None:
    (found,) = read_back(forked(), **change)
    assert fault in found
