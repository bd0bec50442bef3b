"""The yardstick at a lone ESXi host: N linked clones with pyVmomi and nothing around it.

The same requests as ours: a directory, one CreateVM_Task whose disks hang from the
snapshot's files, a power-on; as many at once. No guard, no proof, no second run, no report.
Reads GOVC_URL and GOVC_TLS_CA_CERTS.

    python -m bench.bare_host_client PARENT SNAPSHOT NAME...
"""

import copy
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pyVmomi import vim

from bench.bare_client import POLL_SECONDS, THREADS, connect

CARRIED = (
    vim.vm.device.VirtualSCSIController,
    vim.vm.device.VirtualDisk,
    vim.vm.device.VirtualEthernetCard,
)


def build_spec(frozen: Any, directory: str, name: str) -> Any:  # noqa: ANN401 - pyVmomi has no types
    """Return the request for a clone: its controllers, disks and cards, and where it lies."""
    hardware, changes = frozen.hardware, []
    for number, device in enumerate(d for d in hardware.device if isinstance(d, CARRIED)):
        added: Any = copy.copy(device)
        change: Any = vim.vm.device.VirtualDeviceSpec(operation="add", device=added)
        if isinstance(device, vim.vm.device.VirtualDisk):
            backing = vim.vm.device.VirtualDisk.FlatVer2BackingInfo
            below = backing(fileName=added.backing.fileName, diskMode="persistent")
            file = f"{directory}/{name}-{number}.vmdk"
            added.backing = backing(fileName=file, diskMode="persistent", parent=below)
            added.capacityInKB, added.capacityInBytes = 0, None
            change.fileOperation = "create"
        elif isinstance(device, vim.vm.device.VirtualEthernetCard):
            added.macAddress, added.addressType = None, "generated"
        changes.append(change)
    return vim.vm.ConfigSpec(
        name=name,
        version=frozen.version,
        guestId=frozen.guestId,
        firmware=frozen.firmware,
        numCPUs=hardware.numCPU,
        memoryMB=hardware.memoryMB,
        files=vim.vm.FileInfo(vmPathName=f"{directory}/{name}.vmx"),
        deviceChange=changes,
    )


def wait_for(task: Any) -> Any:  # noqa: ANN401 - as above
    """Poll a task until it has succeeded; return its result."""
    while (state := task.info.state) != "success":
        if state == "error":
            sys.exit("a clone failed")
        time.sleep(POLL_SECONDS)
    return task.info.result


def main() -> None:
    """Read the arguments and go."""
    path, snapshot, *names = sys.argv[1:]
    service = connect()
    content = service.content
    parent = content.searchIndex.FindByInventoryPath(path)
    (root,) = (s for s in parent.snapshot.rootSnapshotList if s.name == snapshot)
    frozen, folder, pool = root.snapshot.config, parent.parent, parent.resourcePool
    store = f"[{parent.datastore[0].name}]"

    def clone(name: str) -> None:
        directory = f"{store} {name}"
        content.fileManager.MakeDirectory(directory, None, createParentDirectories=False)
        spec = build_spec(frozen, directory, name)
        made = wait_for(folder.CreateVM_Task(config=spec, pool=pool))
        wait_for(made.PowerOnVM_Task())

    try:
        with ThreadPoolExecutor(THREADS) as threads:
            list(threads.map(clone, names))
    finally:
        content.sessionManager.Logout()


if __name__ == "__main__":
    main()
