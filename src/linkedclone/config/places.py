"""Where configuration, certificates, passwords and logs lie."""

import os
from collections.abc import Mapping
from pathlib import Path

_APP = "linkedclone"


def config_file(environ: Mapping[str, str] | None = None) -> Path:
    """Return where the configuration file is, whether it exists or not.

    ``LINKEDCLONE_CONFIG`` names another one than ``~/.config/linkedclone/config.yaml``.
    """
    named = (os.environ if environ is None else environ).get("LINKEDCLONE_CONFIG", "")
    if named:
        return Path(named).expanduser().absolute()
    from platformdirs import user_config_path

    return user_config_path(_APP) / "config.yaml"


def certificate_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Return where pinned certificates are kept: beside the configuration file."""
    return config_file(environ).parent / "certificates"


def password_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Return where password files are kept: beside the configuration file."""
    return config_file(environ).parent / "passwords"


def log_folder() -> Path:
    """Return where the logs of runs are kept."""
    from platformdirs import user_state_path

    return user_state_path(_APP) / "runs"
