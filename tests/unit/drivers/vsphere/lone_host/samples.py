"""Data objects of pyVmomi with every field set, so that a table can say what becomes of each."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pyVmomi import VmomiSupport, vim, vmodl

DEVICE = vim.vm.device.VirtualDevice

_SIMPLE: Mapping[type, Callable[[str], Any]] = {
    bool: lambda _: True,
    str: lambda name: f"a {name}",
    VmomiSupport.URI: lambda name: VmomiSupport.URI(f"a:{name}"),
    VmomiSupport.binary: lambda name: VmomiSupport.binary(name.encode()),
    VmomiSupport.datetime: lambda _: VmomiSupport.datetime(2026, 11, 28),
    object: lambda name: f"a {name}",
}


def sample(kind: Any, name: str = "") -> Any:
    """A value of a type, with nothing left out."""
    if kind in _SIMPLE:
        return _SIMPLE[kind](name)
    if issubclass(kind, list):
        return kind([sample(kind.Item, name)])
    if issubclass(kind, VmomiSupport.Enum):
        return kind.values[-1]
    if issubclass(kind, VmomiSupport.ManagedObject):
        return kind(f"{name}-7", None)
    if issubclass(kind, int | float):
        return kind(7)
    if issubclass(kind, vmodl.MethodFault):
        return kind()
    fields = {info.name: info.type for info in kind._GetPropertyList()}
    left_out = {"dynamicType", "dynamicProperty", "backing", "parent"}
    return kind(
        **{
            field: sample(wanted, field)
            for field, wanted in fields.items()
            if field not in left_out
        }
    )


def list_kinds(base: Any) -> Iterator[Any]:
    """All types of the API that are derived from one, itself not among them."""
    for name in sorted(VmomiSupport._dataDefMap):
        if name.startswith("vim.vm."):
            found = VmomiSupport.GetVmodlType(name)
            if issubclass(found, base) and found is not base:
                yield found


def list_devices() -> Iterator[tuple[str, Any]]:
    """Each kind of device with each kind of backing that it can have, by a name."""
    backings = list(list_kinds(DEVICE.BackingInfo))
    for kind in list_kinds(DEVICE):
        # Backings are named within the kind of device that they are of.
        owners = {one.__name__ for one in kind.__mro__ if issubclass(one, DEVICE)} - {
            DEVICE.__name__
        }
        fit = [one for one in backings if one.__name__.rpartition(".")[0] in owners]
        for backing in fit or [None]:
            short = "" if backing is None else backing.__name__.rpartition(".")[2]
            yield f"{kind._wsdlName} {short}".rstrip(), _build(kind, backing)


def _build(kind: Any, backing: Any) -> Any:
    device = sample(kind)
    device.deviceInfo = vim.Description(label="the device", summary="")
    device.key, device.controllerKey, device.unitNumber = 9000, 1000, 3
    if hasattr(device, "sharedBus"):
        device.sharedBus = "noSharing"
    if backing is not None:
        device.backing = sample(backing)
        if hasattr(device.backing, "keyId"):
            device.backing.keyId = None
        if hasattr(device.backing, "sharing"):
            device.backing.sharing = "sharingNone"
    return device
