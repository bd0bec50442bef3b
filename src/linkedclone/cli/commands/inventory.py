"""linkedclone inventory."""

import click

from linkedclone.cli.global_options import Choices
from linkedclone.cli.grammar import Verb


@click.command(cls=Verb)
@click.argument("parent", metavar="[PARENT]", required=False)
@click.option("--list", "whole", is_flag=True, help="Print the whole inventory (the default).")
@click.option("--host", metavar="NAME", help="Print only the variables of one host.")
@click.option("--all", "every", is_flag=True, help="Include VMs that are not clones.")
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

    Prints JSON in Ansible's script format, or YAML with -o yaml; with a PARENT only its
    clones. Hosts are grouped by parent, snapshot, owner and power state. A host has the
    name of its VM, followed by the beginning of its UUID if several VMs have that name.
    """
    from linkedclone.app.ansible_inventory import build_inventory, find_variables
    from linkedclone.cli.output import render_document
    from linkedclone.cli.session import open_session
    from linkedclone.cli.terminal import write_result
    from linkedclone.errors import InputError, NotFoundError

    if whole and host is not None:
        raise InputError("--list and --host contradict one another", hint="leave one of them out")
    with open_session(choices) as connection:
        hosts = connection.lineage.hosts(parent, every=every)
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
