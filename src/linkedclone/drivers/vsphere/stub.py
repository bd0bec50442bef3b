"""pyVmomi's connections, with one thing told apart: whether anything was sent at all."""

from __future__ import annotations

import ssl

from pyVmomi import SoapStubAdapter

from linkedclone.drivers.vsphere.native import Native


class NotConnectedError(OSError):
    """The server did not take a connection, so nothing was sent; the cause says why."""


class Stub(SoapStubAdapter):  # type: ignore[misc]  # pyVmomi has no types
    """A connection pool. Opening a connection and sending on it fail differently.

    pyVmomi connects before it sends (``SoapAdapter._Connect``), but raises the
    same errors for both.
    """

    def GetConnection(self) -> Native:  # noqa: N802 - pyVmomi's name
        """Return a connection that is open."""
        try:
            return super().GetConnection()
        except ssl.SSLCertVerificationError:
            raise
        except OSError as error:
            raise NotConnectedError(str(error)) from error
