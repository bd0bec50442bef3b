"""What ``doctor`` finds."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a check went."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
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

    def document(self) -> dict[str, object]:
        """Return the JSON form."""
        return {
            "check": self.check,
            "verdict": self.verdict.value,
            "text": self.text,
            "remedy": self.remedy,
        }
