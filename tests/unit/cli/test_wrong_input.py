"""Wrong input: exit code 2, a sentence that says what is wrong, and nothing else."""

from pathlib import Path

import pytest

from linkedclone.model.request import DiskMove
from tests.unit.cli.conftest import Run

CLONE = ("clone", "golden")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["cloen"], "did you mean clone"),
        (["snapshot", "lst"], "did you mean list"),
        (["xyzzy"], "there is no command 'xyzzy'"),
        (["--nonsense"], "no such option"),
        ([*CLONE], "missing argument"),
        ([*CLONE, "x", "--snapshto", "new"], "--snapshot"),
        ([*CLONE, "x", "--ful"], "--full"),
        (
            [*CLONE, "x", "--full", "--disk-move-type", DiskMove.LINKED.value],
            "contradict each other",
        ),
        (
            [*CLONE, "x", "--full", "--disk-move-type", DiskMove.CHILD_MOST.value],
            "contradict each other",
        ),
        ([*CLONE, "x", "--disk-move-type", "linked"], "createNewChildDiskBacking"),
        ([*CLONE, "x", "--disk", "much"], "'much' is not a size"),
        ([*CLONE, "x", "--disk", "1GiB", "--full"], "cannot shrink"),
        ([*CLONE, "x", "--add-disk", "0"], "'--add-disk'"),
        ([*CLONE, "x", "--add-disk", "1GiB,fat"], "'fat' is not a kind of disk"),
        ([*CLONE, "x", "--add-disk", "1000"], "not a multiple of 1 KiB"),
        ([*CLONE, "x", "--cores-per-socket", "0"], "'--cores-per-socket'"),
        ([*CLONE, "x", "--network", ""], "the network has no name"),
        ([*CLONE, "x", "--network", "1= "], "the network has no name"),
        ([*CLONE, "x", "--add-nic", ""], "the network has no name"),
        ([*CLONE, "x", "--remove-nic", "-1"], "'--remove-nic'"),
        ([*CLONE, "x", "--remove-nic", "one"], "'--remove-nic'"),
        ([*CLONE, "x", "--mac", "00:50:56:00:00:01"], "is not NAME=MAC"),
        ([*CLONE, "x", "--mac", "x=nonsense"], "'nonsense' is not a MAC address"),
        ([*CLONE, "x", "--mac", "x=00:50:56:ff:00:00"], "vCenter makes addresses from"),
        ([*CLONE, "x", "--mac", "y=00:50:56:00:00:01"], "no clone has that name"),
        ([*CLONE, "x", "--mac", "x=00:50:56:00:00:01,00:50:56:00:00:01"], "to x and to x"),
        ([*CLONE, "x", "--extra-config", "novalue"], "is not KEY=VALUE"),
        ([*CLONE, "x", "--extra-config", "=value"], "is not KEY=VALUE"),
        ([*CLONE, "x", "--server-check"], "add --dry-run"),
        ([*CLONE, ""], "a VM name is empty"),
        ([*CLONE, "a/b"], "characters that it must not have"),
        ([*CLONE, "a\tb"], "characters that it must not have"),
        ([*CLONE, "desk-{5..1}"], "runs backwards"),
        ([*CLONE, "desk-{1..}"], "brace that is not a range"),
        ([*CLONE, "desk-{1..99999}"], "more than 10,000 names"),
        (["show", "a\udcff"], "'a\\udcff' is not text in UTF-8"),
        (["start", "a", "b\udcff"], "'b\\udcff' is not text in UTF-8"),
        ([*CLONE, "x", "--annotation", "a\udcff"], "'--annotation': 'a\\udcff' is not text"),
        ([*CLONE, "x", "--mac", "x\udcff=00:50:56:00:00:01"], "is not text in UTF-8"),
        (["image", "import", "a\udcff"], "is not text in UTF-8"),
        (["list", "--endpoint", "a\udcff"], "is not text in UTF-8"),
        ([*CLONE, "x", "x"], "comes twice"),
        ([*CLONE, "x", "X"], "differ only in case"),
        ([*CLONE, "x" * 81], "81 characters"),
        ([*CLONE, "x", "--memory", "4X"], "'4X' is not a memory size"),
        ([*CLONE, "x", "--memory", "0"], "'--memory'"),
        ([*CLONE, "x", "--memory", "-1GiB"], "'--memory'"),
        ([*CLONE, "x", "--cpus", "0"], "'--cpus'"),
        ([*CLONE, "x", "--cpus", "two"], "'--cpus'"),
        ([*CLONE, "x", "--parallel", "0"], "'--parallel'"),
        ([*CLONE, "x", "--power", "maybe"], "'--power'"),
        ([*CLONE, "x", "--wait", "forever"], "'--wait'"),
        ([*CLONE, "x", "--wait-timeout", "0"], "is not a duration"),
        ([*CLONE, "x", "--wait-timeout", "nan"], "is not a duration"),
        ([*CLONE, "x", "--wait-timeout", "5 parsecs"], "is not a duration"),
        ([*CLONE, "x", "--wait", "ip", "--power", "off"], "waits for guests"),
        ([*CLONE, "x", "--snapshot", "new:"], "empty name"),
        ([*CLONE, "x", "--snapshot", ""], "name is empty"),
        ([*CLONE, "x", "--snapshot", "absent"], "no snapshot called 'absent'"),
        ([*CLONE, "x", "--datastore", "absent"], "absent"),
        ([*CLONE, "x", "--folder", "absent"], "absent"),
        ([*CLONE, "x", "--resource-pool", "absent"], "absent"),
        ([*CLONE, "x", "--customization-spec", "absent"], "absent"),
        (["clone", "absent", "x"], "there is no VM 'absent'"),
        (["clone", "twin", "x"], "2 VMs are called 'twin'"),
        (["show", "absent"], "there is no VM 'absent'"),
        (["tree", "absent"], "there is no VM 'absent'"),
        (["tree", "--scan", "nowhere"], "nowhere"),
        (["tree", "a", "b"], "unexpected extra argument"),
        (["usage", "absent"], "there is no VM 'absent'"),
        (["usage", "--scan"], "--scan"),
        (["promote"], "missing argument"),
        (["promote", "golden"], "no terminal to ask on"),
        (["promote", "absent", "--yes"], "there is no VM 'absent'"),
        (["promote", "x{2..1}", "--yes"], "runs backwards"),
        (["adopt", "absent"], "there is no VM 'absent'"),
        (["adopt", "golden", "--owner", ""], "the owner's name is empty"),
        (["adopt", "golden", "--owner", "a/b"], "characters that it must not have"),
        (["grow", "golden"], "missing argument"),
        (["grow", "golden", "much"], "'much' is not a disk size"),
        (["grow", "golden", "0"], "is nothing"),
        (["grow", "golden", "1MiB", "--force"], "cannot be made smaller"),
        (["grow", "golden", "1TiB", "--disk", "x", "--force"], "has no disk 'x'"),
        (["grow", "absent", "1TiB"], "there is no VM 'absent'"),
        (["gc", "golden"], "unexpected extra argument"),
        (["gc", "--scan", "ssd1", "--no-scan"], "contradict each other"),
        (["gc", "--scan", "nowhere"], "nowhere"),
        (["delete", "golden", "--yes", "--force", "--scan", "nowhere"], "nowhere"),
        (["list", "-e", "memory:nowhere"], "there is no memory:nowhere"),
        (["list", "-o", "xml"], "'xml' is not one of"),
        (["list", "extra"], "unexpected extra argument"),
        (["delete", "golden"], "no terminal to ask on"),
        (["delete", "absent", "--yes"], "there is no VM 'absent'"),
        (["delete", "x{2..1}", "--yes"], "runs backwards"),
        (["snapshot", "delete", "golden", "base"], "no terminal to ask on"),
        (["snapshot", "revert", "golden", "base"], "no terminal to ask on"),
        (["snapshot", "revert", "golden", "absent", "-y"], "no snapshot called 'absent'"),
        (["snapshot", "create", "golden", "a/b"], "characters that it must not have"),
        (["list", "-e", "nowhere"], "no endpoint called 'nowhere'"),
        (["list", "-e", "ftp://x"], "is not a valid endpoint"),
        (["list", "-e", "vsphere://u@"], "no valid host"),
        (["completion", "tcsh"], "'tcsh' is not one of"),
        (["endpoints", "add", "a b", "memory:"], "is not a valid name for an endpoint"),
        (["endpoints", "add", "../x", "memory:"], "is not a valid name for an endpoint"),
        (["endpoints", "add", "lab", "vcenter.example"], "is not a URL"),
        (["endpoints", "add", "lab", "vsphere://u:pw@h"], "command line can be read"),
        (["endpoints", "add", "lab", "vsphere://u@h", "--ca-file", "/nowhere"], "does not exist"),
        (["endpoints", "remove", "lab"], "no endpoint called 'lab'"),
        (["endpoints", "test", "lab"], "no endpoint called 'lab'"),
    ],
)
def test_wrong_input_is_explained(run: Run, args: list[str], words: str) -> None:
    outcome = run(*args)
    assert (outcome.code, outcome.out) == (2, "")
    assert words in outcome.err
    assert outcome.err.startswith("error: ")
    assert "Traceback" not in outcome.err


def test_an_invalid_configuration_file_is_an_error_but_a_missing_one_is_not(
    run: Run, home: Path
) -> None:
    assert run("endpoints", "list").code == 0
    (home / "config.yaml").write_text("endpoints: [\n")
    outcome = run("-e", "lab", "list")
    assert (outcome.code, outcome.out) == (2, "")
    assert "is not YAML" in outcome.err


def test_bare_groups_show_their_help(run: Run) -> None:
    for args in ((), ("snapshot",), ("endpoints",)):
        outcome = run(*args)
        assert (outcome.code, outcome.out) == (2, "")
        assert outcome.err.startswith("Usage: linkedclone")


def test_with_json_an_error_is_a_document_too(run: Run) -> None:
    outcome = run("-o", "json", "clone", "bare", "x")
    assert outcome.code == 1
    assert outcome.document == {
        "error": {
            "kind": "NoSnapshotError",
            "brief": "bare has no snapshot for linked clones",
            "details": "",
            "hint": "take one in the same go with --snapshot new (or new:NAME)",
            "exit_code": 1,
        }
    }
    assert "error: bare has no snapshot" in outcome.err
    usage = run("clone", "golden", "x", "--cpus", "0", "-o", "json")
    assert (usage.code, usage.document["error"]["kind"]) == (2, "UsageError")
