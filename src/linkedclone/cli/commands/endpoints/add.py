"""linkedclone endpoints add."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict, Unpack

import click

from linkedclone.cli.global_options import Choices
from linkedclone.cli.grammar import Verb

if TYPE_CHECKING:
    from linkedclone.config.endpoint import Endpoint


class _Options(TypedDict):
    name: str
    url: str
    fingerprint: str | None
    ca_file: Path | None
    password_stdin: bool
    store: Literal["keyring", "file", "none"] | None
    default: bool


@click.command(
    cls=Verb,
    epilog="""\
\b
Examples:
  linkedclone endpoints add lab vsphere://admin@vcenter.example/DC1
  linkedclone endpoints add lab vsphere://admin@vcenter.example --ca-file ca
""",
)
@click.argument("name", metavar="NAME")
@click.argument("url", metavar="URL")
@click.option(
    "--fingerprint",
    metavar="SHA256",
    help="Pin the certificate with this fingerprint, without asking.",
)
@click.option(
    "--ca-file",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, resolve_path=True, path_type=Path),
    help="Trust these authorities; pin nothing.",
)
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option(
    "--store",
    type=click.Choice(["keyring", "file", "none"]),
    metavar="keyring|file|none",
    help="Where to store the password (default: keyring if available, else a file).",
)
@click.option("--default", is_flag=True, help="Make it the default endpoint.")
@click.pass_obj
def command(choices: Choices, **options: Unpack[_Options]) -> int:
    """Add a hypervisor, or change one that is configured.

    Shows the certificate and pins it if you agree, asks for the password, logs in, and
    lists VMs to clone from. Nothing is saved before that. URL is
    vsphere://USER@HOST/DATACENTER; the datacenter is optional.
    """
    from linkedclone.app.endpoints import read_candidate, save_endpoint, try_login
    from linkedclone.cli.output import emit
    from linkedclone.cli.views.endpoints import render_welcome

    if options["fingerprint"] and options["ca_file"]:
        raise click.UsageError("--fingerprint and --ca-file exclude each other")
    endpoint = read_candidate(options["name"], options["url"])
    if endpoint.host:
        endpoint = _establish(endpoint, options)
    welcome = try_login(endpoint)
    row = save_endpoint(
        endpoint, options["url"], store=options["store"], make_default=options["default"]
    )
    emit(
        choices,
        document=lambda: {**row.document(), **welcome.document()},
        text=lambda: render_welcome(row, welcome),
    )
    return 0


def _establish(endpoint: "Endpoint", options: _Options) -> "Endpoint":
    """Settle how the certificate is checked, and only then the password."""
    import os
    from dataclasses import replace

    from linkedclone.cli.terminal import find_asker
    from linkedclone.cli.views.endpoints import read_stdin_password, settle_trust
    from linkedclone.config.passwords import Stored, find_password

    endpoint = settle_trust(
        endpoint, fingerprint=options["fingerprint"], ca_file=options["ca_file"]
    )
    if options["password_stdin"]:
        return replace(endpoint, password=read_stdin_password())
    password = find_password(endpoint, Stored(), os.environ, find_asker())
    return replace(endpoint, password=password)
