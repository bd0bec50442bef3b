"""What one person waits for: one clone, and the help."""

from bench.commands import LINKEDCLONE, PYTHON, clean_environment, time_run
from bench.row import Comparison, Contender, Options, Sample, Target, row
from bench.vsphere import contender, with_govc, with_linkedclone


@row("one", "one linked clone, 20 ms a call, 2 s a clone")
def one(options: Options) -> Comparison:  # noqa: ARG001 - rows are called alike
    """Ours beside one govc vm.clone."""
    return Comparison(
        contenders=(
            contender("linkedclone", with_linkedclone, clones=1),
            contender("govc vm.clone", with_govc, clones=1),
        ),
        targets=(Target(of="linkedclone", to="govc vm.clone", at_most=1),),
        repeat=5,
    )


@row("help", "linkedclone --help beside an empty Python")
def show_help(options: Options) -> Comparison:  # noqa: ARG001 - rows are called alike
    """Start-up beside the least that Python can do."""

    def command(name: str, *words: str) -> Contender:
        settings = clean_environment()
        return Contender(name=name, run=lambda: Sample(seconds=time_run(settings, *words)))

    return Comparison(
        contenders=(
            command("linkedclone --help", str(LINKEDCLONE), "--help"),
            command("python -c pass", str(PYTHON), "-c", "pass"),
        ),
        targets=(Target(of="linkedclone --help", to="python -c pass", at_most=6),),
        repeat=15,
    )
