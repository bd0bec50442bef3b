"""tree, usage, gc, promote, adopt, grow and delete over one family, from command to command."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from linkedclone.drivers.memory.driver import MemoryDriver
from linkedclone.errors import HypervisorError
from linkedclone.model.inventory import Inventory
from linkedclone.model.request import Scan
from linkedclone.model.vm import Mark
from linkedclone.planning.clone.plan import SNAPSHOT_NOTE
from tests.memory import MemoryHypervisor
from tests.unit.cli.conftest import NOW, Run

BLIND = "note: files of unregistered VMs were not looked for (--scan does)"


@pytest.fixture(autouse=True)
def plain_strokes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C")


def _names(hypervisor: MemoryHypervisor) -> set[str]:
    return {vm.name for vm in hypervisor.vms}


# -- tree -----------------------------------------------------------------------------------------


def test_the_tree_shows_dependencies_with_figures(run: Run, family: object) -> None:
    lines = run("tree").out.splitlines()
    assert lines[0].split() == ["NAME", "POWER", "OWN", "SHARED", "DEPTH", "AGE", "OWNER"]
    rows = {line.strip("|`- ").split("  ")[0]: line.split() for line in lines}
    assert rows["kiosk-1"][-7:] == ["MiB", "2.0", "GiB", "3", "3", "d", "linkedclone"]
    assert rows["web"][-1] == "-"
    assert any(line.startswith("|   |   `-- @patched (current)  2 clones") for line in lines)
    assert any(line.startswith("base [ssd2] old-golden/old-golden.vmdk  1 clone") for line in lines)


def test_the_tree_of_one_vm_shows_its_dependents(run: Run, family: object) -> None:
    names = [line.strip("|`- ").split("  ")[0] for line in run("tree", "desk-1").out.splitlines()]
    assert names == ["NAME", "desk-1", "@patched (current)", "kiosk-1", "kiosk-2"]


def test_a_scan_shows_orphaned_files(run: Run, family: object) -> None:
    assert "?" not in run("tree").out
    text = run("tree", "--scan", "ssd1", "--scan", "ssd2").out
    assert "? [ssd1] golden/golden-000003.vmdk" in text
    assert "(of the unregistered VM old-golden)" in text
    document = run("tree", "golden", "--scan", "all", "-o", "json").document
    (stray,) = document["children"][0]["children"][-1]["children"]
    assert stray["stray"] == "[ssd1] golden/golden-000003.vmdk"


# -- usage ----------------------------------------------------------------------------------------


def test_usage_adds_families_up(run: Run, family: object) -> None:
    outcome = run("usage")
    families, stores = outcome.out.split("\n\n")
    head, golden, _, total = families.splitlines()
    assert head.split() == [
        *("PARENT", "CLONES", "BASE", "DELTAS", "FULL", "COPIES", "SAVED", "%", "DEPTH")
    ]
    assert golden.split()[:2] == ["golden", "6"]
    assert golden.split()[-2:] == ["85.7", "3"]
    assert total.split()[:2] == ["total", "7"]
    assert stores.splitlines()[0].split() == ["DATASTORE", "CAPACITY", "FREE", "USED", "SAVED"]
    assert outcome.err == ""
    assert run("-v", "usage").err.endswith(f"{BLIND}\n")


def test_usage_of_one_family_says_what_each_vm_frees(run: Run, family: object) -> None:
    families, vms, _ = run("usage", "desk-2").out.split("\n\n")
    assert len(families.splitlines()) == 2
    rows = {line.split()[0]: line.split() for line in vms.splitlines()}
    titles = ["NAME", "OWN", "SHARED", "DEPTH", "CLONES", "FREES", "WITH", "CLONES"]
    assert rows["NAME"] == titles
    assert rows["desk-1"][6:] == ["2", "-", "4.0", "MiB"]
    assert rows["desk-2"][6:] == ["0", "1.0", "MiB", "1.0", "MiB"]
    assert "attic" not in rows
    assert "attic" in run("usage", "--vms").out


def test_usage_as_json_is_the_library_s_document(run: Run, family: object) -> None:
    from ruamel.yaml import YAML

    document = run("usage", "-o", "json").document
    assert document["endpoint"] == "memory:"
    assert document["saved_bytes"] == document["full_bytes"] - document["used_bytes"]
    assert [found["parent"] for found in document["families"]] == ["golden", None]
    assert document["not_seen"] == [BLIND.removeprefix("note: ")]
    assert YAML(typ="safe").load(run("usage", "-o", "yaml").out) == document


def test_usage_says_how_old_its_figures_are(
    run: Run, family: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    observe = MemoryDriver.observe
    measured = NOW - timedelta(hours=5, minutes=1)

    def old(driver: MemoryDriver, *, sizes: bool = False, scan: Scan | None = None) -> Inventory:
        return replace(observe(driver, sizes=sizes, scan=scan), measured=measured)

    monkeypatch.setattr(MemoryDriver, "observe", old)
    assert f"was measured 5 h ago, at {measured:%Y-%m-%d %H:%M}" in run("usage").err
    document = run("usage", "-o", "json").document
    assert datetime.fromisoformat(document["measured"]) == measured


def test_usage_says_how_many_sizes_it_does_not_know(
    run: Run, family: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    observe = MemoryDriver.observe

    def sizeless(
        driver: MemoryDriver, *, sizes: bool = False, scan: Scan | None = None
    ) -> Inventory:
        return replace(observe(driver, sizes=sizes, scan=scan), files={})

    monkeypatch.setattr(MemoryDriver, "observe", sizeless)
    outcome = run("usage", "golden")
    assert outcome.code == 0
    assert "of unknown size and counted as 0" in outcome.err


def test_without_clones_usage_says_so(run: Run) -> None:
    outcome = run("usage")
    assert (outcome.code, outcome.out) == (0, "")
    assert outcome.err.startswith("there is no linked clone\n")


# -- gc -------------------------------------------------------------------------------------------


def _leave_waste(family: MemoryHypervisor) -> None:
    """Two snapshots that were taken for clones and have none; the first is superseded."""
    bare = next(vm.id for vm in family.vms if vm.name == "bare")
    family.add_snapshot(bare, "first", SNAPSHOT_NOTE)
    family.add_snapshot(bare, "second", SNAPSHOT_NOTE)


def test_gc_lists_and_removes_nothing(run: Run, family: MemoryHypervisor) -> None:
    _leave_waste(family)
    before = family.files
    outcome = run("gc")
    assert outcome.code == 0
    assert outcome.out.splitlines()[0].split() == ["KIND", "NAME", "BYTES", "REMOVABLE", "REASON"]
    rows = {line.split()[0] + line.split()[-1]: line for line in outcome.out.splitlines()[1:]}
    assert "  yes  " in rows["fileit"]
    assert "no: a VM outside this endpoint may use it" in rows["fileold-golden"]
    assert "bare@first" in rows["snapshotcurrent"]
    assert "with --snapshots" in rows["snapshotcurrent"]
    assert "3 found" in outcome.err
    assert "nothing was removed: --yes removes 1 of them, 1.0 MiB" in outcome.err
    assert family.files == before


def test_gc_removes_leftovers_and_keeps_what_may_be_wanted(
    run: Run, family: MemoryHypervisor
) -> None:
    _leave_waste(family)
    before = family.files
    outcome = run("gc", "--yes")
    assert outcome.code == 0
    assert "3 found" in outcome.err
    assert "1 removed, 1.0 MiB freed" in outcome.err
    assert {str(layer) for layer in before - family.files} == {"[ssd1] golden/golden-000003.vmdk"}
    assert run("gc", "--yes").err.endswith("0 removed, 0 B freed\n")


def test_gc_removes_snapshots_when_asked(run: Run, family: MemoryHypervisor) -> None:
    _leave_waste(family)
    document = run("gc", "--yes", "--snapshots", "-o", "json").document
    found = {waste["name"]: waste for waste in document["waste"]}
    assert found["bare@first"]["status"] == "done"
    bare = next(vm for vm in family.vms if vm.name == "bare")
    assert [snapshot.name for snapshot in bare.snapshots] == ["second"]


def test_gc_without_a_scan_says_that_it_did_not_look(run: Run, family: object) -> None:
    outcome = run("gc", "--no-scan")
    assert (outcome.code, outcome.out) == (0, "")
    assert outcome.err == f"nothing was found: everything that was checked is in use\n{BLIND}\n"


def test_gc_reports_what_it_could_not_remove(run: Run, family: MemoryHypervisor) -> None:
    family.fail("remove", error=HypervisorError("the file is locked"))
    outcome = run("gc", "--yes")
    assert outcome.code == 1
    assert "failed" in outcome.out
    assert "the file is locked" in outcome.err
    assert "0 removed" in outcome.err


# -- promote, adopt, grow -------------------------------------------------------------------------


def test_promoted_clones_depend_on_nothing(run: Run, family: MemoryHypervisor) -> None:
    outcome = run("promote", "kiosk-{1..2}", "--yes")
    assert outcome.code == 0
    assert [line.split()[:3] for line in outcome.out.splitlines()[1:]] == [
        ["kiosk-1", "promote", "done"],
        ["kiosk-2", "promote", "done"],
    ]
    assert run("show", "kiosk-1", "-o", "json").document["mode"] == "full"
    again = run("promote", "kiosk-1", "--yes")
    assert (again.code, again.out) == (0, "")
    assert again.err == "nothing to do: kiosk-1 already as requested\n"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["promote", "desk-1", "--yes"], "used by: kiosk-1, kiosk-2"),
        (["promote", "web", "--yes"], "what linkedclone did not make: web"),
        (["adopt", "bare"], "not linked clones, so there is nothing to adopt: bare"),
        (["adopt", "attic"], "refusing to adopt what has another owner: attic (of lab)"),
        (["grow", "web", "40GiB"], "what linkedclone did not make"),
        (["grow", "kiosk-1", "40GiB"], "try: make it independent first: linkedclone promote"),
        (["grow", "golden", "40GiB", "--force"], "depends on another file"),
        (["delete", "golden", "--yes", "--force"], "used by: desk-1, desk-2, desk-3"),
        (["delete", "attic", "--yes"], "the base would go with them"),
        (["snapshot", "delete", "golden", "base", "--yes", "--force"], "desk-1"),
        (["snapshot", "revert", "golden", "base", "--yes"], "what linkedclone did not make"),
    ],
)
def test_refusals_name_the_dependent_vms(
    run: Run, family: MemoryHypervisor, args: list[str], words: str
) -> None:
    before = family.vms
    outcome = run(*args)
    assert (outcome.code, outcome.out) == (1, "")
    assert words in outcome.err
    assert family.vms == before


def test_files_found_by_a_scan_block_a_deletion_too(run: Run, family: MemoryHypervisor) -> None:
    golden = next(vm.id for vm in family.vms if vm.name == "golden")
    shadow = family.add_clone(golden, family.add_snapshot(golden, "newest"), "shadow")
    family.forget(shadow)
    args = ("snapshot", "delete", "golden", "newest", "--yes", "--force")
    outcome = run(*args, "--scan", "all")
    assert outcome.code == 1
    assert "shadow/shadow.vmdk (of the unregistered VM shadow)" in outcome.err
    assert run(*args, "--scan", "nowhere").code == 2


def test_adopted_clones_are_ours(run: Run, family: MemoryHypervisor) -> None:
    assert run("stop", "web").code == 1
    assert run("adopt", "web", "desk-1").code == 0
    assert run("start", "web").code == 0
    (web,) = [vm for vm in family.vms if vm.name == "web"]
    assert isinstance(web.mark, Mark)
    assert (web.owner, web.mark.parent_name, web.mark.snapshot_name) == (
        *("linkedclone", "golden", "2026-11"),
    )
    assert run("adopt", "attic", "--owner", "mine", "--force").code == 0
    assert run("show", "attic", "-o", "json").document["owner"] == "mine"
    assert "nothing to do" in run("adopt", "web").err


def test_a_grown_disk_is_larger_and_the_output_mentions_the_guest(
    run: Run, family: MemoryHypervisor
) -> None:
    outcome = run("grow", "bare", "40GiB", "--disk", "Hard disk 1", "--force")
    assert outcome.code == 0
    assert outcome.err == "now grow the partition and the file system inside the guest\n"
    (disk,) = run("show", "bare", "-o", "json").document["disks"]
    assert disk["capacity_bytes"] == 40 << 30
    again = run("grow", "bare", "40GiB", "--force")
    assert (again.code, again.err) == (0, "nothing to do: bare already as requested\n")


@pytest.mark.parametrize("verb", ["promote", "adopt"])
def test_an_interrupt_is_reported_with_the_number_of_running_jobs(
    run: Run, family: MemoryHypervisor, verb: str
) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    family.delays["promote" if verb == "promote" else "mark"] = 60.0
    family.sleep = interrupt
    args = ["promote", "kiosk-1", "--yes"] if verb == "promote" else ["adopt", "web"]
    outcome = run(*args)
    assert outcome.code == 130
    assert "interrupted; 1 still under way at the endpoint" in outcome.err


# -- delete ---------------------------------------------------------------------------------------


def test_a_cascade_takes_the_family_along_and_says_so(run: Run, family: MemoryHypervisor) -> None:
    outcome = run("delete", "golden", "--cascade", "--yes", "--force", "-o", "json")
    assert outcome.code == 0
    document = outcome.document
    assert [result["name"] for result in document["results"]][-1] == "golden"
    assert _names(family) == {"attic", "bare"}
    assert document["notes"][0].startswith("6 clones")
    assert outcome.err == f"note: {document['notes'][0]}\n"


def test_notes_are_there_only_if_there_is_something_to_note(run: Run, family: object) -> None:
    assert "notes" not in run("delete", "kiosk-1", "--yes", "-o", "json").document


def test_a_kept_base_outlives_its_last_user(run: Run, family: MemoryHypervisor) -> None:
    outcome = run("delete", "attic", "--keep-base", "--yes")
    assert outcome.code == 0
    assert outcome.out.splitlines()[1].split()[:3] == ["attic", "unregister", "done"]
    assert "[ssd2] old-golden/old-golden.vmdk" in map(str, family.files)


# -- show -----------------------------------------------------------------------------------------


def test_show_tells_depth_and_addresses_of_the_network_cards(run: Run, family: object) -> None:
    document = run("show", "kiosk-1", "-o", "json").document
    assert (document["depth"], document["created"]) == (
        3,
        "2026-01-01T08:05:00+00:00",
    )
    assert [len(mac) for mac in document["macs"]] == [17]
    text = run("show", "kiosk-1").out
    assert f"macs       {document['macs'][0]}" in text
    assert "depth      3" in text


def test_a_missing_snapshot_is_not_a_reason_to_take_one(run: Run, family: object) -> None:
    for args in (("snapshot", "delete"), ("snapshot", "revert")):
        outcome = run(*args, "kiosk-1", "nope", "--yes")
        assert outcome.code == 2
        assert outcome.err == "error: kiosk-1 has no snapshots, so none is called 'nope'\n"
    assert "take it with --snapshot new:nope" in run("clone", "bare", "x", "--snapshot", "nope").err


# -- VMs that cannot be read ----------------------------------------------------------------------

LOST = "its host cannot get at its files"


@pytest.fixture
def lost(run: Run, family: MemoryHypervisor) -> MemoryHypervisor:
    """The family, with one clone of golden that cannot be read, and a leaf that can."""
    assert run("clone", "golden", "leaf", "--power", "off").code == 0
    assert run("snapshot", "create", "golden", "newest").code == 0
    (web,) = [vm.id for vm in family.vms if vm.name == "web"]
    for vm in family.vms:  # so that nothing that can be read depends on golden
        if vm.name not in {"golden", "web", "leaf", "bare", "attic"}:
            family.remove(vm.id)
    family.make_unreadable(web, LOST)
    return family


def test_a_vm_that_cannot_be_read_is_shown_as_unknown_with_its_reason(
    run: Run, lost: MemoryHypervisor
) -> None:
    listed = run("list", "-o", "json")
    (row,) = [vm for vm in listed.document["vms"] if vm["name"] == "web"]
    assert (row["mode"], row["linked"], row["unreadable"]) == ("unknown", None, LOST)
    assert f"web cannot be read: {LOST}" in listed.err
    shown = run("show", "web")
    assert f"unreadable {LOST}" in shown.out
    assert "mode       unknown" in shown.out
    drawn = run("tree")
    assert "web  (cannot be read)" in drawn.out
    assert f"web cannot be read: {LOST}" in drawn.err
    assert f"note: web cannot be read: {LOST}" in run("usage").err
    assert f"web cannot be read: {LOST}" in run("usage", "-o", "json").document["not_seen"]
    host = run("inventory", "--host", "web").document
    assert (host["linkedclone_linked"], host["linkedclone_unreadable"]) == (None, LOST)
    doctor = run("doctor")
    assert doctor.code == 1
    assert f"web cannot be read: {LOST}" in doctor.out


@pytest.mark.parametrize(
    "command",
    [
        ("snapshot", "list", "web"),
        ("snapshot", "delete", "web", "own", "--yes"),
        ("snapshot", "revert", "web", "own", "--yes"),
        ("clone", "web", "new"),
        ("clone", "web", "new", "--snapshot", "own"),
    ],
)
def test_a_vm_that_cannot_be_read_is_not_said_to_have_no_snapshots(
    run: Run, lost: MemoryHypervisor, command: tuple[str, ...]
) -> None:
    outcome = run(*command)
    assert outcome.code == 1
    assert LOST in outcome.err
    assert "no snapshot" not in outcome.err + outcome.out


@pytest.mark.parametrize(
    "command",
    [
        ("delete", "golden", "leaf", "--force"),
        ("delete", "web", "--force"),
        ("snapshot", "delete", "golden", "newest", "--force"),
        ("snapshot", "revert", "golden", "base", "--force"),
    ],
)
def test_a_possible_base_of_an_unreadable_vm_stays(
    run: Run, lost: MemoryHypervisor, command: tuple[str, ...]
) -> None:
    """The unreadable VM stands before the act, with its reason and the way past."""
    before = (lost.files, {vm.id for vm in lost.vms})
    outcome = run(*command, "--yes")
    assert outcome.code == 1
    assert "web" in outcome.err
    assert LOST in outcome.err
    assert "--despite-unreadable" in outcome.err
    assert (lost.files, {vm.id for vm in lost.vms}) == before
    assert run(*command, "--yes", "--despite-unreadable").code == 0


def test_a_layer_in_use_stays_whatever_is_said_of_vms_that_cannot_be_read(
    run: Run, lost: MemoryHypervisor
) -> None:
    outcome = run("delete", "golden", "--yes", "--force", "--despite-unreadable")
    assert (outcome.code, "used by: leaf" in outcome.err) == (1, True)


def test_one_vm_that_cannot_be_read_does_not_keep_fresh_clones(
    run: Run, lost: MemoryHypervisor
) -> None:
    assert run("delete", "leaf", "--yes").code == 0


def test_gc_keeps_possible_bases_of_an_unreadable_vm(run: Run, lost: MemoryHypervisor) -> None:
    kept = run("gc", "--yes", "-o", "json").document["waste"]
    assert [w["why_not"] for w in kept if "000003" in w["name"]] == [
        "web may depend on it, and cannot be read"
    ]
    gone = run("gc", "--yes", "--despite-unreadable", "-o", "json").document["waste"]
    assert [w["status"] for w in gone if "000003" in w["name"]] == ["done"]


def test_a_vm_missing_from_the_inventory_is_not_deleted(run: Run, family: MemoryHypervisor) -> None:
    """Found by its name, missing from the guards' own look: what depends on it is not known."""
    golden = next(vm.id for vm in family.vms if vm.name == "golden")
    family.overlook(golden)
    outcome = run("delete", "golden", "--yes", "--force")
    assert outcome.code == 1
    assert "missing from the list of all VMs" in outcome.err
    assert golden in {vm.id for vm in family.vms}
