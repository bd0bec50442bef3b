"""The one thread in which all asyncio work of this driver runs."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from linkedclone.errors import BusyError

T = TypeVar("T")

_guard = threading.Lock()
_running: list[tuple[threading.Thread, asyncio.AbstractEventLoop]] = []


def run_async(work: Coroutine[Any, Any, T], *, deadline_seconds: float) -> T:
    """Run a coroutine in the private thread and wait for it.

    May be called from any thread, also from one with an event loop of its own.
    """
    bounded = asyncio.wait_for(work, deadline_seconds)
    future = asyncio.run_coroutine_threadsafe(bounded, _private_loop())
    try:
        return future.result()
    except TimeoutError as error:
        raise BusyError(
            f"QEMU did not answer within {deadline_seconds:.0f} s",
            hint="the host may be busy: try again",
        ) from error
    finally:
        future.cancel()


def _private_loop() -> asyncio.AbstractEventLoop:
    """The loop; started at the first use, and again in a forked child."""
    with _guard:
        if not _running or not _running[0][0].is_alive():
            loop = asyncio.new_event_loop()
            thread = threading.Thread(target=loop.run_forever, name="linkedclone-qmp", daemon=True)
            thread.start()
            _running[:] = [(thread, loop)]
        return _running[0][1]
