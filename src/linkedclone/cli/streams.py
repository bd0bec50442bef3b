"""Standard output and error: who reads them, and what they can show."""

import os
import sys


def has_terminal() -> bool:
    """Say whether a person can be asked: both what is shown and what is typed is a terminal."""
    return sys.stdin is not None and sys.stdin.isatty() and tells_a_person()


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


def write_result(text: str) -> None:
    """Write a result to standard output. If nobody reads it any more (``| head``), say nothing.

    Raises:
        LinkedCloneError: It cannot be written: the disk is full, or standard output is closed.
    """
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

    False if it cannot be written though somebody may wait for it.
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
    """Write a line to standard error; where that cannot be, nobody can be told."""
    from linkedclone.config.secret import scrub

    if sys.stderr is None:
        return
    try:
        sys.stderr.write(f"{scrub(text)}\n")
        sys.stderr.flush()
    except UnicodeEncodeError:
        plain = scrub(text).encode("ascii", "backslashreplace").decode("ascii")
        sys.stderr.write(f"{plain}\n")
    except OSError:
        return


def printable(text: str) -> str:
    """Return a text from elsewhere without what would steer a terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
