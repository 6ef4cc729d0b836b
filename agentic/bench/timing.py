"""Clocks: of one call, of several by turns, and of matrix products, to set other rates beside."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp

Measured = TypeVar("Measured")
PRODUCT_REPEATS = 5


class Seconds(NamedTuple):
    """The seconds of one call: by the clock, and of all processors together."""

    clock: float
    busy: float


def timed(work: Callable[[], object]) -> Seconds:
    """Return the seconds of one call; its result is freed after the clock has stopped."""
    start, busy = time.perf_counter(), time.process_time()
    result = work()
    seconds = Seconds(time.perf_counter() - start, time.process_time() - busy)
    del result
    return seconds


def fastest(work: Callable[[], object], repeats: int) -> float:
    """Return the seconds of the fastest of `repeats` calls."""
    return min(timed(work).clock for _ in range(repeats))


def by_turns(
    measures: Sequence[Callable[[int], Measured]], repeats: int
) -> list[tuple[Measured, ...]]:
    """Return the results of each measure, which is called with the number of the turn.

    Everything else that the machine does meanwhile slows all measures alike, so their ratios are
    steadier than their values.
    """
    turns = [[measure(turn) for measure in measures] for turn in range(repeats)]
    return list(zip(*turns, strict=True))


def product_rate(rows: int) -> Callable[[], float]:
    """Return a function that measures a float32 product [rows, rows] in operations per second.

    The product is compiled here, so that the function can take turns with other measures. Each call
    keeps the fastest of a few products, because the first ones after a long program wait for the
    memory that the program frees.
    """
    square = jnp.ones((rows, rows), jnp.float32)
    product = jax.jit(jnp.matmul)
    jax.block_until_ready(product(square, square))

    def rate() -> float:
        once = fastest(lambda: jax.block_until_ready(product(square, square)), PRODUCT_REPEATS)
        return 2 * rows**3 / once

    return rate
