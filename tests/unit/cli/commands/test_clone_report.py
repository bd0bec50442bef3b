"""What a batch of clones costs, as a person reads it."""

from dataclasses import replace

import pytest

from linkedclone.cli.views.reports import render_clones, summarize_clones
from linkedclone.model.report import CloneReport, CloneResult, Failure, Status
from linkedclone.model.vm import Power

KIB, GIB = 1 << 10, 1 << 30


def clone(number: int, seconds: float, **more: object) -> CloneResult:
    result = CloneResult(
        name=f"desk-{number}",
        status=Status.CREATED,
        id=f"vm-{number}",
        linked=True,
        power=Power.ON,
        seconds=seconds,
        own_bytes=(30 + number) * KIB,
        shared_bytes=2 * GIB,
        stages=(("submitted", 0.1), ("cloned", 1.0), ("powered_on", 0.0)),
    )
    return replace(result, **more)  # type: ignore[arg-type]


def report(*clones: CloneResult) -> CloneReport:
    return CloneReport(endpoint="sim", parent="golden", snapshot="base", clones=clones, seconds=2.5)


def test_a_plain_batch_has_its_price_in_the_summary() -> None:
    batch = report(clone(1, 1.1), clone(2, 2.0), clone(3, 1.2))
    assert summarize_clones(batch, place="/vm") == (
        "3 created in 2.5 s: linked clones of golden at snapshot base, in /vm\n"
        "each took 1.2 s (median), the slowest 2.0 s; each has 32.0 KiB of its own (median)\n"
        "96.0 KiB used, 6.0 GiB saved against full copies of 6.0 GiB"
    )
    assert render_clones(batch).splitlines()[:2] == [
        "NAME    STATUS   LINKED  POWER  ADDRESS       OWN   SHARED   TIME",
        "desk-1  created  yes     on     -        31.0 KiB  2.0 GiB  1.1 s",
    ]


def test_a_batch_that_was_waited_for_shows_what_took_its_time() -> None:
    waited = clone(1, 12.0)
    stages = (*waited.stages, ("tools", 8.0), ("customized", 2.04), ("address", 0.0))
    failure = Failure(stage="wait", brief="silent")
    silent = clone(2, 9.0, status=Status.FAILED, error=failure)
    table = render_clones(report(replace(waited, stages=stages), silent))
    head, first, second = table.splitlines()
    assert head.endswith("TIME  OF WHICH")
    assert first.endswith("12.0 s  tools 8.0 s, customized 2.0 s, address 0.0 s")
    assert second.endswith("9.0 s  -")


@pytest.mark.parametrize(
    "clones",
    [
        (clone(1, 1.1),),
        (clone(1, 1.1), clone(2, 2.0, status=Status.EXISTING)),
        (clone(1, 1.1), clone(2, 2.0, status=Status.FAILED)),
    ],
)
def test_one_clone_alone_has_no_median(clones: tuple[CloneResult, ...]) -> None:
    assert "median" not in summarize_clones(report(*clones), place="")


def test_sizes_that_are_not_known_are_left_out() -> None:
    clones = [replace(clone(n, 1.0), own_bytes=None, shared_bytes=None) for n in (1, 2)]
    assert summarize_clones(report(*clones), place="").splitlines()[1:] == [
        "each took 1.0 s (median), the slowest 1.0 s"
    ]
