"""linkedclone relocate."""

import click

from linkedclone.cli.global_options import Choices
from linkedclone.cli.grammar import Verb, despite_option


@click.command(cls=Verb)
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("--datastore", metavar="NAME", default="", help="Datastore of their deltas.")
@click.option("--host", metavar="NAME", default="", help="Host that runs the VMs.")
@click.option("--cluster", metavar="NAME", default="", help="Cluster that runs the VMs.")
@click.option("--resource-pool", metavar="NAME", default="", help="Resource pool of the VMs.")
@click.option("--force", is_flag=True, help="Also VMs that linkedclone did not create.")
@despite_option
@click.pass_obj
def command(  # noqa: PLR0913 - one for each option
    choices: Choices,
    names: tuple[str, ...],
    *,
    datastore: str,
    host: str,
    cluster: str,
    resource_pool: str,
    force: bool,
    despite_unreadable: bool,
) -> int:
    """Move VMs and keep them linked.

    Only a VM's own delta moves. Its base stays where it is, and has to be reachable
    from the new place. Afterwards linkedclone reads each VM back and proves that it
    still has the same base. A NAME may contain ranges, as in desk-{001..020}.
    """
    from linkedclone.cli.options.types import expand_refs
    from linkedclone.errors import InputError
    from linkedclone.model.request import Placement

    if not any((datastore, host, cluster, resource_pool)):
        raise InputError(
            "no destination is given",
            hint="name a --datastore, --host, --cluster or --resource-pool",
        )
    refs = expand_refs(names)

    from linkedclone.cli.confirm import act

    placement = Placement(
        datastore=datastore, host=host, cluster=cluster, resource_pool=resource_pool
    )
    return act(
        choices,
        lambda lab, progress: lab.vms.relocate(
            refs,
            placement,
            force=force,
            despite_unreadable=despite_unreadable,
            progress=progress,
        ),
    )
