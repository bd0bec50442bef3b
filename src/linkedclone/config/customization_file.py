"""Read a customization out of a YAML file: whole, with all its errors at once."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from linkedclone.config.yaml_reader import Checked, YamlFile, read_into
from linkedclone.errors import InputError
from linkedclone.guest.rules import check_customization
from linkedclone.model.customization import Customization
from linkedclone.model.values.document_errors import Place, Problem, show_place
from linkedclone.model.values.vm_names import render_count
from linkedclone.system.text_file import read_text_file

_KEY = "customization"
_TEXTS = (
    ("linux", "script_file", "script"),
    ("cloud_init", "user_data_file", "user_data"),
)
"""Section, setting that names a file, and setting that the file's text goes into."""


def read_customization(path: Path) -> Customization:
    """Read a customization, with the texts of the files that it names.

    The file holds it bare, or below the key ``customization:``, where it may be
    the file of a pool.

    Raises:
        InputError: The file cannot be read, or is wrong; every error is listed
            with line and place, and no value that may be a password is shown.
    """
    file = YamlFile.load(path, what="customization")
    plain, above, problems = _find(file.plain())
    checked = read_customization_values(plain, path.parent)
    problems += [replace(p, place=(*above, *p.place)) for p in checked.problems]
    if problems or checked.value is None:
        raise file.complain(problems)
    return checked.value


def read_customization_values(plain: object, folder: Path) -> Checked[Customization]:
    """Read plain values as a customization; places are those below it.

    Args:
        plain: What YAML says.
        folder: What the files that it names are relative to.
    """
    checked = read_into(Customization, _listed(plain))
    if checked.value is None:
        return checked
    value, further = _complete(checked.value, folder)
    return Checked(value=value, problems=checked.and_also(further))


def settle_customization(customization: Customization, folder: Path) -> Customization:
    """Check a customization that a program has made, and read the files that it names.

    Raises:
        InputError: The file is invalid; all errors are reported.
    """
    value, problems = _complete(customization, folder)
    if problems:
        many = render_count(len(problems), "error")
        details = "\n".join(f"{show_place(p.place)}: {p.text}" for p in problems)
        raise InputError(f"the customization has {many}", details=details)
    return value


def find_problems(customization: Customization) -> tuple[Problem, ...]:
    """Return all that is wrong between the settings, and a time zone that does not exist."""
    return (*check_customization(customization), *_check_time_zone(customization.time_zone))


def _check_time_zone(name: str) -> Iterator[Problem]:
    """Look a time zone up; a machine that has no list of them knows none to be wrong."""
    from zoneinfo import ZoneInfo, available_timezones

    try:
        if name:
            ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        from difflib import get_close_matches

        known = available_timezones()
        near = get_close_matches(name, known, n=1)
        text = f"there is no time zone {name!r}; it is an IANA name, as Europe/Berlin"
        suggestion = f"; did you mean {near[0]}?" if near else ""
        if known:
            yield Problem(place=("time_zone",), text=text + suggestion)


def _find(plain: Any) -> tuple[Any, Place, list[Problem]]:  # noqa: ANN401 - any YAML value
    """Return the customization of a document, its place, and what is beside it.

    A pool's file has settings of its own there.
    """
    if not isinstance(plain, dict) or _KEY not in plain:
        return plain, (), []
    beside = () if "pool" in plain else (key for key in plain if key != _KEY)
    text = f"unknown setting; all settings of the customization go below {_KEY}:"
    return plain[_KEY], (_KEY,), [Problem(place=(key,), text=text) for key in beside]


def _listed(plain: Any) -> Any:  # noqa: ANN401 - any YAML value
    """Make a list of addresses that are written for one card alone."""
    if isinstance(plain, dict) and isinstance(plain.get("addresses"), Mapping):
        return {**plain, "addresses": [plain["addresses"]]}
    return plain


def _complete(
    customization: Customization, folder: Path
) -> tuple[Customization, tuple[Problem, ...]]:
    """Put in the texts of the files that are named, and find all that is wrong."""
    value, unread = _read_texts(customization, folder)
    read: dict[Place, Place] = {
        (section, key): (section, file_key)
        for section, file_key, key in _TEXTS
        if getattr(getattr(customization, section), file_key)
        and not getattr(getattr(customization, section), key)
    }
    found = [replace(p, place=read.get(p.place, p.place)) for p in find_problems(value)]
    return value, (*found, *unread)


def _read_texts(
    customization: Customization, folder: Path
) -> tuple[Customization, tuple[Problem, ...]]:
    """Read the files that a customization names, unless it has the text besides."""
    problems = []
    for section_name, file_key, key in _TEXTS:
        section = getattr(customization, section_name)
        name = getattr(section, file_key)
        if not name or getattr(section, key):
            continue
        try:
            text = read_text_file(folder / Path(name).expanduser())
        except (OSError, UnicodeDecodeError, RuntimeError) as error:
            text, why = "", getattr(error, "strerror", None) or "it is not text in UTF-8"
        else:
            why = "" if text.strip() else "it is empty"
        if why:
            problems.append(Problem(place=(section_name, file_key), text=f"{name}: {why}"))
            text = ""
        section = replace(section, **{key: text, file_key: ""})
        customization = replace(customization, **{section_name: section})
    return customization, tuple(problems)
