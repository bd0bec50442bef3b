"""What a frozen machine comes to in the request that makes a clone at a lone ESXi host."""

from typing import Any

from pyVmomi import vim

from linkedclone.drivers.vsphere.lone_host.create_spec import (
    build_create_spec,
    check_create_spec,
    freeze,
)
from linkedclone.model.plan import CreateClone
from tests.unit.drivers.vsphere.build import card, disk, step

FOLDER = "[ssd1] desk-001"
SCSI = vim.vm.device.ParaVirtualSCSIController(
    key=1000, busNumber=0, sharedBus="noSharing", scsiCtlrUnitNumber=7, device=[2000]
)


def config(*devices: Any, **more: Any) -> Any:
    """The configuration of a machine with one disk, and more devices."""
    first = disk("[ssd1] golden/golden.vmdk", controllerKey=1000, unitNumber=0)
    hardware = vim.vm.VirtualHardware(
        numCPU=2, numCoresPerSocket=1, memoryMB=1024, device=[SCSI, first, *devices]
    )
    return vim.vm.ConfigInfo(
        version="vmx-19", guestId="debian11_64Guest", hardware=hardware, **more
    )


def request_of(config: Any, wanted: CreateClone | None = None) -> Any:
    """The request that makes a clone."""
    wanted, frozen = wanted or step(), freeze(config)
    check_create_spec(wanted, frozen)
    return build_create_spec(wanted, frozen, FOLDER, {})


def test_a_disk_is_an_empty_child_of_its_frozen_file_in_the_folder_of_the_clone() -> None:
    spec = request_of(config(card("assigned")))
    assert spec.files.vmPathName == f"{FOLDER}/desk-001.vmx"
    controller, added, network = spec.deviceChange
    assert (controller.device.key, added.device.controllerKey) == (1000, 1000)
    assert (added.fileOperation, added.device.capacityInKB) == ("create", 0)
    backing = added.device.backing
    assert (backing.fileName, backing.diskMode) == (f"{FOLDER}/desk-001.vmdk", "persistent")
    assert backing.parent.fileName == "[ssd1] golden/golden.vmdk"
    assert (network.device.addressType, network.device.macAddress) == ("generated", None)


def test_a_clone_is_ours_from_birth() -> None:
    spec = request_of(config(uuid="4c4c4544-0000-1000-8000-000000000000"))
    assert spec.uuid == spec.instanceUuid == step().uuid
    assert {"linkedclone.uuid": step().uuid}.items() <= {
        one.key: one.value for one in spec.extraConfig
    }.items()
