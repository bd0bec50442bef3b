"""Deleting at a lone host: a VM's own files go one by one, and nothing that others need."""

import itertools
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from linkedclone.drivers.contract import Driver
from linkedclone.drivers.registry import open_driver
from linkedclone.drivers.vsphere.storage.orphans import NOTE
from linkedclone.errors import BusyError, RefusedError
from linkedclone.model.request import Scan
from linkedclone.model.vm import Power
from tests import command, do, govc
from tests.contract.acts import delete, files_of, find, read, result_of, set_power, take_snapshot
from tests.simulator import Simulator
from tests.vsphere.lone_host.conftest import PARENT, link
from tests.vsphere.proxy import Proxy, Reply, proxied

DESTROY = "Destroy_Task"
FILE = "DeleteDatastoreFile_Task"
CHANGES = ("PUT", "UnregisterVM", FILE, "SearchDatastore_Task", DESTROY)


@pytest.mark.parametrize("destroy", ["keeps-base", "takes-base"])
def test_a_linked_clone_goes_with_its_own_files_and_is_never_destroyed(
    host: Simulator, driver: Driver, destroy: str
) -> None:
    """Whatever a host does with the base of a VM that it destroys."""
    host.control("POST", "esx", {"destroy": destroy})
    before = host.files()
    link(host, "desk-1")
    host.reset_calls()
    delete(driver, find(driver, "desk-1"))
    assert host.files() == before
    assert DESTROY not in host.calls()
    assert "desk-1" not in govc.files(host, "")


def test_two_that_delete_one_clone_end_with_it_gone(host: Simulator, driver: Driver) -> None:
    before = host.files()
    link(host, "desk-1")
    vm = find(driver, "desk-1")
    other = open_driver(host.endpoint())
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(one.start, do.delete_vm(vm)) for one in (driver, other)]
    for one, job in zip((driver, other), jobs, strict=True):
        result_of(one, job.result())
    other.close()
    assert host.files() == before


def test_a_vm_that_shares_nothing_is_destroyed_by_the_host(host: Simulator, driver: Driver) -> None:
    vm = find(driver, "ha-host_VM1")
    delete(driver, vm)
    assert host.calls()[DESTROY] == 1
    assert not files_of(vm) & set(host.files())


def test_the_layers_that_a_clone_of_the_clone_reads_stay(host: Simulator, driver: Driver) -> None:
    link(host, "desk-1")
    take_snapshot(driver, find(driver, "desk-1"), "own")
    link(host, "desk-2", "desk-1/desk-1.vmdk")
    before = find(driver, "desk-2")
    delete(driver, find(driver, "desk-1"))
    assert read(driver, before.id).disks == before.disks
    assert files_of(before) <= set(host.files())
    assert "[LocalDS_0] desk-1/desk-1-000001.vmdk" not in host.files()


def test_what_a_clone_reads_that_is_made_at_the_last_moment_stays(host: Simulator) -> None:
    with proxied(host) as proxy:
        driver = open_driver(proxy.endpoint())
        link(host, "desk-1")
        take_snapshot(driver, find(driver, "desk-1"), "own")

        def interfere(method: str, _request: bytes, ask: Callable[[], Reply]) -> Reply:
            if method == "UnregisterVM":
                link(host, "late", "desk-1/desk-1.vmdk")
            return ask()

        proxy.change = interfere
        delete(driver, find(driver, "desk-1"))
        late = find(driver, "late")
        assert files_of(late) <= set(host.files())
        assert "[LocalDS_0] desk-1/desk-1.vmdk" in files_of(late)
        driver.close()


def test_a_file_of_somebody_elses_in_the_folder_stays(
    host: Simulator, driver: Driver, tmp_path: Path
) -> None:
    link(host, "desk-1")
    notes = tmp_path / "notes.txt"
    notes.write_text("do not lose this")
    govc.upload(host, notes, "desk-1/notes.txt")
    delete(driver, find(driver, "desk-1"))
    assert "notes.txt" in govc.files(host, "desk-1")
    assert "[LocalDS_0] desk-1/desk-1.vmdk" not in host.files()


def test_a_base_whose_vm_is_gone_goes_only_if_the_plan_says_so(
    host: Simulator, driver: Driver
) -> None:
    link(host, "desk-1")
    link(host, "desk-2")
    govc.run(host, "vm.unregister", PARENT)
    base = find(driver, "desk-1").disks[0].chain[0]
    delete(driver, find(driver, "desk-1"))
    assert str(base) in host.files()
    last = find(driver, "desk-2")
    step = do.delete_vm(last)
    result_of(driver, driver.start(type(step)(vm=last.id, vm_name=last.name, takes_base=(base,))))
    assert str(base) not in host.files()


def test_what_is_unregistered_to_be_kept_is_not_taken_for_the_rest_of_a_deletion(
    host: Simulator, driver: Driver, tmp_path: Path
) -> None:
    link(host, "desk-1")
    (tmp_path / NOTE).write_text("left by a command that was killed before it unregistered")
    govc.upload(host, tmp_path / NOTE, f"desk-1/{NOTE}")
    result_of(driver, driver.start(do.unregister_vm(find(driver, "desk-1"))))
    assert NOTE not in govc.files(host, "desk-1")
    link(host, "desk-2")
    assert [stray.orphaned for stray in driver.observe(scan=Scan()).strays] == [False]


def test_a_deletion_stops_where_its_note_is_gone(host: Simulator) -> None:
    """Another command has taken the folder over, and makes a clone there."""
    with proxied(host) as proxy:
        driver = open_driver(proxy.endpoint())
        link(host, "desk-1")

        def interfere(method: str, _request: bytes, ask: Callable[[], Reply]) -> Reply:
            if method == "SearchDatastore_Task":
                govc.run(host, "datastore.rm", "-ds", govc.STORE, f"desk-1/{NOTE}")
            return ask()

        proxy.change = interfere
        delete(driver, find(driver, "desk-1"))
        assert "[LocalDS_0] desk-1/desk-1.vmdk" in host.files()
        driver.close()


def test_a_running_clone_is_refused_and_nothing_is_left_in_its_folder(
    host: Simulator, driver: Driver
) -> None:
    link(host, "desk-1")
    vm = find(driver, "desk-1")
    set_power(driver, vm, Power.ON)
    with pytest.raises(Exception, match="power state"):
        driver.start(do.delete_vm(vm))
    assert NOTE not in govc.files(host, "desk-1")


def test_another_vm_under_the_same_id_is_not_deleted(host: Simulator, driver: Driver) -> None:
    link(host, "desk-1")
    vm = find(driver, "desk-1")
    step = type(do.delete_vm(vm))(vm=vm.id, vm_name=vm.name, vm_uuid="another")
    with pytest.raises(RefusedError, match="another VM"):
        driver.start(step)


def test_a_lost_answer_to_the_unregistration_is_looked_up(host: Simulator, driver: Driver) -> None:
    before = host.files()
    link(host, "desk-1")
    vm = find(driver, "desk-1")
    host.drop("UnregisterVM", after=True)
    delete(driver, vm)
    assert host.files() == before
    link(host, "desk-2")
    vm = find(driver, "desk-2")
    host.drop("UnregisterVM")
    with pytest.raises(BusyError):
        driver.start(do.delete_vm(vm))
    assert files_of(read(driver, vm.id)) <= set(host.files())


def test_a_session_that_ends_on_the_way_loses_nothing(host: Simulator) -> None:
    before = host.files()
    link(host, "desk-1")
    with proxied(host) as proxy:
        driver = open_driver(proxy.endpoint())
        vm, ended = find(driver, "desk-1"), set[str]()

        def interfere(method: str, _request: bytes, ask: Callable[[], Reply]) -> Reply:
            if method in CHANGES and method not in ended:
                ended.add(method)
                host.end_sessions()
            return ask()

        proxy.change = interfere
        delete(driver, vm)
        driver.close()
    assert len(ended) == 4
    assert host.files() == before


def test_killed_between_any_two_calls_only_removable_files_are_left(
    host: Simulator, driver: Driver, tmp_path: Path
) -> None:
    """Each round kills the command at one call later, until one command gets to its end."""
    before = host.files()
    number, ended = 0, False
    with proxied(host) as proxy:
        env = proxy.environment(tmp_path)
        while not ended:
            number += 1
            name = f"desk-{number}"
            link(host, name)
            ended = not kill_at(proxy, env, name, number)
            link(host, f"beside-{number}")
            for more in (["delete", name, "--yes", "--force"], ["gc", "--yes"]):
                done = command.run(*more, env=command.environment(host, tmp_path))
                assert done.returncode == 0 or "there is no VM" in done.stderr
            assert name not in {vm.name for vm in driver.observe().vms}
            assert f"[LocalDS_0] {name}/{name}.vmdk" not in host.files(), number
            assert driver.observe(scan=Scan()).strays == ()
            delete(driver, find(driver, f"beside-{number}"))
            assert host.files() == before
    assert number > 4


def kill_at(proxy: Proxy, env: dict[str, str], name: str, number: int) -> bool:
    """Delete, and kill the command once a change is made; False if it ended before."""
    lock, made = threading.Lock(), itertools.count(1)
    process = command.start("delete", name, "--yes", "--force", env=env)

    def interfere(method: str, _request: bytes, ask: Callable[[], Reply]) -> Reply:
        with lock:
            if method not in CHANGES or next(made) != number:
                return ask()
            ask()
            process.send_signal(signal.SIGKILL)
            process.wait()
            return Reply(status=500, body=b"")

    proxy.change = interfere
    process.communicate()
    return process.returncode != 0
