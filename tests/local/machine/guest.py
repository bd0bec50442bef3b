"""The demo guest as the tests run it: machines with an overlay and a seed of their own."""

import json
import subprocess
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from linkedclone.drivers.local.machine.arguments import MachineConfig
from linkedclone.drivers.local.machine.logs import CONSOLE_LOG
from linkedclone.drivers.local.machine.machine import Machine
from linkedclone.drivers.local.qmp.status import MachineState
from linkedclone.drivers.local.state.ssh import build_ssh_command
from linkedclone.drivers.qemu.networks import CardRecord
from linkedclone.guest.nocloud import (
    admit_key,
    build_documents,
    build_seed_iso,
    plain_guest,
)
from linkedclone.model.images import ImageImport

REPOSITORY = Path(__file__).resolve().parents[3]
BUILD = REPOSITORY / "script/build-guest"
OUT = REPOSITORY / ".build/guest"

BOOT_SECONDS = 240.0


@dataclass(frozen=True, kw_only=True)
class DemoGuest:
    """The built guest and the key that opens it."""

    folder: Path
    manifest: dict[str, str | int]
    key: Path

    @property
    def kernel(self) -> Path:
        return self.folder / "kernel"

    @property
    def disk(self) -> Path:
        return self.folder / "disk.qcow2"

    def make(self, folder: Path, name: str) -> "RunningGuest":
        """Lay out a machine with its overlay and its seed; it is not started."""
        folder.mkdir(parents=True, exist_ok=True)
        disk = folder / "disk.qcow2"
        create_overlay(disk, self.disk)
        identity = str(uuid.uuid4())
        key = Path(f"{self.key}.pub").read_text().strip()
        plain = plain_guest(host_name=name, instance_id=identity)
        mac = f"52:54:00:{identity[0:2]}:{identity[2:4]}:{identity[4:6]}"
        documents = build_documents(admit_key(plain, user="root", key=key), (mac,), user="root")
        (folder / "seed.iso").write_bytes(build_seed_iso(documents))
        config = MachineConfig(
            name=name,
            uuid=identity,
            memory_bytes=int(self.manifest["memory_bytes"]),
            disks=(disk,),
            cards=(CardRecord(mac=mac),),
            seed=folder / "seed.iso",
            kernel=self.kernel,
            initrd=self.folder / "initrd",
            append=str(self.manifest["append"]),
            console_log=True,
            accel="tcg",
        )
        return RunningGuest(machine=Machine(folder / "run", config), key=self.key)


@dataclass(frozen=True, kw_only=True)
class RunningGuest:
    """A machine and what a test asks of the guest in it."""

    machine: Machine
    key: Path

    def with_changes(self, **changes: Any) -> "RunningGuest":
        config = replace(self.machine.config, **changes)
        return RunningGuest(machine=Machine(self.machine.folder, config), key=self.key)

    def wait_until_ready(self) -> MachineState:
        """Wait for the agent, the last that starts in the guest."""
        return self.wait_for(lambda state: state.agent)

    def wait_for(
        self, condition: Callable[[MachineState], bool], seconds: float = BOOT_SECONDS
    ) -> MachineState:
        deadline = time.monotonic() + seconds
        while not condition(state := self.machine.observe()):
            assert time.monotonic() < deadline, (state, self.console)
            time.sleep(0.2)
        return state

    @property
    def console(self) -> str:
        log = self.machine.folder / CONSOLE_LOG
        return log.read_text(errors="replace") if log.exists() else ""

    def ssh(self, command: str) -> str:
        address = self.machine.observe().ssh
        assert address is not None
        arguments = build_ssh_command(
            address,
            user="root",
            key=self.key,
            known_hosts=self.machine.folder / "known_hosts",
            command=(command,),
        )
        done = subprocess.run(
            arguments,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


def create_overlay(path: Path, backing: Path) -> None:
    command = ("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", backing, path)
    subprocess.run(command, check=True)


def read_manifest() -> dict[str, str | int]:
    """Build the guest unless it is there; return its manifest."""
    subprocess.run((BUILD, OUT), check=True, stdout=subprocess.DEVNULL)
    manifest: dict[str, str | int] = json.loads((OUT / "guest.json").read_text())
    return manifest


def build_import() -> ImageImport:
    """Return how the guest becomes the golden image of a state folder; it is built if need be."""
    manifest = read_manifest()
    return ImageImport(
        file=OUT / "disk.qcow2",
        name="golden",
        memory_bytes=int(manifest["memory_bytes"]),
        kernel=OUT / "kernel",
        initrd=OUT / "initrd",
        append=str(manifest["append"]),
        user="root",
    )
