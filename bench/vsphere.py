"""The three ways to make N linked clones that are compared, each in a simulator of its own."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

from tests.simulator import Simulator

from bench.commands import GOVC, LINKEDCLONE, PYTHON, ROOT, BenchError, clean_environment, run
from bench.row import Contender, Sample

CALL_MS = 20
CLONE_MS = 2000
PARENT = "/DC0/vm/DC0_H0_VM0"
POOL = "/DC0/host/DC0_H0/Resources"
SNAPSHOT = "base"
CLONE, FORK, CREATE = "CloneVM_Task", "InstantClone_Task", "CreateVM_Task"
HOST_PARENT = "/ha-datacenter/vm/ha-host_VM0"
GOVC_AT_A_TIME = 8
MOST_CALLS = 4
"""What an instant clone may take in a batch."""

Measure = Callable[..., None]
"""Makes so many clones at a simulator, of the parent that is named or of the usual one."""

Find = Callable[[Simulator], str]
"""What the parent is called; asked before the clock runs."""


def environment(simulator: Simulator) -> dict[str, str]:
    """Return the environment that points both govc and linkedclone at a simulator.

    govc keeps its session there too, so that only its first command logs in.
    """
    return clean_environment(
        {
            "GOVC_URL": simulator.url,
            "GOVC_TLS_CA_CERTS": str(simulator.certificate_file),
            "GOVMOMI_HOME": str(simulator.certificate_file.parent / "govmomi"),
        }
    )


@contextmanager
def vcenter(vms: int, task: str = CLONE) -> Iterator[Simulator]:
    """Start a simulated vCenter with this many VMs whose parent has a snapshot; then slow it.

    Where it is forked it runs, and its guest is frozen.
    """
    # The model has a host and a cluster, with half of the VMs each.
    with Simulator.start("-vm", str(vms // 2)) as simulator:
        run(environment(simulator), GOVC, "snapshot.create", "-vm", PARENT, SNAPSHOT)
        if task == FORK:
            run(environment(simulator), GOVC, "vm.power", "-on", PARENT)
            frozen = {"name": bare_name(simulator), "ready": True, "frozen": True}
            simulator.control("POST", "fork", frozen)
        simulator.delays(call_ms=CALL_MS, task_ms={task: CLONE_MS})
        simulator.reset_calls()
        yield simulator


def measure(
    clone: Measure, *, clones: int, vms: int = 4, find: Find | None = None, task: str = CLONE
) -> Sample:
    """Let ``clone`` make so many clones in a fresh vCenter; count the calls it made.

    Raises:
        BenchError: It did not make exactly so many.
    """
    with vcenter(vms, task) as simulator:
        named = {"parent": find(simulator)} if find else {}
        simulator.reset_calls()
        begun = time.perf_counter()
        clone(simulator, clones, **named)
        seconds = time.perf_counter() - begun
        calls = simulator.calls()
    if calls.get(task) != clones:
        raise BenchError(f"{calls.get(task)} clones were made, not {clones}")
    return Sample(seconds=seconds, calls=calls)


@contextmanager
def lone_host() -> Iterator[Simulator]:
    """Start a simulated ESXi host without vCenter, its parent with a snapshot; then slow it."""
    with Simulator.start("-esx") as simulator:
        run(environment(simulator), GOVC, "snapshot.create", "-vm", HOST_PARENT, SNAPSHOT)
        tasks = dict.fromkeys((CREATE, "PowerOnVM_Task"), CLONE_MS)
        simulator.delays(call_ms=CALL_MS, task_ms=tasks)
        yield simulator


def measure_at_host(clone: Measure, *, clones: int, whole: int = 0) -> Sample:
    """Let ``clone`` make so many clones at a fresh lone host; scale to ``whole`` if given.

    Raises:
        BenchError: It did not make exactly so many.
    """
    with lone_host() as simulator:
        simulator.reset_calls()
        begun = time.perf_counter()
        clone(simulator, clones, parent=HOST_PARENT)
        seconds = time.perf_counter() - begun
        calls = simulator.calls()
    if calls.get(CREATE) != clones:
        raise BenchError(f"{calls.get(CREATE)} clones were made, not {clones}")
    note = f"{clones} clones measured, scaled to {whole}" if whole else ""
    return Sample(seconds=seconds * (whole or clones) / clones, calls=calls, note=note)


def with_linkedclone(simulator: Simulator, clones: int, parent: str = PARENT) -> None:
    """Clone with our command line."""
    names = f"desk-{{001..{clones:03}}}"
    run(environment(simulator), LINKEDCLONE, "clone", parent, names, "-o", "json")


def bare_name(simulator: Simulator) -> str:  # noqa: ARG001 - asked alike
    """Return the parent's name alone."""
    return PARENT.rpartition("/")[2]


def uuid_of_parent(simulator: Simulator) -> str:
    """Return the parent's instance UUID."""
    words = ("object.collect", "-s", PARENT, "config.instanceUuid")
    return run(environment(simulator), GOVC, *words).strip()


def with_bare_client(simulator: Simulator, clones: int) -> None:
    """Clone with the least that a pyVmomi program can be."""
    program = ROOT / "bench" / "bare_client.py"
    run(environment(simulator), PYTHON, program, PARENT, SNAPSHOT, *_names(clones))


def with_govc(simulator: Simulator, clones: int) -> None:
    """Clone with govc, one process a clone, eight at a time."""
    settings = {**environment(simulator), "GOVC_RESOURCE_POOL": POOL}
    clone = ("vm.clone", "-vm", PARENT, "-link", "-snapshot", SNAPSHOT)
    with ThreadPoolExecutor(GOVC_AT_A_TIME) as threads:
        list(threads.map(lambda name: run(settings, GOVC, *clone, name), _names(clones)))


def with_bare_host_client(simulator: Simulator, clones: int, parent: str) -> None:
    """Clone at a lone host with the least that a pyVmomi program can be."""
    words = ("-m", "bench.bare_host_client", parent, SNAPSHOT)
    run(environment(simulator), PYTHON, *words, *_names(clones))


def with_govc_at_host(simulator: Simulator, clones: int, parent: str) -> None:
    """Clone at a lone host with govc in a loop: it takes the frozen file, and no hardware."""
    settings = environment(simulator)
    file = f"{parent.rpartition('/')[2]}/disk1.vmdk"
    for name in _names(clones):
        run(settings, GOVC, "vm.create", "-disk", file, "-link", name)


def fork_with_linkedclone(simulator: Simulator, clones: int) -> None:
    """Make instant clones with our command line.

    Raises:
        BenchError: It took more calls than four each.
    """
    names = f"desk-{{001..{clones:03}}}"
    run(environment(simulator), LINKEDCLONE, "clone", PARENT, names, "--instant", "-o", "json")
    calls = sum(simulator.calls().values())
    if calls > MOST_CALLS * clones:
        raise BenchError(f"{calls} calls were made for {clones} instant clones")


def fork_with_govc(simulator: Simulator, clones: int) -> None:
    """Make instant clones with govc, one process each, eight at a time.

    Their cards stay connected, and nothing is said to their guests.
    """
    settings = {**environment(simulator), "GOVC_RESOURCE_POOL": POOL}
    fork = ("vm.instantclone", "-vm", PARENT)
    with ThreadPoolExecutor(GOVC_AT_A_TIME) as threads:
        list(threads.map(lambda name: run(settings, GOVC, *fork, name), _names(clones)))


def contender(
    name: str,
    clone: Measure,
    *,
    clones: int,
    vms: int = 4,
    find: Find | None = None,
    task: str = CLONE,
) -> Contender:
    """Make a contender of one of the ways above."""
    make = partial(measure, clone, clones=clones, vms=vms, find=find, task=task)
    return Contender(name=name, run=make)


def scaled(
    name: str, clone: Measure, *, clones: int, measured: int, task: str = CLONE
) -> Contender:
    """Make a contender that makes a part of the clones, its time scaled to all of them."""

    def run_part() -> Sample:
        part = measure(clone, clones=measured, task=task)
        note = f"{measured} clones measured, scaled to {clones}"
        return Sample(seconds=part.seconds * clones / measured, calls=part.calls, note=note)

    return Contender(name=name, run=run_part)


def _names(clones: int) -> Sequence[str]:
    return [f"desk-{number:03}" for number in range(1, clones + 1)]
