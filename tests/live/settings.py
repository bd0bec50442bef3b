"""What the environment says about the vCenter to look at. Nothing is guessed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from linkedclone.config.endpoint import Endpoint
from linkedclone.config.resolve_endpoint import resolve_endpoint

HOW = """tests/live runs against a real vCenter, and only if it is asked to:

  LINKEDCLONE_LIVE_URL     vsphere://USER@HOST/DATACENTER, or the name of a configured
                           endpoint; or "govc" to take GOVC_URL and its companions
  LINKEDCLONE_LIVE_PARENT  a small VM, off, by name or path: it is copied once, and not changed
  LINKEDCLONE_PASSWORD     its password, unless it is kept elsewhere (see docs/endpoints.md)

  .venv/bin/python -m tests.live [--json FILE]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where to look.

    Attributes:
        endpoint: The vCenter, with its password.
        parent: Name or path of the VM that is copied.
    """

    endpoint: Endpoint
    parent: str


def read_settings(environ: Mapping[str, str]) -> Settings | None:
    """Return what the environment asks for; None if it does not switch this on.

    Raises:
        InputError: An endpoint is named that cannot be resolved.
    """
    url = environ.get("LINKEDCLONE_LIVE_URL", "").strip()
    parent = environ.get("LINKEDCLONE_LIVE_PARENT", "").strip()
    if not url or not parent:
        return None
    if url != "govc":
        return Settings(endpoint=resolve_endpoint(url, environ=environ), parent=parent)
    if not environ.get("GOVC_URL"):
        return None
    hidden = {"LINKEDCLONE_ENDPOINT", "XDG_CONFIG_HOME", "LINKEDCLONE_CONFIG"}
    kept = {name: value for name, value in environ.items() if name not in hidden}
    # No configuration file may say otherwise than GOVC_URL.
    kept["XDG_CONFIG_HOME"] = "/nonexistent"
    return Settings(endpoint=resolve_endpoint(None, environ=kept), parent=parent)
