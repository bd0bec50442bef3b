"""The answers of a vCenter with 10,000 VMs, recorded once, and ways to read them.

Run as a program it reads the recording in one of the ways, in a process of its
own, and prints what that took.
"""

import atexit
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from xml.etree import ElementTree as ET
from xml.parsers import expat

from bench.commands import PYTHON, ROOT, BenchError, clean_environment
from bench.row import Contender, Sample
from linkedclone.drivers.vsphere.native import Native

VMS = 10_000
CLONES = 4000
POOLS = 2
EVERY = 10
"""pyVmomi's own decoding is measured on every so many pages."""


# -- the recording --------------------------------------------------------------------------------


@cache
def record() -> Path:
    """Let our driver read a simulated vCenter; return the folder with the answers, in order."""
    from tests.simulator import Simulator

    # Removed when the benchmark ends.
    folder = tempfile.TemporaryDirectory(prefix="linkedclone-lineage-")
    atexit.register(folder.cleanup)
    shape = ("-vm", str((VMS - CLONES) // POOLS), "-clones", str(CLONES // POOLS))
    with Simulator.start(*shape) as simulator:
        _record(simulator, Path(folder.name))
    return Path(folder.name)


def _record(simulator: Native, folder: Path) -> None:
    from linkedclone.drivers.vsphere.login import open_vsphere

    driver: Native = open_vsphere(simulator.endpoint(timeout_seconds=600.0))
    stub = driver._session._stub  # noqa: SLF001 - where the answers come in
    exchange, numbers = stub.exchange, iter(range(VMS))

    def record(request: bytes) -> Native:
        reply = exchange(request)
        (folder / f"{next(numbers):05}.xml").write_bytes(reply.body)
        return reply

    stub.exchange = record
    seen = driver.observe(sizes=True)
    stub.exchange = exchange
    driver.close()
    if len(seen.vms) != VMS:
        raise BenchError(f"the simulator has {len(seen.vms)} VMs, not {VMS}")


def _pages(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.xml"))


# -- ways to read it ------------------------------------------------------------------------------


def read_ours(folder: Path) -> None:
    """Decode all with the driver's own code, and build the lineage."""
    from tests.replay import open_replay

    from linkedclone.lineage.family import Lineage

    observer = open_replay(page.read_bytes() for page in _pages(folder))
    with _measured():
        inventory = observer.observe(sizes=True)
        lineage = Lineage(inventory)
    linked = sum(lineage.origin(vm).base is not None for vm in inventory.vms)
    if (len(inventory.vms), linked) != (VMS, CLONES) or not inventory.files:
        raise BenchError(f"{len(inventory.vms)} VMs came out, {linked} of them linked")


def read_bare(folder: Path) -> None:
    """Parse with the standard library's iterparse, and throw every element away."""
    with _measured():
        for page in _pages(folder):
            for _, element in ET.iterparse(page):  # noqa: S314 - our own recording
                element.clear()


def read_expat(folder: Path) -> None:
    """Parse with expat, and not even look."""
    with _measured():
        for page in _pages(folder):
            with page.open("rb") as body:
                expat.ParserCreate().ParseFile(body)


def read_pyvmomi(folder: Path) -> None:
    """Decode every tenth page with pyVmomi."""
    from pyVmomi import SoapStubAdapter, vmodl
    from pyVmomi.SoapAdapter import SoapResponseDeserializer
    from pyVmomi.VmomiSupport import newestVersions

    stub = SoapStubAdapter(host="replay.invalid", version=newestVersions.GetName("vim"))
    result = vmodl.query.PropertyCollector.RetrieveResult
    with _measured():
        for page in _pages(folder)[::EVERY]:
            SoapResponseDeserializer(stub).Deserialize(page.read_bytes(), result)


WAYS: Mapping[str, Callable[[Path], None]] = {
    "ours": read_ours,
    "bare": read_bare,
    "expat": read_expat,
    "pyvmomi": read_pyvmomi,
}


class _measured:  # noqa: N801 - reads as a statement
    """Prints the processor time that a block takes, and the process's largest size."""

    def __enter__(self) -> None:
        self._begun = time.process_time()

    def __exit__(self, *error: object) -> None:
        seconds = time.process_time() - self._begun
        sys.stdout.write(json.dumps({"seconds": seconds, "bytes": _largest_bytes()}))


def _largest_bytes() -> int:
    """Return this process's largest size so far; getrusage would count what its parent had."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) << 10


def contender(name: str, way: str, *, times: float = 1, note: str = "") -> Contender:
    """Make a contender that reads the recording in one of the ways, in a fresh process."""
    return Contender(name=name, run=partial(_run, way, times, note))


def _run(way: str, times: float, note: str) -> Sample:
    done = subprocess.run(  # noqa: S603 - ourselves
        [str(PYTHON), "-m", "bench.lineage", way, str(record())],
        cwd=ROOT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BenchError(f"bench.lineage {way}: {done.stderr[-2000:]}")
    taken = json.loads(done.stdout)
    return Sample(seconds=taken["seconds"] * times, size_bytes=taken["bytes"], note=note)


def describe() -> str:
    """Say what the recording is."""
    pages = _pages(record())
    size = sum(page.stat().st_size for page in pages)
    return f"{len(pages)} pages, {size / 1e6:.0f} MB of XML"


if __name__ == "__main__":
    WAYS[sys.argv[1]](Path(sys.argv[2]))
