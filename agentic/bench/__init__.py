"""Measurements of this machine: `agentic bench NAME`.

A benchmark is a module `agentic.bench.NAME` with a frozen dataclass `Options`, whose defaults take
seconds, and `run(options, say)`, which returns one dictionary a row of its table and tells `say`
what it is doing. Rates are those of the fastest of several repeats: on a machine that others use
too, that is the one they disturbed least.
"""

import time
from collections.abc import Callable

# name: one line of help. The module is imported when it is called for.
BENCHMARKS = {
    "relabel": "rewards of stored states: batched, against a loop over dm_control",
    "convert": "episodes to a store, against merely reading the same files",
    "sampler": "chains drawn from a store, against numpy copying the same bytes",
    "attention": "blockwise attention, against other forms and the rate of matrix products",
    "ring": "what each device of a ring computes and holds, as devices and tokens grow together",
    "memory": "bytes of a training step against tokens, and the longest context that fits",
    "train": "training steps a second, against the machine's own rate of matrix products",
    "decode": "steps of acting with long contexts, against reading the cache and recomputing it",
    "simulation": "the batched simulator, against a loop over dm_control",
    "evaluate": "evaluation, against the bare simulator and against recomputing the context",
}

Row = dict[str, str | float]


def fastest(work: Callable[[], object], repeats: int) -> float:
    """Return the seconds of the fastest of `repeats` calls."""
    return min(timed(work)[0] for _ in range(repeats))


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds of one call by the clock, and those of all processors together."""
    start, busy = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - busy
