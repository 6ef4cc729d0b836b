"""Packed rows attend as rows in any order do; on a GPU cuDNN gives what dense attention gives.

For a GPU: `JAX_PLATFORMS=cuda,cpu pytest -m gpu -W default`.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import attention_cases as cases

from agentic.attention import blockwise_attention, dense_attention, flash_attention, packing


@st.composite
def distinct_positions(draw, rows=9, batch=2):
    """Positions [B, T], each at most once a row, in any order, some of them absent."""
    table = [draw(st.permutations(range(2 * rows)))[:rows] for _ in range(batch)]
    absent = draw(st.lists(st.booleans(), min_size=rows * batch, max_size=rows * batch))
    table, absent = np.asarray(table, np.int32), np.reshape(absent, (batch, rows))
    return np.where(absent, np.int32(-1), table)


@settings(max_examples=25, deadline=None)
@given(distinct_positions())
def test_packed_rows_attend_as_rows_in_any_order(positions):
    q, k, v, _ = cases.operands(positions.shape[1], positions.shape[1])
    packed = packing(jnp.asarray(positions))
    expected = dense_attention(q, k, v, q_positions=positions, kv_positions=positions)
    rows = (packed.pack(x) for x in (q, k, v))
    found = packed.unpack(dense_attention(*rows, lengths=packed.lengths))
    np.testing.assert_allclose(found, expected, atol=2e-6)
    np.testing.assert_array_equal(packed.unpack(packed.pack(q)), q)


@pytest.mark.gpu
@pytest.mark.parametrize("rows", [256, 257])
@pytest.mark.parametrize("lengths", [None, [256, 100], [0, 31]])
def test_cudnn_is_dense_attention(rows, lengths):
    arrays = cases.operands(rows, rows, size=64, dtype="bfloat16")
    if lengths is None:
        places = cases.positions(rows, rows)
        masks = ()
    else:
        places = cases.masked_lengths(lengths, rows, rows)
        masks = (jnp.asarray(lengths, jnp.int32),)

    def attend(q, k, v, *lengths):
        return flash_attention(q, k, v, lengths=lengths[0] if lengths else None)

    @jax.jit
    def run(q, k, v, d_out, *masks):
        out, pullback = jax.vjp(lambda q, k, v: attend(q, k, v, *masks), q, k, v)
        return out, *pullback(d_out)

    cases.agree(run(*arrays, *masks), arrays, *places)


@pytest.mark.gpu
def test_blocks_on_a_gpu_are_dense_attention():
    arrays = cases.operands(700, 700, size=64)
    with jax.default_matmul_precision("float32"):
        found = cases.value_and_gradients(blockwise_attention, *arrays)
    cases.agree(found, arrays, *cases.positions(700, 700))
