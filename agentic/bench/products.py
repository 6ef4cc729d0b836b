"""The machine's own rate of matrix products, to set other rates beside."""

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp


def product_rate(rows: int) -> Callable[[], float]:
    """Return what measures, at each call, operations a second of one float32 product [rows, rows].

    It is compiled already, so that it can be called in turns with what it is compared with.
    """
    square = jnp.ones((rows, rows), jnp.float32)
    product = jax.jit(jnp.matmul)
    jax.block_until_ready(product(square, square))

    def rate() -> float:
        start = time.perf_counter()
        jax.block_until_ready(product(square, square))
        return 2 * rows**3 / (time.perf_counter() - start)

    return rate
