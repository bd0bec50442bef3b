"""Answers of a lone host that are not whole: no guard takes them for "nothing depends on it"."""

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace

import pytest

from linkedclone.app.connection import Connection
from linkedclone.drivers.contract import Driver
from linkedclone.drivers.registry import open_driver
from linkedclone.errors import LinkedCloneError, UnreadableAnswerError
from linkedclone.model.request import Deletion
from tests import do
from tests.contract.acts import find
from tests.simulator import Simulator
from tests.vsphere.lone_host.conftest import PARENT, link
from tests.vsphere.proxy import Proxy, Reply, proxied

CHANGES = ("Destroy_Task", "UnregisterVM", "DeleteDatastoreFile_Task", "RemoveSnapshot_Task")
READS = ("RetrievePropertiesEx", "ContinueRetrievePropertiesEx")
_OBJECT = re.compile(rb"<objects>.*?</objects>", re.DOTALL)
_PROPERTY = re.compile(rb"<propSet>.*?</propSet>", re.DOTALL)


@pytest.fixture
def proxy(host: Simulator) -> Iterator[Proxy]:
    """The way to a host whose parent has a linked clone, ``desk-1``."""
    link(host, "desk-1")
    with proxied(host) as made:
        yield made


@pytest.fixture
def driver(proxy: Proxy) -> Iterator[Driver]:
    with closing(open_driver(proxy.endpoint())) as opened:
        yield opened


def without(kind: str) -> Callable[[bytes], bytes]:
    """Leave the objects of a kind out of an answer."""

    def change(body: bytes) -> bytes:
        wanted = f'type="{kind}"'.encode()
        return _OBJECT.sub(lambda found: b"" if wanted in found[0] else found[0], body)

    return change


SPOILT: dict[str, Callable[[bytes], bytes]] = {
    "no VMs": without("VirtualMachine"),
    "no snapshots": without("VirtualMachineSnapshot"),
    "nothing": lambda body: _OBJECT.sub(b"", body),
    "no properties": lambda body: _PROPERTY.sub(b"", body),
    "a page": lambda _: b"<html><body>Please log in</body></html>",
}


def spoil(proxy: Proxy, change: Callable[[bytes], bytes], number: int) -> None:
    """Change all answers to property reads from one on."""
    count = iter(range(10**9))

    def answer(method: str, _: bytes, ask: Callable[[], Reply]) -> Reply:
        reply = ask()
        spoilt = method in READS and next(count) >= number
        return replace(reply, body=change(reply.body)) if spoilt else reply

    proxy.change, proxy.sent = answer, []


def was_changed(proxy: Proxy) -> bool:
    return not set(CHANGES).isdisjoint(proxy.sent)


@pytest.mark.parametrize("what", SPOILT)
@pytest.mark.parametrize("act", ["a parent", "its snapshot"])
def test_a_parent_is_not_taken_for_one_without_clones(proxy: Proxy, what: str, act: str) -> None:
    for number in range(6):
        spoil(proxy, SPOILT[what], number)
        with pytest.raises(LinkedCloneError):
            delete(proxy, act)
        assert not was_changed(proxy)


def delete(proxy: Proxy, act: str) -> None:
    """Ask for what whole answers refuse, because a clone depends on it."""
    with closing(Connection(open_driver(proxy.endpoint()), address="vsphere:")) as lab:
        if act == "a parent":
            lab.vms.delete([PARENT], Deletion(force=True))
        else:
            lab.snapshots.delete(PARENT, "base", force=True)


def test_a_host_that_is_not_told_of_is_not_taken_for_one_without_a_vcenter(
    proxy: Proxy, driver: Driver
) -> None:
    clone = find(driver, "desk-1")
    spoil(proxy, without("HostSystem"), 0)
    with closing(open_driver(proxy.endpoint())) as fresh:
        with pytest.raises(UnreadableAnswerError, match="tells of no"):
            fresh.start(do.delete_vm(clone))
        with pytest.raises(UnreadableAnswerError, match="tells of no"):
            fresh.identify()
    assert not was_changed(proxy)
