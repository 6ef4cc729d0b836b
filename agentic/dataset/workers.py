"""Many files read at once by a few threads, and handed out in their order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from agentic.errors import AgenticError

Item, Result = TypeVar("Item"), TypeVar("Result")


def in_order(
    read: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Iterator[Result]:
    """Yield read(item) for every item, in order, while `workers` threads read ahead.

    Threads are enough, because decompression leaves Python's lock to others. At most workers + 1
    results wait, so memory does not grow with the number of items. What `read` raises is raised at
    the item's turn, also if later items were read well.
    """
    if workers == 1:
        yield from map(read, items)
        return
    with ThreadPoolExecutor(workers) as pool:
        waiting = deque()
        try:
            for item in items:
                waiting.append(pool.submit(read, item))
                if len(waiting) > workers + 1:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def check_workers(workers: int) -> None:
    """Raise AgenticError unless `workers` is at least 1."""
    if workers < 1:
        raise AgenticError(f"workers is {workers}; it must be at least 1.")
