"""Errors in words: what failed, what the server said, what to try next."""

import errno
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Final

import click

from linkedclone.cli.global_options import Choices
from linkedclone.cli.grammar import usage_hint
from linkedclone.cli.terminal import foreign, printable, say, write_result
from linkedclone.errors import InterruptedByUserError, LinkedCloneError

_NO_THREAD: Final = "can't start new thread"
"""What Python says, without a type of its own, where no more threads may be started."""

_MEMORY: Final = "end other programs, or let this one have more: ulimit -v"
_PROCESSES: Final = "end other programs, or let this user have more processes: ulimit -u"
_LIMITS: Final[Mapping[int, str]] = {
    errno.EMFILE: "let the command open more files: ulimit -n",
    errno.ENFILE: "the whole machine has too many files open; end other programs",
    errno.ENOMEM: _MEMORY,
    errno.EAGAIN: _PROCESSES,
    errno.EFBIG: "let the command write larger files: ulimit -f",
}
"""What helps where a limit was reached (errno(3), setrlimit(2))."""


def report_error(error: Exception, choices: Choices) -> int:
    """Tell of an error that ended a command; return the exit code.

    With ``-o json`` or ``yaml`` standard output gets a document as well, so
    that a program always has one to read: ``{"error": {"kind", "brief",
    "details", "hint", "exit_code"}}``.
    """
    if choices.debug:
        _show_traceback(error)
    match error:
        case click.exceptions.NoArgsIsHelpError():
            say(error.format_message())
            return 2
        case click.exceptions.Abort():
            if error.__cause__ is None:
                say("")  # Ends the line of the prompt that was interrupted.
            known: LinkedCloneError = InterruptedByUserError("interrupted")
        case LinkedCloneError():
            known = error
        case click.UsageError():
            return _report_usage(error, choices)
        case click.ClickException():
            known = LinkedCloneError(error.format_message())
        case _:
            known = _explain(error)
    kind = type(known).__name__
    _report(kind, known, choices, exit_code=known.exit_code)
    return known.exit_code


def _explain(error: Exception) -> LinkedCloneError:
    """Return what an error means that no part of this program has expected."""
    match error:
        case OSError():
            hint = _LIMITS.get(error.errno or 0, "")
            return LinkedCloneError("the system refused", details=str(error), hint=hint)
        case MemoryError():
            return LinkedCloneError("there is not enough memory", hint=_MEMORY)
        case RuntimeError() if str(error) == _NO_THREAD:
            return LinkedCloneError("the system refused", details=_NO_THREAD, hint=_PROCESSES)
        case _:
            return LinkedCloneError(
                "this is a bug in linkedclone",
                details=f"{type(error).__name__}: {error}",
                hint="run it again with --debug, and report what that shows",
            )


def _report_usage(error: click.UsageError, choices: Choices) -> int:
    words = " ".join(error.format_message().split()).rstrip(".")
    hint = " ".join(usage_hint(error.ctx))
    shown = LinkedCloneError(words[:1].lower() + words[1:], hint=hint)
    _report("UsageError", shown, choices, exit_code=2)
    return 2


def _report(kind: str, error: LinkedCloneError, choices: Choices, *, exit_code: int) -> None:
    say("\n".join(describe(error.brief, error.details, error.hint)))
    if choices.output != "table":
        from linkedclone.cli.output import render_document
        from linkedclone.config.redaction import scrub_sentence

        document = {
            "kind": kind,
            "brief": scrub_sentence(error.brief),
            "details": error.details,  # scrubbed with the document
            "hint": scrub_sentence(error.hint),
            "exit_code": exit_code,
        }
        with suppress(LinkedCloneError):  # Who reads standard error knows already.
            write_result(render_document({"error": document}, choices.output))


def describe(brief: str, details: str, hint: str, *, head: str = "error") -> Iterable[str]:
    """Return the lines that tell of an error; the server's words are indented, not edited."""
    yield f"{head}: {printable(brief)}"
    for line in details.splitlines():
        yield f"  {foreign(line.expandtabs(4))}"
    if hint:
        yield f"try: {printable(hint)}"


def _show_traceback(error: Exception) -> None:
    import traceback

    from linkedclone.config.redaction import scrub

    if isinstance(error, click.exceptions.Abort) and error.__cause__ is not None:
        say(scrub("".join(traceback.format_exception(error.__cause__))))
    elif not isinstance(error, click.UsageError):
        say(scrub("".join(traceback.format_exception(error))))
