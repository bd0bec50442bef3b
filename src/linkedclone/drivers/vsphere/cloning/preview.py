"""Shows a request as plain data, for ``--dry-run``. Passwords never appear."""

from collections.abc import Mapping
from typing import Final

from linkedclone.drivers.vsphere.native import (
    Native,
    fields_of,
    is_data,
    is_managed,
    kind_of,
    moid_of,
)
from linkedclone.model.values.secret import Secret

_HIDDEN: Final = frozenset(
    {
        ("CustomizationPassword", "value"),
        ("CustomizationSysprepText", "value"),
        ("CustomizationCloudinitPrep", "userdata"),
        ("CustomizationLinuxPrep", "scriptText"),
        ("CustomizationUserData", "productId"),
    }
)
"""Fields that hold passwords, keys, or documents that may hold them."""


_GUESTINFO: Final = "guestinfo."
_HARMLESS: Final = ".encoding"


def render_fork(source: str, spec: Native) -> Mapping[str, object]:
    """Return the arguments of an InstantClone_Task."""
    return {
        "method": "InstantClone_Task",
        "_this": f"VirtualMachine:{source}",
        "spec": render(spec),
    }


def render_clone(source: str, folder: str, name: str, spec: Native) -> Mapping[str, object]:
    """Return the arguments of a CloneVM_Task."""
    return {
        "method": "CloneVM_Task",
        "_this": f"VirtualMachine:{source}",
        "folder": f"Folder:{folder}",
        "name": name,
        "spec": render(spec),
    }


def render(value: Native) -> Native:
    """Return a data object as a mapping without its unset fields.

    References become ``type:id``. An object of a more special type than its
    field's names that type under ``_type``.
    """
    if is_managed(value):
        return f"{kind_of(value)}:{moid_of(value)}"
    if isinstance(value, list):
        return [render(item) for item in value]
    if is_data(value):
        return _render_object(value)
    return value if isinstance(value, bool | int | float) else str(value)


def _render_object(value: Native) -> dict[str, object]:
    kind = kind_of(value)
    if kind == "OptionValue" and str(value.key).startswith(_GUESTINFO):
        return {"key": value.key, "value": _render_document(value.key, str(value.value))}
    return {
        name: Secret.SHOWN if (kind, name) in _HIDDEN else _render_field(field, declared)
        for name, declared, field in fields_of(value)
        if field is not None and not (isinstance(field, list) and not field)
    }


def _render_field(field: Native, declared: type) -> object:
    if isinstance(field, list):
        item = getattr(declared, "Item", object)
        return [_render_field(one, item) for one in field]
    shown = render(field)
    if isinstance(shown, dict) and is_data(field) and type(field) is not declared:
        return {"_type": kind_of(field), **shown}
    return shown


def _render_document(key: str, value: str) -> str:
    """Show a setting for cloud-init: metadata unpacked, what may hold passwords by its size."""
    name = key.removeprefix(_GUESTINFO)
    if not value or name.endswith(_HARMLESS):
        return value
    from linkedclone.guest.guestinfo import unpack_document

    if name == "metadata" and (text := unpack_document(value)):
        return text
    return f"{Secret.SHOWN} ({len(value):,} bytes, which may hold passwords)"
