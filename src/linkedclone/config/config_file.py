"""The configuration file: read whole, all its errors told at once; written back with its comments.

default: lab
endpoints:
  lab:
    url: vsphere://administrator@vsphere.local@vcenter.example/Datacenter
    certificate: certificates/lab.pem
    password: keyring
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from io import StringIO
from pathlib import Path
from typing import Any, Literal

from linkedclone.config.endpoint_url import is_url, parse_url, redact
from linkedclone.config.yaml_reader import YamlFile, build_yaml, read_into
from linkedclone.errors import InputError
from linkedclone.model.values.document_errors import Problem, Written
from linkedclone.system.text_file import expand_home, read_text_file

_WHAT = "configuration file"


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSettings(Written):
    """What the file says about one endpoint. Paths are relative to the file's folder."""

    url: str  # where it is, without a password
    certificate: Path | None = None  # PEM file with the one certificate to trust
    ca_file: Path | None = None  # PEM file with the authorities to trust
    insecure: bool = False  # check no certificate
    password_file: Path | None = None  # file with mode 0600 whose first line is the password
    password: Literal["keyring"] | None = None  # ``keyring`` if the system's keyring holds it


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Written):
    """What the file says."""

    default: str | None = None  # the name of the endpoint to use if none is named
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
            text = read_text_file(path)
        except FileNotFoundError:
            return cls(path, Settings(), None)  # no YAML library is imported for nothing
        except (OSError, UnicodeDecodeError) as error:
            brief = f"the {_WHAT} {path} cannot be read"
            hint = "name another file: LINKEDCLONE_CONFIG=/path"
            raise InputError(brief, details=str(error), hint=hint) from error
        file = YamlFile.parse(path, text, what=_WHAT)
        return cls(path, _validate(file), file.root)

    def resolve(self, path: Path) -> Path:
        """Return a path of the file as an absolute one."""
        return self.path.parent / expand_home(str(path))

    def put(self, name: str, settings: EndpointSettings, *, make_default: bool) -> "ConfigFile":
        """Write an endpoint into the file; the first becomes the default.

        Raises:
            LinkedCloneError: The file cannot be written.
        """
        if self._document is None:
            self._document = YamlFile.parse(self.path, "", what=_WHAT).root
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
        from linkedclone.system.private_files import write_private

        text = StringIO()
        build_yaml().dump(self._document, text)
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


def _validate(file: YamlFile) -> Settings:
    plain = _drop_empty(file.plain())
    checked = read_into(Settings, plain)
    problems = [_keep_passwords_out(problem) for problem in checked.problems]
    problems += _contradictions(plain)
    if problems or checked.value is None:
        raise file.complain(problems)
    return checked.value


def _drop_empty(plain: Any) -> Any:  # noqa: ANN401 - any YAML value
    """Let an empty ``endpoints:`` count as none."""
    if isinstance(plain, dict) and "endpoints" in plain and plain["endpoints"] is None:
        return {key: value for key, value in plain.items() if key != "endpoints"}
    return plain


def _keep_passwords_out(problem: Problem) -> Problem:
    """Report that ``password:`` is not allowed."""
    if problem.place[-1:] != ("password",) or not problem.text.startswith("can only be"):
        return problem
    return replace(problem, text=f"{problem.text} (a password itself does not belong here)")


def _contradictions(document: Any) -> Iterator[Problem]:  # noqa: ANN401 - any YAML value
    """Find what is wrong between settings, also where one of them is wrong in itself."""
    if not isinstance(document, dict):
        return
    endpoints = document.get("endpoints", {})
    if not isinstance(endpoints, dict):
        return
    default = document.get("default")
    if isinstance(default, str) and default not in endpoints:
        yield Problem(place=("default",), text=f"there is no endpoint {default!r}")
    for name, endpoint in endpoints.items():
        if isinstance(endpoint, dict):
            for key, text in _faults(endpoint):
                yield Problem(place=("endpoints", str(name), key), text=text)


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
        yield "url", f"{redact(url)} is not a valid endpoint; {hint}"
        return
    try:
        if parse_url(url).password is not None:
            yield "url", "holds a password; use password_file, or password: keyring"
    except InputError as error:
        yield "url", str(error)
