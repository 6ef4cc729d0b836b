"""cuDNN's flash attention on a GPU, and the row order that it needs."""

from typing import NamedTuple

import jax
import jax.numpy as jnp


def flash_attention(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    *,
    causal: bool = True,
    lengths: jax.Array | None = None,
    scale: float | None = None,
) -> jax.Array:
    """Return the result of `dense_attention`, computed by cuDNN, for rows in the order of time.

    It needs a GPU, as many queries as keys, numbers of 16 bits, and D a multiple of 8 up to 128;
    `choose` checks this.
    """
    rows = q.shape[1]
    if lengths is None and rows % 2 == 0:
        return jax.nn.dot_product_attention(
            q, k, v, is_causal=causal, scale=scale, implementation="cudnn"
        )
    batch = q.shape[0]
    lengths = jnp.full(batch, rows, jnp.int32) if lengths is None else lengths.astype(jnp.int32)
    present = (jnp.arange(rows) < lengths[:, None])[..., None, None]
    # cuDNN promises nothing about the rows past the end, so they and their gradients are set to 0.
    # JAX's wrapper takes only even numbers of rows.
    q, k, v = (
        jnp.pad(jnp.where(present, x, jnp.zeros_like(x)), ((0, 0), (0, rows % 2), (0, 0), (0, 0)))
        for x in (q, k, v)
    )
    out = jax.nn.dot_product_attention(
        q, k, v, is_causal=causal, scale=scale, implementation="cudnn",
        query_seq_lengths=lengths, key_value_seq_lengths=lengths,
    )[:, :rows]  # fmt: skip
    return jnp.where(present, out, jnp.zeros_like(out))


class Packing(NamedTuple):
    """The order of rows by position, absent rows last: `order`, its inverse [B, T], lengths [B]."""

    order: jax.Array
    inverse: jax.Array
    lengths: jax.Array

    def pack(self, x: jax.Array) -> jax.Array:
        """Return x [B, T, ...] with its rows in order."""
        return _rows(x, self.order)

    def unpack(self, x: jax.Array) -> jax.Array:
        """Return packed x [B, T, ...] with its rows in their original order."""
        return _rows(x, self.inverse)


def packing(positions: jax.Array) -> Packing:
    """Return the packing of rows at distinct positions [B, T]; a negative position means absent."""
    present = positions >= 0
    last = jnp.iinfo(positions.dtype).max
    order = jnp.argsort(jnp.where(present, positions, last), axis=-1, stable=True)
    return Packing(order, jnp.argsort(order, axis=-1), present.sum(-1, dtype=jnp.int32))


def _rows(x: jax.Array, order: jax.Array) -> jax.Array:
    return jnp.take_along_axis(x, order.reshape(*order.shape, *(1,) * (x.ndim - 2)), axis=1)
