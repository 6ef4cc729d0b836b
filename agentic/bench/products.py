"""The machine's own rate of matrix products, to set other rates beside."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from agentic.bench import fastest

FEW = 5


def product_rate(rows: int) -> Callable[[], float]:
    """Return what measures, at each call, operations a second of one float32 product [rows, rows].

    It is compiled already, so that it can be called in turns with what it is compared with. The
    fastest of a few counts: the first ones after a long program find its memory being given back.
    """
    square = jnp.ones((rows, rows), jnp.float32)
    product = jax.jit(jnp.matmul)
    jax.block_until_ready(product(square, square))

    def rate() -> float:
        return 2 * rows**3 / fastest(lambda: jax.block_until_ready(product(square, square)), FEW)

    return rate
