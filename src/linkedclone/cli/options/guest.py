"""The options of ``clone`` that say who the guests are to be, and how far they are followed."""

from functools import partial
from typing import TypedDict

import click

from linkedclone.cli.grammar import CommandT, HeadedOption, give_options
from linkedclone.cli.options.types import read_duration
from linkedclone.model.request import CloneRequest, Wait

GUESTS = "Guests"


class GuestOptions(TypedDict):
    """What the options of this module were set to."""

    customize: str | None
    customization_spec: str
    keep_failed: bool
    wait: str
    wait_seconds: float | None
    network_filter: tuple[str, ...]


def _read_network(text: str) -> str:
    from ipaddress import ip_network

    try:
        return str(ip_network(text.strip()))
    except ValueError as error:
        raise click.BadParameter(f"{error}; write it as 10.0.0.0/24") from error


def _each_network(
    _context: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]
) -> tuple[str, ...]:
    return tuple(_read_network(text) for text in texts)


_option = partial(click.option, cls=HeadedOption, heading=GUESTS)

_OPTIONS = (
    _option(
        "--customize",
        field="customization",
        metavar="FILE",
        help="YAML file with host names, addresses, domain and accounts of the guests.",
    ),
    _option(
        "--customization-spec",
        metavar="NAME",
        default="",
        help="Customization specification stored in vCenter; FILE overrides it.",
    ),
    _option(
        "--keep-failed",
        is_flag=True,
        help="Keep a clone whose customization fails, for inspection.",
    ),
    _option(
        "--wait",
        type=click.Choice([*map(str, Wait)]),
        metavar="|".join(Wait),
        default="task",
        help="How long to follow each clone (default: task).",
    ),
    _option(
        "--wait-timeout",
        "wait_seconds",
        metavar="TIME",
        type=read_duration,
        default=None,
        help="Longest time without progress in a stage (default: depends on the stage).",
    ),
    _option(
        "--network-filter",
        metavar="CIDR",
        multiple=True,
        callback=_each_network,
        help="Count only addresses in this network; repeatable.",
    ),
)


def guest_options(command: CommandT) -> CommandT:
    """Give a command the options of this module, in this order."""
    return give_options(command, _OPTIONS)


def add_customization(request: CloneRequest, file: str | None) -> CloneRequest:
    """Read the customization of a request out of its file, and look its passwords up."""
    if file is None:
        return request
    import os
    from dataclasses import replace
    from pathlib import Path

    from linkedclone.cli.terminal import find_asker
    from linkedclone.config.customization_file import read_customization
    from linkedclone.config.guest_passwords import find_secrets
    from linkedclone.guest.host_names import check_host_names

    path = Path(file)
    customization = read_customization(path)
    # Before anybody is asked for a password.
    check_host_names(customization, request.names)
    secrets = find_secrets(
        customization,
        folder=path.parent,
        environ=os.environ,
        ask=find_asker(),
    )
    return replace(request, customization=customization, secrets=secrets)
