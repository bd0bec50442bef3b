"""What the endpoint and the environment say about ``local:``."""

import os
from collections.abc import Mapping
from pathlib import Path

from linkedclone.config.endpoint import Endpoint, check_accel
from linkedclone.config.paths import data_folder
from linkedclone.errors import InputError
from linkedclone.system.text_file import expand_home

ACCEL_VARIABLE = "LINKEDCLONE_ACCEL"
"""What machines are started with unless the endpoint says it: ``auto``, ``kvm`` or ``tcg``."""


def find_root(endpoint: Endpoint) -> Path:
    return expand_home(endpoint.path) if endpoint.path else default_root()


def default_root() -> Path:
    """Return where the state is kept unless the endpoint says otherwise."""
    return data_folder() / "local"


def render_address(root: Path) -> str:
    """Return the endpoint of a state folder as a person types it."""
    try:
        return "local:" if root == default_root() else f"local:{root}"
    except InputError:  # no home folder: there is no default
        return f"local:{root}"


def find_accel(wanted: str = "", environ: Mapping[str, str] | None = None) -> str | None:
    """Return what the endpoint, or else the environment, wants; None finds out what works."""
    environ = os.environ if environ is None else environ
    found = wanted or check_accel(environ.get(ACCEL_VARIABLE) or "auto", what=ACCEL_VARIABLE)
    return None if found == "auto" else found
