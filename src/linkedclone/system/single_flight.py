"""Looks that threads share: one answers all that had asked for it before it began."""

from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

Seen = TypeVar("Seen")


class SharedLook(Generic[Seen]):
    """Looks for several threads at once, and never answers with what was seen before a question.

    Who asks while another thread looks waits for that look to end, since it may
    have gone past already. Of all who wait, one looks anew, for the others too.
    """

    def __init__(self, look: Callable[[], Seen]) -> None:
        self._look = look
        self._looking = Lock()
        self._begun = 0
        self._seen: tuple[int, Seen] | None = None

    def take(self) -> Seen:
        """Return what is seen by a look that began after this was called."""
        asked = self._begun
        with self._looking:
            if self._seen is None or self._seen[0] <= asked:
                self._begun += 1
                self._seen = (self._begun, self._look())
            return self._seen[1]
