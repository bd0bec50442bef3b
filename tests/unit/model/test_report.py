"""Reports, and the JSON documents that programs rely on."""

import json
from typing import Any

import pytest

from linkedclone.errors import NoSpaceError
from linkedclone.model.report import (
    ActionReport,
    ActionResult,
    CloneReport,
    CloneResult,
    Failure,
    Mode,
    Stage,
    Status,
)
from linkedclone.model.vm import Power, SshAddress

FAILURE = Failure(
    stage=Stage.CLONE,
    brief="the datastore is full",
    details="Insufficient disk space on datastore 'ssd1'.",
    hint="free some space",
)

CREATED = CloneResult(
    name="desk-001",
    status=Status.CREATED,
    id="vm-42",
    uuid="50211a2b-0000-4000-8000-000000000001",
    linked=True,
    power=Power.ON,
    host_name="desk-001.example",
    addresses=("10.0.0.11", "fe80::1"),
    ssh=SshAddress(host="127.0.0.1", port=2222),
    seconds=1.23456,
    own_bytes=1 << 20,
    shared_bytes=2 << 30,
)
CREATED_DOCUMENT = {
    "name": "desk-001",
    "id": "vm-42",
    "uuid": "50211a2b-0000-4000-8000-000000000001",
    "mode": "linked",
    "linked": True,
    "power": "on",
    "host_name": "desk-001.example",
    "addresses": ["10.0.0.11", "fe80::1"],
    "ssh": {"host": "127.0.0.1", "port": 2222},
    "seconds": 1.235,
    "status": "created",
    "own_bytes": 1048576,
    "shared_bytes": 2147483648,
}
BLANK_DOCUMENT: dict[str, Any] = {
    "name": "desk-002",
    "id": None,
    "uuid": None,
    "mode": "linked",
    "linked": None,
    "power": None,
    "host_name": "",
    "addresses": [],
    "ssh": None,
    "seconds": None,
    "status": "planned",
    "own_bytes": None,
    "shared_bytes": None,
}
FAILURE_DOCUMENT = {
    "stage": "clone",
    "brief": "the datastore is full",
    "details": "Insufficient disk space on datastore 'ssd1'.",
    "hint": "free some space",
}

CLONES: dict[str, tuple[CloneResult, dict[str, Any]]] = {
    "created": (CREATED, CREATED_DOCUMENT),
    "planned": (CloneResult(name="desk-002", status=Status.PLANNED), BLANK_DOCUMENT),
    "failed": (
        CloneResult(name="desk-002", status=Status.FAILED, error=FAILURE),
        {**BLANK_DOCUMENT, "status": "failed", "error": FAILURE_DOCUMENT},
    ),
    "hidden": (
        CloneResult(
            name="desk-002", status=Status.CREATED, mode=Mode.UNKNOWN, proof="hidden", seconds=0.0
        ),
        {
            **BLANK_DOCUMENT,
            "status": "created",
            "mode": "unknown",
            "proof": "hidden",
            "seconds": 0.0,
        },
    ),
}


@pytest.mark.parametrize(("result", "document"), CLONES.values(), ids=CLONES)
def test_the_document_of_a_clone(result: CloneResult, document: dict[str, Any]) -> None:
    assert result.document() == document
    assert list(result.document()) == list(document)


def clones(*statuses: Status, interrupted: bool = False) -> CloneReport:
    return CloneReport(
        endpoint="vsphere://vc.example",
        parent="gold",
        snapshot="base",
        clones=tuple(CloneResult(name=f"desk-{n}", status=s) for n, s in enumerate(statuses)),
        seconds=2.00049,
        interrupted=interrupted,
    )


def test_the_document_of_a_batch() -> None:
    report = CloneReport(
        endpoint="vsphere://vc.example",
        parent="gold",
        snapshot="base",
        clones=(CREATED,),
        seconds=2.00049,
    )
    document = report.document()
    assert document == {
        "endpoint": "vsphere://vc.example",
        "parent": "gold",
        "snapshot": "base",
        "clones": [CREATED_DOCUMENT],
        "seconds": 2.0,
    }
    assert list(document) == ["endpoint", "parent", "snapshot", "clones", "seconds"]


def test_documents_are_plain_json() -> None:
    for result, document in CLONES.values():
        assert json.loads(json.dumps(result.document())) == document


EXITS = [
    ((), 0),
    ((Status.CREATED, Status.EXISTING, Status.SKIPPED, Status.PLANNED), 0),
    ((Status.FAILED,), 1),
    ((Status.FAILED, Status.FAILED), 1),
    ((Status.FAILED, Status.CREATED), 4),
    ((Status.FAILED, Status.EXISTING), 4),
]


@pytest.mark.parametrize(("statuses", "code"), EXITS)
def test_a_batch_exits_with(statuses: tuple[Status, ...], code: int) -> None:
    assert clones(*statuses).exit_code == code


def test_an_interrupted_batch_exits_with_130_whatever_came_of_it() -> None:
    assert clones(Status.CREATED, interrupted=True).exit_code == 130
    assert clones(Status.FAILED, interrupted=True).exit_code == 130


def test_the_failed_clones_of_a_batch_are_named() -> None:
    report = clones(Status.CREATED, Status.FAILED, Status.SKIPPED)
    assert [failed.name for failed in report.failed] == ["desk-1"]


def test_a_failure_keeps_the_three_answers_of_an_error() -> None:
    error = NoSpaceError(FAILURE.brief, details=FAILURE.details, hint=FAILURE.hint, kind="X")
    assert Failure.from_error(Stage.CLONE, error) == FAILURE


def test_the_document_of_an_action() -> None:
    done = ActionResult(
        name="desk-001", action="delete", status=Status.DONE, id="vm-42", seconds=0.12345
    )
    document = {
        "name": "desk-001",
        "action": "delete",
        "status": "done",
        "id": "vm-42",
        "seconds": 0.123,
    }
    assert done.document() == document
    report = ActionReport(endpoint="memory:", results=(done,), seconds=0.5)
    assert report.document() == {"endpoint": "memory:", "results": [document], "seconds": 0.5}


def test_the_document_of_an_action_tells_notes_and_errors_where_there_are_any() -> None:
    failed = ActionResult(
        name="desk-001", action="delete", status=Status.FAILED, note="not ours", error=FAILURE
    )
    document = failed.document()
    assert (document["note"], document["error"]) == ("not ours", FAILURE_DOCUMENT)
    assert (document["id"], document["seconds"]) == (None, None)


@pytest.mark.parametrize(("statuses", "code"), EXITS)
def test_actions_exit_with(statuses: tuple[Status, ...], code: int) -> None:
    results = tuple(ActionResult(name="x", action="delete", status=s) for s in statuses)
    assert ActionReport(endpoint="memory:", results=results).exit_code == code
    assert ActionReport(endpoint="memory:", results=results, interrupted=True).exit_code == 130
