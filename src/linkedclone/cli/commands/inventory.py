"""linkedclone inventory."""

import click

from linkedclone.cli.global_options import Choices
from linkedclone.cli.grammar import Verb


@click.command(cls=Verb)
@click.argument("parent", metavar="[PARENT]", required=False)
@click.option("--list", "whole", is_flag=True, help="The whole inventory: what is done anyway.")
@click.option("--host", metavar="NAME", help="Only the variables of one host.")
@click.option("--all", "every", is_flag=True, help="Also VMs that hang from nothing.")
@click.pass_obj
def command(
    choices: Choices,
    parent: str | None,
    *,
    whole: bool,
    host: str | None,
    every: bool,
) -> int:
    """Print the linked clones as a dynamic inventory for Ansible.

    JSON of Ansible's script format, or YAML with -o yaml. With a PARENT only
    what hangs from it. There are groups by parent, snapshot, owner and power
    state; a host is called like its VM, and where two VMs have one name, like
    that with the beginning of its UUID.
    """
    from linkedclone.app.ansible_inventory import build_inventory, find_variables
    from linkedclone.cli.output import render_document
    from linkedclone.cli.session import open_session
    from linkedclone.cli.terminal import write_result
    from linkedclone.errors import InputError, NotFoundError

    if whole and host is not None:
        raise InputError("--list and --host contradict one another", hint="leave one of them out")
    with open_session(choices) as connection:
        hosts = connection.hosts(parent, every=every)
    document = build_inventory(hosts)
    if host is not None:
        found = find_variables(document, host)
        if found is None:
            raise NotFoundError(
                f"there is no host {host!r}", hint="linkedclone inventory --list shows them"
            )
        document = found
    write_result(render_document(document, "yaml" if choices.output == "yaml" else "json"))
    return 0
