"""The entry point: from the command line to an exit code."""

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code.

    0 done, 1 failed, 2 wrong input, 4 partly done, 130 interrupted, by whichever signal.
    """
    try:
        return _main(list(sys.argv[1:] if arguments is None else arguments))
    except KeyboardInterrupt:
        # While modules are imported; the command itself handles later ones.
        if sys.stderr is not None:
            sys.stderr.write("interrupted\n")
        return 130


def _main(given: list[str]) -> int:
    if given in (["--help"], ["-h"]):
        from linkedclone.cli.command_table import render_overview
        from linkedclone.cli.terminal import say, write_result
        from linkedclone.errors import LinkedCloneError

        try:
            write_result(render_overview())
        except LinkedCloneError as error:
            say(f"error: {error}")
            return error.exit_code
        return 0
    # A command is soon over; collecting garbage at the usual pace costs a tenth of its start.
    # So does looking for garbage once more at the end: what is there then is all in use.
    import atexit
    import gc

    gc.set_threshold(100_000)
    atexit.register(gc.freeze)
    from linkedclone.cli.signals import interruptible

    with interruptible():
        from linkedclone.cli.running import run

        return run(given)
