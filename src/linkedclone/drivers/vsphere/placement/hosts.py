"""Which hosts can run the clones: those that see every datastore that a clone reads. Pure."""

from collections.abc import Iterable, Mapping

from linkedclone.drivers.vsphere.placement.datacenter import Host
from linkedclone.drivers.vsphere.property.collector import Seen
from linkedclone.errors import RefusedError

_WAY_OUT = "a linked clone needs the parent's datastore and its own on the host that runs it: "

_SHOWN = 5


def check_host(host: Host, needed: Mapping[str, str], others: Iterable[Host]) -> None:
    """Refuse a host that was named and cannot run the clones [fact: vs-hosts-see-chain].

    ``needed`` names the datastores that it has to see, by id.
    """
    fit = [one.name for one in others if one.id != host.id and not one.trouble]
    if host.trouble:
        raise RefusedError(
            f"host {host.name} {host.trouble}", hint=f"name another: {_listed(fit) or 'none is up'}"
        )
    missing = lacking(host, needed)
    if missing:
        seeing = [
            one.name
            for one in others
            if one.id != host.id and not one.trouble and not lacking(one, needed)
        ]
        way = "mount it there"
        if seeing:
            way = f"name one that sees it with ``placement.host``: {_listed(seeing)}"
        raise RefusedError(
            f"host {host.name} does not see datastore {', '.join(missing)}", hint=_WAY_OUT + way
        )


def find_fit(
    place: str, hosts: Iterable[Host], needed: Mapping[str, str]
) -> tuple[tuple[Host, ...], tuple[str, ...]]:
    """Return the hosts that can run the clones, and what a person should know of the others."""
    every = sorted(hosts, key=lambda host: host.name)
    reasons = {host.name: _reason(host, needed) for host in every}
    fit = tuple(host for host in every if not reasons[host.name])
    unfit = tuple(f"host {name} {reason}" for name, reason in reasons.items() if reason)
    if not fit:
        raise RefusedError(
            f"no host of {place} can run the clones",
            details="\n".join(unfit) or "it has no hosts",
            hint=f"{_WAY_OUT}choose another ``placement.datastore``, ``placement.cluster`` or "
            "``placement.host``",
        )
    if not unfit:
        return fit, ()
    note = f"{len(unfit)} of {len(every)} hosts of {place} cannot run the clones: "
    return fit, (note + "; ".join(unfit[:_SHOWN]) + ("; …" if len(unfit) > _SHOWN else ""),)


def check_visible(place: str, compute: Seen | None, needed: Mapping[str, str]) -> None:
    """Refuse a place of whose hosts none sees what is needed [fact: vs-hosts-see-chain].

    Their cluster reports that; one that does not tell it, or cannot be seen, is no
    obstacle.
    """
    visible = frozenset(compute.ids_at("datastore") if compute else ())
    missing = sorted(name for moid, name in needed.items() if moid not in visible)
    if visible and missing:
        raise RefusedError(
            f"the hosts of {place} do not see {', '.join(missing)}",
            hint="a linked clone needs the parent's datastore and its own on every host: "
            "choose another ``placement.datastore`` or ``placement.resource_pool``",
        )


def lacking(host: Host, needed: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of the datastores that a host does not see."""
    return tuple(sorted(name for moid, name in needed.items() if moid not in host.stores))


def _reason(host: Host, needed: Mapping[str, str]) -> str:
    missing = lacking(host, needed)
    return host.trouble or (f"does not see {', '.join(missing)}" if missing else "")


def _listed(names: Iterable[str]) -> str:
    every = sorted(names)
    return ", ".join(every[:_SHOWN]) + (", …" if len(every) > _SHOWN else "")
