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
    from linkedclone.cli.confirm import act_if_sure, require_answer
    from linkedclone.cli.options.types import expand_refs

    require_answer(sure["yes"], verb="promote")
    refs = expand_refs(names)
    return act_if_sure(
        choices, sure, lambda lab, care: lab.disks.propose_promote(refs, **care), scan=scan
    )
