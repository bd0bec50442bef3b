"""What must hold between the settings of a pool. Pure: a spec in, all that is wrong out."""

import re
from collections.abc import Iterator
from string import Formatter
from typing import Final

from linkedclone.errors import InputError
from linkedclone.model.pool import PoolSpec
from linkedclone.model.request import DEFAULT_OWNER
from linkedclone.model.values.document_errors import Problem
from linkedclone.model.values.vm_names import check_name
from linkedclone.planning.pool.instant import list_unforkable

LARGEST: Final = 10_000
"""Clones of one pool."""

_NUMBER = re.compile(r"0?[1-9]?[0-9]?d?")
"""How a number may be written: ``{n}`` or ``{n:03}``."""


def check_pool(spec: PoolSpec) -> tuple[Problem, ...]:
    """Return all that is wrong with a pool; of its customization what instant clones forbid."""
    return (
        *_check_identity(spec),
        *_check_size(spec),
        *_check_hardware(spec),
        *_check_health(spec),
        *_check_rollout(spec),
        *_check_instant(spec),
    )


def _check_identity(spec: PoolSpec) -> Iterator[Problem]:
    for key, value in (("pool", spec.pool), ("parent", spec.parent)):
        if not value.strip():
            yield Problem(place=(key,), text="is empty")
    if spec.pool == DEFAULT_OWNER:
        text = f"{DEFAULT_OWNER} owns the clones that belong to no pool; take another name"
        yield Problem(place=("pool",), text=text)
    elif spec.pool.strip():
        yield from _check_name(spec.pool, "pool")
    yield from _check_pattern(spec)


def _check_pattern(spec: PoolSpec) -> Iterator[Problem]:
    place = ("name",)
    try:
        parts = [part[1:] for part in Formatter().parse(spec.name) if part[1] is not None]
    except ValueError:
        yield Problem(place=place, text="has a brace that is not closed")
        return
    if len(parts) != 1 or not _is_number(*parts[0]):
        text = 'has to hold the number once, as {n} or {n:03}: "desk-{n:03}"'
        yield Problem(place=place, text=text)
        return
    if 0 < spec.size <= LARGEST and spec.first >= 0:
        for slot in (spec.slots[0], spec.slots[-1]):
            found = tuple(_check_name(slot, "name"))
            if found:
                yield found[0]
                return


def _is_number(field: str | None, form: str | None, conversion: str | None) -> bool:
    return field == "n" and conversion is None and bool(_NUMBER.fullmatch(form or ""))


def _check_name(name: str, key: str) -> Iterator[Problem]:
    try:
        check_name(name)
    except InputError as error:
        yield Problem(place=(key,), text=error.brief)


def _check_size(spec: PoolSpec) -> Iterator[Problem]:
    if not 0 <= spec.size <= LARGEST:
        yield Problem(place=("size",), text=f"has to be from 0 to {LARGEST:,}")
    if spec.first < 0:
        yield Problem(place=("first",), text="must not be below 0")
    if not 0 <= spec.spares <= LARGEST:
        yield Problem(place=("spares",), text=f"has to be from 0 to {LARGEST:,}")
    elif spec.spares and not spec.instant:
        text = "are of instant clones alone: add clone: instant"
        yield Problem(place=("spares",), text=text, beside=("clone",))


def _check_hardware(spec: PoolSpec) -> Iterator[Problem]:
    hardware = spec.hardware
    for key in ("cpus", "cores_per_socket"):
        value = getattr(hardware, key)
        if value is not None and value < 1:
            yield Problem(place=("hardware", key), text="has to be at least 1")
    cpus, cores = hardware.cpus, hardware.cores_per_socket
    if cpus and cores and cpus > 0 and cores > 0 and cpus % cores:
        text = f"{cpus} CPUs cannot be spread over sockets of {cores} cores"
        yield Problem(place=("hardware", "cores_per_socket"), text=text, beside=("cpus",))


def _check_health(spec: PoolSpec) -> Iterator[Problem]:
    probe = spec.health
    if not 0 <= probe.tcp <= 65_535:
        yield Problem(place=("health", "tcp"), text="is not a port, which is from 1 to 65535")
    if bool(probe.user) != (probe.password is not None):
        text = "user and password belong together"
        yield Problem(place=("health", "user"), text=text, beside=("password",))
    if not spec.running and (probe.tcp or probe.command or spec.in_use):
        text = "the clones are off, so they cannot be asked"
        yield Problem(place=("power",), text=text)


def _check_rollout(spec: PoolSpec) -> Iterator[Problem]:
    rollout = spec.rollout
    for key, least in (
        ("max_unavailable", 0),
        ("max_surge", 0),
        ("canary", 0),
        ("stop_after_failures", 1),
    ):
        if getattr(rollout, key) < least:
            yield Problem(place=("rollout", key), text=f"has to be at least {least}")
    if rollout.max_unavailable == rollout.max_surge == 0:
        text = "with max_unavailable and max_surge both 0 nothing could ever be replaced"
        yield Problem(place=("rollout", "max_unavailable"), text=text, beside=("max_surge",))
    if spec.keep and rollout.max_surge > 0:
        text = "excludes rollout.max_surge: both clones would have the same for a while"
        yield Problem(place=("keep",), text=text)


def _check_instant(spec: PoolSpec) -> Iterator[Problem]:
    if not spec.instant:
        return
    text = "an instant clone goes on with the hardware and the guest of its parent"
    for place in list_unforkable(spec):
        yield Problem(place=place, text=f"is not possible with clone: instant; {text}")
