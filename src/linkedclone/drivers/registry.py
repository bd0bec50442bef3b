"""Which driver serves an endpoint. The only module that names the built-in ones, each lazily."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from linkedclone.config.endpoint import Endpoint
from linkedclone.config.installed_drivers import find_installed
from linkedclone.errors import InputError, LinkedCloneError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from linkedclone.drivers.contract import Driver
    from linkedclone.drivers.registration import Registration
    from linkedclone.model.access import PresentedCertificate
    from linkedclone.model.inventory import Examination
    from linkedclone.model.request import DriverSettings

KINDS = ("vsphere", "local", "memory")
"""Built-in drivers; others are found by entry point."""


def open_driver(endpoint: Endpoint) -> Driver:
    """Connect to an endpoint.

    Raises:
        InputError: No driver of that kind exists.
        EndpointError: It cannot be reached, its certificate is not trusted, or
            it refuses the user.
    """
    return load_driver(endpoint)(endpoint)


def load_driver(endpoint: Endpoint) -> Callable[[Endpoint], Driver]:
    """Import what an endpoint's driver needs to connect; return what opens it.

    The endpoint may be called already meanwhile.

    Raises:
        InputError: No driver of that kind exists, a file that it needs cannot be
            read, or it does not run machines with an accelerator that is named.
    """
    driver = find_registration(endpoint.kind)
    if endpoint.accel and not driver.takes_accel:
        raise InputError(
            f"{endpoint.address} chooses by itself how its machines are run",
            hint="leave ``accel`` out: it is for local: alone",
        )
    return driver.load(endpoint)


def examine_endpoint(endpoint: Endpoint) -> Examination | None:
    """Look at an endpoint without opening it, where opening it would change what is to be seen.

    None where it has to be opened: its driver has the checks and the inventory then.
    """
    examine = find_registration(endpoint.kind).examine
    return examine(endpoint) if examine else None


def fetch_certificate(endpoint: Endpoint) -> PresentedCertificate:
    """Read the certificate that an endpoint presents, without trusting it.

    Raises:
        InputError: Endpoints of that kind have none.
        EndpointError: It cannot be reached, or does not speak TLS.
    """
    fetch = find_registration(endpoint.kind).fetch_certificate
    if fetch is None:
        raise InputError(f"{endpoint.address} has no certificate")
    return fetch(endpoint)


def find_pool_settings(*, installed: bool) -> Mapping[str, type[DriverSettings]]:
    """Return what the sections of drivers in the files of pools may hold, by kind.

    Args:
        installed: Whether drivers that are installed beside are asked, too.
    """
    kinds = _add_installed(find_installed()) if installed else KINDS
    found = {kind: find_registration(kind).pool_settings for kind in kinds}
    return {kind: settings for kind, settings in found.items() if settings is not None}


def find_registration(kind: str) -> Registration:
    """Return what the driver of a kind says of itself; nothing installed replaces a built-in one.

    Raises:
        InputError: No driver of that kind exists.
        LinkedCloneError: One is installed, and cannot be used.
    """
    if kind in KINDS:
        found: Registration = import_module(f"linkedclone.drivers.{kind}.registration").REGISTRATION
        return found
    installed = find_installed()
    if kind not in installed:
        known = ", ".join(_add_installed(installed))
        raise InputError(f"there is no driver for {kind!r}", hint=f"known are: {known}")
    return _load_installed(installed[kind])


def _add_installed(installed: Iterable[str]) -> tuple[str, ...]:
    return (*KINDS, *sorted(set(installed).difference(KINDS)))


def _load_installed(entry: EntryPoint) -> Registration:
    from linkedclone.drivers.registration import Registration

    hint = f"mend or remove the package that has the entry point {entry.value}"
    try:
        found = entry.load()
    except (Exception, SystemExit) as error:
        brief = f"the driver {entry.name} cannot be loaded"
        raise LinkedCloneError(
            brief, details=f"{type(error).__name__}: {error}", hint=hint
        ) from error
    if not isinstance(found, Registration):
        raise LinkedCloneError(f"the driver {entry.name} has no registration", hint=hint)
    return found
