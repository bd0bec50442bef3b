"""What each fault of vSphere means to a person: one row for each [fact: vs-fault-kinds]. Data.

Texts are templates: ``{field}`` means a field of the fault, objects by
their names; text in ``[...]`` is left out where a field in it is unset.
"""

from dataclasses import dataclass
from typing import Final

from linkedclone.errors import (
    AuthenticationError,
    BusyError,
    CustomizationError,
    DuplicateNameError,
    GoneError,
    HypervisorError,
    LinkedCloneError,
    LockedError,
    NoSpaceError,
    NotFoundError,
    PermissionDeniedError,
    PowerOnError,
    SessionLostError,
    Transience,
    UnsupportedError,
)


@dataclass(frozen=True, slots=True)
class Rule:
    """What one family of faults becomes."""

    error: type[LinkedCloneError]
    reason: str  # what it means, shown after a colon
    hint: str
    # Whether it may pass by itself, where that is not the class's own.
    transience: Transience | None = None


RULES: Final[dict[str, Rule]] = {
    # -- busy, or not reachable for the moment ----------------------------------------
    "TaskInProgress": Rule(
        BusyError,
        "another task[ ({task})] works on the object",
        "wait until that task has ended, then run it again",
    ),
    "ConcurrentAccess": Rule(
        BusyError,
        "another user changed the object at the same moment",
        "run it again: it starts from the current state",
    ),
    "HostCommunication": Rule(
        BusyError,
        "vCenter and the ESXi host do not understand each other",
        "look at the host's state in vCenter and at its management network, then run it again",
        Transience.HOST,
    ),
    "HostNotConnected": Rule(
        BusyError,
        "the ESXi host is not connected to vCenter",
        "connect the host in vCenter, or choose another with ``placement.host`` or "
        "``placement.cluster``",
        Transience.HOST,
    ),
    "HostNotReachable": Rule(
        BusyError,
        "vCenter cannot reach the ESXi host over the network",
        "check the host's power and management network, or choose another host",
        Transience.HOST,
    ),
    "FileLocked": Rule(
        LockedError,
        "another VM or host holds the file[ {file}]",
        "find out who runs on it (vmkfstools -D on a host names the holder), or wait",
    ),
    "Timedout": Rule(
        BusyError, "vCenter gave up waiting inside", "run it again when vCenter is less busy"
    ),
    # -- who may --------------------------------------------------------------------
    "NotAuthenticated": Rule(SessionLostError, "the session has ended", "run the command again"),
    "NoPermission": Rule(
        PermissionDeniedError,
        "the user lacks a privilege[: {privileges}][ on {object}]",
        "let an administrator give the user a role with it[ on {object}]; "
        "``doctor`` lists all that is missing",
    ),
    "RestrictedByAdministrator": Rule(
        PermissionDeniedError,
        "an administrator has forbidden it",
        "ask the administrator of this vCenter[: {details}]",
    ),
    "SecurityError": Rule(
        PermissionDeniedError,
        "it is forbidden for security reasons",
        "look at the user's roles in vCenter; ``doctor`` checks them",
    ),
    "InvalidLogin": Rule(
        AuthenticationError,
        "user name or password is wrong",
        "check both; the name is mostly user@domain, as administrator@vsphere.local",
    ),
    # -- what was asked for -----------------------------------------------------------
    "InvalidArgument": Rule(
        HypervisorError,
        "vCenter does not accept an argument[: {invalidProperty}]",
        "``dry_run`` shows it under that name in the request",
    ),
    "InvalidName": Rule(
        HypervisorError, "vCenter does not accept the name[ {name}]", "choose another name"
    ),
    "InvalidType": Rule(
        HypervisorError,
        "vCenter does not know the type of an argument[: {argument}]",
        "this vCenter may be older than the request; leave newer options out",
    ),
    "DuplicateName": Rule(
        DuplicateNameError,
        "the name[ {name}] is taken in that folder[ by {object}]",
        "run it again to continue with a clone of linkedclone, or choose another name",
    ),
    "ManagedObjectNotFound": Rule(
        GoneError,
        "the object[ {obj}] was deleted in the meantime",
        "see what still exists: ``list``",
    ),
    "NotFound": Rule(NotFoundError, "it does not exist", "check the name"),
    "InvalidState": Rule(
        HypervisorError,
        "the object is not in the state for it",
        "look at its state and at its running tasks in vCenter",
    ),
    "InvalidPowerState": Rule(
        HypervisorError,
        "its power state does not allow it[: it is {existingState}]"
        "[ and has to be {requestedState}]",
        "bring it there first (``start`` or stop), then run it again",
    ),
    "DisallowedMigrationDeviceAttached": Rule(  # [fact: vs-instant-devices]
        HypervisorError,
        "one of its devices belongs to its host",
        "remove the device that is named, or back it by a file",
    ),
    "CpuHotPlugNotSupported": Rule(
        HypervisorError,
        "its processors cannot be changed while it runs",
        "stop it first (``stop``), then run it again",
    ),
    "MemoryHotPlugNotSupported": Rule(
        HypervisorError,
        "its memory cannot be changed while it runs",
        "stop it first (``stop``), then run it again",
    ),
    "InvalidGuestLogin": Rule(
        AuthenticationError,
        "the guest does not let that user in",
        "check user name and password of an account inside the guest, as in the pool's health",
    ),
    "GuestOperationsUnavailable": Rule(
        BusyError,
        "VMware Tools do not answer in the guest",
        "wait for them if it is just booting; else look at its console",
    ),
    "GuestOperationsFault": Rule(
        HypervisorError,
        "the guest does not let programs be run in it",
        "look into VMware Tools' configuration in the guest (guestoperations.disabled)",
    ),
    "InvalidHostState": Rule(
        HypervisorError,
        "the host[ {host}] is not in the state for it",
        "look whether it is in maintenance mode, or choose another with ``placement.host``",
    ),
    "InvalidHostConnectionState": Rule(
        HypervisorError,
        "the host[ {host}] has lost its connection to vCenter",
        "connect it again in vCenter, or choose another with ``placement.host``",
    ),
    "QuestionPending": Rule(
        HypervisorError, "the VM waits for an answer[: {text}]", "answer it in vCenter first"
    ),
    "ToolsUnavailable": Rule(
        HypervisorError, "VMware Tools do not run in the guest", "wait for them, or do without"
    ),
    # -- storage ------------------------------------------------------------------------
    "NoDiskSpace": Rule(
        NoSpaceError,
        "the datastore[ {datastore}] is full",
        "free space[ on {datastore}], or take another with ``placement.datastore``; "
        "``usage`` shows what takes it",
    ),
    "InsufficientStorageSpace": Rule(
        NoSpaceError,
        "no datastore has the space that the VM may come to need",
        "free space, take another with ``placement.datastore``, or let storage DRS overcommit",
    ),
    "FileTooLarge": Rule(
        NoSpaceError,
        "the datastore[ {datastore}] takes no file of that size",
        "take a datastore of another type[: {file} would not fit]",
    ),
    "CannotAccessVmComponent": Rule(
        HypervisorError,
        "the host cannot reach a part of the VM",
        "every host in use has to see all datastores of the parent's disk chain",
        Transience.UNREADABLE,
    ),
    "CannotAccessVmDisk": Rule(
        HypervisorError,
        "the host cannot reach the disk[ {device}][ {backing}]",
        "mount the datastore of that disk on the host, or choose a host that sees it",
        Transience.UNREADABLE,
    ),
    "CannotAccessVmConfig": Rule(
        HypervisorError,
        "the host cannot read the VM's configuration file",
        "look whether the VM's own datastore is mounted and its .vmx file is there",
        Transience.UNREADABLE,
    ),
    "CannotAccessFile": Rule(
        HypervisorError,
        "the host cannot get at the file[ {file}]",
        "look whether its datastore is mounted on the host",
        Transience.UNREADABLE,
    ),
    "FileNotFound": Rule(
        HypervisorError,
        "unable to access file[ {file}]: it is not there",
        "look whether a datastore is unmounted or a layer was deleted: ``doctor``",
        Transience.UNREADABLE,
    ),
    "FileFault": Rule(
        HypervisorError,
        "the file[ {file}] cannot be used",
        "check the datastore that it is on",
    ),
    "CannotDeleteFile": Rule(
        HypervisorError,
        "the file[ {file}] cannot be deleted",
        "look whether a VM of another vCenter or a backup holds it",
    ),
    "InvalidDatastore": Rule(
        HypervisorError,
        "the datastore[ {name}] cannot be used",
        "check that it is mounted and not in maintenance mode, or take ``placement.datastore``",
    ),
    "InaccessibleDatastore": Rule(
        HypervisorError,
        "the datastore[ {name}] is not accessible[: {detail}]",
        "mount it on the hosts in use, or take another with ``placement.datastore``",
    ),
    "DeltaDiskFormatNotSupported": Rule(
        HypervisorError,
        "the datastore[ {datastore}] does not take this kind of delta disk[ ({deltaDiskFormat})]",
        "keep to the parent's datastore, or to one of the same type and version",
    ),
    "CannotMoveVmWithDeltaDisk": Rule(
        HypervisorError,
        "a VM with a delta disk[ ({device})] cannot be moved so",
        "move it with its link (``relocate``), or promote it first",
    ),
    "CannotMoveVmWithNativeDeltaDisk": Rule(
        HypervisorError,
        "native clones of the storage cannot leave their datastore",
        "leave it where its parent is; ``promote`` makes it independent",
    ),
    "MigrationFault": Rule(
        HypervisorError,
        "the VM cannot be moved there",
        "compare CPU, networks and datastores of both hosts, or leave it where it is",
    ),
    "SnapshotFault": Rule(
        HypervisorError, "the snapshot cannot be taken or removed", "look at the VM's disks"
    ),
    "TooManySnapshotLevels": Rule(
        HypervisorError,
        "the VM has too many snapshots one below the other",
        "delete old ones (``snapshot delete``), or promote the VM to begin a new chain",
    ),
    # -- cannot be done here --------------------------------------------------------------
    "NotSupported": Rule(
        UnsupportedError,
        "the endpoint does not support it",
        "cloning needs a vCenter and an ordinary VM: not a lone ESXi host, not a template",
    ),
    "MethodNotFound": Rule(
        UnsupportedError, "the endpoint does not know this call", "a newer vCenter may"
    ),
    "MethodDisabled": Rule(
        UnsupportedError,
        "another product[ ({source})] has locked this operation on the object",
        "release it there[: {source}], or do it from there",
    ),
    "RestrictedVersion": Rule(
        UnsupportedError,
        "this licence allows no changes: the API of the host is read-only",
        "the free ESXi licence allows no changes: license the host, or go through its vCenter",
    ),
    "NotEnoughLicenses": Rule(
        UnsupportedError,
        "there are not enough licences",
        "add a licence in vCenter, or free one that is in use",
    ),
    "LicenseExpired": Rule(
        UnsupportedError, "a licence[ ({licenseKey})] has expired", "renew it in vCenter"
    ),
    # -- customization ----------------------------------------------------------------------
    "CustomizationFault": Rule(
        CustomizationError,
        "the guest customization is refused",
        "check the specification: its kind (Linux, Windows) has to be the guest's",
    ),
    "NicSettingMismatch": Rule(
        CustomizationError,
        "the network settings do not fit the VM's cards"
        "[: {numberOfNicsInSpec} in the specification, {numberOfNicsInVM} cards in the VM]",
        "the specification needs one entry for each network card"
        "[, so {numberOfNicsInVM}], or none at all",
    ),
    "CannotDecryptPasswords": Rule(
        CustomizationError,
        "this vCenter cannot decrypt the passwords in the stored specification",
        "it was made at another vCenter: enter its passwords here again, or take "
        "``customization`` FILE",
    ),
    "CustomizationPending": Rule(
        CustomizationError,
        "an earlier customization has not run yet",
        "start the VM once so that it runs, or clone from a parent that has none pending",
    ),
    "UncustomizableGuest": Rule(
        CustomizationError,
        "vCenter cannot customize this guest system[ ({uncustomizableGuestOS})]",
        "correct the guest OS of the parent, or let cloud-init do it",
    ),
    "LinuxVolumeNotClean": Rule(
        CustomizationError,
        "a file system of the Linux guest was not unmounted cleanly",
        "start the parent, shut it down properly, and take a new snapshot",
    ),
    "MissingLinuxCustResources": Rule(
        CustomizationError,
        "vCenter lacks its own files for customizing Linux",
        "repair the vCenter installation, or let cloud-init do it",
    ),
    "MissingWindowsCustResources": Rule(
        CustomizationError,
        "vCenter lacks the Sysprep files for this Windows",
        "put them into vCenter's sysprep folder; newer Windows brings its own",
    ),
    "MountError": Rule(
        CustomizationError,
        "vCenter could not mount the disk[ {diskIndex}] of the VM to customize it",
        "look whether the parent boots; its file system may be damaged",
    ),
    # -- resources --------------------------------------------------------------------------
    "NoCompatibleHost": Rule(
        PowerOnError,
        "no host can take the VM",
        "the reason of each host is above; remove one of them, then start it again",
    ),
    "InsufficientResourcesFault": Rule(
        PowerOnError,
        "the resources of the pool or host do not suffice",
        "free resources or choose another place with ``placement.resource_pool``, then run it "
        "again",
    ),
    "InsufficientMemoryResourcesFault": Rule(
        PowerOnError,
        "the pool has too little memory left"
        "[: {requested} bytes are wanted, {unreserved} are free]",
        "stop other VMs, lower ``hardware.memory_bytes``, or raise the pool's limit or reservation",
    ),
    "InsufficientCpuResourcesFault": Rule(
        PowerOnError,
        "the pool has too little processor time left"
        "[: {requested} MHz are wanted, {unreserved} are free]",
        "stop other VMs, lower ``hardware.cpus``, or raise the pool's processor limit or "
        "reservation",
    ),
    "InsufficientHostCapacityFault": Rule(
        PowerOnError,
        "the host[ {host}] has no capacity left",
        "stop VMs there, or choose another with ``placement.host`` or ``placement.cluster``",
    ),
    "InsufficientFailoverResourcesFault": Rule(
        PowerOnError,
        "the cluster's admission control does not allow another running VM",
        "stop some, or change the cluster's admission control, then start it",
    ),
    # -- the rest ------------------------------------------------------------------------------
    "RequestCanceled": Rule(
        HypervisorError, "the task was cancelled at the server", "run it again if that was a slip"
    ),
    "SystemError": Rule(
        HypervisorError,
        "vCenter failed inside[: {reason}]",
        "look the task up in vCenter's log (vpxd.log) for the cause",
        Transience.INTERNAL,
    ),
    "GenericVmConfigFault": Rule(
        HypervisorError,
        "the host cannot carry out the VM's configuration[: {reason}]",
        "look at the VM's own log (vmware.log) and at the host's (hostd.log)",
        Transience.INTERNAL,
    ),
    "VmConfigFault": Rule(
        HypervisorError,
        "the VM's configuration does not allow it",
        "compare the VM's hardware with what its host and hardware version support",
    ),
}
"""By the fault's type name; a fault without a row has that of its nearest base type."""

UNKNOWN: Final = Rule(
    HypervisorError,
    "vCenter refuses",
    "the server's words above say why; vCenter's log (vpxd.log) may say more",
)

ARGUMENTS: Final[tuple[tuple[str, str, str], ...]] = (
    (
        "snapshot",
        "the parent has no such snapshot",
        "take one (``snapshot create``), or name another with ``snapshot``",
    ),
    (
        "pool",
        "the resource pool is missing or not the right one",
        "name one with ``placement.resource_pool``; a template needs it always",
    ),
    (
        "datastore",
        "the datastore cannot take it",
        "name one that the hosts see with ``placement.datastore``",
    ),
    (
        "host",
        "the host cannot take it",
        "name one of the pool's own cluster with ``placement.host``",
    ),
    (
        "folder",
        "the folder cannot take it",
        "name a VM folder of the same datacenter with ``placement.folder``",
    ),
    (
        "diskmovetype",
        "this way of moving disks is not possible here",
        "leave ``disk_move`` out, or use ``disk_move.shared``",
    ),
    (
        "customization",
        "the customization is not valid",
        "check the specification; names, addresses and time zone have fixed forms",
    ),
    (
        "memorymb",
        "the memory size is not possible",
        "choose a multiple of 4 MiB with ``hardware.memory_bytes``",
    ),
    (
        "numcpus",
        "the number of processors is not possible",
        "choose another with ``hardware.cpus``",
    ),
    (
        "capacity",
        "the disk's size is not possible",
        "a disk can only grow, and not over a snapshot",
    ),
    ("devicechange", "a device cannot be added or changed so", "look at networks and added disks"),
)
"""For InvalidArgument: a word of ``invalidProperty``, what it means, what to do.
The last word of the property that has a row counts."""
