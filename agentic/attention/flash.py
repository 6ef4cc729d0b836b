"""cuDNN's flash attention, where a GPU serves it, and rows put in the order that it needs."""

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
    """Return what `dense_attention` returns, by cuDNN; arguments as there, rows in their order.

    Needs a GPU, as many queries as keys, 16 bits a number and D a multiple of 8 up to 128: `choose`
    knows.
    """
    rows = q.shape[1]
    if lengths is None and rows % 2 == 0:
        return jax.nn.dot_product_attention(
            q, k, v, is_causal=causal, scale=scale, implementation="cudnn"
        )
    batch = q.shape[0]
    lengths = jnp.full(batch, rows, jnp.int32) if lengths is None else lengths.astype(jnp.int32)
    present = (jnp.arange(rows) < lengths[:, None])[..., None, None]
    # What lies past the end is nobody's, its gradient neither; cuDNN promises nothing about it.
    # JAX's wrapper takes even numbers of rows alone.
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
    """Rows by position with the absent ones last: `order` and its inverse [B, T], lengths [B]."""

    order: jax.Array
    inverse: jax.Array
    lengths: jax.Array

    def pack(self, x: jax.Array) -> jax.Array:
        """Return x [B, T, ...] with its rows in order."""
        return _rows(x, self.order)

    def unpack(self, x: jax.Array) -> jax.Array:
        """Return packed x [B, T, ...] with its rows where they were."""
        return _rows(x, self.inverse)


def packing(positions: jax.Array) -> Packing:
    """Return the packing of rows at distinct positions [B, T]; negative ones are absent."""
    present = positions >= 0
    last = jnp.iinfo(positions.dtype).max
    order = jnp.argsort(jnp.where(present, positions, last), axis=-1, stable=True)
    return Packing(order, jnp.argsort(order, axis=-1), present.sum(-1, dtype=jnp.int32))


def _rows(x: jax.Array, order: jax.Array) -> jax.Array:
    return jnp.take_along_axis(x, order.reshape(*order.shape, *(1,) * (x.ndim - 2)), axis=1)
