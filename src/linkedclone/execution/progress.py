"""Reports the progress of a run to a listener."""

from dataclasses import dataclass
from typing import Protocol

from linkedclone.model.jobs import JobStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to one VM.

    Attributes:
        name: The VM's name.
        action: What is being done to it (``clone``, ``power-on``, ``wait for ip`` …).
        status: How far that is.
        percent: Its progress, where known.
        text: More words, such as an error's.
    """

    name: str
    action: str
    status: JobStatus
    percent: int | None = None
    text: str = ""


class Progress(Protocol):
    """Receives events. Called from one thread; must not raise."""

    def begin(self, names: tuple[str, ...], action: str) -> None:
        """Tell which VMs the run is about, before anything is sent."""

    def update(self, event: Event) -> None:
        """Tell what happened."""


class Silent:
    """Discards all events."""

    def begin(self, names: tuple[str, ...], action: str) -> None:
        """Do nothing."""

    def update(self, event: Event) -> None:
        """Do nothing."""
