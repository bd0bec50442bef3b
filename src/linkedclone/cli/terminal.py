"""Standard output and error: who reads them, and what they can show."""

import os
import re
import sys
import unicodedata
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable


def has_terminal() -> bool:
    """Say whether a person can be asked: both what is shown and what is typed is a terminal."""
    return sys.stdin is not None and sys.stdin.isatty() and tells_a_person()


def find_asker() -> "Callable[[str], str] | None":
    """Return the prompt for secrets; None without a terminal."""
    return _ask_secret if has_terminal() else None


def _ask_secret(what: str) -> str:
    import click

    typed: str = click.prompt(what, hide_input=True, err=True)
    return typed


def shows_on_terminal() -> bool:
    """Say whether results go to a terminal. Python has no such stream where it was closed."""
    return sys.stdout is not None and sys.stdout.isatty()


def tells_a_person() -> bool:
    """Say whether what goes to standard error is shown on a terminal."""
    return sys.stderr is not None and sys.stderr.isatty()


def speaks_utf8() -> bool:
    """Say whether line drawing can be written to standard output."""
    encoding = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "")
    locale = os.environ.get("LC_ALL") or os.environ.get("LC_CTYPE") or os.environ.get("LANG") or ""
    return encoding == "utf8" and "utf" in locale.lower()


def write_shown(text: str) -> None:
    """Write what people are shown to standard output, as :func:`write_result` does.

    Whatever has got into it, nothing steers the terminal but colours.
    """
    write_result(_steady(text))


def write_result(text: str) -> None:
    """Write a result to standard output. If the reader has gone (``| head``), say nothing."""
    if sys.stdout is None:
        raise _unwritten("standard output is closed")
    try:
        _write_out(text if text.endswith("\n") else f"{text}\n")
    except BrokenPipeError:
        _discard_stdout()
    except OSError as error:
        _discard_stdout()
        raise _unwritten(str(error)) from error


def _write_out(text: str) -> None:
    try:
        sys.stdout.write(text)
    except UnicodeEncodeError:
        encoding = sys.stdout.encoding
        sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
    sys.stdout.flush()


def _unwritten(why: str) -> Exception:
    from linkedclone.errors import LinkedCloneError

    hint = "let it go elsewhere; what was done stays done"
    return LinkedCloneError("the result cannot be written", details=why, hint=hint)


def flush_stdout() -> bool:
    """Write out what is left, before the interpreter would do so less quietly.

    False if it cannot be written though a reader may wait for it.
    """
    if sys.stdout is None:
        return True
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_stdout()
    except OSError:
        _discard_stdout()
        return False
    return True


def _discard_stdout() -> None:
    """Let what is still unwritten go nowhere, so that the interpreter has no trouble at its end."""
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, sys.stdout.fileno())
    os.close(sink)


def say(text: str) -> None:
    """Write lines to standard error; if that fails, the text is lost.

    What steers a terminal is removed, whatever the source of the text. Words of
    others are scrubbed where they are put into it, see ``foreign``. Fields and
    commands that it names are written as options and commands.
    """
    from linkedclone.cli.references import render_references
    from linkedclone.config.redaction import scrub_sentence

    if sys.stderr is None:
        return
    lines = render_references(text).split("\n")
    line = scrub_sentence("\n".join(printable(line, most=MOST_OF_A_LINE) for line in lines))
    try:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
    except UnicodeEncodeError:
        sys.stderr.write(f"{line.encode('ascii', 'backslashreplace').decode('ascii')}\n")
    except OSError:
        return


MOST_OF_A_TEXT: Final = 4_096
"""How many characters of one text from elsewhere are shown: an answer may be endless."""

MOST_OF_A_LINE: Final = 1_000_000
"""How many characters of a line of ours are shown: it may list all that is to be deleted."""

_MOST_MARKS: Final = 4
"""How many combining marks one letter may have: more would run over other lines."""

_BLANK: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Characters that count as printable and show nothing."""

_STYLE = re.compile(r"(\x1b\[[0-9;]{0,16}m|\n)")
"""What our own tables put between texts: colours, and ends of lines."""


def printable(text: str, *, most: int = MOST_OF_A_TEXT) -> str:
    """Return a text from elsewhere as one line without what would steer a terminal.

    Without control characters, turns of the writing direction, characters of no
    width, and bytes that are not UTF-8; a text that is too long is cut.
    """
    cut = text if len(text) <= most else f"{text[:most]}…"
    if cut.isascii() and cut.isprintable():
        return cut
    shown: list[str] = []
    marks = 0
    for character in cut:
        is_mark = unicodedata.category(character) in {"Mn", "Me"}
        marks = marks + 1 if is_mark else 0
        if marks <= _MOST_MARKS:
            is_shown = character.isprintable() and character not in _BLANK
            shown.append(character if is_shown else "\N{REPLACEMENT CHARACTER}")
    return "".join(shown)


def foreign(text: str) -> str:
    """Return words of a server, a guest or a library as they may be shown: see ``printable``."""
    from linkedclone.config.redaction import scrub

    return printable(scrub(text))


def _steady(text: str) -> str:
    """Return what people are shown without what steers a terminal, but with our own colours."""
    parts = _STYLE.split(text)
    return "".join(
        part if number % 2 else printable(part, most=MOST_OF_A_LINE)
        for number, part in enumerate(parts)
    )
