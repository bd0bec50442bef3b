"""Where passwords come from, and where they are put. Never a command line, never a log."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from linkedclone.config.endpoint import Endpoint
from linkedclone.config.govc import govc_password
from linkedclone.errors import InputError, LinkedCloneError
from linkedclone.model.values.secret import Secret
from linkedclone.system.private_files import read_private

Ask = Callable[[str], str]
"""Shown for whom, returns the password that a person typed."""

_SERVICE = "linkedclone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Where the configuration says that a password is."""

    file: Path | None = None  # a file with mode 0600
    keyring: bool = False  # True if the system's keyring holds it


def find_password(
    endpoint: Endpoint, stored: Stored, environ: Mapping[str, str], ask: Ask | None
) -> Secret:
    """Find the password of an endpoint.

    In this order: ``LINKEDCLONE_PASSWORD``; ``GOVC_PASSWORD`` and ``GOVC_URL``,
    if they are about this endpoint; the keyring; the password file; a person.

    Raises:
        InputError: There is none, or its file is not private.
    """
    if environ.get("LINKEDCLONE_PASSWORD"):
        return Secret(environ["LINKEDCLONE_PASSWORD"])
    found = govc_password(endpoint, environ) or endpoint.password
    if found is None and stored.keyring:
        found = recall(endpoint)
    if found is None and stored.file is not None:
        found = read_password_file(stored.file)
    if found is None and ask is not None:
        found = Secret(ask(f"Password for {endpoint.address}"))
    if found is None:
        raise InputError(
            f"there is no password for {endpoint.address}",
            hint="set LINKEDCLONE_PASSWORD, or store it once: ``endpoints add`` NAME URL",
        )
    return found


def read_password_file(path: Path) -> Secret:
    """Read a password: the file's first line.

    Raises:
        InputError: It cannot be read, is empty, or others can read it.
    """
    text = read_private(path, what="password file")
    line = text.splitlines()[0] if text else ""
    if not line:
        raise InputError(f"the password file {path} is empty")
    return Secret(line)


def _account(endpoint: Endpoint) -> str:
    """Name the keyring entry by whom it is for, so that no other host is ever sent it."""
    return f"{endpoint.user}@{endpoint.host}:{endpoint.port}"


def recall(endpoint: Endpoint) -> Secret | None:
    """Return the password that the keyring holds; None if it holds none or is not there."""
    try:
        import keyring

        value = keyring.get_password(_SERVICE, _account(endpoint))
    except Exception:  # noqa: BLE001 - a backend may raise anything, and a keyring is optional
        return None
    return Secret(value) if value else None


def remember(endpoint: Endpoint, password: Secret) -> bool:
    """Put a password into the keyring; say whether it can be had back from there."""
    try:
        import keyring

        keyring.set_password(_SERVICE, _account(endpoint), password.reveal())
    except Exception:  # noqa: BLE001 - a backend may raise anything; a file is the other way
        return False
    return recall(endpoint) == password


def forget(endpoint: Endpoint) -> None:
    """Take a password out of the keyring, if it is there.

    Raises:
        LinkedCloneError: It is there and cannot be taken out.
    """
    if recall(endpoint) is None:
        return
    import keyring

    try:
        keyring.delete_password(_SERVICE, _account(endpoint))
    except Exception as error:
        brief = f"the keyring keeps the password of {_account(endpoint)}"
        raise LinkedCloneError(brief, details=str(error), hint="remove it there by hand") from error
