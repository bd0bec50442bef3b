"""linkedclone delete."""

from typing import Unpack

import click

from linkedclone.cli.global_options import Choices, Sure
from linkedclone.cli.grammar import Verb, asks_first
from linkedclone.cli.options.types import scan_option


@click.command(cls=Verb)
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("--cascade", is_flag=True, help="Also all clones that hang from them.")
@click.option(
    "--keep-base",
    is_flag=True,
    help="vSphere only: keep a base whose VM is gone; its last user is unregistered instead.",
)
@scan_option
@asks_first("Also VMs that linkedclone did not make, and a base whose VM is gone.")
@click.pass_obj
def command(
    choices: Choices,
    names: tuple[str, ...],
    *,
    cascade: bool,
    keep_base: bool,
    scan: tuple[str, ...],
    **sure: Unpack[Sure],
) -> int:
    """Delete VMs, unless something hangs from them.

    Their files go too, as far as nothing else uses them. A NAME may hold
    ranges, as in desk-{001..020}. A VM that others hang from goes only
    together with them: named in the same command, or with --cascade.
    """
    from linkedclone.cli.confirm import ask_unless, finish, require_answer
    from linkedclone.cli.options.types import expand_refs, read_scan
    from linkedclone.model.request import Deletion

    require_answer(sure["yes"], verb="delete")
    refs = expand_refs(names)
    how = Deletion(
        force=sure["force"],
        cascade=cascade,
        keep_base=keep_base,
        despite_unreadable=sure["despite_unreadable"],
    )

    from linkedclone.cli.session import open_session
    from linkedclone.cli.views.progress import watch

    with open_session(choices) as connection:
        question = ask_unless(sure["yes"], connection.address)
        with watch(choices) as progress:
            report = connection.delete(
                refs, how, scan=read_scan(scan), confirm=question, progress=progress
            )
    return finish(choices, report, question)
