"""Ctrl-C as a request that is met at the next safe point."""

import signal
import threading
from types import FrameType


class Interruption:
    """While open, the first Ctrl-C only sets `requested`; a second one interrupts at once.

    Work that must not stop halfway (a training step that owns its buffers, a checkpoint) asks
    between two steps. Outside of the main thread signals do not arrive and nothing changes.
    """

    def __init__(self) -> None:
        self.requested = False

    def __enter__(self) -> "Interruption":
        self._main = threading.current_thread() is threading.main_thread()
        if self._main:
            self._before = signal.signal(signal.SIGINT, self._request)
        return self

    def __exit__(self, *error: object) -> None:
        if self._main:
            signal.signal(signal.SIGINT, self._before)

    def _request(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True


class Interrupted(KeyboardInterrupt):
    """Raised after Ctrl-C once the work is saved; says where it can go on from."""
