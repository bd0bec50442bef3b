"""What is wrong in a customization between its settings; what a reader of files sees is not here.

Pure: each rule is a generator of problems, and all are reported at once.
"""

import re
from collections.abc import Iterable, Iterator
from ipaddress import ip_address

from linkedclone.errors import InputError
from linkedclone.guest.host_names import find_template_fault, is_domain
from linkedclone.guest.ip_ranges import (
    AddressRange,
    Span,
    parse_range,
    parse_reserved,
    span_of,
    subtract,
)
from linkedclone.model.customization import (
    Addresses,
    CloudInit,
    Customization,
    DomainJoin,
    GuestOs,
    GuestUser,
    LinuxGuest,
    SecretSource,
    WindowsGuest,
)
from linkedclone.model.values.document_errors import Place, Problem
from linkedclone.model.values.vm_names import is_user_name

_PRODUCT_KEY = re.compile(r"[A-Za-z0-9]{5}(-[A-Za-z0-9]{5}){4}")
_OU = re.compile(r"\s*(OU|CN|DC)=[^,=]+\s*", re.IGNORECASE)
_USER_DATA = ("#", "Content-Type:", "MIME-Version:")
"""How documents begin that cloud-init takes (its documentation, User-data formats)."""

_SOURCES = ("env", "file", "keyring", "prompt")


def check_customization(customization: Customization) -> tuple[Problem, ...]:
    """Return all that is wrong in a customization; nothing if it can be carried out."""
    return (
        *_check_os(customization),
        *_check_names(customization),
        *_check_linux(customization.linux),
        *_check_windows(customization.windows, stored=bool(customization.stored)),
        *_check_cloud_init(customization.cloud_init),
        *_check_cards(customization.addresses),
        *(problem for place, one in find_sources(customization) for problem in _count(place, one)),
    )


def find_sources(customization: Customization) -> tuple[tuple[Place, SecretSource], ...]:
    """Return where every password of a customization is found, each with its place."""
    windows, users = customization.windows, customization.cloud_init.users
    key = windows.product_key
    found: dict[Place, SecretSource | None] = {
        ("linux", "password"): customization.linux.password,
        ("windows", "product_key"): None if isinstance(key, str) else key,
        ("windows", "administrator_password"): windows.administrator_password,
        ("windows", "join", "password"): windows.join.password if windows.join else None,
        **{("cloud_init", "users", n, "password"): u.password for n, u in enumerate(users)},
    }
    return tuple((place, source) for place, source in found.items() if source is not None)


def _count(place: Place, source: SecretSource) -> Iterator[Problem]:
    given = [name for name in _SOURCES if getattr(source, name)]
    if len(given) != 1:
        words = " and ".join(given) if given else "nothing"
        yield Problem(
            place=place, text=f"needs exactly one of {', '.join(_SOURCES)}; given: {words}"
        )
    elif source.keyring and not all(source.keyring.partition("/")[::2]):
        yield Problem(place=(*place, "keyring"), text="has to be SERVICE/USER")


def _check_os(customization: Customization) -> Iterator[Problem]:
    sections = {
        GuestOs.LINUX: customization.linux != LinuxGuest(),
        GuestOs.WINDOWS: customization.windows != WindowsGuest(),
        GuestOs.CLOUD_INIT: customization.cloud_init != CloudInit(),
    }
    given = [system for system, used in sections.items() if used]
    if customization.os is None:
        if not customization.stored:
            text = "missing: linux, windows or cloud-init; only beside stored it may be left out"
            yield Problem(place=("os",), text=text, beside=("stored",))
        elif len(given) > 1:
            yield Problem(place=(_key(given[-1]),), text="a guest has one system, not several")
        return
    for system in given:
        if system is not customization.os:
            text = f"is for os: {system.value}, and the os is {customization.os.value}"
            yield Problem(place=(_key(system),), text=text, beside=("os",))


def _key(system: GuestOs) -> str:
    return system.value.replace("-", "_")


def _check_names(customization: Customization) -> Iterator[Problem]:
    fault = find_template_fault(customization.host_name)
    if fault:
        yield Problem(place=("host_name",), text=fault)
    if customization.domain and not is_domain(customization.domain):
        yield Problem(place=("domain",), text="is not a DNS domain, as corp.example")
    yield from _check_dns((), customization.dns, customization.search)


def _check_dns(place: Place, dns: Iterable[str], search: Iterable[str]) -> Iterator[Problem]:
    for number, server in enumerate(dns):
        if _read(server) is None:
            text = f"{server!r} is not an address; name servers are given by address"
            yield Problem(place=(*place, "dns", number), text=text)
    for number, domain in enumerate(search):
        if not is_domain(domain):
            text = f"{domain!r} is not a DNS domain"
            yield Problem(place=(*place, "search", number), text=text)


def _check_linux(linux: LinuxGuest) -> Iterator[Problem]:
    if linux.script and linux.script_file:
        text = "script and script_file exclude each other"
        yield Problem(place=("linux", "script_file"), text=text, beside=("script",))
    if linux.script and not linux.script.startswith("#!"):
        text = "has to begin with the interpreter, as #!/bin/sh"
        yield Problem(place=("linux", "script"), text=text)


def _check_windows(windows: WindowsGuest, *, stored: bool) -> Iterator[Problem]:
    if windows.auto_logon < 0:
        yield Problem(place=("windows", "auto_logon"), text="has to be 0 or more")
    # A stored specification may hold the password.
    if windows.auto_logon > 0 and windows.administrator_password is None and not stored:
        yield Problem(
            place=("windows", "auto_logon"),
            text="needs administrator_password: Windows cannot log on without one",
            beside=("administrator_password",),
        )
    key = windows.product_key
    if isinstance(key, str) and key and not _PRODUCT_KEY.fullmatch(key):
        text = "is not a product key: five groups of five letters and digits, with hyphens between"
        yield Problem(place=("windows", "product_key"), text=text)
    if windows.workgroup and windows.join:
        text = "workgroup and join exclude each other"
        yield Problem(place=("windows", "join"), text=text, beside=("workgroup",))
    if len(windows.workgroup) > 15:
        yield Problem(place=("windows", "workgroup"), text="has more than 15 characters")
    if windows.join:
        yield from _check_join(("windows", "join"), windows.join)


def _check_join(place: Place, join: DomainJoin) -> Iterator[Problem]:
    if not is_domain(join.domain):
        text = "is not a DNS domain, as corp.example"
        yield Problem(place=(*place, "domain"), text=text)
    if not join.user.strip():
        yield Problem(place=(*place, "user"), text="is empty")
    if join.ou and not all(_OU.fullmatch(part) for part in join.ou.split(",")):
        text = "is not an organizational unit, as OU=Desktops,DC=corp,DC=example"
        yield Problem(place=(*place, "ou"), text=text)


def _check_cloud_init(cloud: CloudInit) -> Iterator[Problem]:
    if cloud.user_data and cloud.user_data_file:
        text = "user_data and user_data_file exclude each other"
        place = ("cloud_init", "user_data_file")
        yield Problem(place=place, text=text, beside=("user_data",))
    for key in ("user_data", "vendor_data"):
        document = getattr(cloud, key)
        if document and not document.startswith(_USER_DATA):
            text = "has to begin with #cloud-config, #! or another mark that cloud-init knows"
            yield Problem(place=("cloud_init", key), text=text)
    yield from _check_keys(("cloud_init",), cloud.ssh_keys)
    seen: set[str] = set()
    for number, user in enumerate(cloud.users):
        place_of_user: Place = ("cloud_init", "users", number)
        yield from _check_user(place_of_user, user)
        if user.name in seen:
            yield Problem(place=(*place_of_user, "name"), text=f"{user.name!r} comes twice")
        seen.add(user.name)


def _check_user(place: Place, user: GuestUser) -> Iterator[Problem]:
    if not is_user_name(user.name):
        yield Problem(place=(*place, "name"), text=f"{user.name!r} is not a valid user name")
    yield from _check_keys(place, user.ssh_keys)


def _check_keys(place: Place, keys: Iterable[str]) -> Iterator[Problem]:
    for number, key in enumerate(keys):
        # A private key is not shown, nor anything that might be a part of one.
        one_line = key.strip().replace("\t", " ").isprintable()
        if "PRIVATE" in key or len(key.split()) < 2 or not one_line:
            text = "is not a public key, as in ~/.ssh/id_ed25519.pub: ssh-ed25519 AAAA… NAME"
            yield Problem(place=(*place, "ssh_keys", number), text=text)


# -- addresses ------------------------------------------------------------------------


def _check_cards(cards: tuple[Addresses, ...]) -> Iterator[Problem]:
    for number, card in enumerate(cards):
        place: Place = ("addresses", number)
        yield from _check_family(place, card, six=False)
        yield from _check_family(place, card, six=True)
        yield from _check_dns(place, card.dns, card.search)
        for item, text in enumerate(card.reserved):
            try:
                parse_reserved(text)
            except InputError as error:
                yield Problem(place=(*place, "reserved", item), text=error.brief)


def _check_family(place: Place, card: Addresses, *, six: bool) -> Iterator[Problem]:
    mark = "6" if six else ""
    text = card.range6 if six else card.range
    gateway = card.gateway6 if six else card.gateway
    wanted: AddressRange | None = None
    if text:
        try:
            wanted = _parse_family(text, six=six)
        except InputError as error:
            brief = error.brief + (f"; {error.hint}" if error.hint else "")
            yield Problem(place=(*place, f"range{mark}"), text=brief)
    if text and (card.dhcp6 if six else card.dhcp):
        yield Problem(
            place=(*place, f"dhcp{mark}"),
            text=f"dhcp{mark} and range{mark} exclude each other",
            beside=(f"range{mark}",),
        )
    if gateway:
        yield from _check_gateway((*place, f"gateway{mark}"), gateway, wanted, given=bool(text))


def _parse_family(text: str, *, six: bool) -> AddressRange:
    found = parse_range(text)
    if found.version != (6 if six else 4):
        right = "range6" if found.version == 6 else "range"
        raise InputError(f"{text!r} is of IPv{found.version} and belongs into {right}")
    return found


def _check_gateway(
    place: Place, gateway: str, wanted: AddressRange | None, *, given: bool
) -> Iterator[Problem]:
    version = 6 if str(place[-1]).endswith("6") else 4
    span = _read(gateway)
    other = str(place[-1]).replace("gateway", "range")
    if span is None:
        yield Problem(place=place, text=f"{gateway!r} is not a valid address")
    elif span.version != version:
        right = "gateway6" if span.version == 6 else "gateway"
        yield Problem(place=place, text=f"is of IPv{span.version} and belongs into {right}")
    elif not given:
        text = f"goes with {other} only: DHCP sets the gateway"
        yield Problem(place=place, text=text, beside=(other,))
    elif wanted and not (wanted.network.holds(span) or _is_link_local(gateway)):
        text = f"{gateway} is not in the network of {other}"
        yield Problem(place=place, text=text, beside=(other,))
    elif wanted and not subtract(wanted.spans, [span]):
        text = f"{gateway} is the only address of {other}, so there is none to give out"
        yield Problem(place=place, text=text, beside=(other,))


def _is_link_local(address: str) -> bool:
    """Say whether an address is the way out of any network: fe80::1 (RFC 4861, section 4.2)."""
    return ":" in address and ip_address(address).is_link_local


def _read(text: str) -> Span | None:
    try:
        return span_of(ip_address(text))
    except ValueError:
        return None
