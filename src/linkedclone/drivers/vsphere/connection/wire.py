"""Calls whose answers come back as they are, for those that are too long to decode whole.

The request, the connections and the session are pyVmomi's; only the decoding
of the answer is left out. A fault is decoded and raised as pyVmomi does it.
"""

from __future__ import annotations

from collections.abc import Callable

from linkedclone.drivers.vsphere.native import Native


def undecoded(managed: Native, method: str) -> Callable[..., bytes]:
    """Return a managed object's method that answers with XML, not even parsed.

    Raises, when called, what pyVmomi's own method raises.
    """
    stub = managed._stub  # noqa: SLF001 - the connection that the object belongs to
    info = type(managed)._GetMethodInfo(method)  # noqa: SLF001 - as pyVmomi calls itself

    def call(*arguments: object) -> bytes:
        body: bytes = stub.fetch(managed, info, list(arguments))
        return body

    return call
