"""The lineage of a large inventory beside the least that reading its answers can cost."""

from bench.lineage import CLONES, EVERY, VMS, contender, describe
from bench.row import Comparison, Limit, Options, Target, row

LARGEST_BYTES = 300 << 20


@row("lineage", f"lineage of {VMS:,} VMs, {CLONES:,} of them linked clones, sizes and all")
def lineage(options: Options) -> Comparison:  # noqa: ARG001 - rows are called alike
    """From the recorded answers to the Lineage, beside bare parses of the same bytes."""
    ours, bare = "ours, to the Lineage", "bare streaming parse (iterparse)"
    expat = "expat without handlers"
    return Comparison(
        contenders=(
            contender(ours, "ours"),
            contender(bare, "bare"),
            contender(expat, "expat"),
            contender(
                "pyVmomi's decoding alone",
                "pyvmomi",
                times=EVERY,
                note=f"every {EVERY}th page measured, times {EVERY}",
            ),
        ),
        targets=(Target(of=ours, to=bare, at_most=2),),
        limits=(Limit(of=ours, size_bytes=LARGEST_BYTES, why="the whole process at its largest"),),
        notes=(
            f"{describe()}, recorded from the simulator and replayed without a network",
            "processor time; each run is a process of its own, its imports not counted",
            "the bare parse builds each element and clears it; expat builds nothing at all",
        ),
        repeat=5,
    )
