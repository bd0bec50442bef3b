"""Run a command. click is imported here, but no library that talks to a hypervisor."""

from collections.abc import Sequence

import click

from linkedclone.cli.command_table import ABOUT, COMMANDS, OPTIONS, render_overview
from linkedclone.cli.global_options import Choices
from linkedclone.cli.grammar import LazyGroup
from linkedclone.cli.signals import read_hidden_line, read_line
from linkedclone.model.values.version import __version__

# What click asks with, wherever it asks.
click.termui.visible_prompt_func = read_line
click.termui.hidden_prompt_func = read_hidden_line


def _show_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:  # noqa: ARG001, FBT001 - click's
    if value and not ctx.resilient_parsing:
        click.echo(f"linkedclone {__version__}")
        ctx.exit()


class _Program(LazyGroup):
    def get_help(self, ctx: click.Context) -> str:  # noqa: ARG002 - as inherited
        return render_overview().rstrip("\n")


program = _Program(
    "linkedclone",
    package="linkedclone.cli.commands",
    sections=COMMANDS,
    help=ABOUT,
    context_settings={"help_option_names": ["-h", "--help"]},
    params=[
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_show_version,
            help=OPTIONS["version"][1],
        )
    ],
)


def run(arguments: Sequence[str]) -> int:
    """Run the command line given; return the exit code."""
    from linkedclone.cli.references import name_fields

    try:
        return _run(arguments)
    finally:
        name_fields(None)


def _run(arguments: Sequence[str]) -> int:
    from linkedclone.cli.terminal import flush_stdout, say

    choices = Choices()
    try:
        code = program.main(
            args=list(arguments), prog_name="linkedclone", standalone_mode=False, obj=choices
        )
    except Exception as error:  # noqa: BLE001 - every error becomes a message
        from linkedclone.cli.errors import report_error

        code = report_error(error, choices)
    if not flush_stdout() and not code:
        say("error: the result could not be written")
        code = 1
    return int(code or 0)
