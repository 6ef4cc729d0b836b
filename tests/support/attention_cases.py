"""Operands and comparisons that the attention tests share."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import oracles
from hypothesis import strategies as st

TOLERANCE = {"float32": 2e-5, "bfloat16": 4e-2}


def operands(queries, keys, heads=4, k_heads=2, size=8, batch=2, dtype="float32"):
    """Return q, k, v and the gradient of the output, random, in one dtype."""
    rng = np.random.default_rng(queries * 1000 + keys)
    shapes = [(queries, heads), (keys, k_heads), (keys, k_heads), (queries, heads)]
    return tuple(
        jnp.asarray(rng.standard_normal((batch, *shape, size)), jnp.dtype(dtype))
        for shape in shapes
    )


def positions(queries, keys, batch=2):
    """Return the documented default positions [B, T] and [B, S]."""
    q_positions = np.arange(queries) + max(keys - queries, 0)
    return (
        np.broadcast_to(q_positions, (batch, queries)),
        np.broadcast_to(np.arange(keys), (batch, keys)),
    )


# Tests spend their time compiling; the compiler need not optimise what runs for a millisecond.
@partial(jax.jit, static_argnums=0, compiler_options={"xla_backend_optimization_level": 0})
def value_and_gradients(attend, q, k, v, d_out, *masks):
    """Return the output and dq, dk, dv of attend(q, k, v, *masks)."""
    out, pullback = jax.vjp(lambda q, k, v: attend(q, k, v, *masks), q, k, v)
    return out, *pullback(d_out)


def agree(results, arrays, q_positions, kv_positions, causal=True, scale=None):
    """Assert that output and gradients are the oracle's, in the operands' dtype."""
    q, k, v, _ = arrays
    masks = (q_positions, kv_positions, causal, scale)
    expected = oracles.attention(q, k, v, *masks), *oracles.attention_gradients(*arrays, *masks)
    tolerance = TOLERANCE[q.dtype.name]
    for name, result, wanted in zip(("out", "dq", "dk", "dv"), results, expected, strict=True):
        assert result.dtype == q.dtype, name
        np.testing.assert_allclose(
            np.asarray(result, np.float64),
            wanted,
            rtol=tolerance,
            atol=tolerance * max(1.0, np.abs(wanted).max()),
            err_msg=name,
        )
    unseen = ~seen_any(q_positions, kv_positions, causal)
    assert not np.any(np.asarray(results[0], np.float32)[unseen]), "a row without keys is not 0"
    assert not np.any(np.asarray(results[1], np.float32)[unseen]), "a row without keys has dq"
    absent = np.asarray(kv_positions) < 0
    assert not np.any(np.asarray(results[2], np.float32)[absent]), "an absent key has dk"
    assert not np.any(np.asarray(results[3], np.float32)[absent]), "an absent key has dv"


def seen_any(q_positions, kv_positions, causal):
    """Return bool [B, T]: whether each query sees any key."""
    q_positions = np.asarray(q_positions)[..., None]
    kv_positions = np.asarray(kv_positions)[:, None]
    seen = (q_positions >= 0) & (kv_positions >= 0)
    return (seen & (kv_positions <= q_positions if causal else True)).any(-1)


def masked_lengths(lengths, queries, keys):
    """Return default positions with everything past the valid prefix absent."""
    q_positions, kv_positions = positions(queries, keys, len(lengths))
    lengths = np.asarray(lengths)[:, None]
    kv_positions = np.where(np.arange(keys) < lengths, kv_positions, -1)
    if queries == keys:
        q_positions = np.where(np.arange(queries) < lengths, q_positions, -1)
    return q_positions, kv_positions


def position_rows(rows, batch=2, latest=12):
    """Strategy for int32 positions [B, rows] in any order, some of them absent."""
    values = st.one_of(st.just(-1), st.integers(-3, latest), st.integers(0, latest))
    row = st.one_of(st.lists(values, min_size=rows, max_size=rows), st.just([-1] * rows))
    return st.tuples(*[row] * batch).map(lambda table: np.asarray(table, np.int32))
