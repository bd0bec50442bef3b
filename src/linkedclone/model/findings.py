"""What ``doctor`` and ``prepare`` find, and what a hypervisor says of a request beforehand."""

from dataclasses import dataclass, field
from enum import StrEnum

from linkedclone.model.report import ActionResult, Status
from linkedclone.model.values.document import NULL_IF_EMPTY, Document, told_as


class Verdict(StrEnum):
    """How a check went."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding(Document):
    """One check and how it went.

    Attributes:
        check: What was looked at, in a few words (``certificate``).
        verdict: How it went.
        text: What was found.
        remedy: The one thing that mends it; empty if nothing has to be mended.
    """

    check: str
    verdict: Verdict
    text: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis(Document):
    """What ``doctor`` found.

    Attributes:
        endpoint: The endpoint's address; empty if none could be made out.
        findings: What was checked, in order; the first failure may end it.
    """

    endpoint: str = field(metadata=NULL_IF_EMPTY)
    findings: tuple[Finding, ...]

    @property
    def exit_code(self) -> int:
        """1 if any check failed."""
        return int(any(finding.verdict is Verdict.FAILED for finding in self.findings))


@dataclass(frozen=True, slots=True, kw_only=True)
class ParentReport(Document):
    """What was found of a golden image, after what was mended of it.

    Attributes:
        endpoint: Where it is.
        name: Its name.
        findings: How it is now.
        mended: What was done, in order; the first failure ends it.
    """

    endpoint: str
    name: str = field(metadata=told_as("vm"))
    findings: tuple[Finding, ...]
    mended: tuple[ActionResult, ...] = ()

    @property
    def exit_code(self) -> int:
        """1 if something blocks clones, or could not be mended."""
        blocked = any(finding.verdict is Verdict.FAILED for finding in self.findings)
        return int(blocked or any(one.status is not Status.DONE for one in self.mended))


@dataclass(frozen=True, slots=True, kw_only=True)
class HostCheck(Document):
    """What a hypervisor itself says of a clone on one host, before it is made."""

    # Its name; empty where the answer concerns no single one.
    host: str = field(metadata=NULL_IF_EMPTY)
    errors: tuple[str, ...] = ()  # why the clone would fail there, in the server's words
    warnings: tuple[str, ...] = ()  # what else it says


def would_fail(checks: tuple[HostCheck, ...]) -> bool:
    """Say whether no host is left that would take the clone."""
    if any(check.errors for check in checks if not check.host):
        return True
    hosts = [check for check in checks if check.host]
    return bool(hosts) and all(check.errors for check in hosts)
