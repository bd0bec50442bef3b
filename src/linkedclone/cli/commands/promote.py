"""linkedclone promote."""

from typing import Unpack

import click

from linkedclone.cli.global_options import Choices, Sure
from linkedclone.cli.grammar import Verb, asks_first
from linkedclone.cli.options.types import scan_option


@click.command(cls=Verb)
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@scan_option
@asks_first("Also VMs that linkedclone did not make.")
@click.pass_obj
def command(
    choices: Choices, names: tuple[str, ...], *, scan: tuple[str, ...], **sure: Unpack[Sure]
) -> int:
    """Make linked clones full ones.

    Each gets a copy of what it shares, and needs no other VM from then on. A
    NAME may hold ranges, as in desk-{001..020}. Refused are VMs that others
    hang from, and copies that would not fit. One that runs must have no
    snapshots; on this machine (local:) that goes for all.
    """
    from linkedclone.cli.confirm import ask_unless, finish, require_answer
    from linkedclone.cli.options.types import expand_refs, read_scan

    require_answer(sure["yes"], verb="promote")
    refs = expand_refs(names)

    from linkedclone.cli.session import open_session
    from linkedclone.cli.views.progress import watch

    with open_session(choices) as connection:
        question = ask_unless(sure["yes"], connection.address)
        with watch(choices) as progress:
            report = connection.promote(
                refs,
                force=sure["force"],
                despite_unreadable=sure["despite_unreadable"],
                scan=read_scan(scan),
                confirm=question,
                progress=progress,
            )
    return finish(choices, report, question)
