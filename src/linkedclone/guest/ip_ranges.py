"""Ranges of IP addresses: what people write, and what of it is free. Pure.

Nothing here walks through a range: IPv6 ones have more addresses than could
ever be walked through. Addresses are counted and cut as spans of numbers.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from linkedclone.errors import InputError

Ip = IPv4Address | IPv6Address

_HINT = "write 10.0.0.10-10.0.0.40/24, 10.0.0.0/24 for all its hosts, or several with commas"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Span:
    """Addresses of one family that follow each other."""

    version: int
    first: int  # the first, as a number
    last: int  # the last, as a number; not before the first

    @property
    def count(self) -> int:
        """How many they are."""
        return self.last - self.first + 1

    def holds(self, other: "Span") -> bool:
        """Say whether all of the other are in here."""
        return (
            self.version == other.version and self.first <= other.first <= other.last <= self.last
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressRange:
    """Addresses of one network that may be given out."""

    # The addresses, without those that no host may have, in the order in which they were written.
    spans: tuple[Span, ...]
    network: Span  # the network that they are in
    prefix: int

    @property
    def version(self) -> int:
        """4 or 6."""
        return self.network.version


def parse_range(text: str) -> AddressRange:
    """Read a range as people write it; see ``model.customization.Addresses``.

    A prefix length that is written once goes for all parts. An address whose
    host part is not zero is that address alone: ``10.0.0.30/24``. The network's
    own address and the broadcast address are left out (of IPv6 the subnet-router
    anycast address, RFC 4291, section 2.6.1), unless the network has no more
    than two addresses (RFC 3021, RFC 6164).
    """
    parts = [part.strip() for part in text.split(",")]
    prefix = _shared_prefix(text, parts)
    spans = [_parse_part(text, part, prefix) for part in parts]
    network = _network_of(spans[0], prefix)
    for span in spans:
        if span.version != network.version:
            raise InputError(f"{text!r} mixes IPv4 and IPv6", hint="give IPv6 as range6")
        if not network.holds(span):
            raise InputError(f"{text!r} reaches out of the network {_show_network(network)}")
    free = subtract(spans, _unusable(network))
    if not free:
        raise InputError(f"{text!r} has no address that a host may have")
    return AddressRange(spans=free, network=network, prefix=prefix)


def _shared_prefix(text: str, parts: Sequence[str]) -> int:
    found = {part.partition("/")[2].strip() for part in parts if "/" in part}
    if not found:
        raise InputError(f"{text!r} does not say how large its network is", hint=_HINT)
    if len(found) > 1:
        raise InputError(f"{text!r} has several prefix lengths", hint="one network for each card")
    (prefix,) = found
    longest = 128 if ":" in parts[0] else 32
    if not (prefix.isascii() and prefix.isdigit()) or int(prefix) > longest:
        raise InputError(f"{prefix!r} in {text!r} is not a prefix length", hint=_HINT)
    return int(prefix)


def _parse_part(text: str, part: str, prefix: int) -> Span:
    """Read ``first-last``, with or without a prefix length, or a single address."""
    first_text, dash, last_text = part.partition("/")[0].partition("-")
    first = _address(text, first_text)
    if dash:
        last = _address(text, last_text)
        if first.version != last.version:
            raise InputError(f"{text!r} mixes IPv4 and IPv6", hint="give IPv6 as range6")
        if last < first:  # type: ignore[operator]  # both are of one family
            raise InputError(f"{part!r} runs backwards")
        return Span(version=first.version, first=int(first), last=int(last))
    own = span_of(first)
    if "/" not in part:
        return own
    network = _network_of(own, prefix)
    return network if network.first == own.first else own


def _address(text: str, part: str) -> Ip:
    address = read_address(part.strip())
    if address is None:
        raise InputError(f"{part.strip()!r} in {text!r} is not a valid address", hint=_HINT)
    return address


def _network_of(span: Span, prefix: int) -> Span:
    host_bits = (128 if span.version == 6 else 32) - prefix
    if host_bits < 0:
        raise InputError(f"/{prefix} is not a prefix length of IPv4", hint=_HINT)
    first = span.first >> host_bits << host_bits
    return Span(version=span.version, first=first, last=first | ((1 << host_bits) - 1))


def _show_network(network: Span) -> str:
    bits = (128 if network.version == 6 else 32) - (network.count.bit_length() - 1)
    return f"{show_address(network.version, network.first)}/{bits}"


def _unusable(network: Span) -> list[Span]:
    """Return the addresses of a network that no host may have."""
    if network.count <= 2:
        return []
    ends = [network.first] if network.version == 6 else [network.first, network.last]
    return [Span(version=network.version, first=end, last=end) for end in ends]


def parse_reserved(text: str) -> tuple[Span, ...]:
    """Read addresses that are never given out: single ones, ``first-last``, or CIDR.

    Several are separated by commas. A network in CIDR notation is
    reserved whole.
    """
    found = []
    for part in (part.strip() for part in text.split(",")):
        if "/" in part and "-" not in part:
            try:
                network = ip_network(part, strict=False)
            except ValueError:
                raise InputError(f"{part!r} is not a network in CIDR notation") from None
            first, last = int(network.network_address), int(network.broadcast_address)
            found.append(Span(version=network.version, first=first, last=last))
        else:
            found.append(_parse_part(text, part, 0))
    return tuple(found)


def read_address(text: str) -> Ip | None:
    """Return an address without prefix length or zone; None if the text is none.

    ``%eth0`` behind a link-local address is left out (RFC 4007).
    """
    try:
        return ip_address(text.partition("/")[0].partition("%")[0].strip())
    except ValueError:
        return None


def span_of(address: Ip) -> Span:
    """Return one address as a span."""
    return Span(version=address.version, first=int(address), last=int(address))


def spans_of(addresses: Iterable[str]) -> tuple[Span, ...]:
    """Return addresses as others tell them, each as a span; what is none is left out."""
    found = (read_address(address) for address in addresses)
    return tuple(span_of(address) for address in found if address is not None)


def show_address(version: int, number: int) -> str:
    """Return an address as it is written."""
    return str(IPv6Address(number) if version == 6 else IPv4Address(number))


def subtract(spans: Iterable[Span], taken: Iterable[Span]) -> tuple[Span, ...]:
    """Return what is left of spans, in their order; what comes twice is left once."""
    free: list[Span] = []
    before = _join(taken)
    for span in spans:
        left = list(_cut(span, before))
        free += left
        for one in left:
            insort(before, one)
    return tuple(free)


def _join(spans: Iterable[Span]) -> list[Span]:
    """Return spans in order, those that overlap as one."""
    joined: list[Span] = []
    for span in sorted(spans):
        if joined and (before := joined[-1]).version == span.version and span.first <= before.last:
            joined[-1] = replace(before, last=max(before.last, span.last))
        else:
            joined.append(span)
    return joined


def find_span(spans: Sequence[Span], version: int, number: int) -> int:
    """Return the index of the first span that does not end before an address.

    The spans are in order, and do not overlap.
    """
    return bisect_left(spans, (version, number), key=lambda span: (span.version, span.last))


def _cut(span: Span, taken: Sequence[Span]) -> Iterator[Span]:
    start = span.first
    for index in range(find_span(taken, span.version, start), len(taken)):
        other = taken[index]
        if other.version != span.version or other.first > span.last:
            break
        if other.first > start:
            yield Span(version=span.version, first=start, last=other.first - 1)
        start = other.last + 1
    if start <= span.last:
        yield Span(version=span.version, first=start, last=span.last)


def walk(spans: Iterable[Span]) -> Iterator[str]:
    """Return addresses one after the other, made only as they are asked for."""
    for span in spans:
        for number in range(span.first, span.last + 1):
            yield show_address(span.version, number)


def count(spans: Iterable[Span]) -> int:
    """Return how many addresses there are."""
    return sum(span.count for span in spans)
