"""Read a pool's file, whole, with all its errors at once; and write single settings back."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import field, fields, make_dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

from linkedclone.config.customization_file import read_customization_values
from linkedclone.config.guest_passwords import AskFor, look_up_all
from linkedclone.config.yaml_reader import YamlFile, build_yaml, read_into
from linkedclone.drivers.registry import find_pool_settings
from linkedclone.errors import InputError, LinkedCloneError
from linkedclone.guest.rules import find_sources
from linkedclone.model.guest import Secrets
from linkedclone.model.pool import PoolSpec
from linkedclone.model.request import DriverSettings
from linkedclone.model.values.document_errors import Place, Problem, show_place
from linkedclone.model.values.durations import parse_duration
from linkedclone.model.values.sizes import parse_size
from linkedclone.planning.pool.spec_rules import check_pool

WHAT: Final = "pool file"

_SIZES: Final[tuple[Place, ...]] = (("hardware", "memory"), ("refresh_above",))
_DURATIONS: Final[tuple[Place, ...]] = (("max_age",), ("health", "within"))
_DISKS: Final[Place] = ("hardware", "add_disks")
_CUSTOMIZATION: Final = "customization"
_CALLED: Final = {"memory_bytes": "memory", "disks": "add_disks", "nics": "network"}
"""Parts of a clone request that a pool's file calls otherwise."""

_ALIKE: Final = frozenset({"annotation", "customization"})
"""The settings at the top of the file."""

_PER_DRIVER: Final = "per_driver"
_SETTINGS: Final = frozenset(one.name for one in fields(PoolSpec))


def read_pool(path: Path) -> PoolSpec:
    """Read a pool's file.

    Raises:
        InputError: It cannot be read, or is wrong; every error is listed with
            line and place.
    """
    file = YamlFile.load(path, what=WHAT)
    return check_file(file)


def check_file(file: YamlFile) -> PoolSpec:
    """Return what a file says that was read.

    Raises:
        InputError: It is wrong; every error is listed with line and place.
    """
    plain, problems = _with_numbers(file.plain())
    guest, guest_problems = None, tuple[Problem, ...]()
    if isinstance(plain, dict) and plain.get(_CUSTOMIZATION) is not None:
        checked_guest = read_customization_values(plain[_CUSTOMIZATION], file.path.parent)
        guest = checked_guest.value
        guest_problems = tuple(
            replace(problem, place=(_CUSTOMIZATION, *problem.place))
            for problem in checked_guest.problems
        )
        plain = {key: value for key, value in plain.items() if key != _CUSTOMIZATION}
    known = {one.name for one in fields(build_form(installed=False))}
    further_keys = isinstance(plain, dict) and not plain.keys() <= known
    checked = read_into(build_form(installed=further_keys), plain)
    spec = _turn_into_spec(checked.value) if checked.value is not None else None
    spec = replace(spec, customization=guest) if spec is not None else None
    further = check_pool(spec) if spec is not None else ()
    found = (*problems, *checked.and_also(further), *guest_problems)
    if found or spec is None:
        raise file.complain(found)
    return spec


def build_form(*, installed: bool) -> type[Any]:
    """Return the class that a file is read into: a spec with a section for each kind of driver.

    Args:
        installed: Whether drivers that are installed beside have theirs, too. To look
            for them takes a while; a file without a key of theirs does not need it.
    """
    return _build_form(tuple(find_pool_settings(installed=installed).items()))


@cache
def _build_form(sections: Sequence[tuple[str, Callable[[], DriverSettings]]]) -> type[Any]:
    """Make the class once: what reads it takes longer to build than to read many files."""
    own: list[tuple[str, Any, Any]] = []
    for one in fields(PoolSpec):
        if one.name == _PER_DRIVER:
            own += [(kind, made, field(default_factory=made)) for kind, made in sections]
        else:
            own.append((one.name, one.type, copy(one)))
    namespace = {"__doc__": PoolSpec.__doc__, "__pydantic_config__": {"extra": "forbid"}}
    try:
        return make_dataclass("PoolSpec", own, frozen=True, kw_only=True, namespace=namespace)
    except TypeError as error:
        brief = "a driver that is installed has a name that no section of a pool's file can have"
        raise LinkedCloneError(brief, details=str(error)) from error


def _turn_into_spec(form: Any) -> PoolSpec:  # noqa: ANN401 - a class that is made of the sections
    values = {one.name: getattr(form, one.name) for one in fields(form)}
    sections = {kind: values.pop(kind) for kind in tuple(values) if kind not in _SETTINGS}
    return PoolSpec(**values, per_driver=sections)


def preview_settings(path: Path, settings: Mapping[str, object]) -> PoolSpec:
    """Return what a file would say with changed settings; it is left as it is.

    Raises:
        InputError: It would be wrong.
    """
    return check_file(_load_with(path, settings))


def name_setting(path: Path, spec: PoolSpec, field: str) -> str:
    """Return what a field of a clone request is called in a pool's file; empty if it is not there.

    Args:
        path: The file. Errors name a setting with its line.
        spec: What it says.
        field: The field, as errors name it: ``placement.host``.
    """
    group, _, rest = field.partition(".")
    key = _CALLED.get(part := rest.partition(".")[0], part)
    places: list[Place] = [(group,)] if group in _ALIKE and not rest else []
    if group in {"placement", "hardware"}:
        owners = {"hardware": spec.hardware, **spec.per_driver}
        places = [(name, key) for name, owner in owners.items() if hasattr(owner, key)]
    if not places:
        return ""
    try:
        file = YamlFile.load(path, what=WHAT)
        written = [place for place in places if _is_written(file.root, place)]
    except InputError:
        return show_place(places[0])
    lines = (f"{show_place(place)} (line {file.line_of(place)})" for place in written)
    return " or ".join(lines) or show_place(places[0])


def _is_written(node: Any, place: Place) -> bool:  # noqa: ANN401 - ruamel's own tree
    for part in place:
        if not isinstance(node, Mapping) or part not in node:
            return False
        node = node[part]
    return True


def find_pool_secrets(
    spec: PoolSpec, *, folder: Path, environ: Mapping[str, str], ask: AskFor | None = None
) -> Secrets:
    """Look up every password that a pool needs: its customization's, and that of its probe.

    Raises:
        InputError: Some are missing; the error names all of them.
    """
    sources = list(find_sources(spec.customization) if spec.customization else ())
    if spec.health.password is not None:
        sources.append((("health", "password"), spec.health.password))
    return look_up_all(sources, folder=folder, environ=environ, ask=ask)


def write_settings(path: Path, settings: Mapping[str, object]) -> PoolSpec:
    """Change settings at the top of a pool's file; comments and order stay.

    Returns:
        What the file says from then on.

    Raises:
        InputError: It would be wrong then; it is as it was.
        LinkedCloneError: It cannot be written.
    """
    from io import StringIO

    from linkedclone.system.private_files import write_private

    file = _load_with(path, settings)
    spec = check_file(file)
    text = StringIO()
    build_yaml().dump(file.root, text)
    mode = path.stat().st_mode & 0o777
    write_private(path, text.getvalue())
    path.chmod(mode)
    return spec


def _load_with(path: Path, settings: Mapping[str, object]) -> YamlFile:
    """Read a file, and change settings of it; a file without a mapping is left to the check."""
    file = YamlFile.load(path, what=WHAT)
    if isinstance(file.root, dict):
        file.root.update(settings)
    return file


def _with_numbers(plain: Any) -> tuple[Any, list[Problem]]:  # noqa: ANN401 - any YAML value
    """Turn sizes and lengths of time into numbers; those that are none are left out, and told."""
    problems: list[Problem] = []
    if not isinstance(plain, dict):
        return plain, problems
    for place, read in _find_numbers(plain):
        plain = _change(plain, place, read, problems)
    return plain, problems


def _find_numbers(plain: Mapping[str, Any]) -> Iterator[tuple[Place, Callable[[str], float]]]:
    yield from ((place, parse_size) for place in _SIZES)
    yield from ((place, parse_duration) for place in _DURATIONS)
    hardware = plain.get("hardware")
    disks = hardware.get("add_disks") if isinstance(hardware, dict) else None
    if isinstance(disks, list):
        yield from (((*_DISKS, index), parse_size) for index in range(len(disks)))


def _change(
    plain: Any,  # noqa: ANN401 - any YAML value
    place: Place,
    read: Callable[[str], float],
    problems: list[Problem],
    above: Place = (),
) -> Any:  # noqa: ANN401 - any YAML value
    part, *below = place
    if isinstance(plain, list):
        held = part in range(len(plain))
    else:
        held = isinstance(plain, dict) and part in plain
    if not held:
        return plain
    value = plain[part]
    if below:
        changed = _change(value, tuple(below), read, problems, (*above, part))
    elif isinstance(value, str):
        try:
            changed = read(value)
        except InputError as error:
            words = "; ".join(filter(None, (error.brief, error.hint)))
            problems.append(Problem(place=(*above, part), text=words))
            changed = None
    else:
        return plain
    if isinstance(plain, list):
        rest = [changed if index == part else one for index, one in enumerate(plain)]
        return rest if changed is not None else [one for one in rest if one is not None]
    if changed is None:
        return {key: one for key, one in plain.items() if key != part}
    return {**plain, part: changed}
