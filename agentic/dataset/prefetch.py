"""The next batches, drawn ahead by a thread while the accelerator works on this one."""

import contextvars
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from agentic.errors import AgenticError

# From a step to its batch: arrays in (named) tuples and dictionaries.
Sampler = Callable[[int], Any]
# A training step is seldom shorter than a draw: a few batches smooth out what varies.
BATCHES = 4


class _Drawn(NamedTuple):
    batch: Any
    error: BaseException | None


class Prefetch:
    """A sampler whose next batches are ready: `with Prefetch(sampler, memory) as ahead: ahead(0)`.

    `ahead(step)` is `sampler(step)`, bit for bit and in any order of steps; after it the steps that
    follow are drawn. At most `BATCHES` of them wait, and only as many as fit into `memory` bytes; a
    batch larger than that is drawn when it is asked for. What the sampler raises for a step is
    raised where that step is asked for. Leaving the block ends the thread, after Ctrl-C too.
    """

    def __init__(self, sampler: Sampler, memory: int):
        """Draw ahead from `sampler`, which the thread alone calls, within `memory` bytes."""
        if memory < 1:
            raise AgenticError(f"memory is {memory} bytes; drawing ahead needs at least 1.")
        self._sampler, self._memory = sampler, memory
        self._changed = threading.Condition()
        self._ready: deque[_Drawn] = deque()
        self._first: int | None = None  # the step of the first batch that is ready or comes next
        self._size = 0  # bytes of a batch, once one is known; all are alike
        self._asked = False
        self._closed = False
        # A daemon, so that a thread whose block was never left cannot keep a program alive.
        # In a copy of the caller's context, whose numpy settings (errstate) hold there, too.
        target = contextvars.copy_context().run
        self._thread = threading.Thread(
            target=target, args=(self._work,), name="prefetch", daemon=True
        )
        self._thread.start()

    def __enter__(self) -> "Prefetch":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the thread, which may finish the batch it is at, and let go of all batches."""
        with self._changed:
            self._closed = True
            self._ready.clear()
            self._changed.notify_all()
        self._thread.join()

    def __call__(self, step: int) -> Any:
        """Return the batch of `step`."""
        with self._changed:
            if self._closed:
                raise AgenticError("this sampler is closed; open another one.")
            if step != self._first:
                self._ready.clear()
                self._first = step
            self._asked = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._ready)
            drawn = self._ready.popleft()
            self._first, self._asked = step + 1, False
            self._changed.notify_all()
        if drawn.error is not None:
            raise drawn.error
        return drawn.batch

    def _room(self) -> bool:
        """Whether one more batch is asked for or may wait."""
        if self._first is None:
            return False
        waiting = len(self._ready)
        if self._asked and not waiting:
            return True
        failed = waiting and self._ready[-1].error is not None
        fits = (waiting + 1) * self._size <= self._memory
        return not failed and waiting < BATCHES and fits

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._room())
                if self._closed:
                    return
                step = self._first + len(self._ready)
            drawn = self._draw(step)
            with self._changed:
                # Where another step was asked for meanwhile, this batch is no longer wanted.
                if not self._closed and step == self._first + len(self._ready):
                    self._ready.append(drawn)
                    if drawn.error is None:
                        self._size = _bytes(drawn.batch)
                    self._changed.notify_all()
            # Not kept while waiting, for then one batch more than `memory` admits would live.
            del drawn

    def _draw(self, step: int) -> _Drawn:
        try:
            return _Drawn(self._sampler(step), None)
        except BaseException as error:
            return _Drawn(None, error)


def _bytes(batch: tuple | dict | np.ndarray | None) -> int:
    if batch is None:
        return 0
    if isinstance(batch, dict):
        return _bytes(tuple(batch.values()))
    return sum(map(_bytes, batch)) if isinstance(batch, tuple) else batch.nbytes
