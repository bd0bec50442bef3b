"""YAML files that people write: read whole, and all their errors told at once, each with its line.

For the configuration, customizations and whatever else is read into the
dataclasses of ``model``. No error text shows a value: it may be a password in
the wrong place.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Generic,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from linkedclone.config.endpoint_url import redact
from linkedclone.errors import InputError
from linkedclone.model.values.document_errors import Place, Problem, show_place
from linkedclone.model.values.vm_names import render_count
from linkedclone.system.text_file import read_text_file

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_T = TypeVar("_T")

_ROUNDS = 3
"""How often what is wrong is left out, to see what the rest says."""

_MOST_VALUES = 100_000
"""No file that a person wrote has more; one with aliases of aliases may seem to."""

_MOST_TOLD = 100
_LONGEST_TOLD = 1000
"""How many errors of a file are told, and how much of each: a file may be of another kind."""


class YamlFile:
    """A file as it was read.

    Attributes:
        path: Where it is.
        what: What it is called in error texts.
        root: ruamel's own tree, with comments and lines; to be changed and written back.
    """

    def __init__(self, path: Path, *, what: str, root: Any) -> None:  # noqa: ANN401 - ruamel's own tree
        self.path = path
        self.what = what
        self.root = root

    @classmethod
    def load(cls, path: Path, *, what: str) -> "YamlFile":
        """Read a file.

        Raises:
            InputError: It is missing, cannot be read, or is not YAML.
        """
        try:
            text = read_text_file(path)
        except (OSError, UnicodeDecodeError) as error:
            brief = f"the {what} {path} cannot be read"
            details = getattr(error, "strerror", None) or str(error)
            raise InputError(brief, details=details) from error
        return cls.parse(path, text, what=what)

    @classmethod
    def parse(cls, path: Path, text: str, *, what: str) -> "YamlFile":
        """Read a text as YAML 1.2; an empty one is an empty mapping.

        Raises:
            InputError: It is not YAML.
        """
        return cls(path, what=what, root=_parse(f"the {what} {path}", text))

    def plain(self) -> Any:  # noqa: ANN401 - any YAML value
        """Return what the file says as dicts, lists and plain values.

        Raises:
            InputError: It is nested without end, or far too large.
        """
        try:
            return _Plainer().turn(self.root)
        except (RecursionError, _TooMuchError):
            brief = f"the {self.what} {self.path} is too large or refers to itself"
            raise InputError(brief) from None

    def complain(self, problems: Iterable[Problem]) -> InputError:
        """Return the error that tells all problems, in the order of their lines."""
        listed = sorted(
            (self.line_of(p.place), show_place(self._as_written(p.place)), p.text) for p in problems
        )
        many = render_count(len(listed), "error")
        told = [f"line {line}: {place}: {text}"[:_LONGEST_TOLD] for line, place, text in listed]
        if len(told) > _MOST_TOLD:
            told[_MOST_TOLD:] = [f"and {len(told) - _MOST_TOLD} more"]
        return InputError(f"the {self.what} {self.path} has {many}", details="\n".join(told))

    def _as_written(self, place: Place) -> Place:
        """Leave out the number of an item that is written without a list around it."""
        node, written = self.root, list[str | int]()
        for part in place:
            if isinstance(part, int) and isinstance(node, Mapping):
                continue
            written.append(part)
            try:
                node = node[part]
            except (KeyError, TypeError, IndexError):
                node = None
        return tuple(written)

    def line_of(self, place: Place) -> int:
        """Return the line of a place, or that of the nearest thing around it."""
        line, node = 1, self.root
        for part in place:
            try:
                mark = node.lc.item(part) if isinstance(part, int) else node.lc.key(part)
                line, node = mark[0] + 1, node[part]
            except (AttributeError, KeyError, TypeError, IndexError):
                if not isinstance(part, int):
                    break  # An item of what is written without a list is the thing itself.
        return int(line)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked(Generic[_T]):
    """What came of reading plain values into a dataclass."""

    # What they say; where there are problems, what the rest says, or None if that is nothing whole.
    value: _T | None
    problems: tuple[Problem, ...] = ()

    def and_also(self, further: Iterable[Problem]) -> tuple[Problem, ...]:
        """Return the problems with those of rules that look at the whole.

        What only follows from a value that is wrong in itself is left out.
        """
        places = {problem.place for problem in self.problems}
        wrong = {place[:length] for place in places for length in range(1, len(place) + 1)}
        kept = [
            problem
            for problem in further
            if problem.place not in wrong
            and not any((*problem.place[:-1], key) in wrong for key in problem.beside)
        ]
        return (*self.problems, *kept)


def read_into(kind: type[_T], plain: object) -> Checked[_T]:
    """Read plain values into a dataclass of ``model``.

    With problems, the rest is read without the values that are wrong, so that
    rules between several values can be reported at once with them.
    """
    value, problems = _validate(kind, plain)
    if value is not None or not isinstance(plain, dict):
        return Checked(value=value, problems=problems)
    rest: Any = plain
    left = problems
    for again in range(_ROUNDS):
        for problem in left:
            place = problem.place
            if again and place and isinstance(place[-1], int):
                place = place[:-1]  # Emptied, and still wrong: it takes its list along.
            rest = _without(rest, place)
        value, left = _validate(kind, rest)
        if value is not None:
            break
    return Checked(value=value, problems=problems)


_OF_A_KEY: Final = "[key]"
"""What pydantic puts behind the place of an error that is the key's own."""


@cache
def _build_adapter(kind: type[_T]) -> "TypeAdapter[_T]":
    """Return what reads a dataclass; to build one takes longer than to read many files."""
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _validate(kind: type[_T], plain: object) -> tuple[_T | None, tuple[Problem, ...]]:
    from pydantic import ValidationError

    try:
        adapter = _build_adapter(kind)  # type: ignore[arg-type]  # classes can be hashed
        return adapter.validate_python(plain), ()
    except ValidationError as error:
        # The input is left out on purpose: it may be a password in the wrong place.
        found: dict[Place, Problem] = {}
        for one in error.errors(include_input=False, include_url=False):
            place, value = _place(kind, plain, one["loc"])
            key = one["loc"][-1:] == (_OF_A_KEY,)
            if one["type"] == "string_type" and isinstance(value, dict) and not key:
                continue  # Of the two ways to write it, this one was not meant.
            context = one.get("ctx", {})
            text = _reword(one["type"], one["msg"], context) + _nearest(kind, place, one["type"])
            found.setdefault(place, Problem(place=place, text=text))
        return None, tuple(found.values())


def _place(kind: object, plain: Any, loc: Sequence[str | int]) -> tuple[Place, Any]:  # noqa: ANN401 - any YAML value
    """Return where an error is, without the names of classes that a union adds.

    With it comes the value there, or that of the nearest thing around it.
    """
    place: list[str | int] = []
    for part in loc:
        if _holds(plain, part):
            plain = plain[part]
        elif part not in _known(kind, place):
            continue
        place.append(part)
    return tuple(place), plain


def _holds(plain: object, part: str | int) -> bool:
    if isinstance(plain, list):
        return part in range(len(plain))
    return isinstance(plain, dict) and part in plain


def _nearest(kind: object, place: Place, problem: str) -> str:
    """Suggest the known key that an unknown one may have been meant for."""
    if problem != "unexpected_keyword_argument" or not place:
        return ""
    from difflib import get_close_matches

    known = _known(kind, place[:-1])
    near = get_close_matches(str(place[-1]), known, n=1)
    return f"; did you mean {near[0]}?" if near else f"; known are {', '.join(sorted(known))}"


def _known(kind: object, place: Iterable[str | int]) -> tuple[str, ...]:
    """Return the keys that a mapping at this place may have."""
    kinds: list[object] = [kind]
    for part in place:
        kinds = [below for one in kinds for below in _below(one, part)]
    return tuple(key for one in kinds for plain in _flat(one) for key in _keys(plain))


def _below(kind: object, part: str | int) -> Iterable[object]:
    for one in _flat(kind):
        if get_origin(one) is tuple or get_origin(one) is dict:
            yield get_args(one)[0 if get_origin(one) is tuple else 1]
        elif part in _keys(one):
            yield get_type_hints(one)[str(part)]


def _flat(kind: object) -> tuple[object, ...]:
    """Return the members of a union; anything else as it is."""
    if get_origin(kind) in {Union, UnionType}:
        return tuple(one for one in get_args(kind) if one is not NoneType)
    return (kind,)


@cache
def _keys(kind: object) -> tuple[str, ...]:
    return tuple(f.name for f in fields(kind)) if is_dataclass(kind) else ()


def _reword(kind: str, message: str, context: Mapping[str, Any]) -> str:
    if kind == "dataclass_type" and context.get("class_name") == "SecretSource":
        return (
            "a password itself does not belong here; say where it is found: "
            "{env: NAME}, {file: PATH}, {keyring: SERVICE/USER} or {prompt: TEXT}"
        )
    if kind in {"literal_error", "enum"}:
        return f"can only be: {context.get('expected', '')}".replace("'", "")
    known = {
        "unexpected_keyword_argument": "unknown setting",
        "missing": "missing",
        "missing_argument": "missing",
        "bool_parsing": "has to be true or false",
        "bool_type": "has to be true or false",
        "int_parsing": "has to be a whole number",
        "int_type": "has to be a whole number",
        "int_from_float": "has to be a whole number",
        "string_type": "has to be text; put it in quotes",
        "tuple_type": "has to be a list",
        "dataclass_type": "has to be a mapping (key: value)",
        "dict_type": "has to be a mapping (name: settings)",
    }
    return known.get(kind, message)


def _without(plain: Any, place: Place) -> Any:  # noqa: ANN401 - any YAML value
    """Return a value without the thing at a place; a key that is missing takes its mapping along.

    Items of lists are emptied instead, so that the others keep their numbers.
    """
    part, *below = place or (None,)
    if isinstance(plain, dict) and part in plain:
        if not below:
            return {key: value for key, value in plain.items() if key != part}
        inner = _without(plain[part], tuple(below))
        rest = {key: value for key, value in plain.items() if key != part}
        return rest if inner is None else {**rest, part: inner}
    if isinstance(plain, list) and isinstance(part, int) and part < len(plain):
        inner = _without(plain[part], tuple(below)) if below else {}
        return [*plain[:part], {} if inner is None else inner, *plain[part + 1 :]]
    return None


def build_yaml() -> Any:  # noqa: ANN401 - ruamel has no types of use here
    """Return ruamel's reader and writer: it keeps comments, and constructs plain data only."""
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _parse(what: str, text: str) -> Any:  # noqa: ANN401 - ruamel's own tree
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    brief = f"{what} is not YAML"
    try:
        _refuse_boundless(what, text)
        document = build_yaml().load(text)
        if document is None:
            # Nothing, or comments alone, which are kept.
            document = build_yaml().load(f"{text.rstrip()}\n{{}}\n")
            document.fa.set_block_style()
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"line {mark.line + 1}: " if mark else ""
        # The error of a duplicate key holds both values, and one of them may be a password.
        problem = str(error.problem).partition(" with value ")[0]
        raise InputError(brief, details=f"{line}{problem}") from None
    except YAMLError as error:
        raise InputError(brief, details=redact(str(error).splitlines()[0])) from error
    except (RecursionError, ValueError, TypeError, AttributeError, KeyError):
        # A date or number that does not exist, told with its value; a key that is a list.
        raise InputError(brief, details="a value in it cannot be read") from None
    return document


_DEEPEST: Final = 64
"""Levels of a file; the library goes down one by one, and Python with it."""


def _refuse_boundless(what: str, text: str) -> None:
    """Refuse what would be nested without end, or swell: before anything is built of it."""
    sizes: dict[str, int] = {}
    open_nodes: list[tuple[str | None, int]] = []
    total = 0
    for event in build_yaml().parse(text):
        kind, anchor = type(event).__name__, getattr(event, "anchor", None)
        trouble = ""
        if kind == "AliasEvent":
            if any(anchor == name for name, _ in open_nodes):
                trouble = f"*{anchor} refers to its own value"
            total += sizes.get(anchor or "", 1)
        elif kind in {"MappingStartEvent", "SequenceStartEvent"}:
            open_nodes.append((anchor, total))
            total += 1
            trouble = f"deeper than {_DEEPEST} levels" if len(open_nodes) > _DEEPEST else ""
        elif kind in {"MappingEndEvent", "SequenceEndEvent"}:
            name, before = open_nodes.pop()
            if name:
                sizes[name] = total - before
        elif kind == "ScalarEvent":
            total += 1
        if total > _MOST_VALUES:
            trouble = f"with its references it holds more than {_MOST_VALUES:,} values"
        if trouble:
            line = event.start_mark.line + 1
            raise InputError(f"{what} cannot be used", details=f"line {line}: {trouble}")


class _TooMuchError(Exception):
    """There are more values than any person has written."""


class _Plainer:
    """Turns ruamel's values into plain ones."""

    def __init__(self) -> None:
        self._left = _MOST_VALUES

    def turn(self, value: Any) -> Any:  # noqa: ANN401 - any YAML value
        self._left -= 1
        if self._left < 0:
            raise _TooMuchError
        if isinstance(value, Mapping):
            return {key: self.turn(inner) for key, inner in value.items()}
        if isinstance(value, Sequence) and not isinstance(value, str | bytes):
            return [self.turn(inner) for inner in value]
        return str(value) if isinstance(value, str) else value
