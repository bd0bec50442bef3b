"""What nothing uses any more, and the report of what was removed of it."""

from dataclasses import dataclass
from enum import StrEnum

from linkedclone.model.plan import Step
from linkedclone.model.report import ActionReport, ActionResult, Status
from linkedclone.model.values.ids import VmId


class WasteKind(StrEnum):
    """What sort of thing it is."""

    FILE = "file"
    VM = "vm"
    SNAPSHOT = "snapshot"
    IMAGE = "image"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waste:
    """One thing that nothing uses.

    Attributes:
        kind: What it is.
        name: What people are shown.
        used_bytes: What it takes, at most what removing it frees; None where unknown.
        reason: Why it counts as waste.
        step: What removes it; None if it is only told.
        why_not: Why it is only told.
        source: The VM that it is left alone for while clones are being made from that.
    """

    kind: WasteKind
    name: str
    used_bytes: int | None
    reason: str
    step: Step | None = None
    why_not: str = ""
    source: VmId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WasteReport:
    """What was found, and what became of it.

    Attributes:
        endpoint: Where.
        found: Everything, in the order of kinds and names.
        results: How removing went, by what ``subject`` says of the step; empty
            if nothing was to be removed.
        notes: Places that could not be read.
        interrupted: Whether it was ended early.
    """

    endpoint: str
    found: tuple[Waste, ...]
    results: tuple[tuple[Waste, ActionResult], ...] = ()
    notes: tuple[str, ...] = ()
    interrupted: bool = False

    @property
    def found_bytes(self) -> int:
        """What all of it takes."""
        return sum(waste.used_bytes or 0 for waste in self.found)

    @property
    def freed_bytes(self) -> int:
        """What was removed, at most."""
        return sum(w.used_bytes or 0 for w, r in self.results if r.status is Status.DONE)

    @property
    def exit_code(self) -> int:
        """As that of any report of actions."""
        report = ActionReport(
            endpoint=self.endpoint,
            results=tuple(result for _, result in self.results),
            interrupted=self.interrupted,
        )
        return report.exit_code

    def document(self) -> dict[str, object]:
        """Return the JSON form."""
        became = {id(waste): result for waste, result in self.results}
        return {
            "endpoint": self.endpoint,
            "waste": [_document(waste, became.get(id(waste))) for waste in self.found],
            "found_bytes": self.found_bytes,
            "freed_bytes": self.freed_bytes,
            "not_seen": list(self.notes),
        }


def _document(waste: Waste, result: ActionResult | None) -> dict[str, object]:
    document: dict[str, object] = {
        "kind": waste.kind.value,
        "name": waste.name,
        "bytes": waste.used_bytes,
        "reason": waste.reason,
        "removable": waste.step is not None,
        "status": result.status.value if result else "found",
    }
    if waste.why_not:
        document["why_not"] = waste.why_not
    if result is not None and result.error:
        document["error"] = result.error.document()
    return document
