"""The log of a run tells each stage of each VM once."""

import json
from pathlib import Path

from linkedclone.cli.references import render_references
from linkedclone.execution.progress import Event, Silent
from linkedclone.execution.run_log import RunLog
from linkedclone.model.jobs import JobStatus

QUEUED, RUNNING, DONE = JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.DONE


def test_stages_are_written_and_percentages_are_not(tmp_path: Path) -> None:
    events = [
        ("desk-1", "clone", QUEUED, None),
        ("desk-1", "clone", RUNNING, 10),
        ("desk-1", "clone", RUNNING, 50),
        ("desk-1", "clone", DONE, None),
        ("desk-1", "customize", RUNNING, None),
        ("desk-2", "customize", RUNNING, None),
        ("desk-1", "customize", RUNNING, None),
        ("desk-1", "customize", DONE, None),
    ]
    with RunLog(tmp_path, "run", Silent()) as log:
        for name, action, status, percent in events:
            log.update(Event(name=name, action=action, status=status, percent=percent))
    (file,) = tmp_path.iterdir()
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(line["name"], line["action"], line["status"]) for line in lines] == [
        ("desk-1", "clone", "queued"),
        ("desk-1", "clone", "done"),
        ("desk-1", "customize", "running"),
        ("desk-2", "customize", "running"),
        ("desk-1", "customize", "done"),
    ]


def test_texts_are_written_as_a_person_reads_them(tmp_path: Path) -> None:
    text = "name another ``placement.host``"
    with RunLog(tmp_path, "run", Silent(), wording=render_references) as log:
        log.update(Event(name="desk-1", action="clone", status=JobStatus.FAILED, text=text))
    (file,) = tmp_path.iterdir()
    assert json.loads(file.read_text())["text"] == "name another --host"
