"""linkedclone promote."""

from typing import Unpack

import click

from linkedclone.cli.global_options import Choices, Sure
from linkedclone.cli.grammar import Verb, asks_first
from linkedclone.cli.options.types import scan_option


@click.command(cls=Verb)
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@scan_option
@asks_first("Also VMs that linkedclone did not create.")
@click.pass_obj
def command(
    choices: Choices, names: tuple[str, ...], *, scan: tuple[str, ...], **sure: Unpack[Sure]
) -> int:
    """Turn linked clones into full ones.

    Each VM gets a copy of the layers that it shares, and then depends on no other VM. A
    NAME may contain ranges, as in desk-{001..020}. VMs that others depend on are
    refused, and so are copies that do not fit. A running VM must not have snapshots.
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
            report = connection.disks.promote(
                refs,
                force=sure["force"],
                despite_unreadable=sure["despite_unreadable"],
                scan=read_scan(scan),
                confirm=question,
                progress=progress,
            )
    return finish(choices, report, question)
