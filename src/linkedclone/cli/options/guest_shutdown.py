"""Options of commands that ask guests to shut down."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from linkedclone.cli.options.types import read_duration

if TYPE_CHECKING:
    from linkedclone.model.request import AskGuests


def _read(_context: click.Context, _parameter: click.Parameter, text: str | None) -> float | None:
    return None if text is None else read_duration(text)


def guest_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that :func:`read_asking` takes."""
    for option in (
        click.option(
            "--then-off",
            is_flag=True,
            help="With --guest: stop VMs hard that still run after the deadline.",
        ),
        click.option(
            "--deadline",
            metavar="TIME",
            callback=_read,
            help="With --guest: time limit for each guest, for example 90s (default: 5m).",
        ),
        click.option(
            "--guest",
            is_flag=True,
            help="Ask the guest to shut down instead of stopping the VM hard.",
        ),
    ):
        command = option(command)
    return command


def read_asking(*, guest: bool, deadline: float | None, then_off: bool) -> "AskGuests | None":
    """Return how guests are asked; None where they are not."""
    from linkedclone.errors import InputError
    from linkedclone.model.request import DEADLINE_SECONDS, AskGuests

    if not guest and (deadline is not None or then_off):
        option = "--then-off" if then_off else "--deadline"
        raise InputError(f"{option} says something of --guest only", hint="add --guest")
    if not guest:
        return None
    return AskGuests(deadline_seconds=deadline or DEADLINE_SECONDS, then_off=then_off)
