"""The grammar that all commands share: global options anywhere, groups that import when used."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any, TypeVar

import click

from linkedclone.cli.command_table import OPTIONS
from linkedclone.cli.global_options import FORMATS, Choices

_Callback = TypeVar("_Callback", bound=Callable[..., int])
CommandT = TypeVar("CommandT", bound=Callable[..., Any])
"""What click makes a command of."""

Sections = Mapping[str, Mapping[str, str]]
"""Headings, and under each the commands with what they do in a few words."""


def _keep(ctx: click.Context, param: click.Parameter, value: Any) -> None:  # noqa: ANN401 - click's
    choices = ctx.find_object(Choices)
    if value is not None and choices is not None and param.name is not None:
        setattr(choices, param.name, value)


def _global_options() -> list[click.Parameter]:
    def option(name: str, *forms: str, **settings: Any) -> click.Option:  # noqa: ANN401 - passed on
        return click.Option(
            forms,
            callback=_keep,
            expose_value=False,
            is_eager=True,
            default=None,
            help=OPTIONS[name][1],
            **settings,
        )

    formats = {"type": click.Choice(FORMATS), "metavar": "|".join(FORMATS)}
    return [
        option("endpoint", "-e", "--endpoint", metavar="ENDPOINT"),
        option("output", "-o", "--output", **formats),
        option("verbose", "-v", "--verbose", is_flag=True),
        option("debug", "--debug", is_flag=True),
    ]


_TAKES_BYTES = (click.Path, type(click.UNPROCESSED))


class HeadedOption(click.Option):
    """An option that the help lists under a heading, and that sets a field of a request.

    Attributes:
        heading: The heading; options of one heading are shown together.
        field: What errors call the field: the option's own name, below that of
            the ``part`` of the request. Other options are called by their names.
    """

    def __init__(
        self,
        *args: Any,  # noqa: ANN401 - as inherited
        heading: str = "Options",
        part: str = "",
        field: str = "",
        **settings: Any,  # noqa: ANN401 - as inherited
    ) -> None:
        super().__init__(*args, **settings)
        self.heading = heading
        self.field = ".".join(filter(None, (part, field or self.name)))


def give_options(command: CommandT, options: Sequence[Callable[[CommandT], CommandT]]) -> CommandT:
    """Give a command options, in this order."""
    for option in reversed(options):
        command = option(command)
    return command


class Verb(click.Command):
    """A command; takes the global options too, and lists them apart."""

    def __init__(self, *args: Any, **settings: Any) -> None:  # noqa: ANN401 - as inherited
        super().__init__(*args, **settings)
        self.own = tuple(self.params)
        self.params = [*self.params, *_global_options()]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse what was typed; bytes that are not UTF-8 are for paths and guests alone."""
        if not all(map(_is_text, args)):
            given, _, _ = self.make_parser(ctx).parse_args(list(args))
            for param in self.params:
                bad = [one for one in _list_words(given.get(param.name or "")) if not _is_text(one)]
                if bad and not isinstance(param.type, _TAKES_BYTES):
                    raise click.BadParameter(f"{bad[0]!r} is not text in UTF-8", ctx, param)
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the command's own options, by heading, then those of every command."""
        groups: dict[str, list[click.Option]] = {"Options": []}
        for param in self.get_params(ctx):
            if isinstance(param, click.Option):
                own = getattr(param, "heading", "Options")
                heading = own if param in self.own else "Global options"
                groups.setdefault(heading, []).append(param)
        for heading, options in groups.items():
            records = [r for option in options if (r := option.get_help_record(ctx)) is not None]
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)


def _is_text(word: str) -> bool:
    """Say whether a word is all UTF-8; Python stands in for other bytes with half a character."""
    return not any("\ud800" <= character <= "\udfff" for character in word)


def _list_words(given: object) -> Iterator[str]:
    """Yield the words that a parameter was given, once or several times."""
    if isinstance(given, str):
        yield given
    elif isinstance(given, list | tuple):
        for one in given:
            yield from _list_words(one)


class LazyGroup(click.Group):
    """A group whose commands are modules of a package, each with a ``command``.

    Its help comes from the table alone, so that it imports none of them.
    """

    def __init__(self, name: str, *, package: str, sections: Sections, **settings: Any) -> None:  # noqa: ANN401 - as inherited
        settings["params"] = [*settings.get("params", ()), *_global_options()]
        super().__init__(name, no_args_is_help=True, **settings)
        self._package = package
        self.sections = sections

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - as inherited
        """Return the names of the commands, in the order of the table."""
        return [name for commands in self.sections.values() for name in commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module = import_module(f"{self._package}.{cmd_name}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; name those that are spelt nearly the same if there is none."""
        known = self.list_commands(ctx)
        if args[0] in known or args[0].startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        from difflib import get_close_matches

        near = get_close_matches(args[0], known, n=3, cutoff=0.5)
        guess = f"; did you mean {' or '.join(near)}?" if near else ""
        raise click.UsageError(f"there is no command {args[0]!r}{guess}", ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - as inherited
        """Write the table."""
        for heading, commands in self.sections.items():
            with formatter.section(heading):
                formatter.write_dl(list(commands.items()))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands before the options: they are what is looked for."""
        self.format_commands(ctx, formatter)
        click.Command.format_options(self, ctx, formatter)


def subgroup(name: str, text: str, commands: Mapping[str, str]) -> LazyGroup:
    """Make a group below the main one: ``commands/NAME/``."""
    package = f"linkedclone.cli.commands.{name}"
    return LazyGroup(name, package=package, sections={"Commands": commands}, help=text)


despite_option = click.option(
    "--despite-unreadable",
    is_flag=True,
    help="For experts: proceed although a VM that cannot be read might use the disk layers.",
)
"""What commands take that a VM that cannot be read stops."""


def asks_first(force: str) -> Callable[[_Callback], _Callback]:
    """Give a command ``--yes``, ``--force`` and ``--despite-unreadable``.

    Args:
        force: What ``--force`` allows.
    """

    def decorate(callback: _Callback) -> _Callback:
        callback = despite_option(callback)
        callback = click.option("--force", is_flag=True, help=force)(callback)
        return click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")(
            callback
        )

    return decorate


def asks_of_ours(callback: _Callback) -> _Callback:
    """Give a command ``--yes`` and ``--despite-unreadable``: it only touches what is ours."""
    callback = despite_option(callback)
    return click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")(callback)


def usage_hint(ctx: click.Context | None) -> Sequence[str]:
    """Return the command that explains how a command is used."""
    return (ctx.command_path if ctx is not None else "linkedclone", "--help")
