"""Runs the real command line as a process of its own, against a simulator.

Each command is forked from a server that has imported everything already: a process
with its own pid, signals, environment and output, without the half second that the
imports take. What concerns the start itself runs :data:`COMMAND`.
"""

import fcntl
import json
import os
import pkgutil
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from importlib import import_module
from multiprocessing import forkserver, get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, TextIO

from tests.simulator import PASSWORD, Simulator

COMMAND = Path(sys.executable).parent / "linkedclone"
RUN_SECONDS = 240.0

VMWARE_TYPES = (
    *("ServiceInstance", "SessionManager", "Folder", "Datacenter", "ResourcePool", "Task"),
    *("VirtualMachine", "HostSystem", "ClusterComputeResource", "Datastore", "Network"),
    *("AuthorizationManager", "CustomizationSpecManager", "FileManager", "StorageResourceManager"),
)
VMWARE_DATA = (
    *("ServiceContent", "UserSession", "TaskInfo", "RetrieveOptions", "RetrieveResult"),
    *("PropertyFilterSpec", "ObjectSpec", "TraversalSpec", "ObjectContent", "MissingObject"),
    *("WaitOptions", "UpdateSet", "PropertyFilterUpdate", "ObjectUpdate", "PropertyChange"),
    *("VirtualMachineCloneSpec", "VirtualMachineConfigSpec", "VirtualMachineRelocateSpec"),
    *("VirtualDeviceConfigSpec", "VirtualMachineSnapshotInfo", "GuestNicInfo", "VirtualE1000"),
)

FORKED = get_context("forkserver")
FORKED.set_forkserver_preload(["tests.preloaded"])


def start_server() -> None:
    """Start what commands are forked from, for this process and those that it forks."""
    forkserver.ensure_running()


def share_server() -> None:
    """Use, in a process that was forked, the server that was there before."""
    forkserver._forkserver.ensure_running = lambda: None  # type: ignore[method-assign]


def preload() -> None:
    """Import all that a command may need."""
    import linkedclone

    for found in pkgutil.walk_packages(linkedclone.__path__, "linkedclone."):
        import_module(found.name)
    named = ("pycdlib", "pydantic", "pytest", "qemu.qmp", "rich.live", "ruamel.yaml")
    for name in (*named, "encodings.idna", "encodings.utf_16_be"):
        import_module(name)
    _read_nothing()
    _name_types()


def _read_nothing() -> None:
    """Build what reads YAML and what hides a password: for each process that takes a while."""
    from linkedclone.app.pools.pool_file import build_form
    from linkedclone.config.config_file import Settings
    from linkedclone.config.redaction import _pattern
    from linkedclone.config.yaml_reader import read_into
    from linkedclone.model.customization import Customization

    for kind in (Customization, build_form(installed=False), Settings):
        read_into(kind, {})
    _pattern(PASSWORD)


def _name_types() -> None:
    """Name what commands say to a vCenter and read from it: each type is made when it is named."""
    from pyVmomi import vim, vmodl
    from pyVmomi.VmomiSupport import GetWsdlType

    for name in VMWARE_TYPES:
        assert getattr(vim, name)
    _ = vmodl.query.PropertyCollector
    for name in VMWARE_DATA:
        for field in GetWsdlType("urn:vim25", name)._GetPropertyList():
            assert field.type


class Command:
    """A command that runs; to be used as a ``subprocess.Popen`` with text pipes.

    Attributes:
        args: What stands on its command line after ``linkedclone``.
        stdout: What it writes.
        stderr: What it says.
    """

    def __init__(self, *args: str, env: Mapping[str, str]) -> None:
        self.args = args
        (out, their_out), (err, their_err) = FORKED.Pipe(duplex=False), FORKED.Pipe(duplex=False)
        self._process = fork(*args, env=env, out=their_out, err=their_err)
        self.stdout = _open(out)
        self.stderr = _open(err)

    @property
    def pid(self) -> int:
        """Its process id, which is also its session's."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Its exit code, or minus the signal that ended it; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """Return :attr:`returncode`."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended."""
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return self.returncode

    def communicate(self, timeout: float = RUN_SECONDS) -> tuple[str, str]:
        """Read what it writes until it has ended."""
        streams = {self.stdout.fileno(): b"", self.stderr.fileno(): b""}
        read = dict(streams)
        deadline = time.monotonic() + timeout
        while streams:
            ready = wait(list(streams), max(deadline - time.monotonic(), 0.0))
            if not ready:
                raise subprocess.TimeoutExpired(self.args, timeout)
            for stream in ready:
                assert isinstance(stream, int)
                chunk = os.read(stream, 1 << 16)
                read[stream] += chunk
                if not chunk:
                    del streams[stream]
        self.wait(max(deadline - time.monotonic(), 1.0))
        told = [read[stream.fileno()].decode() for stream in (self.stdout, self.stderr)]
        self.stdout.close()
        self.stderr.close()
        return told[0], told[1]

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


def _open(connection: Connection) -> TextIO:
    number = os.dup(connection.fileno())
    connection.close()
    return os.fdopen(number, encoding="utf-8")


def fork(*args: str, env: Mapping[str, str], out: Connection, err: Connection) -> BaseProcess:
    """Start a command that writes to these, which are closed here; a terminal becomes its own."""
    given = (args, dict(env), str(Path.cwd()), out, err)
    process = FORKED.Process(target=_serve, args=given)
    process.start()
    out.close()
    err.close()
    return process


def _serve(
    args: tuple[str, ...], env: dict[str, str], folder: str, out: Connection, err: Connection
) -> None:
    """Be the command: what :data:`COMMAND` is for the rest of the process."""
    os.setsid()
    os.chdir(folder)
    if terminal := os.isatty(out.fileno()):
        fcntl.ioctl(out.fileno(), termios.TIOCSCTTY, 0)
        os.dup2(out.fileno(), 0)
    os.dup2(out.fileno(), 1)
    os.dup2(err.fileno(), 2)
    out.close()
    err.close()
    os.environ.clear()
    os.environ.update(env)
    source = 0 if terminal else os.open(os.devnull, os.O_RDONLY)
    sys.stdin = os.fdopen(source, encoding="utf-8", closefd=False)
    sys.stdout.reconfigure(line_buffering=terminal)  # type: ignore[union-attr]  # a real stream
    sys.argv = ["linkedclone", *args]
    sys.path[:0] = filter(None, env.get("PYTHONPATH", "").split(os.pathsep))
    from linkedclone.cli.main import main

    sys.exit(main(args))


def environment(simulator: Simulator, home: Path) -> dict[str, str]:
    """Return an environment in which the simulator is the endpoint, and nothing else is known."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("GOVC_", "LINKEDCLONE_"))}
    return kept | {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_STATE_HOME": str(home / "state"),
        "GOVC_URL": simulator.url,
        "GOVC_TLS_CA_CERTS": str(simulator.certificate_file),
    }


def start(*args: str, env: Mapping[str, str]) -> Command:
    """Start the command in a session of its own, so that signals reach it alone."""
    return Command(*args, env=env)


def run(
    *args: str, env: Mapping[str, str], seconds: float = RUN_SECONDS
) -> "subprocess.CompletedProcess[str]":
    """Run the command to its end, within so many seconds."""
    command = start(*args, env=env)
    out, err = command.communicate(seconds)
    return subprocess.CompletedProcess(args, command.wait(), out, err)


def run_json(*args: str, env: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
    """Run the command with ``-o json``; return its exit code and document."""
    done = run("-o", "json", *args, env=env)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)
