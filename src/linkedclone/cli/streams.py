"""Standard output and error: who reads them, and what they can show."""

import os
import sys


def has_terminal() -> bool:
    """Say whether a person can be asked: both what is shown and what is typed is a terminal."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def speaks_utf8() -> bool:
    """Say whether line drawing can be written to standard output."""
    encoding = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "")
    locale = os.environ.get("LC_ALL") or os.environ.get("LC_CTYPE") or os.environ.get("LANG") or ""
    return encoding == "utf8" and "utf" in locale.lower()


def write_result(text: str) -> None:
    """Write a result to standard output. If nobody reads it any more (``| head``), say nothing."""
    try:
        sys.stdout.write(text if text.endswith("\n") else f"{text}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_stdout()
    except UnicodeEncodeError:
        encoding = sys.stdout.encoding
        plain = text.encode(encoding, "backslashreplace").decode(encoding)
        sys.stdout.write(plain if plain.endswith("\n") else f"{plain}\n")


def flush_stdout() -> None:
    """Write out what is left, before the interpreter would do so less quietly."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_stdout()


def _discard_stdout() -> None:
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, sys.stdout.fileno())
    os.close(sink)


def say(text: str) -> None:
    """Write a line to standard error."""
    from linkedclone.config.secret import scrub

    try:
        sys.stderr.write(f"{scrub(text)}\n")
        sys.stderr.flush()
    except BrokenPipeError:
        return
    except UnicodeEncodeError:
        plain = scrub(text).encode("ascii", "backslashreplace").decode("ascii")
        sys.stderr.write(f"{plain}\n")


def printable(text: str) -> str:
    """Return a text from elsewhere without what would steer a terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
