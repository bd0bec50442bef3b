"""Opens a connection: one read of the service content, one login, no separate version handshake."""

import http.client
import ssl
from typing import Final

from pyVmomi import vim, vmodl
from pyVmomi.VmomiSupport import GetServiceVersions, versionIdMap

from linkedclone.config.endpoint import Endpoint
from linkedclone.drivers.contract import Driver
from linkedclone.drivers.vsphere.connection import tls
from linkedclone.drivers.vsphere.connection.answers import CutOffError, StrangeAnswerError
from linkedclone.drivers.vsphere.connection.bounded import OversizedError
from linkedclone.drivers.vsphere.connection.errors import translate
from linkedclone.drivers.vsphere.connection.greeting import PATH, Greeting
from linkedclone.drivers.vsphere.connection.session import Session
from linkedclone.drivers.vsphere.connection.transport import Reply, Stub
from linkedclone.drivers.vsphere.native import Native
from linkedclone.errors import EndpointError, LinkedCloneError
from linkedclone.preload import import_ahead

_POOL_SIZE: Final = 64
"""Idle connections that are kept: as many threads as may call at once."""

_FIRST_VERSION: Final = "vim.version.version11"
"""The API version of the first call: 6.5, which every vCenter in use understands."""


def open_vsphere(endpoint: Endpoint, greeting: Greeting | None = None) -> Driver:
    """Connect to a vCenter and log in; the greeting may be under way already."""
    greeting = greeting or Greeting(endpoint)
    stub = Stub(
        host=endpoint.host,
        port=endpoint.port,
        path=PATH,
        version=_FIRST_VERSION,
        poolSize=_POOL_SIZE,
        sslContext=greeting.context,
        httpConnectionTimeout=endpoint.timeout_seconds,
    )
    # The rest of the driver is imported while the server answers.
    import_ahead("linkedclone.drivers.vsphere.driver")
    try:
        content = _read_content(endpoint, stub, greeting)
        stub.ComputeVersionInfo(choose_version(content.about.apiVersion))
        session = Session(endpoint, stub, content)
        from linkedclone.drivers.vsphere.driver import VsphereDriver

        return VsphereDriver(session)
    except LinkedCloneError:
        stub.DropConnections()
        raise


def _read_content(endpoint: Endpoint, stub: Stub, greeting: Greeting) -> Native:
    """Return the service content; this distinguishes everything but a sound answer."""
    try:
        content = _decode(stub, greeting)
    except ssl.SSLCertVerificationError as error:
        raise tls.distrusted(endpoint, error) from error
    except ssl.SSLError as error:
        raise _not_a_vcenter(endpoint, f"it does not speak TLS: {error}") from error
    except (StrangeAnswerError, CutOffError, OversizedError) as error:
        raise _not_a_vcenter(endpoint, str(error)) from error
    except http.client.HTTPException as error:
        raise _not_a_vcenter(endpoint, f"{type(error).__name__}: {error}") from error
    except vmodl.MethodFault as fault:
        raise translate(fault, f"connect to {endpoint.host}") from fault
    except OSError as error:
        raise tls.unreachable(endpoint.host, endpoint.port, error) from error
    if not isinstance(content, vim.ServiceInstanceContent):
        raise _not_a_vcenter(endpoint, "it answers something else than a service content")
    return content


def _decode(stub: Stub, greeting: Greeting) -> Native:
    answer = greeting.answer()
    stub.ReturnConnection(answer.connection)
    reply = Reply(status=answer.status, reason=answer.reason, body=answer.body)
    return stub.read_reply(reply, vim.ServiceInstance._GetMethodInfo("RetrieveContent"))  # noqa: SLF001 - as pyVmomi calls itself


def _not_a_vcenter(endpoint: Endpoint, details: str) -> EndpointError:
    brief = f"{endpoint.host}:{endpoint.port} is not a vCenter"
    hint = "check host and port; a vCenter serves its API at https://HOST/sdk"
    return EndpointError(brief, details=details, hint=hint)


def choose_version(api_version: str) -> str:
    """Return pyVmomi's name of the newest API version that the server knows too.

    ``about.apiVersion`` tells what it knows, so no further call is needed.
    """
    known = _numbers(api_version)
    for name in GetServiceVersions("vim25"):
        numbers = _numbers(versionIdMap[name])
        if numbers and numbers <= known:
            return str(name)
    return _FIRST_VERSION


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.split(".")
    return tuple(map(int, parts)) if all(part.isdecimal() for part in parts) else ()
