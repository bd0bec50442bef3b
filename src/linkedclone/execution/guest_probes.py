"""Try a guest's port, and run commands inside it: what a look from outside cannot tell."""

import contextlib
import socket
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from linkedclone.drivers.contract import Driver
from linkedclone.drivers.features import require_service
from linkedclone.errors import LinkedCloneError, UnsupportedError
from linkedclone.model.access import GuestLogin
from linkedclone.model.guest import Secrets
from linkedclone.model.pool import PoolSpec
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import Vm
from linkedclone.planning.pool.member_health import Probed

TRY_SECONDS: Final = 5.0
"""How long a port or a command may take; a guest that is slower is tried again later."""

_GREETING_SECONDS: Final = 0.5
"""How long a connection is watched: a forwarded port takes it, and hangs up, where
no service listens inside."""

_THREADS: Final = 16


class Prober:
    """Probes the guests of one pool, many at once."""

    def __init__(self, driver: Driver, spec: PoolSpec, secrets: Secrets) -> None:
        self._driver = driver
        self._spec = spec
        self._login = _find_login(spec, secrets)

    def probe(self, vms: Sequence[Vm]) -> dict[VmId, Probed]:
        """Probe guests that are far enough; nothing is asked that the spec does not ask for."""
        probe, spec = self._spec.health, self._spec
        if not vms or not (probe.tcp or probe.command or spec.in_use):
            return {}
        threads = min(_THREADS, len(vms))
        with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="probe") as pool:
            return dict(zip((vm.id for vm in vms), pool.map(self._probe, vms), strict=True))

    def _probe(self, vm: Vm) -> Probed:
        probe = self._spec.health
        tcp = self._try_port(vm, probe.tcp) if probe.tcp else None
        command = self._run(vm, probe.command)[1] if probe.command else None
        in_use, unasked = self._ask_use(vm) if self._spec.in_use else (False, "")
        return Probed(tcp=tcp, command=command, in_use=in_use, unasked=unasked)

    def _ask_use(self, vm: Vm) -> tuple[bool, str]:
        """Ask whether a guest is in use; if it cannot be asked, it may be."""
        status, trouble = self._run(vm, self._spec.in_use)
        if status is None:
            return True, f"it is unknown whether it is in use: {trouble}"
        return status == 0, ""

    def _try_port(self, vm: Vm, port: int) -> str:
        places = list(self._find_places(vm, port))
        if not places:
            return f"port {port} cannot be reached from here"
        trouble = [_connect(host, number) for host, number in places]
        return "" if "" in trouble else f"port {port}: {trouble[0]}"

    def _find_places(self, vm: Vm, port: int) -> Iterable[tuple[str, int]]:
        guests = self._driver.services.guests
        return guests.find_places(vm, port) if guests is not None else ()

    def _run(self, vm: Vm, command: Sequence[str]) -> tuple[int | None, str]:
        """Return what a command ended with, None if it was not run, and why that is not 0."""
        guests = require_service(
            self._driver.services.guests,
            self._driver.features,
            "run commands inside guests",
            hint="leave health.command and in_use out of the pool's file",
        )
        try:
            status = guests.run_in_guest(vm.id, command, login=self._login, seconds=TRY_SECONDS)
        except UnsupportedError:
            raise
        except LinkedCloneError as error:
            return None, f"{command[0]}: {error.brief}"
        return status, f"{command[0]} ended with {status}" if status else ""


def _find_login(spec: PoolSpec, secrets: Secrets) -> GuestLogin | None:
    probe = spec.health
    if not probe.user or probe.password is None:
        return None
    return GuestLogin(user=probe.user, password=dict(secrets)[probe.password])


def _connect(host: str, port: int) -> str:
    """Return why a port takes no connection; empty if it does."""
    try:
        with socket.create_connection((host, port), TRY_SECONDS) as connection:
            connection.settimeout(_GREETING_SECONDS)
            with contextlib.suppress(TimeoutError):
                if connection.recv(1) == b"":
                    return "it hangs up at once"
            return ""
    except OSError as error:
        return error.strerror or str(error) or type(error).__name__
