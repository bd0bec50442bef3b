"""The configuration file: read whole, all its errors told at once; written back with its comments.

default: lab
endpoints:
  lab:
    url: vsphere://administrator@vsphere.local@vcenter.example/Datacenter
    certificate: certificates/lab.pem
    password: keyring
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any, ClassVar, Literal

from linkedclone.config.url import is_url, parse_url, redact
from linkedclone.errors import InputError

_FORBID = {"extra": "forbid"}


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSettings:
    """What the file says about one endpoint. Paths are relative to the file's folder.

    Attributes:
        url: Where it is, without a password.
        certificate: PEM file with the one certificate to trust.
        ca_file: PEM file with the authorities to trust.
        insecure: Check no certificate.
        password_file: File with mode 0600 whose first line is the password.
        password: ``keyring`` if the system's keyring holds it.
    """

    __pydantic_config__: ClassVar[Mapping[str, str]] = _FORBID

    url: str
    certificate: Path | None = None
    ca_file: Path | None = None
    insecure: bool = False
    password_file: Path | None = None
    password: Literal["keyring"] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the file says.

    Attributes:
        default: The name of the endpoint to use if none is named.
        endpoints: The endpoints by name.
    """

    __pydantic_config__: ClassVar[Mapping[str, str]] = _FORBID

    default: str | None = None
    endpoints: dict[str, EndpointSettings] = field(default_factory=dict)


class ConfigFile:
    """The configuration file as it was read.

    Attributes:
        path: Where it is, whether it exists or not.
        settings: What it says.
    """

    def __init__(self, path: Path, settings: Settings, document: Any) -> None:  # noqa: ANN401 - ruamel's own tree
        self.path = path
        self.settings = settings
        self._document = document

    @classmethod
    def load(cls, path: Path) -> "ConfigFile":
        """Read the file; a missing one counts as empty.

        Raises:
            InputError: It cannot be read, or is wrong; every error is listed
                with line and place.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return cls(path, Settings(), None)  # no YAML library is imported for nothing
        except (OSError, UnicodeDecodeError) as error:
            brief = f"the configuration file {path} cannot be read"
            raise InputError(brief, details=str(error)) from error
        document = _parse(path, text)
        return cls(path, _validate(path, document), document)

    def resolve(self, path: Path) -> Path:
        """Return a path of the file as an absolute one."""
        return self.path.parent / path.expanduser()

    def put(self, name: str, settings: EndpointSettings, *, make_default: bool) -> "ConfigFile":
        """Write an endpoint into the file; the first becomes the default.

        Raises:
            LinkedCloneError: The file cannot be written.
        """
        if self._document is None:
            self._document = _parse(self.path, "")
        document = self._document
        if document.get("endpoints") is None:
            document["endpoints"] = {}
        document["endpoints"][name] = _as_mapping(settings)
        if make_default or not document.get("default"):
            if "default" in document:
                document["default"] = name
            else:
                document.insert(0, "default", name)
        return self._write()

    def remove(self, name: str) -> "ConfigFile":
        """Take an endpoint out of the file; if it was the default there is none then.

        Raises:
            LinkedCloneError: The file cannot be written.
        """
        del self._document["endpoints"][name]
        if self._document.get("default") == name:
            del self._document["default"]
        return self._write()

    def _write(self) -> "ConfigFile":
        from linkedclone.config.private import write_private

        text = StringIO()
        _yaml().dump(self._document, text)
        write_private(self.path, text.getvalue())
        return ConfigFile.load(self.path)


def _as_mapping(settings: EndpointSettings) -> dict[str, object]:
    everything = {
        "url": settings.url,
        "certificate": settings.certificate and str(settings.certificate),
        "ca_file": settings.ca_file and str(settings.ca_file),
        "insecure": settings.insecure or None,
        "password_file": settings.password_file and str(settings.password_file),
        "password": settings.password,
    }
    return {key: value for key, value in everything.items() if value is not None}


def _yaml() -> Any:  # noqa: ANN401 - ruamel has no types of use here
    from ruamel.yaml import YAML

    yaml = YAML()  # Round trip: keeps comments, and constructs plain data only.
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _parse(path: Path, text: str) -> Any:  # noqa: ANN401 - ruamel's own tree
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        document = _yaml().load(text)
        if document is None:
            # Nothing, or comments alone, which are kept.
            document = _yaml().load(f"{text.rstrip()}\n{{}}\n")
            document.fa.set_block_style()
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"line {mark.line + 1}: " if mark else ""
        brief = f"the configuration file {path} is not YAML"
        # A duplicate key is told with both values, and one of them may be a password.
        problem = str(error.problem).partition(" with value ")[0]
        raise InputError(brief, details=f"{line}{problem}") from None
    except YAMLError as error:
        brief = f"the configuration file {path} is not YAML"
        raise InputError(brief, details=redact(str(error).splitlines()[0])) from error
    return document


@dataclass(frozen=True, slots=True, kw_only=True)
class _Problem:
    place: tuple[str, ...]
    text: str


def _validate(path: Path, document: Any) -> Settings:  # noqa: ANN401 - ruamel's own tree
    from pydantic import TypeAdapter, ValidationError

    problems: list[_Problem] = []
    settings = Settings()
    plain = _plain(document)
    try:
        settings = TypeAdapter(Settings).validate_python(plain)
    except ValidationError as error:
        # The input is left out on purpose: it may be a password in the wrong place.
        for one in error.errors(include_input=False, include_url=False, include_context=False):
            place = tuple(str(part) for part in one["loc"])
            problems.append(_Problem(place=place, text=_reword(one["type"], one["msg"])))
    problems += _contradictions(plain)
    if not problems:
        return settings
    listed = sorted((_line_of(document, p.place), p) for p in problems)
    many = "an error" if len(problems) == 1 else f"{len(problems)} errors"
    raise InputError(
        f"the configuration file {path} has {many}",
        details="\n".join(
            f"line {line}: {'.'.join(p.place) or 'file'}: {p.text}" for line, p in listed
        ),
    )


def _plain(value: Any) -> Any:  # noqa: ANN401 - any YAML value
    """Turn ruamel's values into plain ones; empty ``endpoints:`` counts as none."""
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items() if not (k == "endpoints" and v is None)}
    return str(value) if isinstance(value, str) else value


def _reword(kind: str, message: str) -> str:
    known = {
        "unexpected_keyword_argument": "unknown setting",
        "missing": "missing",
        "missing_argument": "missing",
        "literal_error": "can only be: keyring (a password itself does not belong here)",
        "bool_parsing": "has to be true or false",
        "dataclass_type": "has to be a mapping (key: value)",
        "dict_type": "has to be a mapping (name: settings)",
    }
    return known.get(kind, message)


def _contradictions(document: Any) -> Iterator[_Problem]:  # noqa: ANN401 - any YAML value
    """Find what is wrong between settings, also where one of them is wrong in itself."""
    if not isinstance(document, dict):
        return
    endpoints = document.get("endpoints", {})
    if not isinstance(endpoints, dict):
        return
    default = document.get("default")
    if isinstance(default, str) and default not in endpoints:
        yield _Problem(place=("default",), text=f"there is no endpoint {default!r}")
    for name, endpoint in endpoints.items():
        if isinstance(endpoint, dict):
            for key, text in _faults(endpoint):
                yield _Problem(place=("endpoints", str(name), key), text=text)


def _faults(endpoint: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    trust = [key for key in ("certificate", "ca_file", "insecure") if endpoint.get(key)]
    if len(trust) > 1:
        yield trust[-1], f"{' and '.join(trust)} exclude each other"
    if endpoint.get("password") and endpoint.get("password_file"):
        yield "password", "password and password_file exclude each other"
    url = endpoint.get("url")
    if not isinstance(url, str):
        return
    if not is_url(url):
        hint = "write vsphere://USER@HOST/DATACENTER or memory:"
        yield "url", f"{redact(url)} is no endpoint; {hint}"
        return
    try:
        if parse_url(url).password is not None:
            yield "url", "holds a password; use password_file, or password: keyring"
    except InputError as error:
        yield "url", str(error)


def _line_of(document: Any, place: tuple[str, ...]) -> int:  # noqa: ANN401 - ruamel's own tree
    """Return the line that a place stands in, or that of the nearest thing around it."""
    line, node = 1, document
    for key in place:
        try:
            line = node.lc.key(key)[0] + 1
            node = node[key]
        except (AttributeError, KeyError, TypeError):
            break
    return int(line)
