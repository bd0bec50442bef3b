"""vSphere faults as our errors: told apart by type, never by text (handbook, section 10).

A fault is looked up by its own type name, then by those of its base types, the
nearest first: so NotAuthenticated is a lost session although it is a kind of
NoPermission, and a fault that came with a newer vCenter falls to its family.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from linkedclone.drivers.vsphere.native import (
    Native,
    fields_of,
    is_data,
    is_managed,
    kind_of,
    moid_of,
)
from linkedclone.errors import (
    AuthenticationError,
    BusyError,
    CustomizationError,
    DuplicateNameError,
    GoneError,
    HypervisorError,
    LinkedCloneError,
    NoSpaceError,
    NotFoundError,
    PermissionDeniedError,
    PowerOnError,
    SessionLostError,
    UnsupportedError,
)


@dataclass(frozen=True, slots=True)
class Rule:
    """What one family of faults becomes.

    Attributes:
        error: The class that is raised.
        reason: What it means, to stand behind a colon.
        hint: What to try next.
    """

    error: type[LinkedCloneError]
    reason: str
    hint: str


_LATER = "try again in a little while"
_PRIVILEGE = (
    "give the user the privilege on that object; 'linkedclone doctor' lists what is missing"
)
_CUSTOMIZE = "check the customization specification against the guest and its network cards"
_CAPACITY = "free resources or choose another place with --resource-pool, then run it again"
_LOG = "look at the task and at vCenter's log (vpxd.log) for the cause"
_CHAIN = "all datastores of the parent's disk chain have to be reachable from every host in use"

RULES: Final[dict[str, Rule]] = {
    "TaskInProgress": Rule(BusyError, "another task holds the object", _LATER),
    "ConcurrentAccess": Rule(BusyError, "it was changed by somebody else meanwhile", _LATER),
    "HostCommunication": Rule(
        BusyError, "the ESXi host does not answer", "check the host's connection, then try again"
    ),
    "NotAuthenticated": Rule(SessionLostError, "the session has ended", "run the command again"),
    "NoPermission": Rule(PermissionDeniedError, "the user lacks a privilege", _PRIVILEGE),
    "SecurityError": Rule(PermissionDeniedError, "the user may not do that", _PRIVILEGE),
    "InvalidLogin": Rule(
        AuthenticationError,
        "user name or password is wrong",
        "check both; the name is mostly user@domain, as administrator@vsphere.local",
    ),
    "InvalidArgument": Rule(
        HypervisorError,
        "vCenter does not accept an argument",
        "invalidProperty names it; spec.location.pool: give --resource-pool; "
        "spec.snapshot: the parent has no such snapshot, see --snapshot",
    ),
    "InvalidName": Rule(HypervisorError, "vCenter does not accept the name", "choose another name"),
    "DuplicateName": Rule(
        DuplicateNameError,
        "the name is taken in that folder",
        "run it again to take up a clone of ours, or choose another name",
    ),
    "InvalidState": Rule(
        HypervisorError, "the VM is not in the state for it", "look at its state and its tasks"
    ),
    "InvalidPowerState": Rule(
        HypervisorError,
        "the VM's power state does not allow it",
        "start or stop the VM first: existingState is what it is in",
    ),
    "FileLocked": Rule(
        BusyError, "another VM or host holds a disk file", "find out who runs on that file"
    ),
    "NoDiskSpace": Rule(NoSpaceError, "the datastore is full", "free space or take --datastore"),
    "InsufficientStorageSpace": Rule(
        NoSpaceError, "the datastore is full", "free space or take --datastore"
    ),
    "CannotAccessVmComponent": Rule(
        HypervisorError, "the host cannot reach a part of the VM", _CHAIN
    ),
    "FileFault": Rule(HypervisorError, "a file cannot be used", _CHAIN),
    "CannotDeleteFile": Rule(
        HypervisorError,
        "the file cannot be deleted",
        "look whether a VM of another vCenter or a backup holds it",
    ),
    "InvalidDatastore": Rule(HypervisorError, "the datastore cannot be used", _CHAIN),
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
        "another product has locked this operation on the object",
        "release it there: 'source' names the product",
    ),
    "MigrationFault": Rule(
        HypervisorError, "the disk chain cannot go there", "keep to the parent's datastore"
    ),
    "DeltaDiskFormatNotSupported": Rule(
        HypervisorError,
        "that datastore does not take this kind of delta disk",
        "keep to the parent's datastore, or to one of the same type and version",
    ),
    "CustomizationFault": Rule(
        CustomizationError, "the guest customization is refused", _CUSTOMIZE
    ),
    "NicSettingMismatch": Rule(
        CustomizationError,
        "the specification's network settings do not fit the VM's cards",
        "the specification needs one entry for each network card, or none at all",
    ),
    "RestrictedVersion": Rule(
        UnsupportedError, "the licence does not allow it", "the free ESXi licence is read-only"
    ),
    "NotEnoughLicenses": Rule(
        UnsupportedError, "there are not enough licences", "add a licence in vCenter"
    ),
    "NoCompatibleHost": Rule(
        PowerOnError, "no host can take the VM", "'error' gives the reason of each host"
    ),
    "InsufficientResourcesFault": Rule(PowerOnError, "resources do not suffice", _CAPACITY),
    "InsufficientFailoverResourcesFault": Rule(
        PowerOnError,
        "the cluster's admission control does not allow another running VM",
        "free resources, or change the cluster's admission control, then start it",
    ),
    "ManagedObjectNotFound": Rule(
        GoneError, "the object was deleted meanwhile", "look again: linkedclone list"
    ),
    "NotFound": Rule(NotFoundError, "it does not exist", "check the name"),
    "RequestCanceled": Rule(
        HypervisorError, "the task was cancelled at the server", "run it again if that was a slip"
    ),
    "SystemError": Rule(HypervisorError, "vCenter failed inside", _LOG),
    "VmConfigFault": Rule(HypervisorError, "the VM's configuration does not allow it", _LOG),
}
"""By the fault's type name. Several kinds share their family's rule."""

_UNKNOWN = Rule(HypervisorError, "vCenter refuses", _LOG)


def translate(fault: BaseException, about: str) -> LinkedCloneError:
    """Return our error for a fault.

    Args:
        fault: A vmodl.MethodFault, from a call or a task.
        about: What was being done, as ``clone desk-001``.
    """
    kinds = [native_name(cls) for cls in type(fault).__mro__]
    rule = next((RULES[kind] for kind in kinds if kind in RULES), _UNKNOWN)
    brief = f"could not {about}: {rule.reason}"
    details = "\n".join(dict.fromkeys(_words(fault)))
    if issubclass(rule.error, HypervisorError):
        return rule.error(brief, details=details, hint=rule.hint, kind=kinds[0])
    return rule.error(brief, details=details, hint=rule.hint)


def native_name(cls: type) -> str:
    """Return a native type's bare name, as ``DuplicateName`` for ``vim.fault.DuplicateName``."""
    return cls.__name__.rpartition(".")[2]


def _words(fault: Native) -> Iterator[str]:
    """Yield what the server says: its sentences, then the fault's own fields."""
    yield getattr(fault, "msg", None) or native_name(type(fault))
    for message in getattr(fault, "faultMessage", None) or ():
        if message.message:
            yield message.message
    yield from _show_fields(fault, ": ")
    cause = getattr(fault, "faultCause", None)
    if cause is not None:
        yield f"caused by: {_show(cause)}"


_GENERAL = frozenset({"dynamicType", "dynamicProperty", "msg", "faultCause", "faultMessage"})


def _show_fields(thing: Native, equals: str) -> Iterator[str]:
    for name, _, value in fields_of(thing) if is_data(thing) else ():
        shown = "" if name in _GENERAL or value is None else _show(value)
        if shown:
            yield f"{name}{equals}{shown}"


def _show(value: Native) -> str:
    if isinstance(value, BaseException):
        return ", ".join(_words(value))
    if is_managed(value):
        return f"{kind_of(value)}:{moid_of(value)}"
    if is_data(value):
        return " ".join(_show_fields(value, "="))
    if isinstance(value, list):
        return ", ".join(filter(None, map(_show, value)))
    return str(value)
