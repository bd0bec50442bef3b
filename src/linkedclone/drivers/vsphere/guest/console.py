"""Where a VM's screen can be looked at."""

from urllib.parse import urlencode, urlunsplit

from linkedclone.drivers.vsphere.connection.session import Session
from linkedclone.drivers.vsphere.inventory.observe import Observer
from linkedclone.drivers.vsphere.names import unescape
from linkedclone.drivers.vsphere.native import Native
from linkedclone.errors import NotFoundError, RefusedError
from linkedclone.model.access import ConsoleAddress
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import Power

HOW = (
    "the ticket in the URL is good for one connection, begun soon (vCenter gives it 30 minutes), "
    "by a client of the VMware HTML Console SDK that reaches the ESXi host; the page opens in a "
    "browser that is logged in to the vSphere Client, and needs no ticket"
)

HOW_OF_HOST = (
    "the ticket in the URL is good for one connection, begun soon, by a client of the VMware HTML "
    "Console SDK; the host's own client shows the screen as well"
)


def describe_console(session: Session, observer: Observer, vm: VmId) -> ConsoleAddress:
    """Acquire a ``webmks`` ticket, which only a running VM has [fact: vs-console]."""
    seen = observer.observe_vms([vm], whole=False).get(vm)
    if seen is None:
        raise NotFoundError(f"the VM {vm} no longer exists", hint="``list``")
    name = unescape(seen.name)
    if seen.power is not Power.ON:
        raise RefusedError(
            f"{name} is {seen.power.value}, so it has no screen to look at",
            hint=f"start it first: ``start`` {name}",
        )
    native = session.managed("VirtualMachine", vm)
    ticket = session.call(f"get a console ticket for {name}", native.AcquireTicket, "webmks")
    url = build_socket_url(ticket, session.endpoint.host)
    if not session.is_vcenter:
        return ConsoleAddress(url=url, how=HOW_OF_HOST)
    guid = str(session.content.about.instanceUuid or "")
    page = build_page(session.endpoint.host, session.endpoint.port, guid, vm, name)
    return ConsoleAddress(url=url, page=page, how=HOW)


def build_socket_url(ticket: Native, host: str) -> str:
    """Return what a client of the HTML Console SDK connects to.

    Newer servers say it themselves [fact: vs-console]. A ticket
    without a host is for the server that gave it.
    """
    told = getattr(ticket, "url", None)
    if told:
        return str(told)
    place = f"{_bracket(ticket.host or host)}:{ticket.port or 443}"
    return f"wss://{place}/ticket/{ticket.ticket}"


def build_page(host: str, port: int, guid: str, vm: str, name: str) -> str:
    """Return the page that the vSphere Client opens for "Launch Web Console"."""
    place = _bracket(host) if port == 443 else f"{_bracket(host)}:{port}"
    query = urlencode({"vmId": vm, "vmName": name, "serverGuid": guid, "locale": "en_US"})
    return urlunsplit(("https", place, "/ui/webconsole.html", query, ""))


def _bracket(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
