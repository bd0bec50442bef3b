"""What tells clones of different shape apart, part by part: a digest that a mark can hold.

A pool compares the digest that a clone bears with that of what is wanted now,
and so knows which part has changed. It is for comparing, never a proof.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from typing import Final

from linkedclone.model.request import CloneRequest, Hardware, Placement, Target

_DIGITS: Final = 8
_PLACE: Final = "place"
_WHERE: Final = "where"


def describe_shape(request: CloneRequest, target: Target | None = None) -> Mapping[str, str]:
    """Return a digest of each part of what a clone is given beside its parent and name.

    Not of MAC addresses and host names, which belong to single clones, nor of
    whether the folder had to be made. ``place`` holds names as they were
    written, ``where`` by the endpoint's ids, which outlive a new name.

    Args:
        request: What the clone is given.
        target: What its place was found to be; None leaves ``where`` out.
    """
    hardware = request.hardware
    parts: dict[str, object] = {
        "move": "instant" if request.instant else request.disk_move.value,
        "cpus": hardware.cpus,
        "memory": hardware.memory_bytes,
        "hardware": replace(hardware, cpus=None, memory_bytes=None),
        _PLACE: replace(request.placement, create_folder=False),
        "notes": request.annotation,
        "guest": (request.customization_spec, request.customization),
    }
    if target is not None:
        parts[_WHERE] = _settle(request.placement, target)
    return {part: _digest(value) for part, value in parts.items()}


def _settle(place: Placement, target: Target) -> Placement:
    """Return a place with ids instead of names, as far as the choice was made by a person."""
    pool = place.resource_pool or place.cluster
    return replace(
        place,
        datacenter="",
        datastore=place.datastore and (target.datastore or place.datastore),
        resource_pool=pool and (target.pool or pool),
        cluster="",
        host=place.host and (target.host or place.host),
        folder=place.folder and target.folder_path,
        create_folder=False,
    )


def describe_wanted(request: CloneRequest, target: Target) -> Mapping[str, str]:
    """Return a clone's shape, and digests of single settings of its hardware and place.

    A pool does not compare those: the coarser parts hold them, too.
    """
    hardware, place = request.hardware, request.placement
    parts: dict[str, object] = {
        "networks": hardware.nics,
        "disks": (hardware.disks, hardware.disk_bytes),
        "settings": other_settings(hardware),
        "stores": place.datastore_cluster,
        "resources": (place.resource_pool, place.cluster),
        "host": place.host,
    }
    shape = describe_shape(request, target)
    return {**shape, **{part: _digest(value) for part, value in parts.items()}}


def other_settings(hardware: Hardware) -> Hardware:
    """Return the hardware without its CPUs, memory, disks and network cards."""
    return replace(hardware, cpus=None, memory_bytes=None, disks=(), disk_bytes=None, nics=())


def held_parts(text: str) -> Mapping[str, str]:
    """Return the digests that a mark holds, by their parts."""
    pairs = (item.partition("=") for item in text.split())
    return {part: digest for part, _, digest in pairs if digest}


def render_shape(shape: Mapping[str, str]) -> str:
    """Write a shape as the text of a mark."""
    return " ".join(f"{part}={digest}" for part, digest in shape.items())


def changed_parts(text: str, wanted: Mapping[str, str]) -> tuple[str, ...]:
    """Return the parts in which a mark's shape differs from what is wanted.

    Parts that the mark does not know, as one of an older version, are not
    compared; so nothing is made anew for the sake of an upgrade.
    """
    held = held_parts(text)
    if _WHERE in held and _WHERE in wanted:  # However it was written then.
        held, wanted = ({**parts, _PLACE: parts[_WHERE]} for parts in (held, wanted))
    return tuple(
        part
        for part, digest in wanted.items()
        if part != _WHERE and held.get(part, digest) != digest
    )


def is_there(held: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    """Say whether a clone is known to have been given the place that is wanted."""
    return _WHERE in held and held[_WHERE] == wanted.get(_WHERE)


def _digest(value: object) -> str:
    return hashlib.sha256(repr(_given(value)).encode()).hexdigest()[:_DIGITS]


def _given(value: object) -> object:
    """Return data without what has its default: so a later version with more fields agrees."""
    if is_dataclass(value):
        pairs = ((one.name, getattr(value, one.name), one) for one in fields(value))
        return tuple((name, _given(held)) for name, held, one in pairs if held != _default(one))
    if isinstance(value, tuple):
        return tuple(_given(one) for one in value)
    return value


def _default(one: Field[object]) -> object:
    return one.default if one.default_factory is MISSING else one.default_factory()
