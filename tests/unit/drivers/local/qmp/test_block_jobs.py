"""What QEMU tells of its jobs and files, as tables."""

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import pytest

from linkedclone.drivers.local.qmp.answers import Answer
from linkedclone.drivers.local.qmp.block_jobs import Progress, build_target, combine, judge_job
from linkedclone.drivers.local.qmp.disks import MOVE_SECONDS, RunningDisks, T, Work
from linkedclone.drivers.local.qmp.merge import OpenLayer, build_open_layers, find_node
from linkedclone.errors import BusyError, HypervisorError

MIB = 1 << 20


def job(status: str, **more: object) -> Answer:
    return Answer({"id": "linkedclone-merge", "status": status, **more})


def block(offset: int, length: int, *, ready: bool = False, status: str = "ok") -> Answer:
    return Answer({"offset": offset, "len": length, "ready": ready, "io-status": status})


JOBS: dict[str, tuple[Answer | None, Answer | None, Progress]] = {
    "gone": (None, None, Progress(ended=True, error="the job no longer exists")),
    "ended well": (job("concluded"), None, Progress(ended=True, nearly=True)),
    "failed": (
        job("concluded", error="no"),
        None,
        Progress(ended=True, nearly=True, error="no"),
    ),
    "not begun": (job("created"), block(0, 0), Progress()),
    "without a block job yet": (job("running"), None, Progress()),
    "begun": (job("running"), block(MIB, 64 * MIB), Progress(copied=MIB)),
    "nearly": (job("running"), block(60 * MIB, 64 * MIB), Progress(copied=60 * MIB, nearly=True)),
    "ready": (
        job("ready"),
        block(MIB, 64 * MIB, ready=True),
        Progress(copied=MIB, nearly=True),
    ),
    "full": (
        job("paused"),
        block(MIB, 2 * MIB, status="nospace"),
        Progress(copied=MIB, full=True),
    ),
}


@pytest.mark.parametrize("case", JOBS)
def test_how_far_a_job_is(case: str) -> None:
    told, block_told, wanted = JOBS[case]
    assert judge_job(told, block_told) == wanted


def test_of_several_jobs_the_slowest_counts() -> None:
    fast = Progress(copied=5, nearly=True, ended=True)
    slow = Progress(copied=2)
    assert combine([fast, slow]) == Progress(copied=7)
    assert combine([fast, fast]) == Progress(copied=10, nearly=True, ended=True)
    assert combine([fast, Progress(full=True, error="no")]) == Progress(
        copied=5, full=True, error="no"
    )


def test_open_layers_are_read_from_nodes_not_from_names_that_qemu_truncates() -> None:
    """A layer whose chain was told explicitly is called ``json:``, up to 4,095 bytes of it."""
    cut = 'json:{"backing": {"driver": "qcow2", "file": {"driver": "file", "file...'
    nodes = [
        {"node-name": "#block1", "drv": "qcow2", "file": cut},
        {"node-name": "#block2", "drv": "file", "file": "/vms/desk/top.qcow2"},
        {"node-name": "#block3", "drv": "qcow2", "file": "/vms/golden/base.qcow2"},
        {"node-name": "#block4", "drv": "file", "file": "/vms/desk/../golden/base.qcow2"},
    ]
    base = {"node-name": "#block3", "parent": {"node-name": "#block4"}}
    top = {"node-name": "#block1", "parent": {"node-name": "#block2"}, "backing": base}
    stats = [{"qdev": "/no/drive"}, {"device": "disk0", **top}, {"device": "seed0", **base}]
    assert build_open_layers(Answer(stats), Answer(nodes)) == {
        0: (
            OpenLayer(node="#block1", file=Path("/vms/desk/top.qcow2")),
            OpenLayer(node="#block3", file=Path("/vms/golden/base.qcow2")),
        )
    }
    with pytest.raises(HypervisorError, match="does not say which files"):
        build_open_layers(Answer(stats), Answer(nodes[:2]))


def test_a_layer_is_found_by_its_file_and_not_by_its_name(tmp_path: Path) -> None:
    layer, other = tmp_path / "a.qcow2", tmp_path / "b.qcow2"
    layer.touch()
    (tmp_path / "link").symlink_to(layer)
    seen = (OpenLayer(node="gone", file=other), OpenLayer(node="it", file=tmp_path / "link"))
    assert find_node(seen, layer) == "it"
    with pytest.raises(HypervisorError, match="does not have a layer"):
        find_node(seen, other)


def test_a_copy_depends_on_nothing_whatever_its_header_says() -> None:
    target = build_target(Path("/vms/desk/disk-0123abcd.qcow2"))
    assert target["backing"] is None
    assert target["node-name"] == "linkedclone-disk-0123abcd"  # QEMU takes 31 characters


class Stuck(RunningDisks):
    """A machine whose jobs are always about to end, and whose guest is never moved."""

    def _demand(self, work: Work[T], *, deadline_seconds: float = 1.0) -> T:  # noqa: ARG002
        if deadline_seconds == MOVE_SECONDS:
            raise BusyError("QEMU did not answer")
        return cast("T", Progress(nearly=True))


def test_a_job_that_says_it_is_about_to_end_and_never_does_is_not_begun_again() -> None:
    """A busy machine would be tried six times more, each time after minutes."""
    committed: list[bool] = []
    targets: Mapping[int, Path] = {0: Path("copy.qcow2")}
    with pytest.raises(HypervisorError, match="makes no progress") as caught:
        Stuck().copy_disks(targets, committed.append)
    assert not isinstance(caught.value, BusyError)
    assert not committed
