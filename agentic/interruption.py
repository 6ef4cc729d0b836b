"""A request to stop, by Ctrl-C or another signal, that takes effect at the next safe point."""

import signal
import threading
from types import FrameType

# Requests from the keyboard, from a scheduler (Slurm, Kubernetes, docker), from a closed terminal.
END_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption:
    """While this is open, the first request only sets `requested`; a second one interrupts at once.

    Work that must not stop halfway (a training step that owns its buffers, a checkpoint) looks at
    `requested` between two steps. Signals arrive only in the main thread; in other threads this
    changes nothing.
    """

    def __init__(self) -> None:
        self.requested = False

    def __enter__(self) -> "Interruption":
        self._before = {}
        if threading.current_thread() is threading.main_thread():
            for number in END_SIGNALS:
                before = signal.getsignal(number)
                # An ignored signal stays ignored: nohup and background jobs of shells rely on it.
                # None is a handler that another language installed, which could not be put back.
                if before not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._request)
        return self

    def __exit__(self, *error: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _request(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True


class Interrupted(KeyboardInterrupt):
    """Raised after a request to stop, once the work is saved; its text says how to continue."""
