"""linkedclone rename."""

import click

from linkedclone.cli.global_options import Choices
from linkedclone.cli.grammar import Verb


@click.command(cls=Verb)
@click.argument("name", metavar="NAME")
@click.argument("new_name", metavar="NEW_NAME")
@click.option("--force", is_flag=True, help="Also a VM that linkedclone did not make.")
@click.pass_obj
def command(choices: Choices, name: str, new_name: str, *, force: bool) -> int:
    """Give a VM another name.

    Running or not. Its UUID, its mark and what it hangs from stay, and so do
    the names of its files and what the guest calls itself. The old name is
    free then: a clone made under it is another VM with a UUID of its own.
    """
    from linkedclone.cli.confirm import finish
    from linkedclone.cli.session import open_session
    from linkedclone.cli.views.progress import watch
    from linkedclone.model.values.vm_names import check_name

    check_name(new_name)
    with open_session(choices) as connection, watch(choices) as progress:
        report = connection.rename(name, new_name, force=force, progress=progress)
    return finish(choices, report)
