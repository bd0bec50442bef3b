"""The privileges that linked clones take, and those that only some options take.

[fact: vs-privileges]. docs/vsphere.md lists them all, held by a test.
"""

from collections.abc import Mapping
from typing import Final

REQUIRED: Final[Mapping[str, str]] = {
    "VirtualMachine.Provisioning.Clone": "clone a VM",
    "VirtualMachine.Provisioning.DeployTemplate": "clone a template",
    "VirtualMachine.Provisioning.Customize": "customize the guest",
    "VirtualMachine.Provisioning.ReadCustSpecs": "read stored customization specifications",
    "VirtualMachine.Inventory.CreateFromExisting": "put clones into the folder",
    "VirtualMachine.Inventory.Delete": "delete clones, and undo clones that failed half-way",
    "VirtualMachine.Config.CPUCount": "``hardware.cpus``",
    "VirtualMachine.Config.Memory": "``hardware.memory_bytes``",
    "VirtualMachine.Config.EditDevice": "fresh MAC addresses, other networks",
    "VirtualMachine.Config.AdvancedConfig": "the mark that names the owner of a clone",
    "VirtualMachine.Config.Annotation": "``annotation``",
    "VirtualMachine.Config.Settings": "the clone's own UUID",
    "VirtualMachine.Interact.PowerOn": "start clones",
    "VirtualMachine.Interact.PowerOff": "stop clones, and before they are deleted",
    "VirtualMachine.State.CreateSnapshot": "take the snapshot for clones",
    "VirtualMachine.State.RemoveSnapshot": "delete snapshots",
    "VirtualMachine.State.RevertToSnapshot": "revert to snapshots",
    "Resource.AssignVMToPool": "put clones into the resource pool",
    "Datastore.AllocateSpace": "write the deltas",
    "Network.Assign": "connect clones to networks",
}
"""What making, starting and deleting linked clones takes, and what for."""

BY_USE: Final[Mapping[str, tuple[str, ...]]] = {
    "``placement.create_folder``": ("Folder.Create",),
    "``snapshot.prepare_template``": (
        "VirtualMachine.Provisioning.MarkAsTemplate",
        "VirtualMachine.Provisioning.MarkAsVM",
    ),
    "``instant``": ("VirtualMachine.Interact.DeviceConnection",),
    "``hardware.disks``": ("VirtualMachine.Config.AddNewDisk",),
    "``hardware.nics.add`` and ``hardware.nics.remove``": (
        "VirtualMachine.Config.AddRemoveDevice",
    ),
    "``hardware.disk_bytes`` of full clones, grow": ("VirtualMachine.Config.DiskExtend",),
    "promote": ("VirtualMachine.Provisioning.PromoteDisks",),
    "delete ``keep_base``": ("VirtualMachine.Inventory.Unregister",),
    "gc and ``scan``": ("Datastore.Browse",),
    "gc, and to see the bases of stray files": ("Datastore.FileManagement",),
    "prepare ``disconnect_media``": ("VirtualMachine.Interact.SetCDMedia",),
    "rename": ("VirtualMachine.Config.Rename",),
    "relocate": ("Resource.ColdMigrate", "Resource.HotMigrate"),
    "console": ("VirtualMachine.Interact.ConsoleInteract",),
}
"""What only some uses take beside that."""


def every_privilege() -> tuple[str, ...]:
    """Return all of them, each once."""
    optional = (privilege for some in BY_USE.values() for privilege in some)
    return tuple(dict.fromkeys((*REQUIRED, *optional)))
