"""What needs a newer server is refused by name: pyVmomi would leave it out without a word.

See [fact: py-younger-fields].
"""

from linkedclone.errors import UnsupportedError


def require_version(
    version: tuple[int, ...], needed: tuple[int, ...], what: str, hint: str
) -> None:
    """Refuse what the server does not know yet; one whose version is not known is left to try."""
    if version and version < needed:
        raise UnsupportedError(
            f"{what} needs vSphere {_show(needed)}",
            details=f"the server's API is {_show(version)}",
            hint=hint,
            kind="NotSupported",
        )


def _show(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
