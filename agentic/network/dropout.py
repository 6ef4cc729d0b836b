"""Dropout as a function of the seed, the step and the token, wherever the token is computed.

Every token has a key of its own, made of the step's key, the number of its row in the whole batch
and its place in that row. So a mesh of devices and micro-batches drop what one device drops.
Axis letters: B batch, T tokens, W width.
"""

import jax
import jax.numpy as jnp


def token_keys(key: jax.Array, row: jax.Array, place: jax.Array) -> jax.Array:
    """Return a key for each token: of its row [B] in the batch and its place [B, T] in the row."""

    def token_key(row: jax.Array, place: jax.Array) -> jax.Array:
        return jax.random.fold_in(jax.random.fold_in(key, row), place)

    return jax.vmap(jax.vmap(token_key, in_axes=(None, 0)))(row, place)


def fold(keys: jax.Array | None, number: int | jax.Array) -> jax.Array | None:
    """Return other keys for the same tokens [B, T], one set for each number; None stays None."""
    if keys is None:
        return None
    return jax.vmap(jax.vmap(jax.random.fold_in, (0, None)), (0, None))(keys, number)


def dropout(x: jax.Array, rate: float, keys: jax.Array | None) -> jax.Array:
    """Zero each element of x [B, T, W] with probability `rate` and rescale the rest.

    keys [B, T] decide which elements; without keys x is returned as it is.
    """
    if keys is None or rate == 0.0:
        return x

    def kept(key: jax.Array) -> jax.Array:
        return jax.random.bernoulli(key, 1.0 - rate, x.shape[-1:])

    return jnp.where(jax.vmap(jax.vmap(kept))(keys), x / (1.0 - rate), jnp.zeros_like(x))
