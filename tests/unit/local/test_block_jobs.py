"""What QEMU tells of its jobs and files, as tables."""

from pathlib import Path

import pytest

from linkedclone.drivers.local.machine.answers import Answer
from linkedclone.drivers.local.machine.blockjobs import Progress, combine, judge_job
from linkedclone.drivers.local.machine.merging import find_node
from linkedclone.errors import HypervisorError

MIB = 1 << 20


def job(status: str, **more: object) -> Answer:
    return Answer({"id": "linkedclone-merge", "status": status, **more})


def block(offset: int, length: int, *, ready: bool = False, status: str = "ok") -> Answer:
    return Answer({"offset": offset, "len": length, "ready": ready, "io-status": status})


JOBS: dict[str, tuple[Answer | None, Answer | None, Progress]] = {
    "gone": (None, None, Progress(ended=True, error="the job is gone")),
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


def test_a_layer_is_found_by_its_file_and_not_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "vms").mkdir()
    layer, other = tmp_path / "vms" / "a.qcow2", tmp_path / "b.qcow2"
    layer.touch()
    other.touch()
    told = f'json:{{"driver": "qcow2", "file": {{"driver": "file", "filename": "{layer}"}}}}'
    nodes = [
        {"node-name": "file0", "drv": "file", "file": str(layer)},
        {"node-name": "other", "drv": "qcow2", "file": str(other)},
        {"node-name": "plain", "drv": "qcow2", "file": f"{tmp_path}/vms/../b.qcow2"},
        {"node-name": "layer", "drv": "qcow2", "file": told},
    ]
    assert find_node(Answer(nodes), layer) == "layer"
    assert find_node(Answer(nodes), other) == "other"


def test_a_layer_that_the_machine_does_not_have_open_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.qcow2").touch()
    with pytest.raises(HypervisorError, match="does not have a layer"):
        find_node(Answer([]), tmp_path / "a.qcow2")
