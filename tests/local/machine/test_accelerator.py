"""Which accelerator is chosen. Stand-ins for QEMU, and real QEMU once."""

import json
import os
from pathlib import Path

import pytest

from linkedclone.drivers.local.machine import accelerator
from linkedclone.drivers.local.machine.accelerator import choose_accelerator, probe_accelerator
from linkedclone.errors import InputError
from tests.local.machine.guest import DemoGuest

WORKS = "echo '[0.0] Linux version 6.1'; exec sleep 60"
SLOW = "sleep 0.2; echo '[0.0] Linux version 6.1'; exec sleep 60"
HANGS = "exec sleep 60"
FAILS = "echo 'Could not access KVM kernel module'; exit 1"


def fake_qemu(folder: Path, *, kvm: str, tcg: str) -> str:
    program = folder / "qemu"
    program.write_text(f'#!/bin/sh\ncase "$2" in\nkvm) {kvm} ;;\ntcg) {tcg} ;;\nesac\n')
    program.chmod(0o755)
    return str(program)


@pytest.mark.parametrize(
    ("kvm", "tcg", "name", "reason"),
    [
        (WORKS, HANGS, "kvm", "boots"),
        (WORKS, SLOW, "kvm", "boots"),
        (SLOW, WORKS, "kvm", "boots"),
        (HANGS, WORKS, "tcg", "hangs"),
        (FAILS, SLOW, "tcg", "Could not access KVM kernel module"),
    ],
)
def test_kvm_has_to_boot_a_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kvm: str, tcg: str, name: str, reason: str
) -> None:
    if kvm != HANGS:  # on a busy machine it may take longer to answer
        monkeypatch.setattr(accelerator, "GRACE_SECONDS", 60.0)
    program = fake_qemu(tmp_path, kvm=kvm, tcg=tcg)
    chosen = probe_accelerator(tmp_path / "kernel", program)
    assert chosen.name == name
    assert reason in chosen.reason


def test_without_a_device_emulation_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accelerator, "KVM_DEVICE", tmp_path / "kvm")
    chosen = choose_accelerator(cache=tmp_path)
    assert chosen.name == "tcg"
    assert "there is no" in chosen.reason


def test_a_device_that_may_not_be_opened_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = tmp_path / "kvm"
    device.touch()
    monkeypatch.setattr(accelerator, "KVM_DEVICE", device)
    monkeypatch.setattr(os, "access", lambda path, _: path != device)
    chosen = choose_accelerator(cache=tmp_path)
    assert chosen.name == "tcg"
    assert "group kvm" in chosen.reason


def test_without_a_kernel_kvm_is_not_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = tmp_path / "kvm"
    device.touch()
    monkeypatch.setattr(accelerator, "KVM_DEVICE", device)
    monkeypatch.setattr(accelerator, "BOOT_FOLDER", tmp_path)
    assert "kernel" in choose_accelerator(cache=tmp_path).reason


def test_the_verdict_is_kept_until_the_host_boots_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, boot = tmp_path / "kvm", tmp_path / "boot_id"
    device.touch()
    boot.write_text("first\n")
    monkeypatch.setattr(accelerator, "KVM_DEVICE", device)
    monkeypatch.setattr(accelerator, "BOOT_ID", boot)
    monkeypatch.setattr(accelerator, "PROGRAM", fake_qemu(tmp_path, kvm=WORKS, tcg=HANGS))
    kernel, cache = tmp_path / "kernel", tmp_path / "cache"
    assert choose_accelerator(kernel, cache=cache).name == "kvm"

    kept = cache / accelerator.CACHE_FILE
    changed = json.loads(kept.read_text()) | {"reason": "kept"}
    kept.write_text(json.dumps(changed))
    assert choose_accelerator(kernel, cache=cache).reason == "kept"

    boot.write_text("second\n")
    assert choose_accelerator(kernel, cache=cache).reason != "kept"

    kept.write_text("{broken")
    assert choose_accelerator(kernel, cache=cache).name == "kvm"


@pytest.mark.parametrize(
    ("told", "cpu"),
    [
        ("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)", "max,cx16=off"),
        ("QEMU emulator version 9.2.0", "max,cx16=off"),
        ("QEMU emulator version 10.0.2", "max"),
        ("QEMU emulator version 11.0.0", "max"),
        ("something else", "max,cx16=off"),
    ],
)
def test_old_emulation_has_no_cmpxchg16b_which_kills_new_kernels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str, cpu: str
) -> None:
    program = tmp_path / "qemu"
    program.write_text(f"#!/bin/sh\necho '{told}'\n")
    program.chmod(0o755)
    monkeypatch.delenv(accelerator.CPU_VARIABLE, raising=False)
    assert accelerator.choose_cpu("tcg", str(program)) == cpu
    assert accelerator.choose_cpu("kvm", str(program)) == "host"
    monkeypatch.setenv(accelerator.CPU_VARIABLE, "Nehalem,-vmx")
    assert accelerator.choose_cpu("tcg", str(program)) == "Nehalem,-vmx"
    monkeypatch.setenv(accelerator.CPU_VARIABLE, "max -monitor stdio")
    with pytest.raises(InputError, match="not a CPU model"):
        accelerator.choose_cpu("tcg", str(program))


def test_a_cache_that_cannot_be_written_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = tmp_path / "kvm"
    device.touch()
    monkeypatch.setattr(accelerator, "KVM_DEVICE", device)
    monkeypatch.setattr(accelerator, "PROGRAM", fake_qemu(tmp_path, kvm=WORKS, tcg=HANGS))
    assert choose_accelerator(tmp_path / "kernel", cache=device / "no").name == "kvm"


def test_the_real_probe_ends_with_a_verdict(demo_guest: DemoGuest) -> None:
    chosen = probe_accelerator(demo_guest.kernel)
    assert chosen.name in {"kvm", "tcg"}
    assert chosen.reason
