"""Locations of configuration, certificates, passwords and logs."""

import os
from collections.abc import Mapping
from pathlib import Path

from linkedclone.errors import InputError
from linkedclone.system.text_file import expand_home

_APP = "linkedclone"


def config_file(environ: Mapping[str, str] | None = None) -> Path:
    """Return where the configuration file is, whether it exists or not.

    ``LINKEDCLONE_CONFIG`` names another one than ``~/.config/linkedclone/config.yaml``.

    Raises:
        InputError: The user has no home folder.
    """
    named = (os.environ if environ is None else environ).get("LINKEDCLONE_CONFIG", "")
    if named:
        return expand_home(named).absolute()
    folder = _own_folder("config")
    if folder is None:
        raise InputError(
            "this user has no home folder, so there is no configuration file",
            hint="set HOME, or LINKEDCLONE_CONFIG to the path of a file",
        )
    return folder / "config.yaml"


def _own_folder(kind: str) -> Path | None:
    """Return where files of a kind are kept for this user; None for one without a home folder."""
    import platformdirs

    try:
        folder: Path = getattr(platformdirs, f"user_{kind}_path")(_APP)
    except RuntimeError:
        return None
    # Older versions of platformdirs return '~' unchanged, below the working directory.
    return folder if folder.is_absolute() else None


def certificate_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Return where pinned certificates are kept: beside the configuration file."""
    return config_file(environ).parent / "certificates"


def password_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Return where password files are kept: beside the configuration file."""
    return config_file(environ).parent / "passwords"


def log_folder() -> Path | None:
    """Return where the logs of runs are kept; None for a user without a home folder."""
    folder = _own_folder("state")
    return folder and folder / "runs"


def data_folder() -> Path:
    """Return where data of this user is kept.

    Raises:
        InputError: The user has no home folder: the path would depend on the
            folder that the command runs in.
    """
    folder = _own_folder("data")
    if folder is None:
        raise InputError(
            "this user has no home folder to keep VMs in",
            hint="name a state folder, as ``endpoint`` local:/srv/clones, or set HOME",
        )
    return folder
