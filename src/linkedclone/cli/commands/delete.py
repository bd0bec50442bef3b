"""linkedclone delete."""

from typing import Unpack

import click

from linkedclone.cli.global_options import Choices, Sure
from linkedclone.cli.grammar import Verb, asks_first
from linkedclone.cli.options.types import scan_option


@click.command(cls=Verb)
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("--cascade", is_flag=True, help="Also delete all clones that depend on them.")
@click.option(
    "--keep-base",
    is_flag=True,
    help="vSphere only: keep a base whose own VM no longer exists; "
    "unregister its last user instead of deleting it.",
)
@scan_option
@asks_first("Also VMs that linkedclone did not create, and a base whose own VM no longer exists.")
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
    """Delete VMs, unless something depends on them.

    Their files are deleted too, except those that something else uses. A NAME may
    contain ranges, as in desk-{001..020}. A VM that others depend on is deleted only
    together with them: name them in the same command, or use --cascade.
    """
    from linkedclone.cli.confirm import act_if_sure, require_answer
    from linkedclone.cli.options.types import expand_refs
    from linkedclone.model.request import Deletion

    require_answer(sure["yes"], verb="delete")
    refs = expand_refs(names)
    wanted = Deletion(
        force=sure["force"],
        cascade=cascade,
        keep_base=keep_base,
        despite_unreadable=sure["despite_unreadable"],
    )
    return act_if_sure(
        choices,
        sure,
        lambda lab, care: lab.vms.propose_delete(refs, wanted, scan=care["scan"]),
        scan=scan,
    )
