"""Host names of guests: made of a template, held to the rules of each system. Pure."""

import re
from collections.abc import Iterable, Sequence
from string import Formatter

from linkedclone.errors import InputError
from linkedclone.model.customization import Customization, GuestOs
from linkedclone.model.values.vm_names import render_count

_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
"""A label of a host name (RFC 1123, section 2.1; RFC 1035, section 2.3.4)."""

MOST_WINDOWS = 15
"""The longest NetBIOS computer name [fact: vs-cust-identities]."""

_MOST_DOMAIN = 253


def find_template_fault(template: str) -> str:
    """Say what is wrong with a template of host names; empty if nothing is."""
    try:
        parts = list(Formatter().parse(template))
    except ValueError:
        return "has a brace without its counterpart; the clone's name is {name}"
    for _, field, form, conversion in parts:
        if field is None:
            continue
        if field != "name":
            return f"has the unknown field {{{field}}}; the clone's name is {{name}}"
        if form or conversion:
            return "may contain {name} only in this form"
    return "" if template else "is empty; the clone's name is {name}"


def make_host_name(customization: Customization, name: str) -> str:
    """Return what the guest of a clone is called."""
    return customization.host_name.format(name=name)


def check_host_names(customization: Customization, names: Sequence[str]) -> None:
    """Refuse host names that a guest would not accept; all are reported at once.

    Where a stored specification alone says what the guests are, and nothing
    here says what they are called, it names them by its own rules.
    """
    if leaves_names(customization):
        return
    wanted = {name: make_host_name(customization, name) for name in names}
    windows = customization.os is GuestOs.WINDOWS
    faults = [
        f"{name}: {host!r} {fault}" if host != name else f"{name}: it {fault}"
        for name, host in wanted.items()
        if (fault := find_fault(host, windows=windows))
    ]
    if faults:
        what = "a Windows computer" if windows else "a guest"
        raise InputError(
            f"{render_count(len(faults), 'clone')} would have a host name that {what} cannot have",
            details="\n".join(faults),
            hint=f"{_rules(windows=windows)}; choose other names, or another host_name than "
            f"{customization.host_name!r}",
        )
    _refuse_twins(wanted.items(), customization.host_name)


def leaves_names(customization: Customization) -> bool:
    """Say whether a stored specification alone decides what guests are called."""
    return customization.os is None and customization.host_name == "{name}"


def find_fault(host: str, *, windows: bool) -> str:
    """Say why a host name is none; empty if it is one."""
    if windows and len(host) > MOST_WINDOWS:
        return f"has {len(host)} characters"
    if "." in host:
        return "has a dot; the domain is given as domain:"
    if not _LABEL.fullmatch(host):
        return "has more than 63 characters" if len(host) > 63 else _find_character(host)
    # Of digits alone it would be read as an address, and vSphere refuses it
    # [fact: vs-cust-identities].
    return "is made of digits alone" if host.isdigit() else ""


def _find_character(host: str) -> str:
    if host.startswith("-") or host.endswith("-"):
        return "begins or ends with a hyphen"
    bad = sorted({c for c in host if not (c.isascii() and (c.isalnum() or c == "-"))})
    return "has " + " ".join(repr(c) for c in bad) if bad else "is empty"


def _rules(*, windows: bool) -> str:
    most = MOST_WINDOWS if windows else 63
    return f"letters, digits and hyphens, {most} at most, and not digits alone"


def _refuse_twins(wanted: Iterable[tuple[str, str]], template: str) -> None:
    holders: dict[str, list[str]] = {}
    for name, host in wanted:
        holders.setdefault(host.casefold(), []).append(name)
    twins = [f"{host}: {', '.join(names)}" for host, names in holders.items() if len(names) > 1]
    if twins:
        raise InputError(
            f"several clones would have one host name, made of {template!r}",
            details="\n".join(twins),
            hint="let host_name hold {name}",
        )


def is_domain(text: str) -> bool:
    """Say whether a text is a DNS domain, as ``corp.example``; one dot at its end is allowed."""
    labels = text.removesuffix(".").split(".")
    return len(text) <= _MOST_DOMAIN and all(_LABEL.fullmatch(label) for label in labels)
