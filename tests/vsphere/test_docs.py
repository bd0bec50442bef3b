"""What docs/vsphere.md and docs/esxi.md tell people to type works on the simulator, by line."""

import os
import re
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path

from linkedclone.cli.references import render_references
from linkedclone.drivers.vsphere.diagnosis.privileges import REQUIRED, every_privilege
from tests import command
from tests.contract.acts import find
from tests.simulator import BINARY, Simulator
from tests.vsphere.acts import Start, opened

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "vsphere.md").read_text()
HOST_TEXT = (DOCS / "esxi.md").read_text()

NAMES = {
    "golden": "/DC0/vm/DC0_C0_RP0_VM0",
    "image-template": "/DC0/vm/DC0_C0_RP0_VM1",
    "ssd2": "LocalDS_1",
    "tier1": "DC0_POD0",
    "prod": "DC0_C0",
    "esx2": "DC0_C0_H1",
    "vlan20": "DC0_DVPG0",
    "0=vlan20": "0=DC0_DVPG0",
    "linux-dhcp": "vcsim-linux",
}
"""What the documentation calls things, and what the simulator calls them."""


def blocks(text: str) -> list[tuple[str, str]]:
    """All code blocks, each with its kind."""
    return re.findall(r"^ *```(\w*)\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)


def lines(text: str = TEXT, names: Mapping[str, str] = NAMES) -> list[list[str]]:
    """All commands on VMs, with the simulator's names."""
    typed = [
        line.strip() for kind, block in blocks(text) if not kind for line in block.splitlines()
    ]
    words = [shlex.split(line) for line in typed if line.startswith("linkedclone ")]
    acts = [line for line in words if line[1] in {"clone", "prepare", "tree", "doctor"}]
    return [[names.get(word, word) for word in line[1:]] for line in acts]


def test_every_command_works_in_the_printed_order(start_simulator: Start, tmp_path: Path) -> None:
    simulator = start_simulator("-ds", "3", "-pod", "1", "-pg", "1")
    simulator.mark_template("DC0_C0_RP0_VM1")
    with opened(simulator) as driver:
        base = find(driver, NAMES["golden"]).disks[0].top.store_name
    others = sorted({"LocalDS_0", "LocalDS_1", "LocalDS_2"} - {base})
    simulator.control("POST", "datastore", {"name": others[0], "pod": "DC0_POD0"})
    env = command.environment(simulator, tmp_path)
    assert len(lines()) > 25
    blocked = ["prepare", NAMES["golden"]]  # there is no snapshot yet
    for words in lines():
        done = command.run(*words, env=env)
        assert done.returncode == (1 if words == blocked else 0), (words, done.stderr)
        assert "Traceback" not in done.stderr


def test_every_command_at_a_lone_host_works_in_the_printed_order(
    start_simulator: Start, tmp_path: Path
) -> None:
    env = command.environment(start_simulator("-esx"), tmp_path)
    typed = lines(HOST_TEXT, {"golden": "ha-host_VM0"})
    assert [words[0] for words in typed] == ["doctor", "prepare", "clone", "clone", "tree"]
    for words in typed:
        done = command.run(*words, env=env)
        assert done.returncode == 0, (words, done.stdout, done.stderr)


def test_the_privileges_are_the_ones_that_doctor_looks_for() -> None:
    tables = re.findall(r"^\| `(\w+\.[\w.]+)` \| (.+) \|$", TEXT, re.MULTILINE)
    assert {name for name, _ in tables} == set(every_privilege())
    for name, purpose in REQUIRED.items():
        assert render_references(purpose).split(",")[0].split()[0] in dict(tables)[name]


def test_the_role_is_created_as_printed(simulator: Simulator) -> None:
    (script,) = [block for kind, block in blocks(TEXT) if kind == "sh"]
    create = script.replace("\\\n", " ").splitlines()[0].split()
    assert create[:3] == ["govc", "role.create", "linkedclone"]
    assert set(create[3:]) == set(every_privilege())
    env = {
        **os.environ,
        "GOVC_URL": simulator.url,
        "GOVC_TLS_CA_CERTS": str(simulator.certificate_file),
    }
    govc = str(BINARY.with_name("govc"))
    subprocess.run([govc, *create[1:]], env=env, check=True, capture_output=True)
    listed = subprocess.run(
        [govc, "role.ls", "linkedclone"], env=env, check=True, capture_output=True, text=True
    )
    assert set(every_privilege()) <= set(listed.stdout.split())
