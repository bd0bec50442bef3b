"""Clones that are told who they are, looked at from inside: by the command line, as people do.

The small guest shows it in each run; a whole Debian does with ``--soak``.
"""

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.command import run as run_command
from tests.local.machine.guest import OUT, read_manifest

pytestmark = pytest.mark.together("customizing")  # one worker sets up what they share

NAMES = ("web-1", "web-2", "web-3")
ADDRESSES = ("10.9.0.11", "10.9.0.12", "10.9.0.13")
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJenhkraN3qUjf+nqtU+gCPrKI6ezF+6kt2GuIfM7Pnn ops"

CUSTOMIZATION = f"""\
os: cloud-init
domain: lab.example
time_zone: Europe/Berlin
dns: [10.9.0.2]
search: [lab.example]
addresses:
  - range: 10.9.0.11-10.9.0.40/24
    gateway: 10.9.0.1
cloud_init:
  users:
    - name: ops
      sudo: true
      ssh_keys: ["{KEY}"]
      password: {{env: OPS_PASSWORD}}
  run:
    - echo "$(hostname) was told" >/root/told
  user_data: |
    #!/bin/sh
    echo "it's passed on" >/root/passed-on
"""

LINUX = """\
os: linux
domain: lab.example
addresses:
  - dhcp: true
linux:
  password: {env: OPS_PASSWORD}
  script: |
    #!/bin/sh
    echo "$1" >>/root/stages
"""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A state folder, and the command line on it."""

    root: Path

    def run(self, *arguments: str, seconds: float = 300) -> str:
        done = self.try_to(*arguments, seconds=seconds)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def try_to(self, *arguments: str, seconds: float = 300) -> "subprocess.CompletedProcess[str]":
        environment = {
            **os.environ,
            "LINKEDCLONE_ENDPOINT": f"local:{self.root}",
            "LINKEDCLONE_ACCEL": "tcg",
            "OPS_PASSWORD": "c0rrect horse",
        }
        return run_command(*arguments, env=environment, seconds=seconds)

    def ask(self, name: str, command: str) -> list[str]:
        return self.run("ssh", name, command).splitlines()

    def list(self) -> list[dict[str, Any]]:
        vms: list[dict[str, Any]] = json.loads(self.run("-o", "json", "list"))["vms"]
        return vms

    def write(self, name: str, text: str) -> str:
        path = self.root.parent / name
        path.write_text(text)
        return str(path)

    def end(self) -> None:
        names = [vm["name"] for vm in self.list() if vm["power"] != "off"]
        if names:
            self.run("stop", "--force", *names)


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Place]:
    made = Place(root=tmp_path / "state")
    try:
        yield made
    finally:
        made.end()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A place with the demo guest as its golden image; each test ends and removes its clones."""
    made = Place(root=tmp_path_factory.mktemp("customizing") / "state")
    import_demo_guest(made)
    return made


@pytest.fixture(autouse=True)
def tidy(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "place" in request.fixturenames:
        place: Place = request.getfixturevalue("place")
        if names := [vm["name"] for vm in place.list() if vm["name"] != "golden"]:
            place.run("delete", *names, "--force", "--yes")


def import_demo_guest(place: Place) -> None:
    manifest = read_manifest()
    place.run(
        *("image", "import", str(OUT / "disk.qcow2"), "--name", "golden", "--user", "root"),
        *("--memory", "128MiB", "--kernel", str(OUT / "kernel"), "--initrd", str(OUT / "initrd")),
        *("--append", str(manifest["append"])),
    )


def check_distinct(place: Place, names: Sequence[str], commands: Sequence[str]) -> None:
    """Look from inside: what a guest is told differs from guest to guest."""
    for command in commands:
        answers = [tuple(place.ask(name, command)) for name in names]
        assert len(set(answers)) == len(names), (command, answers)
        assert all(any(answer) for answer in answers), (command, answers)


LOOK_WHO = "cat /etc/machine-id; dropbearkey -y -f /etc/dropbear/host_key | grep Finger"


def test_clones_of_the_small_guest_know_who_they_are_and_are_others_when_made_again(
    place: Place,
) -> None:
    names = NAMES[:2]  # three clones of a whole Debian do with --soak
    file = place.write("clones.yaml", CUSTOMIZATION)
    place.run("clone", "golden", *names, "--customize", file, "--wait", "customized")
    for name, address in zip(names, ADDRESSES, strict=False):
        host, full, zone, told, passed_on, *rest = place.ask(
            name,
            "hostname; hostname -f; cat /etc/timezone /root/told /root/passed-on;"
            "grep -c '^ops:.6' /etc/shadow; cat /etc/resolv.conf; ip -4 -o address; ip route;"
            "cat /home/ops/.ssh/authorized_keys",
        )
        assert (host, full, zone) == (name, f"{name}.lab.example", "Europe/Berlin")
        assert (told, passed_on) == (f"{name} was told", "it's passed on")
        assert rest[:3] == ["1", "search lab.example", "nameserver 10.9.0.2"]
        assert f"inet {address}/24" in " ".join(rest)
        assert "default via 10.9.0.1" in " ".join(rest)
        assert KEY in rest
    check_distinct(
        place,
        names,
        ("cat /etc/machine-id", "dropbearkey -y -f /etc/dropbear/host_key", "hostname"),
    )
    seeds = list(place.root.rglob("seed.iso"))
    assert len(seeds) == len(names)
    assert {path.stat().st_mode & 0o777 for path in seeds} == {0o600}
    check_made_again(place)


def check_made_again(place: Place) -> None:
    """A clone that is made again is another machine; it is told what Linux is to be."""
    first = place.ask("web-1", LOOK_WHO)
    place.run("delete", "web-1", "--force", "--yes")
    check_linux(place)
    assert not set(first) & set(place.ask("web-1", LOOK_WHO))


def check_linux(place: Place) -> None:
    """What Linux wants is done by cloud-init."""
    file = place.write("linux.yaml", LINUX)
    place.run("clone", "golden", "web-1", "--customize", file, "--wait", "customized")
    assert place.ask("web-1", "hostname -f; cat /root/stages; grep -c '^root:.6' /etc/shadow") == [
        "web-1.lab.example",
        "precustomization",
        "postcustomization",
        "1",
    ]


def test_a_customization_failure_quotes_the_guest(place: Place) -> None:
    text = "os: cloud-init\ncloud_init:\n  run: ['exit 7']\n"
    file = place.write("bad.yaml", text)
    command = ("clone", "golden", "web-1", "--customize", file, "--wait", "customized")
    done = place.try_to("-o", "json", *command, "--keep-failed")
    assert done.returncode != 0
    (clone,) = json.loads(done.stdout)["clones"]
    assert "ended with status 7" in json.dumps(clone["error"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("os: windows\n", "os: windows"),
        ("os: linux\nlinux: {hwclock: local}\n", "hwclock"),
        ("os: cloud-init\naddresses: [{dhcp: true}, {dhcp: true}]\n", "2 network cards"),
        (
            "os: cloud-init\naddresses: [{range: 10.9.0.1-10.9.0.2/30, gateway: 10.9.0.2}]\n",
            "too small",
        ),
    ],
)
def test_what_cannot_be_done_here_is_refused_before_anything_is_made(
    place: Place, text: str, said: str
) -> None:
    done = place.try_to("clone", "golden", "web-1", "--customize", place.write("c.yaml", text))
    assert done.returncode != 0
    assert said in done.stdout + done.stderr
    assert [vm["name"] for vm in place.list()] == ["golden"]


@pytest.mark.soak
@pytest.mark.timeout(7200)
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can build an image")
def test_three_clones_of_a_built_debian_know_who_they_are(empty: Place) -> None:
    place = empty
    place.run("image", "build", "debian", seconds=1800)
    file = place.write("clones.yaml", CUSTOMIZATION)
    waited = ("--wait", "customized", "--wait-timeout", "40m")
    place.run("clone", "debian", *NAMES, "--customize", file, *waited, seconds=3600)
    for name, address in zip(NAMES, ADDRESSES, strict=True):
        host, full, told, passed_on = place.ask(
            name, "hostname; hostname -f; sudo cat /root/told /root/passed-on"
        )
        assert (host, full) == (name, f"{name}.lab.example")
        assert (told, passed_on) == (f"{name} was told", "it's passed on")
        assert f"inet {address}/24" in " ".join(place.ask(name, "ip -4 -o address"))
        assert "10.9.0.2" in " ".join(place.ask(name, "resolvectl dns"))
        assert place.ask(name, "readlink /etc/localtime")[0].endswith("Europe/Berlin")
        sudo = place.ask(name, "sudo cat /etc/sudoers.d/90-cloud-init-users")
        assert "ops ALL=(ALL) NOPASSWD:ALL" in sudo
        assert KEY in place.ask(name, "sudo cat /home/ops/.ssh/authorized_keys")
        assert place.ask(name, "sudo grep -c '^ops:[$]' /etc/shadow") == ["1"]
        assert int(place.ask(name, "df --output=size -m / | tail -n 1")[0]) > 7000
    look = ("cat /etc/machine-id", "cat /etc/ssh/ssh_host_ed25519_key.pub", "hostname")
    check_distinct(place, NAMES, look)
