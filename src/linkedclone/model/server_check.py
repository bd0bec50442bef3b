"""What a hypervisor itself says of a request before it is sent."""

from dataclasses import dataclass, field

from linkedclone.model.values.document import NULL_IF_EMPTY, Document


@dataclass(frozen=True, slots=True, kw_only=True)
class HostCheck(Document):
    """The answer for one host."""

    # Its name; empty where the answer concerns no single one.
    host: str = field(metadata=NULL_IF_EMPTY)
    errors: tuple[str, ...] = ()  # why the clone would fail there, in the server's words
    warnings: tuple[str, ...] = ()  # what else it says


def would_fail(checks: tuple[HostCheck, ...]) -> bool:
    """Say whether no host is left that would take the clone."""
    if any(check.errors for check in checks if not check.host):
        return True
    hosts = [check for check in checks if check.host]
    return bool(hosts) and all(check.errors for check in hosts)
