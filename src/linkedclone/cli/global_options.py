"""What the options that every command takes were set to."""

from typing import Final, Literal, TypedDict

Format = Literal["table", "json", "yaml"]

FORMATS: Final[tuple[Format, ...]] = ("table", "json", "yaml")


class Choices:
    """The global options. Filled while the command line is read, before and after the verb.

    Attributes:
        endpoint: A URL or a name; None for the default.
        output: How results are written.
        verbose: Whether to say more while at it.
        debug: Whether an error shows where it came from.
    """

    __slots__ = ("debug", "endpoint", "output", "verbose")

    def __init__(self) -> None:
        self.endpoint: str | None = None
        self.output: Format = "table"
        self.verbose = False
        self.debug = False


class Answered(TypedDict):
    """The options of commands that ask first, of what is ours alone."""

    yes: bool
    despite_unreadable: bool


class Sure(Answered):
    """The options of commands that ask first."""

    force: bool
