"""Instant clones on this machine, beside linked clones that boot."""

import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

from bench.commands import LINKEDCLONE, BenchError, run
from bench.local import await_greeting, build_guest, local_environment, scratch_folder
from bench.row import Comparison, Contender, Limit, Options, Sample, Target, row
from linkedclone.app.pools.pools import Pools
from linkedclone.app.proposal import Acting
from linkedclone.drivers.local.driver import LocalDriver
from linkedclone.drivers.local.machine.open import open_machine
from linkedclone.drivers.local.state.folder import open_state
from linkedclone.model.pool import PoolSpec
from linkedclone.model.values.ids import VmId

_MANY = 50
_ASKED = 5
_MIB = 1 << 20
_FORK = ("warm", "--instant", "--snapshot", "ready")
_BOOT = ("golden",)

Settings = Mapping[str, str]


@row("instant", "guests from nothing to SSH with a name of their own: forked, or booted")
def instant(options: Options) -> Comparison:
    """Forks of a snapshot with memory beside linked clones of the same guest that boot."""
    many = 10 if options.quick else _MANY
    return Comparison(
        contenders=(
            _contender("1 fork", 1, *_FORK),
            _contender("1 cold boot", 1, *_BOOT),
            _contender("5 forks", 5, *_FORK),
            _contender("5 cold boots", 5, *_BOOT),
            Contender(name="many forks, each", run=partial(_fork_many, many)),
            Contender(name="a fork's memory (PSS)", run=partial(_measure_memory, *_FORK)),
            Contender(name="a booted clone's memory (PSS)", run=partial(_measure_memory, *_BOOT)),
            Contender(name="a fork's copied RAM", run=_measure_copied),
            Contender(name="pause of a running source", run=_measure_pause),
            Contender(name="a spare claimed, to SSH", run=_claim_spare),
        ),
        targets=(
            Target(of="1 fork", to="1 cold boot", at_most=0.35),
            Target(of="5 forks", to="5 cold boots", at_most=0.3),
            Target(of="a spare claimed, to SSH", to="1 cold boot", at_most=0.25),
            Target(
                of="a fork's memory (PSS)",
                to="a booted clone's memory (PSS)",
                at_most=0.4,
                sizes=True,
            ),
        ),
        limits=(
            Limit(of="many forks, each", seconds=0.8),
            Limit(of="a fork's copied RAM", size_bytes=10 * _MIB),
            Limit(of="pause of a running source", seconds=0.25),
        ),
        notes=(
            f"many are {many}; memory is of the process of one clone that answers by SSH",
            "the pause is the longest silence of a guest that tells its uptime all the time",
            "a spare is claimed by a run over a pool that becomes larger, until SSH greets",
            "the program that makes that run has been started before",
        ),
    )


@contextmanager
def _golden() -> Iterator[tuple[Settings, Path]]:
    """Give ``golden``, and ``warm`` that runs, with a snapshot ``ready`` of its memory."""
    guest = build_guest()
    with scratch_folder() as folder:
        settings = local_environment(folder / "state")
        run(
            settings,
            *(LINKEDCLONE, "image", "import", guest.disk, "--name", "golden"),
            *("--memory", f"{guest.memory_bytes >> 20}MiB", "--user", guest.user),
            *("--kernel", guest.kernel, "--initrd", guest.initrd, "--append", guest.append),
        )
        try:
            run(settings, LINKEDCLONE, "clone", "golden", "warm", "--wait", "ip")
            run(settings, LINKEDCLONE, "snapshot", "create", "warm", "ready", "--memory")
            yield settings, folder / "state"
        finally:
            names = _list_names(settings)
            run(settings, LINKEDCLONE, "delete", *names, "--yes", "--force")


def _list_names(settings: Settings) -> list[str]:
    told = run(settings, LINKEDCLONE, "list", "-o", "json")
    return re.findall(r'"name": "([^"]+)"', told)


def _contender(name: str, count: int, *how: str) -> Contender:
    return Contender(name=name, run=partial(_clone_and_ask, count, *how))


def _clone_and_ask(count: int, *how: str) -> Sample:
    with _golden() as (settings, _):
        begun = time.perf_counter()
        _clone(settings, count, *how)
        return Sample(seconds=time.perf_counter() - begun)


def _fork_many(count: int) -> Sample:
    sample = _clone_and_ask(count, *_FORK)
    return Sample(seconds=sample.seconds / count, note=f"{sample.seconds:.1f} s for {count}")


def _clone(settings: Settings, count: int, parent: str, *how: str) -> None:
    """Make clones; five of them say their own names over SSH, all at once."""
    names = [f"desk-{number}" for number in range(1, count + 1)]
    run(settings, LINKEDCLONE, "clone", parent, *names, *how, "--wait", "ip")
    with ThreadPoolExecutor(_ASKED) as threads:
        asked = names[-_ASKED:]
        told = threads.map(lambda name: run(settings, LINKEDCLONE, "ssh", name, "hostname"), asked)
        if [line.strip() for line in told] != asked:
            raise BenchError(f"not all of {', '.join(asked)} say who they are")


# -- spares ---------------------------------------------------------------------------------------

_POOL = PoolSpec(
    pool="ci",
    parent="warm",
    snapshot="ready",
    clone="instant",
    size=0,
    spares=1,
    name="desk-{n}",
)


def _claim_spare() -> Sample:
    """Let a pool become larger; its new clone greets over SSH, and is who it should be."""
    with (
        _golden() as (settings, folder),
        closing(LocalDriver(open_state(folder, immutable=False), machines=open_machine)) as driver,
    ):
        pools = Pools(Acting(driver, address="local:", log_folder=None))
        pools.apply(pools.survey(_POOL))
        (spare,) = driver.find_vms(["ci-spare-1"])
        if spare.ssh is None:
            raise BenchError("the spare cannot be reached")
        scene = pools.survey(replace(_POOL, size=1))
        begun = time.perf_counter()
        with ThreadPoolExecutor(1) as thread:
            applied = thread.submit(pools.apply, scene)
            while not _is_confirmed(driver, spare.id):
                time.sleep(0.02)
            # Not before: a connection to a guest without a network waits for seconds.
            await_greeting(spare.ssh)
            seconds = time.perf_counter() - begun
            if applied.result().exit_code:
                raise BenchError("the pool did not become larger")
        if run(settings, LINKEDCLONE, "ssh", "desk-1", "hostname").strip() != "desk-1":
            raise BenchError("desk-1 does not say who it is")
    return Sample(seconds=seconds)


def _is_confirmed(driver: LocalDriver, vm: VmId) -> bool:
    (mark,) = (one.mark for one in driver.without_guests(machines=False).observe_vms([vm]))
    return mark is not None and not mark.unconfirmed


# -- memory ---------------------------------------------------------------------------------------


def _measure_memory(*how: str) -> Sample:
    """Return the proportional set size of two clones' processes, the mean."""

    def measure(process: Path) -> int:
        return _sum_fields(process / "smaps_rollup", "Pss")

    return _measure_clones(2, measure, *how)


def _measure_copied() -> Sample:
    """Return what a fork has copied of the RAM that it maps."""
    return _measure_clones(
        2, lambda process: _sum_fields(process / "smaps", "Anonymous", of="ram"), *_FORK
    )


def _measure_clones(count: int, measure: Callable[[Path], int], *how: str) -> Sample:
    with _golden() as (settings, state):
        begun = time.perf_counter()
        _clone(settings, count, *how)
        seconds = time.perf_counter() - begun
        found = [
            measure(process)
            for process in Path("/proc").glob("[0-9]*")
            if (command := _read_command(process)) and str(state) in _working_folder(process)
            if "guest=desk-" in command
        ]
    if len(found) != count:
        raise BenchError(f"{len(found)} processes were found for {count} clones")
    return Sample(seconds=seconds, size_bytes=sum(found) / count)


def _read_command(process: Path) -> str:
    try:
        return (process / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
    except OSError:
        return ""


def _working_folder(process: Path) -> str:
    try:
        return str((process / "cwd").readlink())
    except OSError:
        return ""


def _sum_fields(file: Path, field: str, *, of: str = "") -> int:
    """Add up a field of all mappings, or of those of files whose names begin so (proc(5))."""
    total, counted = 0, not of
    for line in file.read_text().splitlines():
        head = re.match(r"[0-9a-f]+-[0-9a-f]+ .*?(/.*)?$", line)
        if head and of:
            counted = bool(head[1]) and Path(head[1]).name.startswith(of)
        elif counted and line.startswith(f"{field}:"):
            total += int(line.split()[1]) << 10
    return total


# -- the pause ------------------------------------------------------------------------------------

_TALK = "while :; do read -r up _ </proc/uptime; echo $up; usleep 2000; done"


def _measure_pause() -> Sample:
    """Return the longest silence of a running guest while a snapshot with memory is taken."""
    with _golden() as (settings, _):
        talking = subprocess.Popen(  # noqa: S603 - our own arguments
            [LINKEDCLONE, "ssh", "warm", _TALK], env=settings, stdout=subprocess.PIPE
        )
        heard: list[float] = []
        listener = threading.Thread(target=_listen, args=(talking, heard))
        listener.start()
        try:
            _await_words(heard)
            run(settings, LINKEDCLONE, "snapshot", "create", "warm", "again", "--memory")
        finally:
            talking.kill()
            listener.join()
        return Sample(seconds=max(later - one for one, later in pairwise(heard)))


def _listen(talking: "subprocess.Popen[bytes]", heard: list[float]) -> None:
    """Note when each line comes."""
    heard.extend(time.perf_counter() for _ in talking.stdout or ())


def _await_words(heard: list[float]) -> None:
    deadline = time.monotonic() + 60
    while len(heard) < 20:
        if time.monotonic() > deadline:
            raise BenchError("the guest does not tell its uptime")
        time.sleep(0.05)
