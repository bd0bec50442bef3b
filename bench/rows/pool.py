"""Pools: a hundred clones by ``pool apply`` beside ``clone``; a plan of a thousand."""

import time
from collections.abc import Callable
from functools import partial

from tests.simulator import Simulator

from bench.commands import LINKEDCLONE, BenchError, run
from bench.row import Comparison, Contender, Limit, Options, Sample, Target, row
from bench.vsphere import PARENT, SNAPSHOT, environment, vcenter

CLONES = 100
PLANNED = 1000
GUEST = {"tools_ms": 500, "ip_ms": 1000}
POOL, CLONE = "pool apply", "clone --wait ip"


@row("pool", f"a pool of {CLONES}, 20 ms a call, 2 s a clone, addresses after 1 s")
def pool(options: Options) -> Comparison:  # noqa: ARG001 - rows are called alike
    """The pool's clones are healthy at the end; so those of the other command have addresses."""
    return Comparison(
        contenders=(
            Contender(name=POOL, run=partial(_measure, _apply)),
            Contender(name=CLONE, run=partial(_measure, _clone)),
        ),
        targets=(Target(of=POOL, to=CLONE, at_most=1.3),),
    )


@row("pool-plan", f"pool plan, the whole command, where {PLANNED:,} clones are in the pool")
def pool_plan(options: Options) -> Comparison:  # noqa: ARG001 - rows are called alike
    """Nothing is to be done: what is measured is the look at everything, and the planning."""
    return Comparison(
        contenders=(Contender(name="pool plan", run=_plan),),
        limits=(Limit(of="pool plan", seconds=10, why="most of it is reading the inventory"),),
        notes=("planning alone takes 0.05 s of it: tests/unit/planning/pool/test_rollout.py",),
    )


def _write(simulator: Simulator, size: int) -> str:
    file = simulator.certificate_file.parent / "desks.yaml"
    file.write_text(
        f"pool: desks\nparent: {PARENT}\nsnapshot: {SNAPSHOT}\nsize: {size}\n"
        'name: "desk-{n:04}"\nrollout: {stop_after_failures: 5}\n'
    )
    return str(file)


def _apply(simulator: Simulator) -> None:
    words = ("pool", "apply", _write(simulator, CLONES), "--yes", "-o", "json")
    run(environment(simulator), LINKEDCLONE, *words)


def _clone(simulator: Simulator) -> None:
    words = ("clone", PARENT, f"desk-{{0001..{CLONES:04}}}", "--power", "on", "--wait", "ip")
    run(environment(simulator), LINKEDCLONE, *words, "-o", "json")


def _measure(make: Callable[[Simulator], None]) -> Sample:
    with vcenter(4) as simulator:
        simulator.control("POST", "guest", GUEST)
        begun = time.perf_counter()
        make(simulator)
        seconds = time.perf_counter() - begun
        calls = simulator.calls()
    if calls.get("CloneVM_Task") != CLONES:
        raise BenchError(f"{calls.get('CloneVM_Task')} clones were made, not {CLONES}")
    return Sample(seconds=seconds, calls=calls)


def _plan() -> Sample:
    with vcenter(4) as simulator:
        simulator.control("POST", "guest", {"tools_ms": 1, "ip_ms": 1})
        simulator.delays()
        file = _write(simulator, PLANNED)
        run(environment(simulator), LINKEDCLONE, "pool", "apply", file, "--yes")
        simulator.delays(call_ms=20)
        simulator.reset_calls()
        begun = time.perf_counter()
        run(environment(simulator), LINKEDCLONE, "pool", "plan", file, "--check", "-o", "json")
        return Sample(seconds=time.perf_counter() - begun, calls=simulator.calls())
