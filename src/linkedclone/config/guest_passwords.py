"""The passwords that a customization names the sources of: looked up, never shown."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from linkedclone.config.passwords import read_password_file
from linkedclone.errors import InputError
from linkedclone.guest.rules import find_sources
from linkedclone.model.customization import Customization, SecretSource
from linkedclone.model.guest import Secrets
from linkedclone.model.values.document_errors import Place, show_place
from linkedclone.model.values.secret import Secret
from linkedclone.model.values.vm_names import render_count
from linkedclone.system.text_file import expand_home

AskFor = Callable[[str], str]
"""Shown what is asked for, returns what a person typed."""


def find_secrets(
    customization: Customization,
    *,
    folder: Path,
    environ: Mapping[str, str],
    ask: AskFor | None = None,
    known: Secrets = (),
) -> Secrets:
    """Look up every password that a customization needs; each source is asked once.

    A person is asked last, and only if nothing else is missing.

    Args:
        customization: It was checked: each source has exactly one setting.
        folder: What files are relative to.
        environ: The environment.
        ask: Asks the user at the terminal; None without a terminal.
        known: What was looked up already.

    Raises:
        InputError: Some are missing; the error names all of them.
    """
    sources = find_sources(customization)
    return look_up_all(sources, folder=folder, environ=environ, ask=ask, known=known)


def look_up_all(
    sources: Iterable[tuple[Place, SecretSource]],
    *,
    folder: Path,
    environ: Mapping[str, str],
    ask: AskFor | None = None,
    known: Secrets = (),
) -> Secrets:
    """Look up passwords by their sources, each with its place.

    Raises:
        InputError: Some are missing; the error names all of them.
    """
    found = dict(known)
    faults: dict[str, str] = {}
    for place, source in sorted(sources, key=lambda one: bool(one[1].prompt)):
        if source in found:
            continue
        if source.prompt and faults and ask is not None:
            break
        try:
            found[source] = _look_up(source, folder, environ, ask)
        except InputError as error:
            faults[show_place(place)] = "; ".join(filter(None, (error.brief, error.hint)))
    if faults:
        many = render_count(len(faults), "password")
        details = "\n".join(f"{place}: {fault}" for place, fault in faults.items())
        raise InputError(f"{many} cannot be read", details=details)
    return tuple(found.items())


def _look_up(
    source: SecretSource, folder: Path, environ: Mapping[str, str], ask: AskFor | None
) -> Secret:
    if source.env:
        value = environ.get(source.env, "")
        if not value:
            raise InputError(f"the environment variable {source.env} is not set, or is empty")
        return Secret(value)
    if source.file:
        return read_password_file(folder / expand_home(source.file))
    if source.keyring:
        return _recall(source.keyring)
    if ask is None:
        raise InputError(
            f"{source.prompt!r} would be asked at a terminal, and there is none",
            hint="use env, file or keyring instead of prompt",
        )
    value = ask(source.prompt)
    if not value:
        raise InputError(f"nothing was typed for {source.prompt!r}")
    return Secret(value)


def _recall(entry: str) -> Secret:
    """Return what the system's keyring holds for ``SERVICE/USER``."""
    service, _, user = entry.partition("/")
    hint = f"put it there: keyring set {service} {user}"
    try:
        import keyring

        value = keyring.get_password(service, user)
    except Exception as error:
        # A backend may raise anything.
        brief = f"the keyring cannot be asked for {entry} ({type(error).__name__})"
        raise InputError(brief, hint="use env or file instead of keyring") from error
    if not value:
        raise InputError(f"the keyring holds nothing for {entry}", hint=hint)
    return Secret(value)
