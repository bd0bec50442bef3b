"""Answers that whoever is root in a guest may give in place of its agent."""

import json

DEEP = 200_000


def _card(**more: object) -> dict[str, object]:
    address = {"ip-address": "10.0.0.9", "ip-address-type": "ipv4", "prefix": 24}
    return {"name": "eth0", "ip-addresses": [address], **more}


def _returned(value: object) -> bytes:
    return json.dumps({"return": value}).encode()


BODIES: dict[str, bytes] = {
    "nothing": b"",
    "no object": b"7",
    "a bare list": b"[]",
    "null": b"null",
    "an empty object": b"{}",
    "null returned": _returned(None),
    "a number returned": _returned(7),
    "a negative number returned": _returned(-1),
    "a boolean returned": _returned(True),
    "a text returned": _returned("10.0.0.9"),
    "an empty list returned": _returned([]),
    "lists in lists": _returned([[[]]]),
    "null in a list": _returned([None]),
    "numbers in a list": _returned([1, 2.5]),
    "an object returned": _returned({}),
    "a card without addresses": _returned([{"ip-addresses": None}]),
    "addresses that are a number": _returned([_card(**{"ip-addresses": 7})]),
    "addresses that are texts": _returned([_card(**{"ip-addresses": ["10.0.0.9"]})]),
    "an address that is a number": _returned([_card(**{"ip-addresses": [{"ip-address": 1}]})]),
    "an address that is null": _returned([_card(**{"ip-addresses": [{"ip-address": None}]})]),
    "an address that is missing": _returned([_card(**{"ip-addresses": [{}]})]),
    "a MAC address that is a number": _returned([_card(**{"hardware-address": 1})]),
    "a host name that is a list": _returned({"host-name": ["a"]}),
    "a host name that is null": _returned({"host-name": None}),
    "an error that is a text": b'{"error": "no"}',
    "an error that is a number": b'{"error": 1}',
    "an error without words": b'{"error": {}}',
    "an error of numbers": b'{"error": {"class": 1, "desc": 2}}',
    "not a number": b'{"return": NaN}',
    "an endless number": b'{"return": ' + b"9" * 5000 + b"}",
    "an infinite number": b'{"return": 1e999}',
    "a large number": b'{"return": 99999999999999999999999}',
    "a key twice": b'{"return": 1, "return": 2}',
    "half a surrogate": b'{"return": "\\ud800"}',
    "no Unicode": b'{"return": "\xc3\x28"}',
    "UTF-16": '{"return": 1}'.encode("utf-16"),
    "deep lists": b'{"return": ' + b"[" * DEEP + b"]" * DEEP + b"}",
    "deep objects": b'{"return": ' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}",
    "an open list": b'{"return": ' + b"[" * 900,
    "an open text": b'{"return": "' + b'\\"' * 400_000,
    "a long line": b'{"return": "' + b"a" * (2 << 20) + b'"}',
    "a delimiter": b"\xff",
    "no JSON": b"<html>",
}
"""By what is wrong with each, one line without its end."""

ADDRESSES = (
    "10.0.0.9%;touch x",
    "10.0.0.9 ",
    " 10.0.0.9",
    "10.0.0.9\n10.0.0.8",
    "10.0.0.9;reboot",
    "fd00::1%;touch x",
    "fd00::1%eth0",
    "fe80::1%eth0",
    "-oProxyCommand=reboot",
    "{{ lookup('pipe', 'reboot') }}",
    "localhost",
    "010.0.0.9",
    "10.0.0",
    "1234",
    "٣.0.0.1",
    "255.255.255.255",
    "224.0.0.1",
    "127.0.0.1",
    "::ffff:127.0.0.1",
    "::1",
    "0.0.0.0",
    "1" * 100_000,
    "",
)
"""Texts that are not addresses at which others reach a guest."""

HOST_NAMES = (
    "a b",
    "a\nb",
    "a;reboot",
    "-a",
    "a-",
    "a..b",
    ".a",
    "a.",
    "a" * 64,
    ".".join(["a" * 60] * 5),
    "dösk",
    "\x1b[31mred",
    "{{ x }}",
    "",
)
"""Texts that are not host names."""
