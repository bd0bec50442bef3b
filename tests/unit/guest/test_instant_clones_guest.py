"""The script that waits in a golden image on vSphere, run against a guest made of files."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "docs" / "instant-clones-guest.sh"
WANTED = "id=1-2.r host_name=web-1 machine_id=0123 instance_id=1-2.r seed=5eed junk eVil=$(false)"

# Tells what it is asked, as the hypervisor does; a fork is told who it is to be only once it
# has been frozen.
RPCTOOL = """#!/bin/sh
case $1 in
  "info-get guestinfo.linkedclone.fork") [ ! -e "$STATE/frozen" ] || cat "$STATE/wanted" ;;
  "info-set "*) echo "${1#info-set guestinfo.linkedclone.}" >>"$STATE/told" ;;
  instantclone.freeze) touch "$STATE/frozen" ;;
esac
"""
NOTE = """#!/bin/sh
echo "${0##*/} $*" >>"$STATE/ran"
"""

HOOK = """#!/bin/sh
echo "$LINKEDCLONE_HOST_NAME" >"$STATE/hook"
"""


@pytest.fixture
def guest(tmp_path: Path) -> Path:
    """The root folder of a guest whose programs note that they were run."""
    programs = {"vmware-rpctool": RPCTOOL}
    programs |= dict.fromkeys(("perl", "hwclock", "ssh-keygen", "systemctl"), NOTE)
    for name, text in programs.items():
        place(tmp_path / "bin" / name, text)
    root = tmp_path / "root"
    for name, text in {
        "dev/urandom": "",
        "proc/sys/kernel/hostname": "golden\n",
        "etc/hosts": "127.0.0.1 localhost\n127.0.1.1 golden\n",
        "etc/ssh/ssh_host_ed25519_key": "the parent's",
        "etc/linkedclone/instant.d/10-note": HOOK,
        "var/lib/cloud/data/instance-id": "old\n",
        "var/lib/cloud/instances/old/sem": "",
    }.items():
        place(root / name, text)
    (tmp_path / "wanted").write_text(WANTED)
    return tmp_path


def place(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(0o755)


def run(guest: Path) -> "subprocess.CompletedProcess[str]":
    env = {
        "PATH": f"{guest / 'bin'}:{os.environ['PATH']}",
        "STATE": str(guest),
        "LINKEDCLONE_ROOT": str(guest / "root"),
    }
    return subprocess.run(
        ["sh", str(SCRIPT), "freeze"],
        env=env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def told(guest: Path) -> list[str]:
    return (guest / "told").read_text().splitlines()


def test_a_fork_tells_that_it_has_its_identity_when_all_of_it_is_its_own(guest: Path) -> None:
    done = run(guest)
    assert done.returncode == 0, done.stderr
    assert told(guest) == ["ready 1", "identity 1-2.r done"]
    root = guest / "root"
    assert (root / "dev/urandom").read_text() == "5eed\n"
    assert (root / "proc/sys/kernel/hostname").read_text() == "web-1\n"
    assert (root / "etc/hosts").read_text() == "127.0.0.1 localhost\n127.0.1.1 web-1\n"
    assert (root / "etc/machine-id").read_text() == "0123\n"
    assert not (root / "etc/ssh/ssh_host_ed25519_key").exists()
    assert (root / "var/lib/cloud/data/instance-id").read_text() == "1-2.r\n"
    assert (root / "var/lib/cloud/instances/1-2.r/sem").exists()
    assert (guest / "hook").read_text() == "web-1\n"
    ran = (guest / "ran").read_text().splitlines()
    assert [line.split()[0] for line in ran[:3]] == ["perl", "hwclock", "ssh-keygen"]


@pytest.mark.parametrize(
    ("wanted", "spoilt", "answer"),
    [
        (WANTED.replace("seed=5eed", ""), "", "failed: there is no seed"),
        (WANTED.replace("host_name=web-1", ""), "", "failed: there is no host name"),
        (WANTED, "hwclock", "failed: the clock cannot be set"),
        (WANTED, "ssh-keygen", "failed: no SSH host keys could be made"),
    ],
)
def test_a_fork_whose_identity_fails_says_why_and_never_that_it_is_done(
    guest: Path, wanted: str, spoilt: str, answer: str
) -> None:
    (guest / "wanted").write_text(wanted)
    if spoilt:
        place(guest / "bin" / spoilt, "#!/bin/sh\nexit 1\n")
    assert run(guest).returncode == 1
    assert told(guest) == ["ready 1", f"identity 1-2.r {answer}"]


def test_a_random_generator_that_is_not_reseeded_is_a_failure(guest: Path) -> None:
    for program in ("perl", "python3"):
        place(guest / "bin" / program, "#!/bin/sh\nexit 1\n")
    assert run(guest).returncode == 1
    assert told(guest)[-1] == "identity 1-2.r failed: the random generator was not reseeded"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may reseed the kernel's generator")
@pytest.mark.parametrize("program", ["perl", "python3"])
def test_the_kernel_takes_the_request_to_reseed(guest: Path, program: str) -> None:
    (guest / "bin" / "perl").unlink()
    other = {"perl": "python3", "python3": "perl"}[program]
    place(guest / "bin" / other, "#!/bin/sh\nexit 1\n")
    random = guest / "root/dev/urandom"
    random.unlink()
    random.symlink_to("/dev/urandom")
    assert run(guest).returncode == 0
    assert told(guest)[-1] == "identity 1-2.r done"


def test_a_hook_that_fails_is_a_failure(guest: Path) -> None:
    place(guest / "root/etc/linkedclone/instant.d/20-bad", "#!/bin/sh\nexit 3\n")
    assert run(guest).returncode == 1
    assert told(guest)[-1] == "identity 1-2.r failed: the hook 20-bad ended with status 3"


def test_a_fork_that_is_told_no_id_tells_nothing(guest: Path) -> None:
    (guest / "wanted").write_text("host_name=web-1")
    assert run(guest).returncode == 1
    assert told(guest) == ["ready 1"]
