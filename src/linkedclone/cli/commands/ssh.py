"""linkedclone ssh."""

import os

import click

from linkedclone.cli.global_options import Choices
from linkedclone.cli.grammar import Verb


@click.command(cls=Verb, context_settings={"ignore_unknown_options": True})
@click.argument("name", metavar="NAME", required=False)
@click.argument("remote", metavar="[COMMAND...]", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--config",
    is_flag=True,
    help="Enable plain 'ssh NAME' for every VM, and print what to add to ~/.ssh/config.",
)
@click.option("--proxy", is_flag=True, hidden=True, help="Hand a connection to the ssh that asks.")
@click.pass_obj
def command(
    choices: Choices, name: str | None, remote: tuple[str, ...], *, config: bool, proxy: bool
) -> int:
    """Log in to a running clone.

    Uses SSH; with a COMMAND it runs that in the guest. local: only.
    """
    from linkedclone.errors import InputError

    if config and name is not None:
        raise InputError(
            "--config is for all VMs, and takes no NAME",
            hint="options of a COMMAND go after --: linkedclone ssh NAME -- COMMAND --option",
        )
    if config:
        return _write_config(choices)
    if name is None:
        raise InputError("which VM?", hint="linkedclone ssh NAME")
    return _pass_connection(choices, name) if proxy else _log_in(choices, name, remote)


def _log_in(choices: Choices, name: str, remote: tuple[str, ...]) -> int:
    from linkedclone.cli.session import open_session
    from linkedclone.errors import EndpointError

    with open_session(choices) as connection:
        arguments = connection.guests.build_ssh(name, remote)
    try:
        os.execvp(arguments[0], arguments)  # noqa: S606 - it becomes ssh, as was asked for
    except FileNotFoundError as error:
        raise EndpointError(
            "there is no ssh on this machine", hint="install it: apt install openssh-client"
        ) from error


def _write_config(choices: Choices) -> int:
    from linkedclone.cli.session import open_session
    from linkedclone.cli.terminal import say
    from linkedclone.model.access import render_include

    with open_session(choices) as connection:
        path = connection.guests.write_ssh_config()
    say("this line at the top of ~/.ssh/config lets plain 'ssh NAME' reach the clones:")
    click.echo(render_include(str(path.parent), path.name))
    return 0


def _pass_connection(choices: Choices, name: str) -> int:
    """Give ssh, which waits at the standard output, a connection (ProxyUseFdpass)."""
    import socket

    from linkedclone.cli.session import open_session
    from linkedclone.errors import InputError

    with open_session(choices) as connection, connection.guests.connect_ssh(name) as client:
        client.setblocking(True)  # noqa: FBT003 - the standard library's own
        try:
            with socket.socket(fileno=os.dup(1)) as asking:
                socket.send_fds(asking, [b"\0"], [client.fileno()])
        except OSError as error:
            raise InputError("--proxy is for ssh's ProxyCommand", details=str(error)) from error
    return 0
