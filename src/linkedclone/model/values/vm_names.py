"""Names of VMs: ranges such as ``desk-{001..020}``, what a name may be; of users; lists of them."""

import re
from collections.abc import Iterable, Sequence
from unicodedata import category

from linkedclone.errors import InputError

MAX_NAMES = 10_000
MAX_NAME_LENGTH = 80
"""vCenter refuses longer VM names (VirtualMachineConfigSpec.name: 80 characters)."""

_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}")
_STEP = re.compile(r"[\s.]*")
_RANGE = re.compile(r"\{([0-9]{1,18})\.\.([0-9]{1,18})\}")


_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Kinds of characters that steer or show nothing: control characters, turns of the writing
direction, marks of no width, bytes that are not UTF-8, and ends of lines."""


def expand_names(patterns: Iterable[str]) -> tuple[str, ...]:
    """Expand ranges and check every name.

    ``desk-{001..003}`` gives ``desk-001``, ``desk-002``, ``desk-003``: if a
    bound is written with leading zeros, the numbers are as wide as the wider
    bound. Several ranges in one name give every combination, the last varying
    fastest.
    """
    names: list[str] = []
    for pattern in patterns:
        names.extend(_expand(pattern, budget=MAX_NAMES - len(names)))
    _check_unique(names)
    return tuple(names)


def _expand(pattern: str, *, budget: int) -> list[str]:
    done = [""]
    position = 0
    for match in _RANGE.finditer(pattern):
        first, last = match.group(1), match.group(2)
        low, high = int(first), int(last)
        if high < low:
            brief = f"the range {match.group(0)} in {pattern!r} runs backwards"
            raise InputError(brief, hint=f"write {{{last}..{first}}}")
        if (high - low + 1) * len(done) > budget:
            brief = f"{pattern!r} would make more than {MAX_NAMES:,} names"
            raise InputError(brief, hint="make them in several batches")
        width = _width(first, last)
        literal = pattern[position : match.start()]
        done = [f"{d}{literal}{n:0{width}}" for d in done for n in range(low, high + 1)]
        position = match.end()
    names = [d + pattern[position:] for d in done]
    if len(names) > budget:
        raise InputError(f"more than {MAX_NAMES:,} names", hint="make them in several batches")
    for name in names:
        check_name(name)
    return names


def _width(first: str, last: str) -> int:
    padded = any(text.startswith("0") and len(text) > 1 for text in (first, last))
    return max(len(first), len(last)) if padded else 1


def check_name(name: str) -> None:
    """Refuse a name that no hypervisor of ours would accept unchanged."""
    if not name:
        raise InputError("a VM name is empty", hint="give each clone a name, as desk-{001..020}")
    if "{" in name or "}" in name:
        brief = f"the name {name!r} has a brace that is not a range"
        raise InputError(brief, hint="a range is written desk-{001..020}")
    bad = sorted({c for c in name if c in "/\\%"} | find_unseen(name))
    if bad:
        shown = " ".join(repr(c) for c in bad)
        raise InputError(f"the name {name!r} has characters that it must not have: {shown}")
    if is_step(name):
        raise InputError(f"the name {name!r} would read as a folder", hint="use letters or digits")
    if name != name.strip():
        raise InputError(f"the name {name!r} begins or ends with a blank")
    if name.startswith("-"):
        raise InputError(f"the name {name!r} begins with a hyphen and would read as an option")
    if len(name) > MAX_NAME_LENGTH:
        raise InputError(
            f"the name {name!r} has {len(name)} characters",
            hint=f"{MAX_NAME_LENGTH} are allowed",
        )


def find_unseen(name: str) -> set[str]:
    """Return the characters of a name that steer or show nothing."""
    return {c for c in name if category(c) in _UNSEEN}


def is_step(name: str) -> bool:
    """Say whether a name would read as a step through folders: ``..``, ``.``, blanks, or void."""
    return _STEP.fullmatch(name) is not None


def is_user_name(text: str) -> bool:
    """Say whether a text is the name of a user that every guest and ssh accept unchanged."""
    return _USER.fullmatch(text) is not None


def check_user(name: str) -> None:
    """Refuse a name of a guest's user that a guest, a shell or ssh would read as something else.

    Raises:
        InputError: Empty, over 32 characters, not of letters, digits, ``_``, ``.`` and
            ``-``, or beginning with something else than a letter or ``_``.
    """
    if not is_user_name(name):
        raise InputError(
            f"{name!r} is not a valid user name",
            hint="up to 32 letters, digits, '_', '.' and '-', beginning with a letter or '_'",
        )


_NOT_UTF8 = re.compile("[\ud800-\udfff]")


def encodable(text: str) -> str:
    r"""Return a text that can be written as UTF-8: a byte that was none is spelled as ``\xff``."""
    return _NOT_UTF8.sub(_spell, text)


def _spell(found: "re.Match[str]") -> str:
    code = ord(found[0])
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"


def render_count(number: int, noun: str, plural: str = "") -> str:
    """Write a number with its noun: ``1 clone``, ``2 clones``, ``2 copies``."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def list_names(names: Sequence[str], *, most: int = 5) -> str:
    """List names for people, but not too many: ``a, b and 3 more``."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def _check_unique(names: list[str]) -> None:
    seen: dict[str, str] = {}
    for name in names:
        # vCenter compares names without regard to case.
        key = name.casefold()
        if key in seen:
            raise InputError(
                f"the name {name!r} comes twice"
                if seen[key] == name
                else f"the names {seen[key]!r} and {name!r} differ only in case"
            )
        seen[key] = name
